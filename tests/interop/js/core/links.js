// Links that people hand to each other (Links).
import { base64url, concat, Reader, unbase64url } from './bytes.js'
import { Refusal } from './errors.js'

const FIELDS = {
  invite: { secret: 16, relayKey: 32 },
  contact: { account: 32, token: 16 },
  group: { group: 32, inviter: 32, token: 16, secret: 16 },
  link: { mailbox: 16, request: 32 },
}

export function parseLink(link) {
  const match = /^(https?:\/\/[^/#?]+)\/([a-z]+)#v1\.([A-Za-z0-9_-]+)$/.exec(link)
  const shape = match && FIELDS[match[2]]
  if (!shape) throw new Refusal('InvalidEncoding', 'no link')
  const reader = new Reader(unbase64url(match[3]))
  const parsed = { origin: match[1], kind: match[2] }
  for (const [name, length] of Object.entries(shape)) parsed[name] = reader.take(length)
  reader.end()
  return parsed
}

export const contactLink = (origin, account, token) => `${origin}/contact#v1.${base64url(concat(account, token))}`
export const deviceLink = (origin, code) => `${origin}/link#v1.${base64url(code)}`

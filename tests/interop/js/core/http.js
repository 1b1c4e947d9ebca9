// Requests to the relay: signed by the device, or by nobody (Authentication, HTTP).
import { base32, base64url, u64, unbase64url, utf8, zeros } from './bytes.js'
import { RelayRefusal, Refusal } from './errors.js'
import { sha256, sign, verify } from './primitives.js'
import { transcript } from './transcripts.js'

const ANSWER_WITHIN_MS = 60_000
const SLOWEST_BYTES_A_MS = 8 // what goes up may take its time

export const httpTranscript = ({ method, target, body, streamed = false, offset = null }, { origin, device, time, nonce }) =>
  transcript(
    ...['http-request', utf8(method), utf8(target), streamed ? utf8('streamed') : sha256(body), utf8(origin)],
    ...[device, u64(time), nonce, offset === null ? zeros(0) : u64(offset)],
  )

export function authorization(request, signer) {
  const signature = base64url(sign(signer.signingSeed, httpTranscript(request, signer)))
  return `TokenIM-Ed25519 device="${base32(signer.device)}", time="${signer.time}", nonce="${base64url(signer.nonce)}", signature="${signature}"`
}

export const websocketTranscript = (origin, device, challenge) => transcript('websocket', utf8(origin), device, challenge)
export const relayDocumentTranscript = (body) => transcript('relay-document', sha256(body))

// One relay. `now` and `random` come from whoever runs this, and two kinds of `fetch`: unsigned requests must not go over connections on
// which something was signed. `own` is { device, signingSeed }, or null.
export class Http {
  constructor({ origin, fetch, fetchUnsigned, now, random, own = null }) {
    Object.assign(this, { origin, fetch, fetchUnsigned, now, random, own, clockOffset: 0 })
  }

  // → { status, headers, bytes }; whatever is no success is a RelayRefusal.
  async send(method, target, { body = zeros(0), headers = {}, signed = false, streamed = false, offset = null } = {}) {
    let answer = await this.#once(method, target, { body, headers, signed, streamed, offset })
    const date = Date.parse(answer.headers.get('date') ?? '')
    if (answer.status === 401 && signed && Math.abs(date - this.now() - this.clockOffset) > 60_000) {
      this.clockOffset = date - this.now() // for signing alone; one more try
      answer = await this.#once(method, target, { body, headers, signed, streamed, offset })
    }
    if (answer.status >= 400) throw await refusalOf(answer)
    return { status: answer.status, headers: answer.headers, bytes: new Uint8Array(await answer.arrayBuffer()) }
  }

  #once(method, target, { body, headers, signed, streamed, offset }) {
    const all = { ...headers }
    if (signed) {
      const signer = { ...this.own, origin: this.origin, time: Math.round(this.now() + this.clockOffset), nonce: this.random(16) }
      all.Authorization = authorization({ method, target, body, streamed, offset }, signer)
    }
    const fetch = signed ? this.fetch : this.fetchUnsigned
    return this.#answered(fetch, this.origin + target, { method, headers: all, body: body.length ? body : undefined, redirect: 'error' })
  }

  // A relay that takes a request and says nothing would hold up all that waits behind it.
  async #answered(fetch, url, options) {
    const given = new AbortController()
    const patience = ANSWER_WITHIN_MS + (options.body?.length ?? 0) / SLOWEST_BYTES_A_MS
    const timer = setTimeout(() => given.abort(), patience)
    try {
      return await fetch(url, { ...options, signal: given.signal })
    } catch (error) {
      throw given.signal.aborted ? new RelayRefusal('unanswered', 0) : error
    } finally {
      clearTimeout(timer)
    }
  }

  async json(method, target, { json, token = null, logToken = null, signed = false } = {}) {
    const headers = json === undefined ? {} : { 'Content-Type': 'application/json' }
    if (token) headers['TokenIM-Delivery-Token'] = base64url(token)
    if (logToken) headers['TokenIM-Log-Token'] = base64url(logToken)
    const body = json === undefined ? zeros(0) : utf8(JSON.stringify(json))
    const answer = await this.send(method, target, { body, headers, signed })
    return answer.bytes.length ? JSON.parse(new TextDecoder().decode(answer.bytes)) : null
  }

  // The relay's document, verified by the key that the invite pinned (null: whoever has none takes the one it names).
  async document(relayKey) {
    const { bytes, headers } = await this.send('GET', '/.well-known/tokenim')
    const document = JSON.parse(new TextDecoder().decode(bytes))
    const key = relayKey ?? unbase64url(document.signing_key)
    verify(key, relayDocumentTranscript(bytes), unbase64url(headers.get('tokenim-signature') ?? ''))
    if (document.origin !== this.origin) throw new Refusal('RelayRefused', 'the document names another origin')
    return { ...document, relayKey: key }
  }
}

async function refusalOf(answer) {
  let problem = {}
  try {
    problem = await answer.json()
  } catch {
    // no problem document: something between the relay and this client answered
  }
  const wait = Number(answer.headers.get('retry-after'))
  return new RelayRefusal(problem.code ?? 'unavailable', answer.status, wait ? wait * 1000 : null)
}

// The client as a program: JSON objects, one a line, in and out. `node node/main.js STORE`; README.md lists what can be asked.
import { randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { base32 } from '../core/bytes.js'
import { Client } from '../core/client.js'
import { TYPE } from '../core/contents.js'
import { safetyNumber } from '../core/manifests.js'
import { kemSteps } from '../core/sessions.js'
import { safeName } from '../core/uploads.js'
import { fetchUnsigned } from './requests.js'
import { SqliteStorage } from './storage.js'

const say = (object) => process.stdout.write(`${JSON.stringify(object)}\n`)
const asText = (value) => (value instanceof Uint8Array ? base32(value) : value)

function shown({ number, from, handle, group, type, body, edits, reactions, isOwn, isContact, state, sentAt, readAt, deliveredTo = [], readBy = [] }) {
  const file = type === TYPE.file && body ? { name: safeName(body[4]), size: body[2], media_type: body[5] } : null
  const text = type === TYPE.text && body ? (edits.at(-1)?.said ?? body[0]) : null
  const latest = new Map(reactions.map((one) => [base32(one.by), one.said]))
  return { number, from: base32(from), handle: handle ?? null, group: group && base32(group), text, file, type, is_own: isOwn, is_contact: isContact ?? null, is_read: Boolean(readAt), state, sent_at_ms: sentAt, reactions: [...latest.values()].filter(Boolean), delivered_to: deliveredTo.map((one) => base32(one.by)), read_by: readBy.map((one) => base32(one.by)) }
}

function fileOf(path, mediaType = 'application/octet-stream') {
  return { name: basename(path), mediaType, bytes: new Uint8Array(readFileSync(path)) }
}

const commands = {
  register: (client, { link, handle }) => client.register(link, handle),
  whoami: (client) => client.whoami(),
  show_code: (client, { origin, name }) => client.devices.showCode(origin, name),
  digits: (client) => client.devices.digits(),
  join_account: (client) => client.devices.join(),
  accept_device: (client, { link }) => client.devices.accept(link),
  confirm_device: (client) => client.devices.confirm(),
  devices: (client) => client.devices.list(),
  remove_device: (client, { device }) => client.devices.remove(device).then(() => null),
  link: (client) => client.contactLink(),
  contacts: (client) => client.contacts(),
  safety_number: (client, { with: who }) => safetyNumber(client.own.account, client.store.all('peer/').find(({ handle, claimed }) => (handle ?? claimed) === who).account),
  renew: (client) => client.renewToken().then(() => null),
  tokens: (client) => client.tokens(),
  start: (client) => client.start().then(() => null),
  send: (client, { to, text, file, media_type }) => client.send(to, file ? { file: fileOf(file, media_type) } : { text }),
  messages: (client, { after }) => client.messages(after).map(shown),
  react: (client, { number, emoji }) => client.act(number, TYPE.reaction, emoji),
  edit: (client, { number, text }) => client.act(number, TYPE.edit, text),
  read: (client, { numbers }) => client.read(numbers),
  receipts: (client, { on }) => client.setReceipts(on).then(() => null),
  delete: (client, { number }) => client.act(number, TYPE.delete),
  fetch: async (client, { number, path }) => {
    const message = client.messages(number - 1)[0]
    writeFileSync(path, await client.uploads.fetch(message.body), { flag: 'wx' })
    return path
  },
  create_group: (client, { name }) => client.groups.committing.create(name),
  add: async (client, { group, who }) => client.groups.committing.invite(client.groups.find(group), await client.directory.resolve(who)),
  remove: async (client, { group, who }) => client.groups.committing.remove(client.groups.find(group), await client.directory.resolve(who)),
  join: (client, { link }) => client.groups.join(link),
  accept: async (client, { group }) => client.groups.arrived(await client.groups.accept(group)),
  groups: (client) => client.groups.list(),
  state: (client) => ({ missing: client.missing(), gone: client.gone(), owed: client.owed(), quarantined: client.quarantined, waiting: client.store.keys('draft/').length + client.store.keys('outbox/').length, failed: client.store.keys('failed/').length, position: client.inbox.position }),
  ratchets: (client) => kemSteps(client.store),
  stop: (client) => client.stop().then(() => null),
}

const client = await Client.open({
  storage: new SqliteStorage(process.argv[2]),
  fetch: globalThis.fetch,
  fetchUnsigned,
  WebSocket: globalThis.WebSocket,
  random: (length) => new Uint8Array(randomBytes(length)),
  now: Date.now,
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  tell: (event) => say(Object.fromEntries(Object.entries(event).map(([name, value]) => [name, asText(value)]))),
})

for await (const line of createInterface({ input: process.stdin })) {
  const { id, do: name, ...rest } = JSON.parse(line)
  try {
    if (!commands[name]) throw new Error(`no command ${name}`)
    say({ id, ok: (await commands[name](client, rest)) ?? null })
  } catch (error) {
    say({ id, error: error.code ?? error.kind ?? error.name, why: error.message })
  }
}
if (client.running) await client.stop()

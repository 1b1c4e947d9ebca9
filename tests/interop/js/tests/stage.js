// What the devices of a conversation do, step by step, with the core and stores of their own (tests/vectors/README.md).
import assert from 'node:assert/strict'
import { copyOf, equal, hex, zeros } from '../core/bytes.js'
import { keepList, listOf } from '../core/directory.js'
import * as linking from '../core/linking.js'
import { accountOf, deviceIn, encodeManifest, firstManifest, MANAGER, nextManifest, parse, walk } from '../core/manifests.js'
import { Refusal } from '../core/errors.js'
import { CLASS, KIND, checkBundle, makePrekey, parsePrekey } from '../core/prekeys.js'
import { exchangePublic, signingPublic } from '../core/primitives.js'
import * as sessions from '../core/sessions.js'
import { bytes, failureOf } from './vectors.js'

// What this client draws for a step, in its order; what a step does not draw is not in the file.
const SEAL = ['seal of ML-KEM', 'seal of X25519']
const ORDER = {
  begin: { 32: ['ephemeral_private', 'encapsulation'] },
  send: { 12: ['nonce'], 32: ['ratchet_private', 'encapsulation', ...SEAL], 64: ['kem_seed'] },
  link_request: { 16: ['device_id', 'mailbox_id'], 32: ['signing_seed', 'identity_private', 'sealing_seed'] },
  link_answer: { 32: ['nonce', ...SEAL] },
  create: { 12: ['nonce'], 32: ['group_id', 'secret', 'write_seed'] },
  commit: { 12: ['nonce'], 32: ['secret', 'write_seed'] },
  tell_chain: { 12: ['chain_id'], 32: ['chain_key', 'signing_seed'] },
  say: { 12: ['nonce'] },
}
const PREKEYS = { signed: [KIND.signed, CLASS.rotating], sealing: [KIND.sealing, CLASS.rotating], kem_last_resort: [KIND.kem, CLASS.lastResort] }
const ONE_TIME = { kem: KIND.kem, one_time: KIND.oneTime }

function drawing(step) {
  const left = Object.fromEntries(Object.entries(step.random).map(([name, digits]) => [name, bytes(digits)]))
  if (left.seal) {
    Object.assign(left, { 'seal of ML-KEM': left.seal.slice(0, 32), 'seal of X25519': left.seal.slice(32) })
    delete left.seal
  }
  const order = ORDER[step.action] ?? {}
  const random = (length) => {
    const name = order[length]?.find((each) => left[each])
    assert.ok(name, `nothing of ${length} bytes is left to draw`)
    const value = left[name]
    delete left[name]
    return value
  }
  return { random, left }
}

export function flipped(given, at) {
  const changed = copyOf(given)
  if (at !== undefined) changed[at] ^= 1
  return changed
}

// What a device keeps, as its store gives it: copies of plain data.
export class Kept {
  after = []
  constructor(entries = []) {
    this.values = new Map(entries)
  }
  get(key) {
    return this.values.has(key) ? copyOf(this.values.get(key)) : null
  }
  set(key, value) {
    this.values.set(key, copyOf(value))
  }
  delete(key) {
    this.values.delete(key)
  }
  next(name) {
    const number = (this.get(`next/${name}`) ?? 0) + 1
    this.set(`next/${name}`, number)
    return number
  }
  keys(prefix) {
    return [...this.values.keys()].filter((key) => key.startsWith(prefix)).sort()
  }
}

export class Stage {
  devices = {}
  published = {}
  lists = new Map() // of the accounts, as they are by now
  links = {}
  envelopes = {}

  play(step, number) {
    const { random, left } = drawing(step)
    const before = Object.fromEntries(Object.entries(this.devices).map(([name, one]) => [name, [...one.kept.values]]))
    let result = null
    const error = failureOf(() => {
      result = this[step.action](step, random, left)
    })
    if (error) for (const [name, entries] of Object.entries(before)) this.devices[name].kept = new Kept(entries)
    else assert.deepEqual(Object.keys(left), [], 'the file gives more than is drawn')
    if (result?.envelope) this.envelopes[number] = result.envelope
    return { error, result }
  }

  account({ by, now_ms }, _, left) {
    const { root_seed: root, signing_seed: signingSeed, identity_private: identityPrivate, device_id: device } = left
    const listed = { id: device, signing: signingPublic(signingSeed), identity: exchangePublic(identityPrivate), flags: MANAGER, addedAt: now_ms }
    const manifest = parse(firstManifest(root, listed, signingSeed))
    const account = accountOf(signingPublic(root))
    const [first] = walk(account, [], [manifest])
    this.settle(by, { account, device, signingSeed, identityPrivate, chain: [first] })
    for (const name of Object.keys(left)) delete left[name]
    return { account, signing_public: listed.signing, identity_public: listed.identity, manifest: encodeManifest(first) }
  }

  settle(name, { account, device, signingSeed, identityPrivate, chain }) {
    const kept = new Kept()
    kept.set('own', { account, device, signingSeed, identityPrivate, chain: chain.map(encodeManifest), proof: zeros(0), relayKey: zeros(32) })
    this.devices[name] = { account, device, signingSeed, kept }
    this.lists.set(hex(account), chain)
  }

  publish({ by, now_ms }, _, left) {
    const owner = this.devices[by]
    this.published[by] = {}
    for (const [name, seed] of Object.entries(left)) {
      const number = Number(name.split('_').at(-1))
      const [kind, class_] = PREKEYS[name] ?? [ONE_TIME[name.slice(0, -2)], CLASS.oneTime]
      const id = PREKEYS[name] ? 1 : kind === KIND.kem ? number + 1 : number // the last-resort key is the first of its kind
      const made = makePrekey({ kind, class: class_, id, madeAt: now_ms, seed }, owner)
      owner.kept.set(`prekey/${kind}/${id}`, { ...parsePrekey(made), seed })
      this.published[by][name] = made
      delete left[name]
    }
    return { keys: this.published[by] }
  }

  begin({ by, to, bundle: names, now_ms: now }, random) {
    const [{ kept }, other] = [this.devices[by], this.devices[to]]
    const { account, device } = other
    const chain = walk(account, listOf(kept, account), this.lists.get(hex(account)))
    keepList(kept, account, chain)
    const keys = names.map((name) => this.published[to][name])
    const seen = sessions.seenOf(kept, account, device)
    const bundle = checkBundle(keys, { account, device: deviceIn(chain.at(-1), device), now, seen })
    sessions.beginSession(kept, { account, device, bundle, fetchedAt: now, random, now })
    const { active, archived, highest } = recordOf(kept, other)
    const session = [active, ...archived].find((one) => one.setupNumber === highest)
    return { session_id: session.sessionId, setup_number: highest, setup_values: session.values, root_key: session.ratchet.rootKey }
  }

  send({ by, to, plaintext, ephemeral, now_ms: now }, random) {
    const [{ kept }, { account, device }] = [this.devices[by], this.devices[to]]
    const envelope = sessions.encryptFor(kept, account, device, bytes(plaintext), { random, now, ephemeral })
    const { sessionId, ratchet } = recordOf(kept, this.devices[to]).active
    const { number, ephemeralNumber, flags } = ratchet.sending
    const last = ephemeral ? { number: ephemeralNumber - 1, flags: flags | 4 } : { number: number - 1, flags }
    return { session_id: sessionId, root_key: ratchet.rootKey, ...last, envelope }
  }

  receive({ by, envelope_of, flip, now_ms: now }) {
    const { kept } = this.devices[by]
    const envelope = flipped(this.envelopes[envelope_of], flip)
    const opened = envelope[0] === 1 ? sessions.openSetup(kept, envelope, { now }) : sessions.openRatchet(kept, envelope, now)
    const [from] = Object.entries(this.devices).find(([, one]) => equal(one.device, opened.device))
    return { from, plaintext: opened.content, ...this.roots(by, from) }
  }

  // --- Linking

  link_request({ by, name, now_ms: now }, random) {
    const pending = linking.makeRequest({ name, random, now })
    this.links[by] = { pending }
    return { request: pending.request, qr: linking.codeOf(pending) }
  }

  link_answer({ by, to, scanned_at_ms: at, flip, now_ms: now }, random) {
    const link = this.links[to]
    if (link.answered) throw new Refusal('LinkRefused', 'a request is answered once')
    const code = linking.codeOf(link.pending)
    const scanned = { mailbox: code.slice(0, 16), hash: code.slice(16), at }
    const own = this.devices[by].kept.get('own')
    const answered = linking.answerRequest(scanned, flipped(link.pending.request, flip), own, { random, now })
    Object.assign(link, { answered: { ...answered, scanned } })
    return { answer: answered.answer, code: answered.digits, sealed_answer: answered.sealed }
  }

  link_open({ by, flip, now_ms: now }) {
    const link = this.links[by]
    const opened = linking.openAnswer(link.pending, flipped(link.answered.sealed, flip), now)
    link.pending.isOpened = true
    Object.assign(link, opened)
    return { account: opened.account, manager: opened.manager, code: opened.digits, confirmation: opened.confirmation }
  }

  link_confirm({ by, to, flip, now_ms: now }) {
    const { kept } = this.devices[by]
    const { answered, pending, account, confirmation } = this.links[to]
    const chain = listOf(kept, account)
    const device = linking.confirmedDevice(answered.scanned, answered.asked, flipped(confirmation, flip), account, now)
    const next = nextManifest(chain, [...chain.at(-1).devices, device], kept.get('own'))
    const longer = walk(account, chain, [next])
    keepList(kept, account, longer)
    this.settle(to, { ...pending, account, chain: longer })
    return { manifest: encodeManifest(next), manifest_hash: next.hash }
  }

  roots(by, from) {
    const record = recordOf(this.devices[by].kept, this.devices[from])
    return { sessions: [record.active, ...record.archived], active: record.active }
  }
}

const recordOf = (kept, { account, device }) => kept.get(`sessions/${hex(account)}/${hex(device)}`)


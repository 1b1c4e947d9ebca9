import assert from 'node:assert/strict'
import test from 'node:test'
import { copyOf, equal, hex, zeros } from '../core/bytes.js'
import { newPeer, peerKey } from '../core/directory.js'
import { accountOf, encodeManifest, firstManifest, MANAGER, parse, walk } from '../core/manifests.js'
import { CLASS, KIND, checkBundle, makePrekey, parsePrekey } from '../core/prekeys.js'
import { exchangePublic, signingPublic } from '../core/primitives.js'
import * as sessions from '../core/sessions.js'
import { bytes, failureOf, load, same } from './vectors.js'

// What this client draws for a step, in its order; what a step does not draw is not in the file.
const ORDER = {
  begin: { 32: ['ephemeral_private', 'encapsulation'] },
  send: { 12: ['nonce'], 32: ['ratchet_private', 'encapsulation', 'seal of ML-KEM', 'seal of X25519'], 64: ['kem_seed'] },
}
const KINDS = { Undecryptable: ['Undecryptable', 'KeyMissing'] }
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

// What a device keeps, as its store gives it: copies of plain data.
class Kept {
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
  keys(prefix) {
    return [...this.values.keys()].filter((key) => key.startsWith(prefix)).sort()
  }
}

class Stage {
  devices = {}
  published = {}
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
    const kept = new Kept()
    kept.set('own', { account, device, chain: [encodeManifest(first)], identityPrivate, proof: zeros(0), relayKey: zeros(32) })
    this.devices[by] = { account, device, signingSeed, manifest: first, kept }
    for (const name of Object.keys(left)) delete left[name]
    return { account, signing_public: listed.signing, identity_public: listed.identity, manifest: encodeManifest(first) }
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
    kept.set(peerKey(account), { ...newPeer(account), chain: [encodeManifest(other.manifest)] })
    const keys = names.map((name) => this.published[to][name])
    const seen = sessions.seenOf(kept, account, device)
    const bundle = checkBundle(keys, { account, device: other.manifest.devices[0], now, seen })
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
    const envelope = copyOf(this.envelopes[envelope_of])
    if (flip !== undefined) envelope[flip] ^= 1
    const opened = envelope[0] === 1 ? sessions.openSetup(kept, envelope, { now }) : sessions.openRatchet(kept, envelope, now)
    const [from] = Object.entries(this.devices).find(([, one]) => equal(one.device, opened.device))
    return { from, plaintext: opened.content, ...this.roots(by, from) }
  }

  roots(by, from) {
    const record = recordOf(this.devices[by].kept, this.devices[from])
    return { sessions: [record.active, ...record.archived], active: record.active }
  }
}

const recordOf = (kept, { account, device }) => kept.get(`sessions/${hex(account)}/${hex(device)}`)

// Bytes are compared as hexadecimal, all else as it is.
function compareResult(result, expected, about) {
  for (const [name, value] of Object.entries(expected)) {
    if (name === 'opened_chain' || name === 'kem_step') continue // the root key shows both
    if (name === 'keys') compareResult(result.keys, value, about)
    else if (result[name] instanceof Uint8Array) same(result[name], value, `${about}: ${name}`)
    else assert.equal(result[name], value, `${about}: ${name}`)
  }
}

for (const name of ['two_people', 'post_quantum']) {
  test(`a conversation from its file: ${name}`, () => {
    const stage = new Stage()
    for (const [number, step] of load(`conversation_${name}.json`).steps.entries()) {
      const { error, result } = stage.play(step, number)
      const about = `step ${number}, ${step.does}`
      const expected = step.result
      if (expected.error) {
        assert.ok((KINDS[expected.error] ?? [expected.error]).includes(error), `${about}: ${error} instead of ${expected.error}`)
        continue
      }
      assert.equal(error, null, about)
      if (step.action === 'receive') {
        const session = result.sessions.find((one) => hex(one.sessionId) === expected.session_id)
        Object.assign(result, { session_id: session.sessionId, root_key: session.ratchet.rootKey })
        result.is_active = hex(result.active.sessionId) === expected.session_id
      }
      compareResult(result, expected, about)
    }
  })
}

import assert from 'node:assert/strict'
import test from 'node:test'
import { zeros } from '../core/bytes.js'
import { bucket } from '../core/padding.js'
import { kemPublic } from '../core/primitives.js'
import * as ratchet from '../core/ratchet.js'
import { label, transcript } from '../core/transcripts.js'
import { bytes, drawn, failureOf, load, same } from './vectors.js'

const LABELS = {
  ROOT_STEP: 'root step',
  ROOT_STEP_KEM: 'root step with kem',
  HEADER_KEYS: 'header keys',
  MESSAGE_KEYS: 'message keys',
  EPHEMERAL_KEY: 'ephemeral key',
  MESSAGE: 'message',
}

test('derivations', () => {
  const vectors = load('ratchet_derivations.json')
  for (const [name, digits] of Object.entries(vectors.labels)) same(label(LABELS[name]), digits, name)
  const keys = ratchet.headerKeys(bytes(vectors.header_keys.header_key))
  same(keys.header, vectors.header_keys.header)
  same(keys.block, vectors.header_keys.block)
  const step = ratchet.chainStep(bytes(vectors.chain_step.chain_key))
  same(step.messageKey, vectors.chain_step.message_key)
  same(step.next, vectors.chain_step.next)
  const body = ratchet.bodyKey(bytes(vectors.body_key.message_key))
  same(body.key, vectors.body_key.key)
  same(body.nonce, vectors.body_key.nonce)
  same(ratchet.ephemeralKey(bytes(vectors.ephemeral_key.first_chain_key)), vectors.ephemeral_key.key)
  for (const one of vectors.root_steps) {
    const secret = one.shared_secret ? bytes(one.shared_secret) : null
    const root = ratchet.rootStep(bytes(one.root_key), bytes(one.dh), secret)
    same(root.rootKey, one.next_root_key)
    same(root.chainKey, one.chain_key)
    same(root.next.header, one.next_header_keys.header)
    same(root.next.block, one.next_header_keys.block)
  }
  const { header, associated_data_start: ad, kem_seed } = vectors
  const fields = { ratchetPublic: bytes(header.ratchet_public), previousLength: header.previous_length, number: header.number, flags: header.flags }
  same(ratchet.sealHeader(bytes(header.keys.header), bytes(header.nonce), fields), header.sealed)
  same(transcript('message', ...ad.fields.map(bytes), zeros(0)).subarray(0, ad.start.length / 2), ad.start)
  same(kemPublic(bytes(kem_seed.seed)), kem_seed.offer)
})

test('buckets', () => {
  const sizes = new Set()
  for (let length = 1; length <= 262144; length++) sizes.add(bucket(length))
  assert.deepEqual([...sizes], load('ratchet_derivations.json').buckets)
})

test('a conversation', () => {
  const { set_up: given, steps } = load('ratchet.json')
  const [a, b] = ['a', 'b'].map((who) => ({ account: bytes(given[`account_${who}`]), device: bytes(given[`device_${who}`]) }))
  const common = {
    ...{ sessionId: bytes(given.session_id), rootKey: bytes(given.root_key), now: 0 },
    ...{ headerKeyA: bytes(given.header_key_a), nextHeaderKeyB: bytes(given.next_header_key_b) },
  }
  const ends = {
    a: ratchet.start({ ...common, isA: true, self: a, peer: b, peerRatchet: bytes(given.signed_prekey_public) }),
    b: ratchet.start({ ...common, isA: false, self: b, peer: a, ownRatchet: bytes(given.signed_prekey_private) }),
  }
  const counts = {}
  for (const step of steps) {
    counts[step.action] = (counts[step.action] ?? 0) + 1
    if (step.action === 'send') send(ends, step)
    else if (step.action === 'receive') receive(ends, step, steps[step.step])
    else {
      const before = ends[step.by]
      const call = () => ratchet.decrypt(before, bytes(step.envelope), { now: step.now_ms })
      assert.equal(failureOf(call), step.error, step.name)
    }
  }
  assert.ok(counts.send > 20 && counts.receive > 20 && counts.must_fail === 17)
})

function send(ends, step) {
  const encapsulate = (key) => {
    same(key, step.encapsulation.offer)
    return { secret: bytes(step.encapsulation.shared_secret), ciphertext: bytes(step.encapsulation.ciphertext) }
  }
  const options = { now: step.now_ms, random: drawn(...step.random), ephemeral: step.ephemeral, encapsulate }
  const sent = ratchet.encrypt(ends[step.from], bytes(step.plaintext), options)
  ends[step.from] = sent.state
  const { intermediate } = step
  same(sent.state.rootKey, intermediate.root_key)
  same(sent.state.nextSend.header, intermediate.next_sending_header_keys.header)
  same(sent.state.nextSend.block, intermediate.next_sending_header_keys.block)
  same(sent.state.sending.keys.header, intermediate.header_keys.header)
  if (intermediate.message_key) same(sent.messageKey, intermediate.message_key)
  same(sent.envelope, step.envelope)
}

function receive(ends, step, sent) {
  const opened = ratchet.decrypt(ends[step.by], bytes(sent.envelope), { now: step.now_ms })
  ends[step.by] = opened.state
  same(opened.content, sent.plaintext)
  same(opened.state.rootKey, step.root_key)
  assert.equal(opened.openedChain, step.opened_chain)
  assert.equal(opened.kemStep, step.kem_step)
}

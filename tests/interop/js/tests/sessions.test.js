import assert from 'node:assert/strict'
import test from 'node:test'
import { hex } from '../core/bytes.js'
import { decodeManifest, encodeManifest } from '../core/manifests.js'
import { checkBundle, makePrekey, parsePrekey, prekeyTranscript } from '../core/prekeys.js'
import { sha256 } from '../core/primitives.js'
import * as setup from '../core/setup.js'
import { bytes, drawn, failureOf, load, same } from './vectors.js'

const vectors = load('sessions.json')

function party({ account_id, device_id, identity_private, identity_public, manifest, manifest_hash }) {
  const own = { account: bytes(account_id), device: bytes(device_id), hash: bytes(manifest_hash), version: decodeManifest(bytes(manifest)).version }
  return { ...own, identity: bytes(identity_public), identityPrivate: bytes(identity_private) }
}
const a = party(vectors.parties.a)
const b = party(vectors.parties.b)
const seedOf = (kind, id) => vectors.prekeys.find((one) => one.kind === kind && one.id === id).seed
const prekeyOf = (kind, id) => {
  const one = vectors.prekeys.find((each) => each.kind === kind && each.id === id)
  return { kind, class: one.class, id, key: bytes(one.public), seed: bytes(one.seed) }
}

test('prekeys', () => {
  const signer = { account: b.account, device: b.device, signingSeed: bytes(vectors.parties.b.signing_seed) }
  for (const one of vectors.prekeys) {
    const made = makePrekey({ kind: one.kind, class: one.class, id: one.id, madeAt: one.made_at_ms, seed: bytes(one.seed) }, signer)
    same(made, one.encoded)
    same(parsePrekey(made).key, one.public)
    same(prekeyTranscript(b.account, b.device, parsePrekey(made)), one.transcript)
  }
})

const device = decodeManifest(bytes(vectors.parties.b.manifest)).devices[0]
for (const { name, keys, now_ms, seen, error } of vectors.bundles) {
  test(`bundle: ${name}`, () => {
    const call = () => checkBundle(keys.map(bytes), { account: b.account, device, now: now_ms, seen })
    assert.equal(failureOf(call), error)
  })
}

for (const one of vectors.setups) {
  test(`set-up ${one.setup_number}`, () => {
    const privates = { signed: prekeyOf(1, one.signed_id), oneTime: one.one_time_id && prekeyOf(3, one.one_time_id), kem: prekeyOf(2, one.kem_id) }
    const bundle = { 1: privates.signed, 2: privates.kem, 3: privates.oneTime ?? undefined }
    const encapsulate = (key) => {
      const [secret, ciphertext] = vectors.encapsulations[hex(key)]
      return { secret: bytes(secret), ciphertext: bytes(ciphertext) }
    }
    const begun = setup.begin({ a, b, bundle, setupNumber: one.setup_number, random: drawn(one.ephemeral_private), encapsulate })
    assert.deepEqual(begun.exchanges.map(hex), one.exchanges)
    same(setup.sessionTranscript(begun.setup), one.transcript)
    same(begun.values, one.values)
    same(sha256(begun.values), one.values_digest)
    const answered = setup.answer({ values: setup.parseValues(bytes(one.values)), a, b, privates })
    same(answered.transcript, one.transcript)
    for (const keys of [begun, answered]) {
      same(keys.secret, one.kem_secret)
      same(keys.sessionId, one.session_id)
      same(keys.rootKey, one.root_key)
      same(keys.headerKeyA, one.header_key_a)
      same(keys.nextHeaderKeyB, one.next_header_key_b)
    }
  })
}

test('set-up envelopes', () => {
  for (const one of vectors.envelopes) {
    const seed = bytes(seedOf(4, one.sealing_id))
    same(setup.setupInfo(b.account, b.device, one.sealing_id), one.info)
    const opened = setup.openSetup(bytes(one.envelope), seed, b)
    assert.deepEqual(opened.manifests.map((manifest) => hex(encodeManifest(manifest))), one.manifests)
    same(opened.proof, one.proof)
    same(opened.message, one.message)
    const content = setup.encodeSetup({ values: opened.bytes, manifests: opened.manifests, proof: opened.proof, message: opened.message })
    same(content, one.content)
    const sealing = prekeyOf(4, one.sealing_id)
    const random = (length) => crypto.getRandomValues(new Uint8Array(length))
    const again = setup.sealSetup(content, { ...b, sealing }, random)
    assert.equal(again.length * 2, one.envelope.length)
    same(setup.openSetup(again, seed, b).message, one.message)
  }
})

for (const { name, envelope, error } of vectors.broken_envelopes) {
  test(`broken envelope: ${name}`, () => {
    const seed = bytes(vectors.prekeys.find((one) => one.kind === 4).seed)
    assert.equal(failureOf(() => setup.openSetup(bytes(envelope), seed, b)), error)
  })
}

for (const { name, content, error } of vectors.broken_contents) {
  test(`broken content: ${name}`, () => assert.equal(failureOf(() => setup.parseSetup(bytes(content))), error))
}

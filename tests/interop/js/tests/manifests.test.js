import assert from 'node:assert/strict'
import test from 'node:test'
import * as manifests from '../core/manifests.js'
import { exchangePublic, sha256, sign, signingPublic } from '../core/primitives.js'
import { bytes, failureOf, load, same } from './vectors.js'

const vectors = load('manifests.json')
const account = bytes(vectors.account_id)
const parsed = (name) => manifests.parse({ ...Object.fromEntries(['body', 'signer', 'signature'].map((part) => [part, bytes(vectors.manifests[name][part])])) })

for (const [name, one] of Object.entries(vectors.manifests)) {
  test(`manifest: ${name}`, () => {
    const manifest = parsed(name)
    const { rootPublic, version, previous, devices } = manifest
    same(manifests.makeBody({ rootPublic, version, previous, devices }), one.body)
    same(sha256(manifest.body), one.hash)
    same(manifests.encodeManifest(manifest), one.encoded)
    same(manifests.decodeManifest(bytes(one.encoded)).body, one.body)
    const seeds = [vectors.root_seed, ...vectors.devices.map((device) => device.signing_seed)]
    const made = seeds.some((seed) => Buffer.from(sign(bytes(seed), manifest.body)).equals(Buffer.from(manifest.signature)))
    assert.equal(made, name !== 'bad signature')
  })
}

test('the devices have the keys that the vectors give', () => {
  const { devices } = parsed('second device')
  for (const device of devices) {
    const given = vectors.devices.find((one) => one.device_id === Buffer.from(device.id).toString('hex'))
    same(device.signing, Buffer.from(signingPublic(bytes(given.signing_seed))).toString('hex'))
    same(device.identity, Buffer.from(exchangePublic(bytes(given.identity_private))).toString('hex'))
  }
})

for (const { known, chain, error } of vectors.chains) {
  test(`chain: ${known.join(', ')} | ${chain.join(', ')}`, () => {
    const before = known.length ? manifests.walk(account, [], known.map(parsed)) : []
    const call = () => {
      const more = chain.map(parsed)
      manifests.checkNewest(before, more)
      manifests.walk(account, before, more)
    }
    assert.equal(failureOf(call), error)
  })
}

for (const { about, body, error } of vectors.must_fail) {
  test(`a body with ${about} is refused`, () => {
    assert.equal(failureOf(() => manifests.parse({ body: bytes(body), signer: bytes(''), signature: bytes('') })), error)
  })
}

test('safety numbers', () => {
  for (const { one, other, digits } of vectors.safety_numbers) assert.equal(manifests.safetyNumber(bytes(one), bytes(other)), digits)
})

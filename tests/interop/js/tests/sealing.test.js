import assert from 'node:assert/strict'
import test from 'node:test'
import { checkSealingKey, hpkeOpen, hpkeSeal, sealingPublic } from '../core/primitives.js'
import { bytes, drawn, failureOf, load, same } from './vectors.js'

const { sealings, must_fail } = load('sealing.json')

test('what is sealed, and opened', () => {
  for (const one of sealings) {
    same(sealingPublic(bytes(one.seed)), one.public)
    same(hpkeSeal(bytes(one.public), bytes(one.info), bytes(one.plaintext), drawn(one.encapsulation, one.ephemeral_private)), one.sealed)
    same(hpkeOpen(bytes(one.seed), bytes(one.info), bytes(one.sealed)), one.plaintext)
  }
})

test('what must fail', () => {
  const [{ seed, info }] = sealings
  for (const one of must_fail.opening) assert.equal(failureOf(() => hpkeOpen(bytes(seed), bytes(info), bytes(one.sealed))), one.error, one.name)
  for (const one of must_fail.keys) assert.equal(failureOf(() => checkSealingKey(bytes(one.public))), one.error, one.name)
})

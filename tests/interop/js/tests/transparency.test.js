import assert from 'node:assert/strict'
import test from 'node:test'
import * as log from '../core/transparency.js'
import { bytes, failureOf, load, same } from './vectors.js'

const vectors = load('transparency.json')
const relayKey = bytes(vectors.relay_public)
const heads = new Map(vectors.heads.map((one) => [one.size, log.parseHead(bytes(one.head), relayKey)]))

test('leaves and heads', () => {
  for (const one of vectors.leaves) if (one.type === 1) same(log.manifestLeaf(bytes(one.subject), one.version, bytes(one.value_hash)), one.leaf)
  const { handle, salt, account, subject, bound } = vectors.handle
  same(log.handleSubject(bytes(salt), new TextEncoder().encode(handle)), subject)
  same(log.handleLeaf(bytes(subject), 1, bytes(account)), bound)
  for (const one of vectors.heads) {
    const head = heads.get(one.size)
    same(head.root, one.root)
    assert.equal(head.time, one.time_ms)
    same(head.logId, vectors.log_id)
    const changed = bytes(one.head)
    changed[100] ^= 1
    assert.equal(failureOf(() => log.parseHead(changed, relayKey)), 'InvalidSignature')
  }
})

test('inclusion', () => {
  for (const one of vectors.inclusion) {
    const leaf = bytes(vectors.leaves[one.index].leaf)
    const proof = one.proof.map(bytes)
    log.checkInclusion(leaf, one.index, proof, heads.get(one.size))
    for (const broken of [proof.slice(1), [...proof, relayKey], proof.map((hash, i) => (i ? hash : relayKey))]) {
      if (proof.length) assert.equal(failureOf(() => log.checkInclusion(leaf, one.index, broken, heads.get(one.size))), 'LogRefused')
    }
    if (one.size > 1) assert.equal(failureOf(() => log.checkInclusion(leaf, (one.index + 1) % one.size, proof, heads.get(one.size))), 'LogRefused')
  }
  const parsed = log.parseInclusion(bytes(vectors.inclusion_encoded))
  same(log.encodeInclusion(parsed), vectors.inclusion_encoded)
})

test('consistency', () => {
  for (const one of vectors.consistency) {
    const [smaller, larger, proof] = [heads.get(one.from), heads.get(one.to), one.proof.map(bytes)]
    if (!smaller || !larger) continue
    log.checkConsistency(smaller, larger, proof)
    if (proof.length) assert.equal(failureOf(() => log.checkConsistency(smaller, larger, proof.slice(1))), 'LogRefused')
    assert.equal(failureOf(() => log.checkConsistency(smaller, larger, [...proof, relayKey])), 'LogRefused')
  }
})

test('what must fail', () => {
  for (const one of vectors.must_fail.inclusion) {
    const head = log.parseHead(bytes(one.head), relayKey)
    assert.equal(failureOf(() => log.checkInclusion(bytes(one.leaf), one.index, one.proof.map(bytes), head)), one.error, one.name)
  }
  for (const one of vectors.must_fail.inclusions_encoded) assert.equal(failureOf(() => log.parseInclusion(bytes(one.encoded))), one.error, one.name)
  for (const one of vectors.must_fail.heads) {
    const failure = failureOf(() => {
      const head = log.parseHead(bytes(one.head), relayKey)
      if (one.known) log.checkConsistency(log.parseHead(bytes(one.known), relayKey), head, one.proof.map(bytes))
    })
    // This client has no name of its own for two heads that contradict each other.
    assert.equal(failure, one.error === 'LogSplit' ? 'LogRefused' : one.error, one.name)
  }
})

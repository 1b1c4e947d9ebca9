import assert from 'node:assert/strict'
import test from 'node:test'
import { concat } from '../core/bytes.js'
import { answerRequest, codeOf, makeRequest, openAnswer } from '../core/linking.js'
import { sha256 } from '../core/primitives.js'
import { bytes, drawn, load, same } from './vectors.js'

const vectors = load('linking.json')
const names = ['device_id', 'mailbox_id', 'signing_seed', 'identity_private', 'sealing_seed']
const request = () => makeRequest({ name: vectors.name, random: drawn(...names.map((name) => vectors[name])), now: 0 })

test('a request, and what is scanned of it', () => {
  same(request().request, vectors.request)
  same(codeOf(request()), vectors.qr)
})

test('the new device opens the answer', () => {
  const opened = openAnswer(request(), bytes(vectors.sealed_answer), 60_000)
  same(opened.account, vectors.account)
  same(opened.manager, vectors.manager)
  assert.equal(opened.digits, vectors.code)
  same(opened.confirmation, vectors.confirmation)
})

test('a manager answers the request that was scanned', () => {
  const scanned = { mailbox: bytes(vectors.mailbox_id), hash: sha256(bytes(vectors.request)), at: 0 }
  const own = { account: bytes(vectors.account), device: bytes(vectors.manager) }
  const zeros = '00'.repeat(32)
  const made = answerRequest(scanned, bytes(vectors.request), own, { random: drawn(vectors.nonce, zeros, zeros), now: 60_000 })
  same(made.answer, vectors.answer)
  assert.equal(made.digits, vectors.code)
  const opened = openAnswer(request(), made.sealed, 0)
  same(concat(opened.account, opened.manager), vectors.account + vectors.manager)
})

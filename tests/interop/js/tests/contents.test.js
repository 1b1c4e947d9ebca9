import assert from 'node:assert/strict'
import test from 'node:test'
import { decode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { BODIES, checkBody, conversationOf, decodeContent, encodeContent, referenceOf } from '../core/contents.js'
import { hex } from '../core/bytes.js'
import { bytes, failureOf, load, same } from './vectors.js'

const vectors = load('contents.json')
const conversation = conversationOf(...vectors.accounts.map(bytes))

test('the conversation of two accounts, a reference', () => {
  same(conversation, vectors.conversation_id)
  const { account, device, reference } = vectors.reference_of_the_first
  const [first] = vectors.contents
  const message = { account: bytes(account), device: bytes(device), messageId: bytes(first.message_id), hash: bytes(first.hash) }
  same(referenceOf({ conversation, ...message }), reference)
})

for (const one of vectors.contents) {
  test(`content: ${one.about}`, () => {
    const decoded = decodeContent(bytes(one.encoded), one.counter === 0)
    same(decoded.hash, one.hash)
    assert.equal(decoded.type, one.type)
    assert.equal(decoded.counter, one.counter)
    assert.equal(hex(decoded.messageId), one.message_id)
    assert.equal(decoded.introduction?.handle ?? null, one.handle)
    if (decoded.gossip.length) return // this client tells no gossip
    const introduction = one.token && { token: bytes(one.token), handle: one.handle }
    const made = encodeContent({
      ...{ type: one.type, conversation, messageId: bytes(one.message_id), counter: one.counter, previous: bytes(one.previous_hash) },
      ...{ sentAt: one.sent_at_ms, introduction, body: decode(bytes(one.body)), expires: one.expires_after_seconds ?? 0 },
    })
    same(made, one.encoded)
  })
}

test('bodies that must fail', () => {
  const known = vectors.bodies_that_must_fail.filter(({ type }) => BODIES[type])
  assert.ok(known.length > 25)
  for (const { about, type, body, error } of known) assert.equal(failureOf(() => checkBody(type, decode(bytes(body)))), error, about)
})

for (const { about, encoded } of vectors.must_fail) {
  test(`must fail: ${about}`, () => assert.equal(failureOf(() => decodeContent(bytes(encoded), about === 'not counted, with a predecessor')), 'InvalidEncoding'))
}

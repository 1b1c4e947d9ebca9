import assert from 'node:assert/strict'
import test from 'node:test'
import { unhex } from '../core/bytes.js'
import { conversationOf, referenceOf } from '../core/contents.js'
import { safetyNumber } from '../core/manifests.js'
import { sha256 } from '../core/primitives.js'
import { handleSubject } from '../core/transparency.js'
import { transcript } from '../core/transcripts.js'
import { bytes, load, same } from './vectors.js'

const vectors = load('account_derivations.json')

// A label as the vectors have it: with `tokenim/v1 ` before, and a zero byte behind.
const nameOf = (label) => new TextDecoder().decode(unhex(label)).slice('tokenim/v1 '.length, -1)

for (const [name, one] of Object.entries(vectors).filter(([, { transcript: made }]) => made)) {
  test(`the transcript of ${name}`, () => same(transcript(nameOf(one.label), ...one.fields.map(bytes)), one.transcript))
}

test('the safety number', () => {
  const [smaller, larger] = vectors.safety_number.fields.map(bytes)
  assert.equal(safetyNumber(larger, smaller), vectors.safety_number.digits.replaceAll(' ', ''))
})

test('names that are hashes', () => {
  const [one, other] = vectors.direct_conversation.fields.map(bytes)
  same(conversationOf(other, one), vectors.direct_conversation.sha256)
  const [conversation, account, device, messageId, hash] = vectors.message_reference.fields.map(bytes)
  same(referenceOf({ conversation, account, device, messageId, hash }), vectors.message_reference.sha256)
  same(handleSubject(...vectors.log_handle.fields.map(bytes)), vectors.log_handle.sha256)
  same(sha256(bytes(vectors.link_code.transcript)), vectors.link_code.sha256)
})

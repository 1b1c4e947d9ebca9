import assert from 'node:assert/strict'
import test from 'node:test'
import { decode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { base64url, hex, unbase64url, utf8 } from '../core/bytes.js'
import { ack, anonymous, authenticate, decodeFrames, encodeFrames, resume, submit } from '../core/frames.js'
import { authorization, httpTranscript, relayDocumentTranscript, websocketTranscript } from '../core/http.js'
import { parseLink } from '../core/links.js'
import { manifestObject } from '../core/own_list.js'
import { sha256, sign, verify } from '../core/primitives.js'
import { bytes, load, same } from './vectors.js'

const { invite, http, document, delivery_token: token, anonymous: sending, device: receiving } = load('first_message.json')
const { identity } = load('wire.json')
const link = parseLink(invite)
const signingSeed = bytes(identity.signing_seed)
const device = bytes(identity.device_id)
const [fetched, registered, tokened] = http

test('the relay says who it is', () => {
  same(relayDocumentTranscript(utf8(fetched.answer)), document.transcript)
  verify(link.relayKey, bytes(document.transcript), bytes(document.signature))
  assert.equal(fetched.answer_headers.at(-1), `TokenIM-Signature: ${base64url(bytes(document.signature))}`)
})

test('it is registered, and can be written to', () => {
  const manifest = manifestObject({ body: bytes(identity.manifest_body), signer: new Uint8Array(0), signature: bytes(identity.manifest_signature_by_root) })
  assert.equal(registered.body, JSON.stringify({ invite: base64url(link.secret), manifest }))
  same(unbase64url(JSON.parse(registered.answer).account_id), identity.account_id)
  assert.equal(tokened.body, JSON.stringify({ token_hash: base64url(sha256(bytes(token.token))), token_class: 'contact' }))
  const request = { method: tokened.method, target: tokened.target, body: utf8(tokened.body) }
  const signer = { origin: link.origin, device, signingSeed, time: token.time_ms, nonce: bytes(token.nonce) }
  same(httpTranscript(request, signer), token.transcript)
  assert.equal(tokened.headers.at(-1), `Authorization: ${authorization(request, signer)}`)
})

// What is empty at the end of a frame may be left out, as this client does.
const short = (frames) => frames.map((frame) => (Array.isArray(frame.at(-1)) && !frame.at(-1).length ? frame.slice(0, -1) : frame))
const sends = (frame, { message }) => assert.deepEqual(short(decode(encodeFrames([frame]))), short(decode(bytes(message))))

test('a message is sent, and received', () => {
  const heard = [...sending, ...receiving.messages].filter(({ from }) => from === 'relay').map(({ message }) => decodeFrames(bytes(message))[0])
  assert.deepEqual(heard.map(({ name }) => name), ['challenge', 'ready', 'accepted', 'challenge', 'ready', 'deliver', 'caughtUp'])
  const deliver = heard.at(-2)
  const limits = JSON.parse(fetched.answer).limits
  const parts = /"limits":\{([^}]*)\}/.exec(fetched.answer)[1].split(',') // as text: one number is above 2⁵³
  same(sha256(utf8(`{${parts.sort().join(',')}}`)), hex(heard[1].limitsDigest))
  sends(anonymous(), sending[1])
  const grants = [{ account: bytes(identity.account_id), token: bytes(token.token), version: 1 }]
  const envelope = { envelopeId: deliver.envelopeId, class: 1, ttl: limits.max_ttl_seconds, ciphertexts: [deliver.ciphertext], targets: [{ device, ciphertext: 0, grant: 0 }], grants }
  sends(submit(1, envelope), sending[3])
  const signed = websocketTranscript(link.origin, device, heard[3].challenge)
  same(signed, receiving.transcript)
  sends(authenticate(device, sign(signingSeed, signed)), receiving.messages[1])
  sends(resume(0), receiving.messages[3])
  sends(ack(1), receiving.messages[5])
})

import assert from 'node:assert/strict'
import test from 'node:test'
import { decode, encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { base32, base64url, u64, unbase32, unbase64url, utf8 } from '../core/bytes.js'
import { decodeFrames, encodeFrames } from '../core/frames.js'
import { authorization, httpTranscript, relayDocumentTranscript, websocketTranscript } from '../core/http.js'
import { parseLink } from '../core/links.js'
import { accountOf, deviceTranscript, firstManifest } from '../core/manifests.js'
import { makePrekey, parsePrekey, prekeyTranscript } from '../core/prekeys.js'
import * as primitives from '../core/primitives.js'
import { transcript } from '../core/transcripts.js'
import { findWork, isWork } from '../core/work.js'
import { Refusal } from '../core/errors.js'
import { bytes, failureOf, load, same } from './vectors.js'

const { identity, authentication, prekey, texts, links, log_appends, work, registration_work, recovery_request, messages, must_fail } = load('wire.json')
const device = { id: bytes(identity.device_id), signing: bytes(identity.signing_public), identity: bytes(identity.identity_public), flags: 1 }
const signingSeed = bytes(identity.signing_seed)

test('identity', () => {
  same(primitives.signingPublic(bytes(identity.root_seed)), identity.root_public)
  const account = accountOf(bytes(identity.root_public))
  same(account, identity.account_id)
  assert.equal(base32(account), identity.account_id_text)
  assert.equal(base32(device.id), identity.device_id_text)
  same(primitives.signingPublic(signingSeed), identity.signing_public)
  same(primitives.exchangePublic(bytes(identity.identity_private)), identity.identity_public)
  same(deviceTranscript(account, device), identity.device_transcript)
  same(primitives.sign(signingSeed, deviceTranscript(account, device)), identity.device_signature)
  const addedAt = Number(BigInt(`0x${identity.manifest_body.slice(-144, -128)}`))
  const manifest = firstManifest(bytes(identity.root_seed), { ...device, addedAt }, signingSeed)
  same(manifest.body, identity.manifest_body)
  same(primitives.sha256(manifest.body), identity.manifest_hash)
  same(manifest.signature, identity.manifest_signature_by_root)
})

test('authentication', () => {
  const { origin } = authentication
  for (const one of authentication.http) {
    const streamed = one.upload_offset !== null
    const request = { method: one.method, target: one.target, body: utf8(one.body), offset: one.upload_offset, streamed }
    const signer = { origin, device: device.id, signingSeed, time: one.time_ms, nonce: bytes(one.nonce) }
    same(httpTranscript(request, signer), one.transcript)
    same(primitives.sign(signingSeed, bytes(one.transcript)), one.signature)
    assert.equal(authorization(request, signer), one.authorization)
  }
  const { websocket, relay_document } = authentication
  same(websocketTranscript(origin, device.id, bytes(websocket.challenge)), websocket.transcript)
  same(primitives.sign(signingSeed, bytes(websocket.transcript)), websocket.signature)
  same(relayDocumentTranscript(utf8(relay_document.body)), relay_document.transcript)
  primitives.verify(bytes(relay_document.signing_public), bytes(relay_document.transcript), bytes(relay_document.signature))
})

test('a prekey', () => {
  const made = { kind: 1, class: 1, id: prekey.id, madeAt: prekey.made_at_ms, seed: bytes(prekey.private) }
  const encoded = makePrekey(made, { account: bytes(identity.account_id), device: device.id, signingSeed })
  same(encoded, prekey.encoded)
  const parsed = parsePrekey(encoded)
  same(parsed.signature, prekey.signature)
  same(prekeyTranscript(bytes(identity.account_id), device.id, parsed), prekey.transcript)
})

test('links', () => {
  const invite = parseLink(links.invite.link)
  assert.equal(invite.kind, 'invite')
  same(invite.secret, links.invite.secret)
  same(invite.relayKey, links.invite.signing_key)
  const contact = parseLink(links.contact.link)
  same(contact.account, links.contact.account_id)
  same(contact.token, links.contact.token)
  for (const name of ['group_id', 'inviter', 'token', 'secret']) same(parseLink(links.group.link)[name === 'group_id' ? 'group' : name], links.group[name])
  same(parseLink(links.link.link).mailbox, links.link.mailbox_id)
  same(parseLink(links.link.link).request, links.link.request_hash)
  for (const broken of [links.invite.link + 'A', links.contact.link.replace('v1', 'v2'), 'http://h/contact#v1.AA=']) {
    assert.equal(failureOf(() => parseLink(broken)), 'InvalidEncoding')
  }
})

test('texts', () => {
  for (const one of texts.base64url) {
    assert.equal(base64url(bytes(one.bytes)), one.text)
    same(unbase64url(one.text), one.bytes)
  }
  for (const one of texts.base32) {
    assert.equal(base32(bytes(one.bytes)), one.text)
    same(unbase32(one.text), one.bytes)
  }
})

test('texts, links and documents that must fail', () => {
  const ofKind = (kind, link) => {
    if (parseLink(link).kind !== kind) throw new Refusal('InvalidEncoding', 'another kind of link')
  }
  const ofLength = (text, length) => {
    if (unbase32(text).length !== length) throw new Refusal('InvalidEncoding', 'another length')
  }
  for (const one of must_fail.base64url) assert.equal(failureOf(() => unbase64url(one.text)), one.error, one.why)
  for (const one of must_fail.base32) assert.equal(failureOf(() => ofLength(one.text, one.length)), one.error, one.why)
  for (const one of must_fail.links) assert.equal(failureOf(() => ofKind(one.kind, one.link)), one.error, one.why)
  const pinned = bytes(authentication.relay_document.signing_public)
  for (const one of must_fail.documents) {
    assert.equal(failureOf(() => primitives.verify(pinned, relayDocumentTranscript(utf8(one.body)), bytes(one.signature))), one.error, one.why)
  }
})

test('appends to logs, recovery requests', () => {
  for (const one of log_appends) {
    const none = new Uint8Array(0)
    const next = [one.next_write_key ? bytes(one.next_write_key) : none, one.next_read_token ? primitives.sha256(bytes(one.next_read_token)) : none]
    const made = transcript('log append', bytes(one.log_id), u64(one.index), primitives.sha256(bytes(one.entry)), ...next)
    same(made, one.transcript)
    same(primitives.sign(bytes(one.write_seed), made), one.signature)
    assert.equal(`/v1/group-logs/${base32(bytes(one.log_id))}/entries`.startsWith(one.path), true)
  }
  const { origin, account_id, time_ms, nonce } = recovery_request
  const made = transcript('recovery request', utf8(origin), bytes(account_id), u64(time_ms), bytes(nonce))
  same(made, recovery_request.transcript)
  same(primitives.sign(bytes(identity.root_seed), made), recovery_request.signature_by_root)
})

test('work', () => {
  for (const [one, about] of [
    [work, transcript('work', bytes(work.envelope_id), bytes(work.account_id), primitives.sha256(bytes(work.token)), bytes(work.work))],
    [registration_work, transcript('registration work', utf8(registration_work.origin), bytes(registration_work.account_id), bytes(registration_work.manifest_hash), u64(registration_work.time_ms), bytes(registration_work.work))],
  ]) {
    same(about, one.transcript)
    same(primitives.sha256(about), one.sha256)
    assert.equal(isWork(about, one.bits), true)
  }
  const found = findWork((nonce) => transcript('work', nonce), 8)
  assert.equal(isWork(transcript('work', found), 8), true)
})

test('frames', () => {
  for (const one of messages) {
    if (one.from === 'client') same(encodeFrames(decode(bytes(one.message))), one.message, 'this client writes the same bytes')
    else assert.deepEqual(decodeFrames(bytes(one.message)).map((frame) => frame.name.toLowerCase()), one.frames)
  }
  for (const one of must_fail.messages.filter((each) => each.from === 'relay')) {
    assert.equal(failureOf(() => decodeFrames(bytes(one.message))), one.error, one.why)
  }
})

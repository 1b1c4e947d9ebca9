import assert from 'node:assert/strict'
import test from 'node:test'
import { Accepting } from '../core/accepting.js'
import { concat } from '../core/bytes.js'
import { answerRequest, checkListed, codeOf, confirmedDevice, makeRequest, openAnswer } from '../core/linking.js'
import { deviceLink, parseLink } from '../core/links.js'
import { decodeManifest, walk } from '../core/manifests.js'
import { sha256 } from '../core/primitives.js'
import { Store } from '../core/store.js'
import { bytes, drawn, failureOf, load, same } from './vectors.js'

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

// --- What is refused

const own = { account: bytes(vectors.account), device: bytes(vectors.manager) }
const anyRandom = (length) => new Uint8Array(length)

// The manager's side of a request that is good.
function answered() {
  const scanned = { mailbox: bytes(vectors.mailbox_id), hash: sha256(bytes(vectors.request)), at: 0 }
  return { scanned, asked: answerRequest(scanned, bytes(vectors.request), own, { random: anyRandom, now: 0 }).asked }
}

for (const one of vectors.must_fail.requests.filter(({ again }) => !again)) {
  test(`a request: ${one.name}`, () => {
    const call = () => {
      const { mailbox, request: hash } = parseLink(deviceLink('http://relay', bytes(one.qr)))
      answerRequest({ mailbox, hash, at: 0 }, bytes(one.request), own, { random: anyRandom, now: one.after_ms })
    }
    assert.equal(failureOf(call), one.error)
  })
}

for (const one of vectors.must_fail.requests.filter(({ again }) => again)) {
  test(`a request: ${one.name}`, async () => {
    const store = await Store.open({ load: () => [], write: () => {} })
    await store.change((tx) => tx.set('own', { ...own, origin: 'http://relay', chain: vectors.manifests.slice(0, 1).map(bytes) }))
    const written = []
    const http = {
      async send(method, path) {
        if (method === 'PUT') written.push(path.split('/').at(-1))
        return { status: 200, bytes: bytes(one.request) }
      },
    }
    const manager = () => new Accepting({ store, http, ownDevices: null, ownList: null, random: anyRandom, now: () => one.after_ms, tell: () => {} })
    const link = deviceLink('http://relay', bytes(one.qr))
    await manager().answer(link)
    await assert.rejects(manager().answer(link), { kind: one.error }) // started anew, too
    assert.deepEqual(written, ['answer'])
  })
}

for (const one of vectors.must_fail.answers) {
  test(`an answer: ${one.name}`, () => {
    const pending = { ...request(), isOpened: one.again }
    assert.equal(failureOf(() => openAnswer(pending, bytes(one.sealed_answer), one.after_ms)), one.error)
  })
}

for (const one of vectors.must_fail.confirmations) {
  test(`a confirmation: ${one.name}`, () => {
    const { scanned, asked } = answered()
    assert.equal(failureOf(() => confirmedDevice(scanned, asked, bytes(one.confirmation), own.account, one.after_ms)), one.error)
  })
}

test('the list that the manager makes, and by which the new device goes on', () => {
  const chain = walk(own.account, [], vectors.manifests.map((one) => decodeManifest(bytes(one))))
  checkListed(chain, request(), own.device)
  const { scanned, asked } = answered()
  const last = chain.at(-1).devices.find((device) => Buffer.from(device.id).toString('hex') === vectors.device_id)
  assert.deepEqual(confirmedDevice({ ...scanned, at: last.addedAt }, asked, bytes(vectors.confirmation), own.account, last.addedAt), last)
})

for (const one of vectors.must_fail.lists) {
  test(`a list: ${one.name}`, () => {
    const chain = walk(own.account, [], one.manifests.map((each) => decodeManifest(bytes(each))))
    assert.equal(failureOf(() => checkListed(chain, request(), own.device)), one.error)
  })
}

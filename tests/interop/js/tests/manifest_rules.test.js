// What a client does where the lists of devices are not as they should be (Identity and manifests; Opening; What a client checks).
import assert from 'node:assert/strict'
import test from 'node:test'
import { base64url, concat, equal, hex, u8, zeros } from '../core/bytes.js'
import { conversationOf, encodeContent, TYPE } from '../core/contents.js'
import { Directory, isForked, keepList, learnToken, listOf, newPeer, peerKey, peerOf } from '../core/directory.js'
import { RelayRefusal } from '../core/errors.js'
import { Inbox } from '../core/inbox.js'
import { deviceTranscript, encodeManifest, firstManifest, MANAGER, nextManifest, parse, walk } from '../core/manifests.js'
import { addDraft, Outbox } from '../core/outbox.js'
import { madeKey, manifestObject } from '../core/own_list.js'
import { CLASS, KIND, checkBundle, makePrekey, parsePrekey, SEED_BYTES } from '../core/prekeys.js'
import { exchangePublic, sign, signingPublic } from '../core/primitives.js'
import * as sessions from '../core/sessions.js'
import { Store } from '../core/store.js'

const NOW = 1_000_000
const fill = (byte, length = 32) => new Uint8Array(length).fill(byte)
const random = (length) => crypto.getRandomValues(new Uint8Array(length))

const keysOf = (byte) => ({ id: fill(byte, 16), signingSeed: fill(byte + 1), identityPrivate: fill(byte + 2), rootSeed: fill(byte + 3) })
const entryOf = ({ id, signingSeed, identityPrivate }, flags) => ({ id, signing: signingPublic(signingSeed), identity: exchangePublic(identityPrivate), flags, addedAt: 0 })

// An account with one device, and what its store has; `byte` tells accounts apart.
async function account(byte) {
  const keys = keysOf(byte)
  const first = parse(firstManifest(keys.rootSeed, entryOf(keys, MANAGER), keys.signingSeed))
  const own = { account: first.account, device: keys.id, signingSeed: keys.signingSeed, identityPrivate: keys.identityPrivate, chain: [encodeManifest(first)], proof: zeros(0), relayKey: zeros(32), registered: true }
  const store = await Store.open({ load: () => [], write: () => {} })
  await store.change((tx) => tx.set('own', own))
  return { ...keys, ...own, chain: [first], store }
}

// Another device comes to the list and goes again, so that a list of this version is there.
function grown(one, version) {
  const chain = [...one.chain]
  const other = keysOf(200)
  const entry = entryOf(other, 0)
  const signed = { ...entry, signature: sign(other.signingSeed, deviceTranscript(one.account, entry)) }
  while (chain.length < version) {
    const [first] = chain[0].devices
    chain.push(nextManifest(chain, chain.at(-1).devices.length > 1 ? [first] : [first, signed], { device: one.id, signingSeed: one.signingSeed }))
  }
  return chain
}

// `sender` begins a session with `receiver`, which knows `known` of its list, and whose prekeys are these → a set-up envelope.
async function setupFrom(sender, receiver) {
  const kinds = [[KIND.signed, CLASS.rotating], [KIND.sealing, CLASS.rotating], [KIND.kem, CLASS.lastResort]]
  const made = kinds.map(([kind, class_]) => {
    const seed = random(SEED_BYTES[kind])
    return { seed, bytes: makePrekey({ kind, class: class_, id: 1, madeAt: NOW, seed }, receiver) }
  })
  await receiver.store.change((tx) => made.forEach(({ seed, bytes }) => tx.set(`prekey/${bytes[0]}/1`, { ...parsePrekey(bytes), seed })))
  const { account: whose, device } = receiver
  const content = encodeContent({ type: TYPE.text, conversation: conversationOf(sender.account, whose), messageId: fill(1, 16), counter: 1, previous: null, sentAt: 0, body: ['hello', null] })
  return sender.store.change((tx) => {
    keepList(tx, whose, receiver.chain)
    const bundle = checkBundle(made.map(({ bytes }) => bytes), { account: whose, device: receiver.chain[0].devices[0], now: NOW, seen: [] })
    sessions.beginSession(tx, { account: whose, device, bundle, fetchedAt: NOW, random, now: NOW })
    return sessions.encryptFor(tx, whose, device, content, { random, now: NOW })
  })
}

const inboxOf = ({ store }, directory) => {
  const heard = []
  const tell = (event) => heard.push(event)
  const common = { compareHeads: async () => {}, ...directory }
  return { heard, inbox: new Inbox({ store, directory: common, random, now: () => NOW, tell }) }
}
const frame = (ciphertext) => ({ sequence: 1, envelopeId: fill(1, 16), receivedAt: NOW, ciphertext })
const knowing = (tx, { account: whose }, chain) => {
  const peer = newPeer(whose)
  learnToken(peer, fill(3, 16), 'contact')
  tx.set(peerKey(whose), peer)
  keepList(tx, whose, chain)
}

async function gap() {
  const [ann, bob] = [await account(10), await account(20)]
  const chain = grown(ann, 67) // an envelope carries the newest 64
  await bob.store.change((tx) => knowing(tx, ann, chain.slice(0, 1)))
  await ann.store.change((tx) => keepList(tx, ann.account, chain))
  return { ann, bob, chain, envelope: await setupFrom(ann, bob) }
}

test('a set-up with a list behind a gap: the versions between are fetched, and it opens', async () => {
  const { ann, bob, chain, envelope } = await gap()
  const asked = []
  const fetch = async (whose, token) => {
    asked.push([hex(whose), hex(token)])
    await bob.store.change((tx) => keepList(tx, whose, walk(whose, listOf(tx, whose), chain)))
    return chain
  }
  const { inbox, heard } = inboxOf(bob, { fetch })
  await inbox.deliver(frame(envelope))
  assert.deepEqual(asked, [[hex(ann.account), '03'.repeat(16)]])
  assert.deepEqual(heard.map((event) => event.event), ['message'])
  assert.equal(inbox.position, 1)
})

test('while the relay is away the set-up stays where it is; where it refuses, nothing is to be had', async () => {
  const { bob, envelope } = await gap()
  const away = inboxOf(bob, { fetch: () => Promise.reject(new TypeError('away')) })
  await assert.rejects(away.inbox.deliver(frame(envelope)), TypeError)
  assert.equal(away.inbox.position, 0)
  const refusing = inboxOf(bob, { fetch: () => Promise.reject(new RelayRefusal('not_allowed', 403)) })
  await refusing.inbox.deliver(frame(envelope))
  assert.deepEqual(refusing.heard.map((event) => [event.event, event.why]), [['not opened', 'ManifestGap']])
  assert.equal(refusing.inbox.position, 1)
})

test('two lists of one version: both are kept and shown, and nothing more is sent', async () => {
  const [ann, bob] = [await account(10), await account(20)]
  const known = grown(ann, 3)
  const forked = nextManifest(known.slice(0, 1), [{ ...known[0].devices[0], flags: MANAGER | 2 }], { device: ann.id, signingSeed: ann.signingSeed })
  await bob.store.change((tx) => knowing(tx, ann, known))
  await ann.store.change((tx) => keepList(tx, ann.account, [known[0], forked]))
  const { inbox, heard } = inboxOf(bob, {})
  await inbox.deliver(frame(await setupFrom(ann, bob)))
  assert.deepEqual(heard.map((event) => [event.event, event.why]), [['alarm', 'ManifestFork'], ['not opened', 'ManifestFork']])
  assert.deepEqual([heard[0].known, heard[0].other], [known[1], forked].map(encodeManifest))
  assert.equal(isForked(bob.store, ann.account), true)
  const submitted = []
  const outbox = new Outbox({ store: bob.store, directory: {}, http: null, random, now: () => NOW, tell: (event) => submitted.push(event) })
  await bob.store.change((tx) => addDraft(tx, { account: ann.account, type: TYPE.text, body: ['hello'], messageId: fill(2, 16), sentAt: 0 }))
  await outbox.pump({ submit: () => assert.fail('nothing is sent') })
  assert.deepEqual(submitted.map((event) => event.why), ['ManifestFork'])
})

// --- What the relay answers of the own list

// A relay whose log has one leaf a version, and which answers `chain` of the own account; heads are not looked at here.
class Unlogged extends Directory {
  async checkLog() {}
}

const directoryOf = ({ store }, chain) => {
  const heard = []
  const manifests = chain.map(manifestObject)
  const inclusion = { index: 0, hashes: [], head: base64url(concat(u8(0))) }
  const http = { json: async (_method, path) => ({ manifests: manifests.slice(Number(path.split('from=')[1]) - 1), latest: chain.length, inclusion }) }
  return { heard, directory: new Unlogged({ store, http, now: () => NOW, tell: (event) => heard.push(event) }) }
}

test('a list that this device signed and never made is an alarm; one that it made is none', async () => {
  const ann = await account(10)
  const chain = grown(ann, 3)
  await ann.store.change((tx) => tx.set(madeKey(chain[1]), true))
  const { heard, directory } = directoryOf(ann, chain)
  await directory.fetchOwn()
  assert.deepEqual(heard, [{ event: 'alarm', why: 'own_manifest_unknown', version: 3 }])
  await directory.fetchOwn()
  assert.equal(heard.length, 1)
})

test('a device that left its list loses its sessions', async () => {
  const [ann, bob] = [await account(10), await account(20)]
  const chain = grown(ann, 3)
  const gone = chain[1].devices.find((one) => !equal(one.id, ann.id)).id
  await bob.store.change((tx) => {
    knowing(tx, ann, chain.slice(0, 2))
    for (const device of [ann.id, gone]) tx.set(`sessions/${hex(ann.account)}/${hex(device)}`, { account: ann.account, device })
  })
  const { directory } = directoryOf(bob, chain)
  await directory.fetch(ann.account, peerOf(bob.store, ann.account).token)
  assert.deepEqual(bob.store.keys('sessions/'), [`sessions/${hex(ann.account)}/${hex(ann.id)}`])
})

test('an answer that is older than the known list changes nothing', async () => {
  const [ann, bob] = [await account(10), await account(20)]
  const chain = grown(ann, 3)
  await bob.store.change((tx) => knowing(tx, ann, chain))
  const { directory } = directoryOf(bob, chain.slice(0, 2))
  directory.http.json = async () => ({ manifests: [manifestObject(chain[1])], latest: 2, inclusion: null })
  await assert.rejects(directory.fetch(ann.account, fill(3, 16)), { kind: 'ManifestRollback' })
  assert.equal(listOf(bob.store, ann.account).length, 3)
})

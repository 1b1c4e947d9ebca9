// What own devices know alike ends alike, whatever the order; and what nobody but an own device may say.
import assert from 'node:assert/strict'
import test from 'node:test'
import { encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { hex } from '../core/bytes.js'
import { conversationOf, encodeContent, TYPE } from '../core/contents.js'
import { learnToken, newPeer, peerKey, peerOf } from '../core/directory.js'
import { allItems, changedItems, setItem, takeItem } from '../core/items.js'
import { deviceTranscript, encodeManifest, firstManifest, MANAGER, nextManifest, parse } from '../core/manifests.js'
import { OwnDevices } from '../core/own_devices.js'
import { exchangePublic, sign, signingPublic } from '../core/primitives.js'
import { Kept } from './stage.js'
import { failureOf } from './vectors.js'

const fill = (byte, length = 32) => new Uint8Array(length).fill(byte)
const [bob, contactToken, linkToken] = [fill(7), fill(8, 16), fill(9, 16)]
const contact = `contact/${hex(bob)}`

// A device of an account with two: the phone (1) manages it, the laptop (2) was added by it.
function device(number, { knowsAll = true } = {}) {
  const keys = (n) => ({ device: fill(n, 16), signingSeed: fill(10 + n), identityPrivate: fill(20 + n) })
  const entry = ({ device: id, signingSeed, identityPrivate }, flags) => ({ id, signing: signingPublic(signingSeed), identity: exchangePublic(identityPrivate), flags, addedAt: 0 })
  const [phone, laptop] = [keys(1), keys(2)]
  const first = parse(firstManifest(fill(30), entry(phone, MANAGER), phone.signingSeed))
  const added = entry(laptop, 0)
  const signature = sign(laptop.signingSeed, deviceTranscript(first.account, added))
  const second = nextManifest([first], [...first.devices, { ...added, signature }], phone)
  const kept = new Kept()
  const own = { account: first.account, ...keys(number), chain: [first, second].map(encodeManifest), relayKey: fill(40), handle: null, contactToken: fill(50, 16) }
  kept.set('own', number === 1 ? { ...own, isTokenThere: true } : { ...own, isFirstToken: true, waitsForItems: !knowsAll, joining: {} })
  const heard = []
  const tell = (event) => heard.push(event)
  const devices = new OwnDevices({ random: (length) => fill(60, length), now: () => 1000, tell, wake: () => {} })
  const told = () => {
    kept.after.splice(0).forEach((call) => call())
    return heard
  }
  return { kept, devices, tell, told, own: kept.get('own') }
}

const item = (key, value, changedAt, by = 1) => ({ key, value: encode(value), changedAt, device: fill(by, 16) })
const takeAll = ({ kept, tell }, items) => items.forEach((one) => takeItem(kept, one, tell))
const met = (token, tokenClass, accepted = true) => ['bob', null, token, tokenClass, accepted, false]

test('the later item counts, at one time that of the higher device; whatever the order, and twice', () => {
  const items = [item(contact, met(linkToken, 'link'), 5), item(contact, met(contactToken, 'contact'), 9, 1), item(contact, met(linkToken, 'link'), 9, 2), item('setting/of-the-future', [1], 3)]
  const ends = [items, [...items].reverse(), [...items, ...items]].map((order) => {
    const laptop = device(2)
    takeAll(laptop, order)
    return allItems(laptop.kept)
  })
  assert.deepEqual(ends[0], ends[1])
  assert.deepEqual(ends[0], ends[2])
  assert.deepEqual(ends[0].find((one) => one.key === contact), items[2])
})

test('a change is later than what it replaces, by a clock that is slow, too', () => {
  const { kept } = device(1)
  takeItem(kept, item('setting/a', 1, 5_000, 2), () => {})
  assert.equal(setItem(kept, 'setting/a', encode(2), 10).changedAt, 5_001)
  assert.equal(setItem(kept, 'setting/a', encode(2), 10), null)
})

test('who knows more than the item says tells it again', () => {
  const phone = device(1)
  const peer = { ...newPeer(bob), handle: 'bob', accepted: true }
  learnToken(peer, contactToken, 'contact')
  phone.kept.set(peerKey(bob), peer)
  takeAll(phone, [item(contact, [null, 'rob', null, null, false, false], 2_000, 2)])
  const changed = changedItems(phone.kept, 10).find((one) => one.key === contact)
  assert.deepEqual([changed.value, changed.changedAt], [encode(['bob', 'rob', contactToken, 'contact', true, false]), 2_001])
})

test('what is not known of a contact is taken from an older item, and fields of the future go on', () => {
  const laptop = device(2)
  takeAll(laptop, [item(contact, [null, null, null, null, true, false, 'new'], 9), item(contact, met(contactToken, 'contact'), 3)])
  const { handle, token, accepted } = peerOf(laptop.kept, bob)
  assert.deepEqual([handle, token, accepted], ['bob', contactToken, true])
  const [changed] = changedItems(laptop.kept, 10)
  assert.deepEqual(changed.value, encode(['bob', null, contactToken, 'contact', true, false, 'new']))
})

test('values that do not fit are kept, and have no effect', () => {
  const laptop = device(2)
  const odd = [item(contact, ['bob'], 1), item('contact/xyz', met(contactToken, 'contact'), 1), item('token/contact', 'text', 1), item('pinned/relay', fill(1, 31), 1), item(`chain/${hex(bob)}`, [fill(1)], 1)]
  takeAll(laptop, [...odd, { ...odd[0], key: 'own/handle', value: Uint8Array.of(0xc1) }])
  assert.equal(allItems(laptop.kept).length, 5) // lists are kept as lists, or not at all
  assert.deepEqual([laptop.kept.get('own'), laptop.kept.keys('peer/'), laptop.told()], [laptop.own, [], []])
})

test('a new device tells nothing before it was told all', () => {
  const laptop = device(2, { knowsAll: false })
  laptop.kept.set(peerKey(bob), { ...newPeer(bob), accepted: true })
  laptop.devices.share(laptop.kept)
  assert.deepEqual(laptop.kept.keys('draft/'), [])
  const said = (items, isAll) => laptop.devices.take(laptop.kept, { device: fill(1, 16), content: { type: TYPE.sharedItems, body: [items, isAll, false] }, frame: {}, own: laptop.own })
  said([item('token/contact', contactToken, 5)].map(({ key, value, changedAt, device: by }) => [key, value, changedAt, by]), true)
  assert.deepEqual(laptop.kept.get('own').contactToken, contactToken)
  laptop.devices.share(laptop.kept)
  assert.equal(laptop.kept.keys('draft/').length, 1)
})

test('another signing key of the relay than the account pinned is an alarm, and the pinned one is kept', () => {
  const laptop = device(2)
  takeAll(laptop, [item('pinned/relay', fill(41), 1)])
  assert.equal(laptop.told()[0].event, 'alarm')
  assert.deepEqual(laptop.kept.get('own').relayKey, fill(41))
})

test('the manager that added the device answers its question, once in 10 minutes', () => {
  const [phone, laptop] = [device(1), device(2)]
  const asks = { type: TYPE.sharedItems, body: [[], false, true] }
  phone.devices.take(phone.kept, { device: fill(2, 16), content: asks, frame: {}, own: phone.own })
  phone.devices.take(phone.kept, { device: fill(2, 16), content: asks, frame: {}, own: phone.own })
  laptop.devices.take(laptop.kept, { device: fill(1, 16), content: asks, frame: {}, own: laptop.own })
  assert.deepEqual([phone, laptop].map(({ kept }) => kept.keys('draft/').length), [1, 0])
  assert.deepEqual(phone.kept.get(phone.kept.keys('draft/')[0]).body.slice(1), [true, false])
})

test('a copy of another type, of another conversation, or of what was said to oneself is refused', () => {
  const { kept, devices, own } = device(1)
  const content = (type, body, conversation) => encodeContent({ type, conversation, messageId: fill(1, 16), counter: 1, previous: null, sentAt: 0, body })
  const withBob = conversationOf(own.account, bob)
  const copy = (to, bytes) => failureOf(() => devices.take(kept, { device: fill(2, 16), content: { type: TYPE.copy, body: [to, bytes, ''] }, frame: { receivedAt: 0 }, own }))
  assert.equal(copy(bob, content(TYPE.contactToken, [contactToken], withBob)), 'redirected')
  assert.equal(copy(bob, content(TYPE.text, ['hi', null], conversationOf(own.account, fill(6)))), 'redirected')
  assert.equal(copy(own.account, content(TYPE.text, ['hi', null], conversationOf(own.account, own.account))), 'redirected')
  assert.equal(copy(bob, content(TYPE.text, ['hi', null], withBob)), null)
  const [shown] = kept.keys('message/').map((key) => kept.get(key))
  assert.deepEqual([shown.isOwn, shown.to, shown.device], [true, bob, fill(2, 16)])
})

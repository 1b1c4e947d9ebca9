// Keys at the relay, over a client that dies, or a relay that is lost, between making them and giving them away.
import assert from 'node:assert/strict'
import test from 'node:test'
import { careForPrekeys } from '../core/account.js'
import { Store } from '../core/store.js'

const DAY_MS = 86_400_000
const BYTES = new Uint8Array(32)

// A relay that takes keys (or not), and a store; `rotating` are the keys of kind 1 that are kept.
async function begin() {
  const store = await Store.open({ load: () => [], write: () => {} })
  await store.change((tx) => tx.set('own', { account: BYTES, device: BYTES.slice(16), signingSeed: BYTES }))
  const relay = { isLost: false, taken: 0, time: 100 * DAY_MS }
  let random = 0
  const http = {
    async json(method, _path, { json } = {}) {
      if (method === 'GET') return { stock: relay.taken ? [1, 2, 3, 4].map((kind) => ({ kind, one_time_left: 100, highest_id: 1000 })) : [] }
      if (relay.isLost) throw new TypeError('lost')
      relay.taken += json.keys.length
    },
  }
  const care = () => careForPrekeys({ store, http, random: (length) => new Uint8Array(length).fill(++random), now: () => relay.time })
  return { relay, care, rotating: () => store.all('prekey/1/') }
}

test('a key that is fresh and at the relay is not made again', async () => {
  const { relay, care, rotating } = await begin()
  await care()
  const { taken } = relay
  await care()
  assert.equal(relay.taken, taken)
  assert.deepEqual(rotating().map((one) => [one.isTaken, one.retiredAt]), [[true, null]])
})

test('a key that did not get to the relay takes nobody\'s place, and another one goes up next time', async () => {
  const { relay, care, rotating } = await begin()
  await care()
  relay.time += 7 * DAY_MS
  relay.isLost = true
  await assert.rejects(care(), TypeError)
  assert.deepEqual(rotating().map((one) => [one.isTaken, one.retiredAt]), [[true, null], [false, null]])
  Object.assign(relay, { isLost: false, time: relay.time + DAY_MS })
  const { taken } = relay
  await care()
  assert.equal(relay.taken, taken + 3)
  assert.deepEqual(rotating().map((one) => [one.isTaken, one.retiredAt]), [[true, relay.time], [false, relay.time], [true, null]])
})

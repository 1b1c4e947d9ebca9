import assert from 'node:assert/strict'
import test from 'node:test'
import { hex, zeros } from '../core/bytes.js'
import { chainOf, peerOf } from '../core/directory.js'
import { allItems, chainItems, nameOf, takeItem } from '../core/items.js'
import { Kept } from './stage.js'
import { bytes, load, same } from './vectors.js'

const items = load('items.json').items.map(({ key, value, changed_at_ms: changedAt, device_id: device }) => ({ key, value: bytes(value), changedAt, device: bytes(device) }))
const device = items[0].device
const accountOf = (key) => bytes(key.split('/')[1])
const valueOf = (key) => hex(items.find((one) => one.key === key).value)

// A new device that was told all of them, in this order; what it told its user.
function told(list) {
  const [kept, events] = [new Kept(), []]
  kept.set('own', { account: zeros(32), device: zeros(16), chain: [], relayKey: zeros(32) })
  for (const item of list) takeItem(kept, item, (event) => events.push(event))
  kept.after.forEach((call) => call())
  return { kept, events }
}

for (const [order, list] of [['as written', items], ['backwards', [...items].reverse()]]) {
  test(`items of all kinds, ${order}`, () => {
    const { kept, events } = told(list)
    const own = kept.get('own')
    const known = items.filter(({ key }) => key.startsWith('contact/')).map(({ key }) => peerOf(kept, accountOf(key)))
    assert.deepEqual(known.map(({ handle, claimed, accepted, blocked }) => [handle, claimed, accepted, blocked]), [[null, 'bo', false, true], ['anna', null, true, false]])
    assert.equal(known[1].tokenClass, 'contact')
    assert.equal(chainOf(known[1].chain).at(-1).account.join(), known[1].account.join())
    assert.equal(own.handle, 'alice')
    assert.equal(`c410${hex(own.contactToken)}`, valueOf('token/contact'))
    assert.equal(`c410${hex(own.linkToken)}`, valueOf('token/link'))
    assert.equal(`c420${hex(own.relayKey)}`, valueOf('pinned/relay'))
    assert.equal(nameOf(kept, device), 'laptop')
    assert.deepEqual(events.map(({ event }) => event), ['alarm']) // the relay showed it another key
  })
}

test('what is not understood is passed on as it came', () => {
  const { kept } = told(items)
  const passed = allItems(kept)
  for (const { key, value, changedAt } of items.filter((one) => !one.key.startsWith('chain/'))) {
    const found = passed.find((one) => one.key === key)
    same(found.value, hex(value), key)
    assert.equal(found.changedAt, changedAt)
  }
  const [list] = chainItems(kept, 0)
  assert.equal(hex(list.value), valueOf(list.key))
})

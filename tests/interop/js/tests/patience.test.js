// What a client does with a relay that says nothing, or has no time: it neither waits for ever nor takes it for a failure of what it sends.
import assert from 'node:assert/strict'
import test from 'node:test'
import { Connection } from '../core/connection.js'
import { peerKey, newPeer } from '../core/directory.js'
import { RelayRefusal } from '../core/errors.js'
import { Http } from '../core/http.js'
import { addDraft, Outbox } from '../core/outbox.js'
import { Store } from '../core/store.js'

class Silent {
  close() {}
}

const never = (_, { signal }) => new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))

test('a connection that is never opened is given up after 60 s, whether or not its end is told', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const connection = new Connection({ WebSocket: Silent, own: { origin: 'http://relay' }, anonymous: true, hear: () => {} })
  context.mock.timers.tick(60_000)
  await assert.rejects(connection.ready, { code: 'connection_lost' })
  assert.equal(await connection.closed, 1000)
})

test('a request that is not answered within 60 s is given up', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const http = new Http({ origin: 'http://relay', fetch: never, fetchUnsigned: never, now: () => 0, random: (length) => new Uint8Array(length) })
  const asked = http.json('GET', '/v1/somewhere')
  context.mock.timers.tick(60_000)
  await assert.rejects(asked, { code: 'unanswered' })
})

async function withDraft(refusal) {
  const store = await Store.open({ load: () => [], write: () => {} })
  const clock = { now: 1_000_000, asked: 0 }
  const account = new Uint8Array(32).fill(1)
  const directory = { fetch: () => Promise.reject((clock.asked++, refusal)) }
  const outbox = new Outbox({ store, directory, http: null, random: (length) => new Uint8Array(length), now: () => clock.now, tell: () => {} })
  await store.change((tx) => {
    tx.set(peerKey(account), newPeer(account))
    addDraft(tx, { account, type: 1, body: ['hello'], messageId: new Uint8Array(16), sentAt: 0 })
  })
  const pump = async (passed) => {
    clock.now += passed
    await outbox.pump({})
    return clock.asked
  }
  return { store, pump }
}

for (const code of ['overloaded', 'rate_limited']) {
  test(`${code}: asked again when the relay said, as often as it says so, and nothing of it is kept`, async () => {
    const { store, pump } = await withDraft(new RelayRefusal(code, 503, 2_000))
    assert.equal(await pump(0), 1)
    for (let times = 1; times < 8; times++) {
      assert.equal(await pump(1_999), times)
      assert.equal(await pump(1), times + 1)
    }
    assert.equal(store.all('draft/')[0].notBefore, undefined)
  })
}

test('what is refused for itself waits twice as long each time', async () => {
  const { pump } = await withDraft(new RelayRefusal('not_allowed', 403))
  assert.equal(await pump(0), 1)
  assert.equal(await pump(4_999), 1)
  assert.equal(await pump(1), 2)
  assert.equal(await pump(9_999), 2)
  assert.equal(await pump(1), 3)
})

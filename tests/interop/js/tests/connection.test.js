import assert from 'node:assert/strict'
import test from 'node:test'
import { encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { Connection } from '../core/connection.js'

// A WebSocket that the test speaks through.
class Socket {
  constructor() {
    this.sent = []
    Socket.last = this
  }
  send(bytes) {
    this.sent.push(bytes)
  }
  close() {}
  say(...frames) {
    this.onmessage({ data: encode(frames).slice().buffer })
  }
}

const envelope = { envelopeId: new Uint8Array(16), class: 1, ttl: 1, ciphertexts: [], targets: [], grants: [] }

function open() {
  const connection = new Connection({ WebSocket: Socket, own: { origin: 'http://relay' }, anonymous: true, hear: () => {} })
  Socket.last.say([16, new Uint8Array(32), 0])
  Socket.last.say([17, new Uint8Array(32), 0])
  return connection
}

test('an answer belongs to its submit', async () => {
  const connection = open()
  const answers = [connection.submit(envelope), connection.submit(envelope)]
  await new Promise(setImmediate)
  Socket.last.say([10, 2, [4]], [10, 1, [1], []])
  assert.deepEqual((await Promise.all(answers)).map((answer) => answer.outcomes), [[1], [4]])
})

test('what was under way when a connection is lost fails, and so does what is submitted after it', async () => {
  const connection = open()
  const before = connection.submit(envelope)
  await new Promise(setImmediate)
  Socket.last.onclose({ code: 1006 })
  await assert.rejects(before, { code: 'connection_lost' })
  await assert.rejects(connection.submit(envelope), { code: 'connection_lost' })
})

test('a connection that answers nothing for 60 s is given up', async (context) => {
  context.mock.timers.enable({ apis: ['setTimeout'] })
  const connection = open()
  const waiting = connection.submit(envelope)
  await new Promise(setImmediate)
  context.mock.timers.tick(60_000)
  await assert.rejects(waiting, { code: 'connection_lost' })
})

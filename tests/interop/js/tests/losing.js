// Preloaded by a test: a relay that swallows an envelope. The Nth one that goes out is said to be accepted, or the Nth one that comes
// in is not shown to the client (LOSE_OUT=N, LOSE_IN=N; the count is from 1).
import process from 'node:process'
import { Connection } from '../core/connection.js'
import { Inbox } from '../core/inbox.js'

let [out, into] = [Number(process.env.LOSE_OUT), Number(process.env.LOSE_IN)]

const { submit } = Connection.prototype
Connection.prototype.submit = function (envelope) {
  out -= 1
  return out === 0 ? Promise.resolve({ outcomes: envelope.targets.map(() => 1) }) : submit.call(this, envelope)
}

const { deliver } = Inbox.prototype
Inbox.prototype.deliver = function (frame) {
  into -= 1
  return into === 0 ? this.store.change((tx) => tx.set('position', frame.sequence)) : deliver.call(this, frame)
}

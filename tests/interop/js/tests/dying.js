// Preloaded by a test: the process kills itself at its Nth transaction, before or after it is durable, or keeps nothing from there on
// (DIE_AT=N, DIE=before|after|lying); with DIE=deliver at the first envelope that comes.
import process from 'node:process'
import { Inbox } from '../core/inbox.js'
import { SqliteStorage } from '../node/storage.js'

const write = SqliteStorage.prototype.write
let left = Number(process.env.DIE_AT)
SqliteStorage.prototype.write = function (changes) {
  left -= 1
  if (left === 0 && process.env.DIE === 'before') process.kill(process.pid, 'SIGKILL')
  if (left <= 0 && process.env.DIE === 'lying') return undefined
  const result = write.call(this, changes)
  if (left === 0 && process.env.DIE === 'after') process.kill(process.pid, 'SIGKILL')
  return result
}

if (process.env.DIE === 'deliver') Inbox.prototype.deliver = () => process.kill(process.pid, 'SIGKILL')

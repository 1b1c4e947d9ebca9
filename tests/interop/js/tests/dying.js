// Preloaded by a test: the process kills itself at its Nth transaction, before or after it is durable (DIE_AT=N, DIE=before|after).
import process from 'node:process'
import { SqliteStorage } from '../node/storage.js'

const write = SqliteStorage.prototype.write
let left = Number(process.env.DIE_AT)
SqliteStorage.prototype.write = function (changes) {
  left -= 1
  if (left === 0 && process.env.DIE === 'before') process.kill(process.pid, 'SIGKILL')
  const result = write.call(this, changes)
  if (left === 0) process.kill(process.pid, 'SIGKILL')
  return result
}

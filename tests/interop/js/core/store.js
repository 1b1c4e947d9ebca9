// What the client keeps: values by key, changed in transactions that are durable as a whole (What a client keeps).
// `storage` is { load(): iterable of [key, bytes], write(changes: Map of key → bytes or null): durable when it returns }.
import { decode, encode } from '@msgpack/msgpack/dist.esm/index.mjs'

export const numbered = (prefix, number) => `${prefix}/${String(number).padStart(12, '0')}`

class Transaction {
  constructor(kept) {
    this.kept = kept
    this.changes = new Map()
    this.after = [] // called once it is durable
  }
  get(key) {
    const bytes = this.changes.has(key) ? this.changes.get(key) : this.kept.get(key)
    return bytes ? decode(bytes) : undefined
  }
  set(key, value) {
    this.changes.set(key, encode(value))
  }
  delete(key) {
    this.changes.set(key, null)
  }
  keys(prefix) {
    const all = new Set([...this.kept.keys(), ...this.changes.keys()].filter((key) => key.startsWith(prefix)))
    return [...all].filter((key) => this.changes.get(key) !== null).sort()
  }
  // The next number of a list, from 1.
  next(name) {
    const number = (this.get(`next/${name}`) ?? 0) + 1
    this.set(`next/${name}`, number)
    return number
  }
}

export class Store {
  static async open(storage) {
    const store = new Store()
    store.storage = storage
    store.kept = new Map(await storage.load())
    store.turn = Promise.resolve()
    return store
  }

  get(key) {
    const bytes = this.kept.get(key)
    return bytes ? decode(bytes) : undefined
  }
  keys(prefix) {
    return [...this.kept.keys()].filter((key) => key.startsWith(prefix)).sort()
  }
  all(prefix) {
    return this.keys(prefix).map((key) => this.get(key))
  }

  // One transaction at a time: `work` gets the state as it is then, and if it throws nothing has changed.
  change(work) {
    const run = async () => {
      const transaction = new Transaction(this.kept)
      const result = work(transaction)
      if (transaction.changes.size) await this.storage.write(transaction.changes)
      for (const [key, bytes] of transaction.changes) bytes ? this.kept.set(key, bytes) : this.kept.delete(key)
      for (const call of transaction.after) call()
      return result
    }
    const done = this.turn.then(run)
    this.turn = done.catch(() => {})
    return done
  }
}

// The own contact token changed: who has the old one can write for 7 days more, and all contacts are told of the new one (Blocking and
// changing tokens, steps 2 to 4). Each step is kept before the next, and may be done twice.
import { putToken } from './account.js'
import { TYPE } from './contents.js'
import { addDraft } from './outbox.js'

const KEY = 'renewal'
const TAG = 'renewal'
const WEEK_MS = 7 * 86_400_000

export class Renewal {
  constructor({ store, http, random, now }) {
    Object.assign(this, { store, http, random, now, busy: false })
  }

  begin() {
    return this.store.change((tx) => {
      if (!tx.get(KEY)) tx.set(KEY, { next: this.random(16), old: null, at: this.now() })
    })
  }

  // As far as it goes now.
  async go() {
    if (this.busy || !this.store.get(KEY)) return
    this.busy = true
    try {
      if (!this.store.get(KEY).old) await this.#tell()
      await this.#end()
    } finally {
      this.busy = false
    }
  }

  async #tell() {
    await putToken(this.http, this.store.get(KEY).next, 'contact')
    await this.store.change((tx) => {
      const own = tx.get('own')
      const { next } = tx.get(KEY)
      tx.set(KEY, { next, old: own.contactToken, at: this.now() })
      tx.set('own', { ...own, contactToken: next })
      for (const { account, accepted } of tx.keys('peer/').map((key) => tx.get(key))) {
        if (accepted) addDraft(tx, { account, type: TYPE.contactToken, body: [next], tag: TAG, messageId: this.random(16), sentAt: this.now() })
      }
    })
  }

  async #end() {
    const { old, at } = this.store.get(KEY)
    const isUnderWay = this.store.all('draft/').some(({ tag }) => tag === TAG) || this.store.all('outbox/').some(({ draft }) => draft.tag === TAG)
    if (isUnderWay && this.now() - at < WEEK_MS) return
    await putToken(this.http, old, 'contact', this.now() + WEEK_MS)
    await this.store.change((tx) => tx.delete(KEY))
  }
}

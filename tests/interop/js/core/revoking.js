// A device taken out of the account by its manager; what it was told is changed: the tokens of all classes (Revoking). What is left to do is
// kept from before the list is changed until it is done.
import { base64url, equal } from './bytes.js'
import { putToken } from './account.js'
import { TYPE } from './contents.js'
import { listOf } from './directory.js'
import { Refusal } from './errors.js'
import { saveGroup } from './group_log.js'
import { loadGroup } from './group_record.js'
import { deviceIn, MANAGER } from './manifests.js'
import { addDraft } from './outbox.js'
import { sha256 } from './primitives.js'

const KEY = 'revoking'
const WEEK_MS = 7 * 86_400_000

export class Revoking {
  constructor({ store, http, ownList, renewal, random, now }) {
    Object.assign(this, { store, http, ownList, renewal, random, now, busy: null })
  }

  async remove(device) {
    await this.store.change((tx) => {
      const { account, device: self } = tx.get('own')
      const list = listOf(tx, account).at(-1)
      if (!deviceIn(list, device)) throw new Refusal('Refused', 'no device of this account')
      if (equal(device, self) || !(deviceIn(list, self)?.flags & MANAGER)) throw new Refusal('Refused', 'a manager takes out another device')
      tx.set(KEY, { device, steps: this.#steps(tx) })
    })
    await this.go()
  }

  // Of each token that the device knows, the one that takes its place.
  #steps(tx) {
    const own = tx.get('own')
    const groups = tx.keys('group/').map((key) => tx.get(key)).filter(({ status }) => status === 'in')
    const steps = groups.map(({ groupId, ownToken }) => ({ kind: 'group', groupId, old: ownToken, next: this.random(16) }))
    if (own.linkToken) steps.push({ kind: 'link', old: own.linkToken, next: this.random(16) })
    if (own.publicToken) steps.push({ kind: 'public', next: this.random(16) })
    return steps
  }

  // As far as it goes now; each step may be done twice.
  go() {
    this.busy ??= this.#go().finally(() => (this.busy = null))
    return this.busy
  }

  async #go() {
    const left = this.store.get(KEY)
    if (!left) return
    await this.ownList.change((devices) => (devices.some(({ id }) => equal(id, left.device)) ? devices.filter(({ id }) => !equal(id, left.device)) : null))
    await this.renewal.begin()
    for (const step of left.steps) await this[step.kind](step)
    await this.store.change((tx) => tx.delete(KEY))
    await this.renewal.go()
  }

  async group({ groupId, old, next }) {
    await putToken(this.http, next, 'group')
    await this.store.change((tx) => {
      const group = loadGroup(tx, groupId)
      if (equal(group.ownToken, next)) return
      saveGroup(tx, { ...group, ownToken: next })
      const body = [groupId, [[tx.get('own').account, next]]]
      addDraft(tx, { account: null, group: groupId, type: TYPE.groupTokens, body, messageId: this.random(16), sentAt: this.now() })
    })
    await putToken(this.http, old, 'group', this.now() + WEEK_MS)
  }

  async link({ old, next }) {
    await putToken(this.http, next, 'link')
    await this.store.change((tx) => tx.set('own', { ...tx.get('own'), linkToken: next, isLinkThere: true }))
    await this.http.json('DELETE', `/v1/delivery-tokens/${base64url(sha256(old))}`, { signed: true }).catch((error) => {
      if (error.status !== 404) throw error
    })
  }

  async public({ next }) {
    await this.http.json('PUT', '/v1/handle', { json: { handle: this.store.get('own').handle, public_token: base64url(next) }, signed: true })
    await this.store.change((tx) => tx.set('own', { ...tx.get('own'), publicToken: next }))
  }
}

// The own other devices: copies of what each says, what all of them know, and what was read (Own devices).
import { equal, hex } from './bytes.js'
import { ACTS, conversationOf, decodeContent, isShown, TYPE } from './contents.js'
import { listOf, peerKey, peerOf } from './directory.js'
import { Refusal } from './errors.js'
import { act, showMessage } from './inbox.js'
import { allItems, chainItems, changedItems, encodeItem, takeItem } from './items.js'
import { deviceIn, MANAGER } from './manifests.js'
import { addDraft, noteState } from './outbox.js'
import { takeRead } from './receipts.js'
import { takeResend } from './resends.js'

const MOST_BYTES = 100_000 // of items in one content
const MOST_ITEMS = 1000
const AGAIN_MS = 10 * 60_000

export const OWN_TYPES = [TYPE.copy, TYPE.sharedItems, TYPE.historyKeys]

export class OwnDevices {
  constructor({ random, now, tell, wake }) {
    Object.assign(this, { random, now, tell, wake, groups: null })
  }

  // What another own device says, in the conversation of the account with itself.
  take(tx, { device, content, frame, own }) {
    const { type, body } = content
    const who = { account: own.account, device, peer: { handle: own.handle, accepted: true } }
    if (type === TYPE.copy) this.#copy(tx, who, body, frame)
    else if (type === TYPE.sharedItems) this.#items(tx, device, body)
    else if (type === TYPE.receipt) takeRead(tx, content, this.now(), this.tell)
    else if (type === TYPE.resend) takeResend(tx, { ...who, content, own, now: this.now(), random: this.random }, this.tell)
    else if (isShown(type)) showMessage(tx, { ...who, content, frame, group: null, to: own.account }, this.tell)
    else if (ACTS.includes(type)) act(tx, { ...who, content, mayTidy: false }, this.tell)
  }

  // As if the user had said it here; its counter and introduction are those of the device that did.
  #copy(tx, who, [to, bytes, refusal], frame) {
    const content = decodeContent(bytes)
    const isCopied = [TYPE.text, TYPE.file, ...ACTS].includes(content.type)
    if (!isCopied || equal(to, who.account) || !equal(content.conversation, conversationOf(who.account, to))) throw new Refusal('redirected', 'a copy of what is not copied')
    if (refusal) {
      const have = tx.get(`have/${hex(who.account)}/${hex(content.messageId)}`)
      if (have) noteState(tx, have.number, 'refused')
      return
    }
    if (ACTS.includes(content.type)) {
      act(tx, { ...who, content, mayTidy: false }, this.tell)
      return
    }
    tx.set(peerKey(to), { ...peerOf(tx, to), accepted: true })
    showMessage(tx, { ...who, content, frame, group: null, to }, this.tell)
  }

  #items(tx, device, [items, isAll, asks]) {
    const given = items.map(([key, value, changedAt, by]) => ({ key, value, changedAt, device: by }))
    for (const item of given) takeItem(tx, item, this.tell)
    if (isAll) tx.set('own', { ...tx.get('own'), waitsForItems: false })
    if (asks && this.#answers(tx, device)) this.handOver(tx, device)
    tx.after.push(() => this.wake())
  }

  // Whether this is the manager that has to answer: that added the device, or if it left, the one with the smallest id.
  #answers(tx, device) {
    const own = tx.get('own')
    const chain = listOf(tx, own.account)
    const { devices } = chain.at(-1)
    const adder = chain.find((one) => deviceIn(one, device))?.signer
    const isThere = adder?.length && deviceIn(chain.at(-1), adder)
    const answering = isThere ? adder : devices.find((one) => one.flags & MANAGER && !equal(one.id, device))?.id
    return Boolean(answering) && equal(answering, own.device)
  }

  // All that a new device needs to know: items, and the lists of contacts; once in 10 minutes.
  handOver(tx, device) {
    const key = `handed-over/${hex(device)}`
    const now = this.now()
    if (now - (tx.get(key) ?? -AGAIN_MS) < AGAIN_MS) return
    tx.set(key, now)
    changedItems(tx, now)
    this.#draft(tx, [...allItems(tx), ...chainItems(tx, now)], true)
  }

  // What changed here is told to the others.
  share(tx) {
    const changed = changedItems(tx, this.now())
    const isAlone = listOf(tx, tx.get('own').account).at(-1).devices.length < 2
    if (changed.length && !isAlone) this.#draft(tx, changed, false)
  }

  #draft(tx, items, isAll) {
    const parts = [[]]
    let size = 0
    for (const item of items) {
      size += item.key.length + item.value.length + 40
      if (size > MOST_BYTES || parts.at(-1).length === MOST_ITEMS) {
        parts.push([])
        size = item.key.length + item.value.length + 40
      }
      parts.at(-1).push(encodeItem(item))
    }
    const { account } = tx.get('own')
    for (const [i, part] of parts.entries()) {
      addDraft(tx, { account, type: TYPE.sharedItems, body: [part, isAll && i === parts.length - 1, false], messageId: this.random(16), sentAt: this.now() })
    }
  }

}

// The way in: what the mailbox gives is opened, and kept with the state that opened it, in one transaction (Receiving).
import { equal, hex } from './bytes.js'
import { ACTS, conversationOf, decodeContent, isShown, referenceOf, TYPE } from './contents.js'
import { isOwn, learnToken, listOf, noteFork, noteHead, peerKey, peerOf, reachOf } from './directory.js'
import { isPassing, Refusal, RelayRefusal } from './errors.js'
import { deviceIn } from './manifests.js'
import { addDraft } from './outbox.js'
import { OWN_TYPES } from './own_devices.js'
import { noteArrival, readBefore, takeReceipt } from './receipts.js'
import { takeResend } from './resends.js'
import { openRatchet, openSetup } from './sessions.js'
import { numbered } from './store.js'

const DAY_MS = 86_400_000
const MAX_FAILED = 1000
const HEAL_AFTER = 100

export class Inbox {
  constructor({ store, directory, random, now, tell }) {
    Object.assign(this, { store, directory, random, now, tell, groups: null, ownDevices: null })
  }

  get position() {
    return this.store.get('position') ?? 0
  }

  async missed({ from, to, reason }) {
    await this.store.change((tx) => {
      reach(tx, to)
      tx.after.push(() => this.tell({ event: 'missed', from, to, reason }))
    })
  }

  // One envelope of the mailbox. An ephemeral one is dropped, as if it had been lost: this client takes no part in them.
  // What comes from quarantine is older than the position.
  async deliver(frame, isQuarantined = false) {
    if (frame.sequence === 0 || (frame.sequence <= this.position && !isQuarantined)) return
    try {
      await this.#open(frame)
    } catch (error) {
      if (error.name !== 'Refusal') throw error
      try {
        if (!(await this.#fetchFor(error))) throw error
        await this.#open(frame)
      } catch (again) {
        if (again.name !== 'Refusal') throw again
        await this.#fail(frame, again)
      }
    }
  }

  // The lists that a set-up names and that are not here → whether they could be asked for. What comes behind it waits meanwhile.
  async #fetchFor({ kind, account }) {
    if (kind === 'OwnListBehind') return this.directory.fetchOwn()
    const token = kind === 'ManifestGap' && reachOf(this.store, account).token
    if (!token) return false
    try {
      return await this.directory.fetch(account, token)
    } catch (error) {
      if (error instanceof RelayRefusal && !isPassing(error)) return false
      throw error
    }
  }

  async #open(frame) {
    await this.store.change((tx) => {
      const kind = frame.ciphertext[0]
      if (kind === 3) this.groups.openMessage(tx, frame)
      else {
        const opened = kind === 1 ? openSetup(tx, frame.ciphertext, { now: this.now() }) : openRatchet(tx, frame.ciphertext, this.now())
        if (opened.head) noteHead(tx, opened.head, this.now())
        this.#content(tx, opened, frame)
      }
      reach(tx, frame.sequence)
    })
    await this.compareHeads()
  }

  // Also when the mailbox is caught up: what could not be asked before is asked then.
  async compareHeads() {
    await this.directory.compareHeads(this.now()).catch((error) => this.tell({ event: 'alarm', why: String(error) }))
  }

  // What does not open is kept, counted and told; the newest 1,000.
  #fail(frame, error) {
    return this.store.change((tx) => {
      reach(tx, frame.sequence)
      if (error.kind === 'ManifestFork') noteFork(tx, error, this.now(), this.tell)
      if (error.kind !== 'Replayed') noteFailure(tx, frame, error, this.tell)
    })
  }

  // What a session brought. Its state has moved by now, whatever the content is.
  #content(tx, { account, device, content: bytes }, frame) {
    try {
      const content = decodeContent(bytes)
      const own = tx.get('own')
      if (!equal(content.conversation, conversationOf(own.account, account))) throw new Refusal('redirected', 'a content of another conversation')
      this.#handle(tx, { account, device, content, frame, own })
    } catch (error) {
      if (error.name !== 'Refusal') throw error
      noteFailure(tx, frame, error, this.tell)
    }
  }

  #handle(tx, { account, device, content, frame, own }) {
    count(tx, { account, device, content, isTwo: true }, this.tell)
    if (isOwn(tx, account)) {
      const isOfGroup = content.type >= 20 && content.type <= 28
      if (!isOfGroup) this.ownDevices.take(tx, { device, content, frame, own }) // in groups this client is one device
      return
    }
    if (OWN_TYPES.includes(content.type)) throw new Refusal('Refused', 'only the devices of one account copy and share')
    const peer = peerOf(tx, account)
    peer.unanswered += 1
    if (peer.accepted) peer.introduce = false
    if (content.introduction) {
      learnToken(peer, content.introduction.token, 'contact')
      peer.claimed = content.introduction.handle || null
      if (peer.accepted && this.now() - (peer.introducedAt ?? 0) > DAY_MS) peer.introduce = true
    }
    if (content.type === TYPE.contactToken) learnToken(peer, content.body[0], 'contact')
    tx.set(peerKey(account), peer)
    if (peer.accepted && peer.unanswered >= HEAL_AFTER) {
      addDraft(tx, { account, type: TYPE.empty, body: null, messageId: this.random(16), sentAt: this.now() })
    }
    if (peer.blocked && !(content.type >= 21 && content.type <= 28)) return // blocked on another own device: counted, and dropped
    const who = { account, device, peer }
    const io = { now: this.now(), random: this.random }
    if (isShown(content.type)) {
      const number = showMessage(tx, { ...who, content, frame, group: null }, this.tell)
      if (number) noteArrival(tx, { account, group: null, number }, io)
    } else if (content.type === TYPE.receipt) takeReceipt(tx, { account, content, own, now: io.now }, this.tell)
    else if (content.type === TYPE.resend) takeResend(tx, { ...who, content, own, ...io }, this.tell)
    else if (ACTS.includes(content.type)) act(tx, { ...who, content, mayTidy: false }, this.tell)
    else if (content.type >= 20 && content.type <= 28) this.groups.take(tx, { ...who, content, own, now: this.now() })
  }
}

function reach(tx, sequence) {
  if (sequence > (tx.get('position') ?? 0)) tx.set('position', sequence)
}

export function noteFailure(tx, frame, error, tell) {
  const number = tx.next('failed')
  tx.set(numbered('failed', number), { why: error.kind, detail: error.message, sequence: frame.sequence, ciphertext: frame.ciphertext })
  if (number > MAX_FAILED) tx.delete(numbered('failed', number - MAX_FAILED))
  tx.after.push(() => tell({ event: 'not opened', why: error.kind, detail: error.message }))
}

// The numbers of a sending device: which are missing, and whether each names its predecessor.
export function count(tx, { account, device, content, isTwo }, tell) {
  const key = `in/${hex(content.conversation)}/${hex(account)}/${hex(device)}`
  const own = tx.get('own')
  const isFounding = listOf(tx, own.account).some((one) => one.version === 1 && deviceIn(one, own.device)) // all was said to it, too
  const known = tx.get(key) ?? { account, device, conversation: content.conversation, counter: isTwo && isFounding ? 0 : content.counter - 1, hash: null, missing: [] }
  if (content.counter <= known.counter) known.missing = known.missing.filter((number) => number !== content.counter)
  else {
    for (let number = known.counter + 1; number < content.counter && known.missing.length < 256; number++) known.missing.push(number)
    const follows = content.counter === known.counter + 1
    if (follows && known.hash && !equal(known.hash, content.previous)) tx.after.push(() => tell({ event: 'warning', why: 'a content names another predecessor' }))
    Object.assign(known, { counter: content.counter, hash: content.hash })
  }
  tx.set(key, known)
}

const nameOf = (account, messageId) => `have/${hex(account)}/${hex(messageId)}`

// A text, a file, or a type of the future: kept and told once, whatever comes again. → its number, if it is new.
// `to`: another own device said it to this account.
export function showMessage(tx, { account, device, peer, content, frame, group, to = null }, tell) {
  const name = nameOf(account, content.messageId)
  if (tx.get(name)) return null
  const number = tx.next('message')
  const { conversation, messageId, type, body, sentAt, hash, counter } = content
  const reference = referenceOf({ conversation, account, device, messageId, hash })
  const isOwnOne = Boolean(to)
  const message = { number, from: account, to, handle: peer.handle ?? peer.claimed, isContact: peer.accepted, group, conversation, device, counter, messageId, type, body, sentAt, receivedAt: frame.receivedAt, reference, isOwn: isOwnOne, state: isOwnOne ? 'sent' : 'received', edits: [], reactions: [] }
  message.readAt = readBefore(tx, message)
  tx.set(numbered('message', number), message)
  tx.set(name, { number })
  for (const key of tx.keys(`waiting/${name}/`)) {
    const waiting = tx.get(key)
    tx.delete(key)
    act(tx, waiting, tell)
  }
  tx.after.push(() => tell({ event: 'message', number }))
  return number
}

// A reaction, an edit or a delete, on a message that is here; else it waits for it.
export function act(tx, { account, content, mayTidy }, tell) {
  const [author, messageId, reference] = content.body[0]
  const name = nameOf(author, messageId)
  const have = tx.get(name)
  if (!have) {
    tx.set(`waiting/${name}/${hex(content.messageId)}`, { account, content, mayTidy })
    return
  }
  const key = numbered('message', have.number)
  const message = tx.get(key)
  const isAuthor = equal(account, author)
  const allowed = content.type === TYPE.reaction || isAuthor || (content.type === TYPE.delete && mayTidy)
  const fits = equal(message.reference, reference) && equal(message.conversation, content.conversation) && (content.type !== TYPE.edit || message.type === TYPE.text)
  if (!fits || !allowed) {
    tx.after.push(() => tell({ event: 'warning', why: 'an act that its account may not do' }))
    return
  }
  if (message.state === 'deleted') return
  const order = [content.sentAt, hex(content.messageId)]
  if (content.type === TYPE.delete) Object.assign(message, { state: 'deleted', body: null, edits: [], reactions: [] })
  else {
    const list = content.type === TYPE.edit ? 'edits' : 'reactions'
    message[list] = [...message[list], { by: account, order, said: content.body[1] }].sort((a, b) => a.order[0] - b.order[0] || (a.order[1] < b.order[1] ? -1 : 1))
  }
  tx.set(key, message)
  tx.after.push(() => tell({ event: 'changed', number: have.number }))
}

// Receipts: authors hear that a message is here, and that it was read (Acts on messages). Contacts alone, many at once, after a random wait.
import { equal, hex } from './bytes.js'
import { TYPE } from './contents.js'
import { isOwn, listOf, peerOf } from './directory.js'
import { addDraft } from './outbox.js'
import { numbered } from './store.js'

const MOST_WAIT_MS = 5_000
const APART_MS = 5_000
const MOST_OF_A_KIND = 256
const MOST_WAITING = 5_000

const owesKey = (account) => `owes/${hex(account)}`
const isOff = (tx) => tx.get('settings')?.receipts === false

// A message that is shown came, or was read. Nothing goes to strangers, to groups, or where the user said no.
function note(tx, { account, group, number }, kind, io) {
  if (!group && !isOff(tx) && peerOf(tx, account).accepted) owe(tx, account, number, kind, io)
}

// What was read here is told to the own other devices, whoever wrote it and whatever others are told.
function noteForOwn(tx, number, io) {
  const { account } = tx.get('own')
  if (listOf(tx, account).at(-1).devices.length > 1) owe(tx, account, number, 'read', io)
}

function owe(tx, account, number, kind, { now, random }) {
  const owed = tx.get(owesKey(account)) ?? { account, numbers: {}, dueAt: null, toldAt: 0 }
  owed.numbers[number] = kind
  owed.dueAt ??= Math.max(now + uniform(random) * MOST_WAIT_MS, owed.toldAt + APART_MS)
  tx.set(owesKey(account), owed)
}

export const noteArrival = (tx, message, io) => note(tx, message, 'delivered', io)

// The user has seen it. False if that is known already, or it is an own one.
export function markRead(tx, number, io) {
  const key = numbered('message', number)
  const message = tx.get(key)
  if (!message || message.isOwn || message.readAt) return false
  tx.set(key, { ...message, readAt: io.now })
  note(tx, { account: message.from, group: message.group, number }, 'read', io)
  noteForOwn(tx, number, io)
  return true
}

// The contents that are due now, as drafts. → when the next one is due, or null.
export function draftReceipts(tx, { now, random }) {
  let next = null
  for (const key of tx.keys('owes/')) {
    const owed = tx.get(key)
    if (owed.dueAt === null) continue
    if (owed.dueAt <= now) {
      draftFor(tx, owed, { now, random })
      tx.set(key, owed)
    }
    if (owed.dueAt !== null) next = Math.min(next ?? owed.dueAt, owed.dueAt)
  }
  return next
}

// What is more than a content holds stays owed, for 5 s later.
function draftFor(tx, owed, { now, random }) {
  const isForOwn = isOwn(tx, owed.account)
  let author = isForOwn ? null : owed.account
  const told = { delivered: [], read: [] }
  for (const number of Object.keys(owed.numbers)) {
    const message = tx.get(numbered('message', Number(number)))
    const kind = owed.numbers[number]
    const isLeft = message && message.state !== 'deleted' && message.reference && (isForOwn || !isOff(tx))
    if (isLeft) author ??= message.from
    if (isLeft && (told[kind].length === MOST_OF_A_KIND || !equal(message.from, author))) continue // one content is about one author
    delete owed.numbers[number]
    if (isLeft) told[kind].push([message.messageId, message.reference])
  }
  owed.dueAt = Object.keys(owed.numbers).length ? now + APART_MS : null
  if (!told.delivered.length && !told.read.length) return
  owed.toldAt = now
  addDraft(tx, { account: owed.account, type: TYPE.receipt, body: [author, told.delivered, told.read], messageId: random(16), sentAt: now })
}

// A receipt of somebody else for own messages. What is read is delivered as well.
export function takeReceipt(tx, { account, content, own, now }, tell) {
  const [author, delivered, read] = content.body
  let ignored = !equal(author, own.account) && delivered.length + read.length
  for (const [entries, kind] of [[delivered, 'deliveredTo'], [read, 'readBy']]) {
    for (const [messageId, reference] of equal(author, own.account) ? entries : []) {
      const have = tx.get(`have/${hex(own.account)}/${hex(messageId)}`)
      const key = have && numbered('message', have.number)
      const message = have && tx.get(key)
      if (!message || !equal(message.reference, reference) || !equal(message.conversation, content.conversation)) {
        ignored += 1
        continue
      }
      tx.set(key, marked(marked(message, 'deliveredTo', account, now), kind, account, now))
      tx.after.push(() => tell({ event: 'changed', number: have.number }))
    }
  }
  if (ignored) tx.after.push(() => tell({ event: 'warning', why: 'a receipt for what is no message to its account' }))
}

// What the user read on another own device, of whatever conversation.
export function takeRead(tx, content, now, tell) {
  const [author, delivered, read] = content.body
  let ignored = delivered.length
  for (const [messageId, reference] of read) {
    const name = `${hex(author)}/${hex(messageId)}`
    const have = tx.get(`have/${name}`)
    if (!have) { // it may be on its way, or was said before this device came
      if (tx.keys('read/').length < MOST_WAITING) tx.set(`read/${name}`, { reference, at: now })
      continue
    }
    const key = numbered('message', have.number)
    const message = tx.get(key)
    if (message.isOwn || !equal(message.reference, reference)) {
      ignored += 1
      continue
    }
    if (message.readAt) continue
    tx.set(key, { ...message, readAt: now })
    tx.after.push(() => tell({ event: 'changed', number: have.number }))
  }
  if (ignored) tx.after.push(() => tell({ event: 'warning', why: 'a receipt of another own device that fits no message' }))
}

// When a message that comes now was read on another own device, or null.
export function readBefore(tx, { from, messageId, reference }) {
  const key = `read/${hex(from)}/${hex(messageId)}`
  const read = tx.get(key)
  if (!read) return null
  tx.delete(key)
  return equal(read.reference, reference) ? read.at : null
}

// Who and when; the first time counts.
function marked(message, list, account, now) {
  const marks = message[list] ?? []
  return marks.some((one) => equal(one.by, account)) ? message : { ...message, [list]: [...marks, { by: account, at: now }] }
}

// Of 0 to 1, evenly.
function uniform(random) {
  const [a, b, c, d] = random(4)
  return (((a * 256 + b) * 256 + c) * 256 + d) / 2 ** 32
}

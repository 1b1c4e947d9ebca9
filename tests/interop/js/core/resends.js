// Missing contents: a contact's device is asked for the numbers that were jumped over, and gets again what was for it (Missing contents).
import { equal, hex } from './bytes.js'
import { conversationOf, decodeContent, TYPE } from './contents.js'
import { reachOf } from './directory.js'
import { Refusal } from './errors.js'
import { addDraft } from './outbox.js'

const MINUTE_MS = 60_000
const ASK_EVERY_MS = 10 * MINUTE_MS
const MOST_ASKED = 3
const MOST_AT_ONCE = 256
const MOST_ANSWERED = 8
const KEEP_MS = 30 * 86_400_000
const KEEP_OF_A_CONVERSATION = 1000
const KEEP_BYTES = 64 * 1024 * 1024
const SIZE = 'size/sent'

const sentPrefix = (conversation) => `sent/${hex(conversation)}/`
const sentKey = (conversation, counter) => sentPrefix(conversation) + String(counter).padStart(16, '0')

// What was encrypted, and for which devices; in the transaction that encrypted it.
export function keepSent(tx, content, devices, now) {
  const { conversation, counter, messageId } = decodeContent(content)
  const key = sentKey(conversation, counter)
  const known = tx.get(key)
  const others = devices.filter((device) => !known?.devices.some((one) => equal(one, device)))
  tx.set(key, { content, messageId, at: now, answered: 0, ...known, devices: [...(known?.devices ?? []), ...others] })
  if (!known) tx.set(SIZE, (tx.get(SIZE) ?? 0) + content.length)
  drop(tx, sentKey(conversation, counter - KEEP_OF_A_CONVERSATION))
  if (tx.get(SIZE) > KEEP_BYTES) forgetSent(tx, now)
}

function drop(tx, key) {
  const sent = tx.get(key)
  if (!sent) return
  tx.delete(key)
  tx.set(SIZE, tx.get(SIZE) - sent.content.length)
}

// What is too old goes, and the oldest of what is too much.
export function forgetSent(tx, now) {
  const all = tx.keys('sent/').map((key) => ({ key, ...tx.get(key) })).sort((a, b) => b.at - a.at)
  let size = 0
  for (const { key, content, at } of all) {
    size += content.length
    if (now - at > KEEP_MS || size > KEEP_BYTES) drop(tx, key)
  }
}

// A message that its author deletes is given to nobody any more.
export function dropSent(tx, conversation, messageId) {
  for (const key of tx.keys(sentPrefix(conversation))) if (equal(tx.get(key).messageId, messageId)) drop(tx, key)
}

// Ask for what is missing, as far as it may be asked for now. → when something may be asked for again, or null.
export function draftAsks(tx, { now, random }) {
  const own = tx.get('own')
  let next = null
  for (const key of tx.keys('in/')) {
    const known = tx.get(key)
    if (!known.missing.length || !reachOf(tx, known.account).accepted) continue
    const { conversation } = known
    if (!equal(conversation, conversationOf(own.account, known.account))) continue // nothing is asked for again in groups
    const asked = known.asked ?? {}
    const wanted = known.missing.filter((number) => (asked[number] ?? 0) < MOST_ASKED).slice(-MOST_AT_ONCE)
    if (!wanted.length) continue
    const mayAt = (known.askedAt ?? 0) + ASK_EVERY_MS
    if (mayAt > now) {
      next = Math.min(next ?? mayAt, mayAt)
      continue
    }
    for (const number of wanted) asked[number] = (asked[number] ?? 0) + 1
    tx.set(key, { ...known, asked, askedAt: now })
    addDraft(tx, { account: known.account, type: TYPE.resend, body: [known.device, conversation, wanted, []], messageId: random(16), sentAt: now })
  }
  return next
}

// Another device lacks something of this one, or cannot give what it was asked for.
export function takeResend(tx, { account, device, peer, content, own, now, random }, tell) {
  const [whose, conversation, wanted, gone] = content.body
  if (!equal(conversation, content.conversation)) throw new Refusal('InvalidEncoding', 'a request about another conversation')
  if (wanted.length && equal(whose, own.device) && peer.accepted) answer(tx, { account, device, wanted, own, conversation, now, random })
  if (gone.length && equal(whose, device)) noteGone(tx, { account, device, conversation, gone }, tell)
}

// The same bytes, for the device that asks alone, and only what was for it before.
function answer(tx, { account, device, wanted, own, conversation, now, random }) {
  const key = `answered/${hex(account)}/${hex(device)}`
  if (now - (tx.get(key) ?? 0) < MINUTE_MS) return
  tx.set(key, now)
  const last = tx.get(`out/${hex(conversation)}`)?.counter ?? 0
  const gone = []
  for (const number of [...new Set(wanted)].sort((a, b) => a - b)) {
    const sent = tx.get(sentKey(conversation, number))
    const isFor = sent && now - sent.at <= KEEP_MS && sent.devices.some((one) => equal(one, device))
    if (!isFor && number <= last) gone.push(number)
    if (!isFor || sent.answered >= MOST_ANSWERED) continue
    tx.set(sentKey(conversation, number), { ...sent, answered: sent.answered + 1 })
    addDraft(tx, { account, only: device, content: sent.content, messageId: random(16), sentAt: now })
  }
  if (gone.length) addDraft(tx, { account, type: TYPE.resend, body: [own.device, conversation, [], gone], messageId: random(16), sentAt: now })
}

function noteGone(tx, { account, device, conversation, gone }, tell) {
  const key = `in/${hex(conversation)}/${hex(account)}/${hex(device)}`
  const known = tx.get(key)
  const lost = known?.missing.filter((number) => gone.includes(number)) ?? []
  if (!lost.length) return
  tx.set(key, { ...known, missing: known.missing.filter((number) => !lost.includes(number)), gone: [...(known.gone ?? []), ...lost].slice(-1000) })
  tx.after.push(() => tell({ event: 'gone', count: lost.length }))
}

// What all own devices know alike: items, each a key, a value, and who wrote it when (Shared items).
import { decode, encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { compare, equal, hex, unhex } from './bytes.js'
import { keepList, learnToken, listOf, newPeer, peerKey, peerOf } from './directory.js'
import { decodeManifest, walk } from './manifests.js'

const SHARED_CLASSES = ['contact', 'link', 'public'] // the best first; tokens of groups are no contact's
const itemKey = (key) => `item/${key}`
const later = (one, other) => one.changedAt - other.changedAt || compare(one.device, other.device)

export const encodeItem = ({ key, value, changedAt, device }) => [key, value, changedAt, device]

// This device changes an item: dated by the clock, and above what it replaces. → the item, or null if it says the same already.
export function setItem(tx, key, value, now) {
  const known = tx.get(itemKey(key))
  if (known && equal(known.value, value)) return null
  const item = { key, value, changedAt: Math.max(now, (known?.changedAt ?? 0) + 1), device: tx.get('own').device }
  tx.set(itemKey(key), item)
  return item
}

export const allItems = (tx) => tx.keys('item/').map((key) => tx.get(key))

// Lists of contacts travel in a hand-over alone, and are kept as lists.
export function chainItems(tx, now) {
  const { device } = tx.get('own')
  const peers = tx.keys('peer/').map((key) => tx.get(key)).filter((peer) => peer.chain.length)
  return peers.map((peer) => ({ key: `chain/${hex(peer.account)}`, value: encode(peer.chain), changedAt: now, device }))
}

// --- What this device knows, as items

function contactValue(peer, known) {
  const best = SHARED_CLASSES.find((name) => peer.tokens?.[name]) ?? null
  const fields = [peer.handle ?? null, peer.claimed ?? null, best && peer.tokens[best], best, peer.accepted, peer.blocked ?? false]
  return [...fields, ...(known?.slice(fields.length) ?? [])] // fields of the future are passed on
}

const says = (fields) => fields.some((field) => field)

function* facts(tx) {
  const own = tx.get('own')
  for (const peer of tx.keys('peer/').map((key) => tx.get(key))) {
    const key = `contact/${hex(peer.account)}`
    const known = contactOf(tx.get(itemKey(key)))
    const value = contactValue(peer, known)
    if (known || says(value)) yield [key, value]
  }
  if (own.isTokenThere && !own.isFirstToken) yield ['token/contact', own.contactToken]
  if (own.isLinkThere) yield ['token/link', own.linkToken]
  if (own.publicToken) yield ['token/public', own.publicToken]
  if (own.handle) yield ['own/handle', own.handle]
  if (!own.joining) yield ['pinned/relay', own.relayKey]
}

// The items that say something else than this device knows, changed. A new device tells nothing before it was told all.
export function changedItems(tx, now) {
  if (tx.get('own').waitsForItems) return []
  return [...facts(tx)].map(([key, value]) => setItem(tx, key, encode(value), now)).filter(Boolean)
}

// --- What another own device tells

const isBin = (value, length) => value instanceof Uint8Array && value.length === length
const isName = (value) => value === null || (typeof value === 'string' && [...value].length <= 32)

function decoded(value, fits) {
  try {
    const fields = decode(value)
    return fits(fields) ? fields : null
  } catch {
    return null
  }
}

const fitsContact = (fields) =>
  Array.isArray(fields) && fields.length >= 6 && isName(fields[0]) && isName(fields[1]) && (fields[2] === null ? fields[3] === null : isBin(fields[2], 16) && SHARED_CLASSES.includes(fields[3])) && [fields[4], fields[5]].every((one) => typeof one === 'boolean')
const contactOf = (item) => item && decoded(item.value, fitsContact)
const accountIn = (key) => (/^[a-z]+\/[0-9a-f]{64}$/.test(key) ? unhex(key.split('/')[1]) : null)

// One item: it counts if it is later than the one that is known.
export function takeItem(tx, item, tell) {
  const [kind] = item.key.split('/')
  if (kind === 'chain') return takeChain(tx, item)
  const known = tx.get(itemKey(item.key))
  const counts = !known || later(item, known) > 0
  if (counts) tx.set(itemKey(item.key), item)
  if (kind === 'contact') return takeContact(tx, item, counts)
  return counts && TAKES[item.key]?.(tx, item.value, tell)
}

// What the account's own lists say is checked as any others: no relay can show a new device an older one.
function takeChain(tx, { key, value }) {
  const account = accountIn(key)
  const encoded = decoded(value, (chain) => Array.isArray(chain) && chain.every((one) => one instanceof Uint8Array))
  if (!account || !encoded?.length || equal(account, tx.get('own').account)) return
  const known = listOf(tx, account)
  try {
    keepList(tx, account, walk(account, known, encoded.map(decodeManifest)))
  } catch (error) {
    if (error.name !== 'Refusal') throw error // a list that does not hold is no list; the relay is asked as for any account
  }
}

function takeContact(tx, item, counts) {
  const account = accountIn(item.key)
  const fields = contactOf(item)
  if (!account || !fields || equal(account, tx.get('own').account)) return
  const [handle, claimed, token, tokenClass, accepted, blocked] = fields
  const peer = { ...newPeer(account), ...peerOf(tx, account) }
  if (counts || !peer.handle) peer.handle = handle ?? peer.handle
  if (counts || !peer.claimed) peer.claimed = claimed ?? peer.claimed
  if (token && (counts || !peer.tokens?.[tokenClass])) learnToken(peer, token, tokenClass)
  if (accepted) peer.accepted = true
  if (counts) peer.blocked = blocked
  tx.set(peerKey(account), peer)
}

const own = (tx, change) => tx.set('own', { ...tx.get('own'), ...change })
const isToken = (value) => isBin(value, 16)

const TAKES = {
  'token/contact': (tx, value) => {
    const contactToken = decoded(value, isToken)
    if (contactToken) own(tx, { contactToken, isFirstToken: false, isTokenThere: true })
  },
  'token/link': (tx, value) => {
    const linkToken = decoded(value, isToken)
    if (linkToken) own(tx, { linkToken, isLinkThere: true })
  },
  'token/public': (tx, value) => {
    const publicToken = decoded(value, isToken)
    if (publicToken) own(tx, { publicToken })
  },
  'own/handle': (tx, value) => {
    const handle = decoded(value, isName)
    if (handle !== null || equal(value, encode(null))) own(tx, { handle })
  },
  // What the account pinned from its invite is kept; a new device had to believe the relay until now.
  'pinned/relay': (tx, value, tell) => {
    const pinned = decoded(value, (key) => isBin(key, 32))
    if (!pinned || equal(pinned, tx.get('own').relayKey)) return
    own(tx, { relayKey: pinned })
    tx.after.push(() => tell({ event: 'alarm', why: 'the relay showed this device another signing key than its account pinned' }))
  },
}

// The name of an own device, if one was told.
export const nameOf = (tx, device) => {
  const item = tx.get(itemKey(`device/${hex(device)}`))
  return (item && decoded(item.value, (fields) => Array.isArray(fields) && typeof fields[0] === 'string'))?.[0] ?? null
}

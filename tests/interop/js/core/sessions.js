// Which of several sessions speaks with a device, and how one begins (Sessions; Set-up envelope, Opening).
import { compare, equal, hex } from './bytes.js'
import { chainOf, keepList, listOf } from './directory.js'
import { Refusal } from './errors.js'
import { deviceIn, hashOf, walk } from './manifests.js'
import { KIND, seenWith } from './prekeys.js'
import * as ratchet from './ratchet.js'
import * as setup from './setup.js'
import * as log from './transparency.js'

const DAY_MS = 86_400_000
const UNANSWERED_MS = 7 * DAY_MS
const ARCHIVED_MS = 45 * DAY_MS

const keyOf = (account, device) => `sessions/${hex(account)}/${hex(device)}`
const load = (tx, account, device) => tx.get(keyOf(account, device)) ?? { account, device, active: null, archived: [], highest: 0, seen: [] }
const save = (tx, record) => tx.set(keyOf(record.account, record.device), record)

// Times of the newest keys that were seen of a device.
export const seenOf = (tx, account, device) => load(tx, account, device).seen

function outranks(one, other) {
  if (one.setupNumber !== other.setupNumber) return one.setupNumber > other.setupNumber
  return compare(one.sessionId, other.sessionId) < 0
}

function adopt(record, session, now) {
  const [active, archived] = !record.active || outranks(session, record.active) ? [session, record.active] : [record.active, session]
  record.active = active
  if (archived) record.archived.unshift({ ...archived, archivedAt: now })
  record.archived = record.archived.filter((one) => now - one.archivedAt < ARCHIVED_MS).slice(0, 5)
}

const mayStillSend = (session, now) => session.answered || now - session.fetchedAt < UNANSWERED_MS

// Whether an own message can be encrypted for this device without a bundle.
export function hasSession(tx, account, device, now) {
  const { active } = load(tx, account, device)
  return Boolean(active && mayStillSend(active, now))
}

// Begin a session with a device from its checked bundle, as A.
export function beginSession(tx, { account, device, bundle, fetchedAt, random, now }) {
  const own = tx.get('own')
  const [mine, theirs] = [chainOf(own.chain).at(-1), listOf(tx, account).at(-1)]
  const record = load(tx, account, device)
  record.seen = seenWith(record.seen, bundle)
  record.highest += 1
  const a = { account: own.account, device: own.device, version: mine.version, hash: mine.hash, identity: deviceIn(mine, own.device).identity, identityPrivate: own.identityPrivate }
  const b = { account, device, version: theirs.version, hash: theirs.hash, identity: deviceIn(theirs, device).identity }
  const begun = setup.begin({ a, b, bundle, setupNumber: record.highest, random })
  const state = ratchet.start({ ...begun, isA: true, self: selfOf(own), peer: { account, device }, peerRatchet: bundle[KIND.signed].key, now })
  const session = {
    ...{ sessionId: begun.sessionId, setupNumber: record.highest, answered: false, fetchedAt, ratchet: state },
    ...{ values: begun.values, sealing: { id: bundle[KIND.sealing].id, key: bundle[KIND.sealing].key }, usedAt: now },
  }
  adopt(record, session, now)
  save(tx, record)
}

const selfOf = (own) => ({ account: own.account, device: own.device })

// How many post-quantum steps the active sessions have taken: answered by this device, and by the peers.
export function kemSteps(store) {
  const active = store.all('sessions/').map((record) => record.active).filter(Boolean)
  const sum = (name) => active.reduce((total, session) => total + (session[name] ?? 0), 0)
  return { sent: sum('kemSent'), received: sum('kemReceived') }
}

// What goes into a set-up envelope of the own chain: from the last manifest that the root key signed.
function ownManifests(own) {
  const chain = chainOf(own.chain)
  const from = chain.findLastIndex((one) => !one.signer.length)
  return chain.slice(from).slice(-64)
}

// Encrypt for one device; it has a session. The state goes into the transaction that keeps the envelope.
export function encryptFor(tx, account, device, content, { random, now, ephemeral = false }) {
  const record = load(tx, account, device)
  const session = record.active
  const own = tx.get('own')
  const { state, envelope: message } = ratchet.encrypt(session.ratchet, content, { now, random, ephemeral, inSetup: !session.answered })
  session.ratchet = state
  session.usedAt = now
  if (state.sending.number === 1 && state.sending.flags & 2) session.kemSent = (session.kemSent ?? 0) + 1
  save(tx, record)
  if (session.answered) return message
  const inner = setup.encodeSetup({ values: session.values, manifests: ownManifests(own), proof: own.proof, message })
  return setup.sealSetup(inner, { account, device, sealing: session.sealing }, random)
}

// Open an envelope of kind 2: it names no session, so all are tried, those last used first.
export function openRatchet(tx, envelope, now) {
  const records = tx.keys('sessions/').map((key) => tx.get(key))
  records.sort((one, other) => (other.active?.usedAt ?? 0) - (one.active?.usedAt ?? 0))
  for (const record of records) {
    for (const session of [record.active, ...record.archived]) {
      const known = session && ratchet.recognise(session.ratchet, envelope)
      if (!known) continue
      if (!deviceIn(listOf(tx, record.account).at(-1), record.device)) throw new Refusal('DeviceRefused', 'a device that left its manifest')
      const opened = ratchet.decrypt(session.ratchet, envelope, { now, known })
      Object.assign(session, { ratchet: opened.state, usedAt: now, answered: true, values: null })
      if (opened.kemStep) session.kemReceived = (session.kemReceived ?? 0) + 1
      save(tx, record)
      return { account: record.account, device: record.device, content: opened.content, ephemeral: opened.ephemeral }
    }
  }
  throw new Refusal('Undecryptable', 'of no session that is known')
}

// Open a set-up envelope, in the order of the chapter "Opening". A ManifestGap says that manifests have to be fetched first.
export function openSetup(tx, envelope, { now }) {
  const own = tx.get('own')
  const sealing = tx.get(`prekey/${KIND.sealing}/${setup.sealingIdOf(envelope)}`)
  if (!sealing) throw new Refusal('KeyMissing', 'sealed to a key that is gone')
  const opened = setup.openSetup(envelope, sealing.seed, own)
  const { values, digest } = opened
  const chain = chainWith(tx, values, opened.manifests)
  const named = chain.find((one) => one.version === values.version)
  const device = named && equal(named.hash, values.hash) && deviceIn(named, values.device)
  if (!device || !deviceIn(chain.at(-1), values.device)) throw new Refusal('DeviceRefused', 'no device of its account')
  const record = load(tx, values.account, values.device)
  const before = tx.get(`setup/${hex(digest)}`)
  const mine = equal(values.account, own.account) ? chain : chainOf(own.chain) // another own device may know more of the own list
  const result = before ? openRepeated(record, before, opened, now) : openNew(tx, record, opened, { own, mine, identity: device.identity, now })
  const head = checkProof(opened, own)
  save(tx, record)
  keepList(tx, values.account, chain)
  tx.set(`setup/${hex(digest)}`, { sessionId: result.sessionId, signedId: values.signedId })
  return { account: values.account, device: values.device, content: result.content, ephemeral: result.ephemeral, head }
}

// A's list with the manifests that came; a gap says whose have to be fetched.
function chainWith(tx, { account, version }, manifests) {
  try {
    const chain = walk(account, listOf(tx, account), manifests)
    if (!chain.length || chain.at(-1).version < version) throw new Refusal('ManifestGap', 'the list that A names is not known')
    return chain
  } catch (error) {
    throw Object.assign(error, { account })
  }
}

function openRepeated(record, { sessionId }, { message }, now) {
  const session = [record.active, ...record.archived].find((one) => one && equal(one.sessionId, sessionId))
  if (!session) throw new Refusal('Replayed', 'of a session that is gone')
  const opened = ratchet.decrypt(session.ratchet, message, { now, inSetup: true })
  Object.assign(session, { ratchet: opened.state, usedAt: now })
  return { ...opened, sessionId }
}

function openNew(tx, record, { values, message }, { own, mine, identity, now }) {
  if (values.setupNumber < 1 || values.setupNumber > record.highest + 1000) throw new Refusal('SetupRefused', 'a set-up number that jumps')
  const find = (kind, id) => {
    const key = tx.get(`prekey/${kind}/${id}`)
    if (!key) throw new Refusal('KeyMissing', `no key ${id} of kind ${kind}`)
    return key
  }
  const privates = {
    signed: find(KIND.signed, values.signedId),
    oneTime: values.hasOneTime ? find(KIND.oneTime, values.oneTimeId) : null,
    kem: find(KIND.kem, values.kemId),
  }
  if (privates.kem.class !== values.kemClass) throw new Refusal('SetupRefused', 'another class of the KEM prekey')
  const a = { account: values.account, device: values.device, version: values.version, hash: values.hash, identity }
  const b = { ...selfOf(own), version: values.peerVersion, hash: values.peerHash, identity: deviceIn(mine.at(-1), own.device).identity, identityPrivate: own.identityPrivate }
  const keys = setup.answer({ values, a, b, privates })
  const state = ratchet.start({ ...keys, isA: false, self: selfOf(own), peer: { account: values.account, device: values.device }, ownRatchet: privates.signed.seed, now })
  const opened = ratchet.decrypt(state, message, { now, inSetup: true })
  if (values.peerVersion > mine.at(-1).version) throw new Refusal('OwnListBehind', 'A knows a newer list of this account')
  const hash = hashOf(mine, values.peerVersion)
  if (!hash || !equal(hash, values.peerHash)) throw new Refusal('ListRefused', "somebody showed A another list of this account's devices")
  const session = { sessionId: keys.sessionId, setupNumber: values.setupNumber, answered: true, fetchedAt: now, ratchet: opened.state, values: null, sealing: null, usedAt: now }
  record.highest = Math.max(record.highest, values.setupNumber)
  adopt(record, session, now)
  if (values.hasOneTime) tx.delete(`prekey/${KIND.oneTime}/${values.oneTimeId}`)
  if (values.kemClass === 2) tx.delete(`prekey/${KIND.kem}/${values.kemId}`)
  return { ...opened, sessionId: keys.sessionId }
}

// The proof that A's newest manifest is in the relay's log → the head, to be held against the own one.
function checkProof({ proof, manifests }, { relayKey }) {
  if (!proof.length) return null
  const { index, hashes, head } = log.parseInclusion(proof)
  const newest = manifests.at(-1)
  if (!newest) throw new Refusal('LogRefused', 'a proof of nothing')
  log.checkInclusion(log.manifestLeaf(newest.account, newest.version, newest.hash), index, hashes, log.parseHead(head, relayKey))
  return head
}

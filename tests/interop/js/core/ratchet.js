// The Double Ratchet with sealed headers and post-quantum steps (Ratchet): a state comes in, a new one goes out.
// A state is plain data (bytes, numbers, arrays, null), so that it can be stored as it is.
import { concat, copyOf, equal, Reader, u32, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { isBucket, pad, unpad } from './padding.js'
import * as primitives from './primitives.js'
import { hkdf, hmac, NO_SALT } from './primitives.js'
import { label, transcript } from './transcripts.js'

const START = Uint8Array.of(2, 1)
const OFFER = 1
const CIPHERTEXT = 2
const EPHEMERAL = 4
const DAY_MS = 86_400_000
const LIFETIME_MS = 45 * DAY_MS
const MAX_JUMP = 10_000
const MAX_KEPT = 2_000
const MAX_CHAINS = 5

// --- Derivations

export function headerKeys(headerKey) {
  const both = hkdf(NO_SALT, headerKey, label('header keys'), 64)
  return { header: both.slice(0, 32), block: both.slice(32) }
}

export function rootStep(rootKey, dh, secret = null) {
  const info = label(secret ? 'root step with kem' : 'root step')
  const out = hkdf(rootKey, secret ? concat(dh, secret) : dh, info, 96)
  return { rootKey: out.slice(0, 32), chainKey: out.slice(32, 64), next: headerKeys(out.slice(64)) }
}

export const chainStep = (chainKey) => ({ messageKey: hmac(chainKey, u8(1)), next: hmac(chainKey, u8(2)) })

export function bodyKey(messageKey) {
  const both = hkdf(NO_SALT, messageKey, label('message keys'), 44)
  return { key: both.slice(0, 32), nonce: both.slice(32) }
}

export const ephemeralKey = (firstChainKey) => hkdf(NO_SALT, firstChainKey, label('ephemeral key'), 32)

// --- Starting

// `self` and `peer` are { account, device }; A has `peerRatchet`, the public SPK of B, and B has `ownRatchet`, its private half.
export function start({ isA, sessionId, rootKey, headerKeyA, nextHeaderKeyB, self, peer, ownRatchet = null, peerRatchet = null, now }) {
  const [a, b] = [headerKeys(headerKeyA), headerKeys(nextHeaderKeyB)]
  return {
    sessionId,
    self,
    peer,
    rootKey,
    ownRatchet,
    peerRatchet,
    nextSend: isA ? a : b,
    nextReceive: isA ? b : a,
    sending: null,
    mayOpen: isA, // no chain is open, and there is somebody to open one to
    previousLength: 0,
    receiving: [], // oldest first
    peerOffer: null,
    offered: null, // the seed of the ML-KEM key that stands on the sending chain
    stepsSinceKem: 0,
    kemAt: now,
  }
}

function countStep(state, secret, now) {
  state.stepsSinceKem = secret ? 0 : state.stepsSinceKem + 1
  if (secret) state.kemAt = now
}

// --- Sending

function openSending(state, now, random, encapsulate) {
  state.ownRatchet = random(32)
  const answer = state.peerOffer ? encapsulate(state.peerOffer, random) : null
  const step = rootStep(state.rootKey, primitives.exchange(state.ownRatchet, state.peerRatchet), answer?.secret)
  countStep(state, answer, now)
  const offers = state.stepsSinceKem >= 20 || now - state.kemAt >= DAY_MS
  state.offered = offers ? random(64) : null
  state.sending = {
    keys: state.nextSend,
    ratchetPublic: primitives.exchangePublic(state.ownRatchet),
    chainKey: step.chainKey,
    ephemeralKey: ephemeralKey(step.chainKey),
    number: 0,
    ephemeralNumber: 0,
    previousLength: state.previousLength,
    block: concat(offers ? primitives.kemPublic(state.offered) : zeros(0), answer?.ciphertext ?? zeros(0)),
    flags: (offers ? OFFER : 0) | (answer ? CIPHERTEXT : 0),
  }
  state.rootKey = step.rootKey
  state.nextSend = step.next
  state.peerOffer = null
  state.mayOpen = false
}

function associatedData(state, isOwn, start) {
  const [from, to] = isOwn ? [state.self, state.peer] : [state.peer, state.self]
  return transcript('message', state.sessionId, from.account, from.device, to.account, to.device, start)
}

export const sealHeader = (key, nonce, { ratchetPublic, previousLength, number, flags }) =>
  primitives.seal(key, nonce, concat(ratchetPublic, u32(previousLength), u32(number), u8(flags), zeros(7)), START)

// `random(n)` draws bytes. `inSetup`: the message stands in a set-up envelope, which has the padding.
export function encrypt(old, content, { now, random, ephemeral = false, inSetup = false, encapsulate = primitives.encapsulate }) {
  const state = copyOf(old)
  if (state.mayOpen) openSending(state, now, random, encapsulate)
  const chain = state.sending
  if (!chain) throw new Refusal('NotYet', 'B sends after it has opened a first message')
  const nonce = random(12)
  const { messageKey, next } = chainStep(chain.chainKey)
  const body = ephemeral ? { key: chain.ephemeralKey, nonce } : bodyKey(messageKey)
  const header = {
    ratchetPublic: chain.ratchetPublic,
    previousLength: chain.previousLength,
    number: ephemeral ? chain.ephemeralNumber : chain.number,
    flags: chain.flags | (ephemeral ? EPHEMERAL : 0),
  }
  const block = chain.block.length ? primitives.seal(chain.keys.block, nonce, chain.block, START) : zeros(0)
  const beginning = concat(START, nonce, sealHeader(chain.keys.header, nonce, header), block)
  const padded = inSetup ? concat(u32(content.length), content) : pad(content, beginning.length + 16)
  const envelope = concat(beginning, primitives.seal(body.key, body.nonce, padded, associatedData(state, true, beginning)))
  if (ephemeral) chain.ephemeralNumber += 1
  else {
    chain.number += 1
    chain.chainKey = next
  }
  return { state, envelope, messageKey: ephemeral ? null : messageKey, body }
}

// --- Receiving

function tryHeader(keys, nonce, sealed) {
  try {
    return primitives.open(keys.header, nonce, sealed, START)
  } catch {
    return null
  }
}

// What an envelope's header says, and which chain it is of; null if it is not of this session.
export function recognise(state, envelope) {
  if (envelope.length < 2 + 12 + 64 + 20 || !equal(envelope.subarray(0, 2), START)) throw new Refusal('InvalidEncoding', 'no ratchet message of suite 1')
  const nonce = envelope.subarray(2, 14)
  const sealed = envelope.subarray(14, 78)
  for (let at = state.receiving.length - 1; at >= 0; at--) {
    const header = tryHeader(state.receiving[at].keys, nonce, sealed)
    if (header) return { at, header }
  }
  const header = tryHeader(state.nextReceive, nonce, sealed)
  return header && { at: null, header }
}

function parseHeader(bytes) {
  const reader = new Reader(bytes)
  const header = { ratchetPublic: reader.take(32), previousLength: reader.u32(), number: reader.u32(), flags: reader.u8() }
  if (header.flags & ~7 || reader.rest().some((byte) => byte !== 0)) throw new Refusal('InvalidEncoding', 'an unknown flag')
  primitives.checkExchangeKey(header.ratchetPublic)
  return header
}

const blockLength = (flags) => (flags & 3 ? (flags & OFFER ? 1184 : 0) + (flags & CIPHERTEXT ? 1088 : 0) + 16 : 0)

function openReceiving(state, header, nonce, sealedBlock, now) {
  if (state.mayOpen && state.receiving.length) throw new Refusal('InvalidEncoding', 'two new chains without an own one between them')
  const block = sealedBlock.length ? primitives.open(state.nextReceive.block, nonce, sealedBlock, START) : zeros(0)
  const offer = header.flags & OFFER ? block.slice(0, 1184) : null
  const ciphertext = header.flags & CIPHERTEXT ? block.slice(offer ? 1184 : 0) : null
  if (offer) primitives.checkKemKey(offer)
  if (Boolean(ciphertext) !== Boolean(state.offered)) throw new Refusal('InvalidEncoding', 'a KEM ciphertext that is missing, or was never asked for')
  const secret = ciphertext && primitives.decapsulate(state.offered, ciphertext)
  const step = rootStep(state.rootKey, primitives.exchange(state.ownRatchet, header.ratchetPublic), secret)
  closeNewest(state, header.previousLength, now)
  countStep(state, secret, now)
  Object.assign(state, { rootKey: step.rootKey, peerRatchet: header.ratchetPublic, peerOffer: offer, offered: null, mayOpen: true })
  state.previousLength = state.sending ? state.sending.number : 0
  state.sending = null
  const chain = {
    keys: state.nextReceive,
    ratchetPublic: header.ratchetPublic,
    chainKey: step.chainKey,
    ephemeralKey: ephemeralKey(step.chainKey),
    ephemeralHighest: -1,
    next: 0,
    end: null,
    closedAt: null,
    skipped: [], // [number, key, time]
    used: [], // [number, first 8 B of the nonce]
  }
  state.nextReceive = step.next
  state.receiving = [...state.receiving, chain].slice(-MAX_CHAINS)
  return chain
}

function closeNewest(state, length, now) {
  const chain = state.receiving.at(-1)
  if (!chain) return
  if (length < chain.next) throw new Refusal('CopiedState', 'the previous chain ends before what has arrived')
  chain.end = length
  chain.closedAt = now
  if (chain.next === chain.end) chain.chainKey = null
}

function usedAlready(chain, number, nonce) {
  const record = chain.used.find(([one]) => one === number)
  if (!record || equal(record[1], nonce.subarray(0, 8))) throw new Refusal('Replayed', 'this message was opened before')
  throw new Refusal('CopiedState', 'a used number in another envelope')
}

function takeMessageKey(chain, number, nonce, now) {
  if (number < chain.next) {
    const at = chain.skipped.findIndex(([one]) => one === number)
    if (at < 0) usedAlready(chain, number, nonce)
    return chain.skipped.splice(at, 1)[0][1]
  }
  if (chain.end !== null && number >= chain.end) throw new Refusal('CopiedState', 'a number beyond the announced end')
  if (number - chain.next > MAX_JUMP) throw new Refusal('TooFarAhead', 'too many numbers are missing')
  let key = null
  while (chain.next <= number) {
    const step = chainStep(chain.chainKey)
    if (chain.next === number) key = step.messageKey
    else chain.skipped.push([chain.next, step.messageKey, now])
    chain.chainKey = step.next
    chain.next += 1
  }
  if (chain.next === chain.end) chain.chainKey = null
  return key
}

// Limits of what is kept: the oldest chains lose first, and within a chain the lowest numbers.
function forget(state, now) {
  for (const chain of state.receiving) chain.skipped = chain.skipped.filter(([, , at]) => now - at < LIFETIME_MS)
  state.receiving = state.receiving.filter((chain) => chain.closedAt === null || now - chain.closedAt < LIFETIME_MS)
  for (const kept of ['skipped', 'used']) {
    let over = state.receiving.reduce((sum, chain) => sum + chain[kept].length, 0) - MAX_KEPT
    for (const chain of state.receiving) {
      if (over <= 0) break
      chain[kept].sort((a, b) => a[0] - b[0])
      over -= chain[kept].splice(0, over).length
    }
  }
}

// Open an envelope that `recognise` knows; a refusal leaves the old state as it was.
export function decrypt(old, envelope, { now, inSetup = false, known = recognise(old, envelope) }) {
  if (!inSetup && !isBucket(envelope.length)) throw new Refusal('InvalidEncoding', 'no bucket size')
  if (!known) throw new Refusal('Undecryptable', 'no header key opens it')
  const header = parseHeader(known.header)
  const state = copyOf(old)
  const nonce = envelope.slice(2, 14)
  const bodyAt = 78 + blockLength(header.flags)
  if (envelope.length < bodyAt + 20) throw new Refusal('InvalidEncoding', 'the block goes beyond the end')
  const opened = known.at === null
  const chain = opened ? openReceiving(state, header, nonce, envelope.subarray(78, bodyAt), now) : state.receiving[known.at]
  if (!equal(chain.ratchetPublic, header.ratchetPublic)) throw new Refusal('CopiedState', 'two ratchet keys under one header key')
  const ephemeral = Boolean(header.flags & EPHEMERAL)
  let body
  if (ephemeral) {
    if (header.number <= chain.ephemeralHighest) throw new Refusal('Replayed', 'an ephemeral counter that does not rise')
    chain.ephemeralHighest = header.number
    body = { key: chain.ephemeralKey, nonce }
  } else {
    body = bodyKey(takeMessageKey(chain, header.number, nonce, now))
    chain.used.push([header.number, nonce.slice(0, 8)])
  }
  const padded = primitives.open(body.key, body.nonce, envelope.subarray(bodyAt), associatedData(state, false, envelope.subarray(0, bodyAt)))
  if (inSetup && padded.length !== 4 + new Reader(padded).u32()) throw new Refusal('InvalidEncoding', 'padding inside a set-up envelope')
  const content = unpad(padded)
  forget(state, now)
  return { state, content, ephemeral, openedChain: opened, kemStep: opened && Boolean(header.flags & CIPHERTEXT) }
}

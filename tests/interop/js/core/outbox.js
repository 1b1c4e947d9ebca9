// The way out: drafts become envelopes in one transaction, and envelopes go to the relay until it has them (Sending).
import { base32, base64url, equal, hex, unbase64url, zeros } from './bytes.js'
import { ACTS, conversationOf, encodeContent, isShown, referenceOf, TYPE } from './contents.js'
import { chainOf, isForked, isOwn, listOf, peerKey, peerOf, reachOf } from './directory.js'
import { isPassing, Refusal, RelayRefusal } from './errors.js'
import { checkBundle } from './prekeys.js'
import { sha256 } from './primitives.js'
import { keepSent } from './resends.js'
import { beginSession, encryptFor, hasSession, seenOf } from './sessions.js'
import { numbered } from './store.js'
import { transcript } from './transcripts.js'
import { findWork } from './work.js'

const TTL_SECONDS = 2_592_000
const SAME_BYTES_MS = 7 * 86_400_000
const OUTCOME = { stored: 1, mailboxFull: 2, unknownDevice: 3, notAllowed: 4, conflict: 5, relayed: 6, budgetSpent: 7, workRequired: 8 }
const CODES = { 4: 'not_allowed', 5: 'conflict', 8: 'work_required' }
const COPIED = [TYPE.text, TYPE.file, ...ACTS]
const AGAIN = [OUTCOME.mailboxFull, OUTCOME.budgetSpent]
const LATER_MS = 5 * 60_000 // after a full mailbox or a spent budget
const SUBMITS = 'submits'
const FIRST_PAUSE_MS = 5_000 // of a draft that cannot go, then twice the one before
const LONGEST_PAUSE_MS = 60 * 60_000

// A draft is { account, type, body, messageId, sentAt } and perhaps: `message`, the number under which its user sees it; `tag`,
// what waits for it; `only`, the one device that gets it; `content` and `done`, when it was encrypted for some devices already; `group`, `upload`.
export function addDraft(tx, draft) {
  const number = tx.next('draft')
  tx.set(numbered('draft', number), { done: [], ...draft, number })
}

// The bytes of a content, counted in its conversation.
export function countedContent(tx, conversation, { type, body, messageId, sentAt, message = null, introduction = null }) {
  const key = `out/${hex(conversation)}`
  const { counter, hash } = tx.get(key) ?? { counter: 0, hash: null }
  const content = encodeContent({ type, conversation, messageId, counter: counter + 1, previous: hash, sentAt, introduction, body })
  tx.set(key, { counter: counter + 1, hash: sha256(content) })
  if (message) noteReference(tx, message, conversation, content)
  return content
}

// By which acts of others name an own message.
function noteReference(tx, number, conversation, content) {
  const { account, device } = tx.get('own')
  const message = tx.get(numbered('message', number))
  const { messageId } = message
  const reference = referenceOf({ conversation, account, device, messageId, hash: sha256(content) })
  tx.set(numbered('message', number), { ...message, reference })
  tx.set(`have/${hex(account)}/${hex(messageId)}`, { number })
}

export class Outbox {
  constructor({ store, http, directory, random, now, tell }) {
    Object.assign(this, { store, http, directory, random, now, tell, busy: false, groups: null, uploads: null, again: null, rests: new Map() })
  }

  // Take every draft and envelope as far as it goes now; `connection` submits.
  async pump(connection) {
    this.again = connection
    if (this.busy) return
    this.busy = true
    try {
      while (this.again) {
        const current = this.again
        this.again = null
        if (await this.#drafts()) this.again = current
        await this.#envelopes(current)
      }
    } finally {
      this.busy = false
    }
  }

  // Whether something became of some draft.
  async #drafts() {
    let moved = false
    const stopped = new Set() // accounts and groups whose earlier draft has to wait
    for (const draft of this.store.all('draft/')) {
      const whose = hex(draft.group ?? draft.account)
      if (stopped.has(whose) || draft.notBefore > this.now() || this.#rests(whose)) {
        stopped.add(whose)
        continue
      }
      try {
        if (draft.upload) await this.uploads.finish(draft)
        const before = this.store.get('next/draft')
        const done = draft.group ? await this.groups.encryptDraft(draft) : await this.#encryptDraft(draft.number)
        if (!done) stopped.add(whose)
        moved ||= done || this.store.get('next/draft') > before // hand-outs of a chain were drafted
      } catch (error) {
        stopped.add(whose)
        if (isPassing(error)) this.#rest(whose, error)
        else await this.#putOff(draft)
        this.tell({ event: 'waiting', why: error.code ?? error.kind ?? String(error), to: whose })
        if (!(error instanceof RelayRefusal || error.name === 'Refusal' || error.name === 'TypeError')) throw error
      }
    }
    return moved
  }

  // The relay says when it has time again: until then it is not asked. This is no failure of the draft, and is not kept.
  #rest(whose, { retryAfterMs }) {
    if (retryAfterMs) this.rests.set(whose, this.now() + retryAfterMs)
  }

  #rests(whose) {
    return (this.rests.get(whose) ?? 0) > this.now()
  }

  #putOff({ number }) {
    return this.store.change((tx) => {
      const draft = tx.get(numbered('draft', number))
      if (!draft) return
      const tried = (draft.tried ?? 0) + 1
      const notBefore = this.now() + Math.min(FIRST_PAUSE_MS * 2 ** (tried - 1), LONGEST_PAUSE_MS)
      tx.set(numbered('draft', number), { ...draft, tried, notBefore })
    })
  }

  async #encryptDraft(number) {
    try {
      return await this.#encryptOnce(number)
    } catch (error) {
      const { account } = this.store.get(numbered('draft', number))
      const { token } = reachOf(this.store, account)
      if (error.code !== 'not_allowed' || !token || !(await this.directory.otherToken(account, token))) throw error
      return this.#encryptDraft(number)
    }
  }

  async #encryptOnce(number) {
    const { account, done, only } = this.store.get(numbered('draft', number))
    if (isForked(this.store, account)) throw new Refusal('ManifestFork', 'nothing is sent to an account with two lists')
    let peer = reachOf(this.store, account)
    if (!peer.chain.length) await this.directory.fetch(account, peer.token)
    peer = reachOf(this.store, account)
    const self = this.store.get('own').device
    const devices = chainOf(peer.chain).at(-1).devices.filter(({ id }) => !done.some((one) => equal(one, id)) && (!only || equal(only, id)) && !(peer.isSelf && equal(id, self)))
    const bundles = await this.#bundles(account, peer, devices.filter((device) => !hasSession(this.store, account, device.id, this.now())))
    const envelopeId = this.random(16)
    const work = await this.#work(peer, envelopeId)
    const reachable = (tx, device) => bundles.has(hex(device.id)) || hasSession(tx, account, device.id, this.now())
    if (devices.length && !devices.some((device) => reachable(this.store, device))) throw new RelayRefusal('no_device', 0)
    await this.store.change((tx) => {
      const draft = tx.get(numbered('draft', number))
      if (!devices.length && peer.isSelf) { // there is nobody to tell, and no number is used up
        tx.delete(numbered('draft', number))
        noteSent(tx, draft)
        return
      }
      const content = draft.content ?? this.#contentOf(tx, draft)
      if (!draft.content) draftCopy(tx, account, draft.type, content, '', this)
      const targets = []
      for (const device of devices.filter((one) => reachable(tx, one))) {
        const bundle = bundles.get(hex(device.id))
        const options = { random: this.random, now: this.now() }
        if (bundle) beginSession(tx, { account, device: device.id, bundle, fetchedAt: this.now(), ...options })
        targets.push({ device: device.id, ciphertext: encryptFor(tx, account, device.id, content, options) })
      }
      tx.delete(numbered('draft', number))
      if (!only) keepSent(tx, content, targets.map(({ device }) => device), this.now())
      if (targets.length) addEnvelope(tx, { envelopeId, work, content, targets, draft, grants: [grantOf(peer)], at: this.now() })
      else noteSent(tx, draft)
    })
    return true
  }

  #contentOf(tx, draft) {
    const own = tx.get('own')
    if (isOwn(tx, draft.account)) return countedContent(tx, conversationOf(own.account, own.account), draft)
    const peer = peerOf(tx, draft.account)
    const introduces = (peer.introduce || peer.isCutOff) && !own.isFirstToken && (isShown(draft.type) || ACTS.includes(draft.type))
    const introduction = introduces ? { token: own.contactToken, handle: own.handle ?? '' } : null
    if (isShown(draft.type)) peer.accepted = true
    if (introduces) peer.introducedAt = this.now()
    peer.unanswered = 0
    tx.set(peerKey(draft.account), peer)
    return countedContent(tx, conversationOf(own.account, draft.account), { ...draft, introduction })
  }

  async #bundles(account, peer, devices) {
    const bundles = new Map()
    if (!devices.length) return bundles
    const json = { token: base64url(peer.token), devices: devices.map((device) => base64url(device.id)) }
    const answer = await this.http.json('POST', `/v1/accounts/${base32(account)}/bundles`, { json, signed: true })
    for (const given of answer.bundles) {
      const device = devices.find((one) => equal(one.id, unbase64url(given.device_id)))
      const keys = [given.signed_prekey, given.kem_prekey, given.one_time_prekey, given.sealing_key].filter(Boolean).map(unbase64url)
      try {
        if (device) bundles.set(hex(device.id), checkBundle(keys, { account, device, now: this.now(), seen: seenOf(this.store, account, device.id) }))
      } catch (error) {
        this.tell({ event: 'bundle refused', why: error.kind, device: hex(device.id) })
      }
    }
    return bundles
  }

  async #work(peer, envelopeId) {
    if (peer.tokenClass !== 'public') return []
    const { limits } = await this.http.document(this.store.get('own').relayKey)
    const about = (work) => transcript('work', envelopeId, peer.account, sha256(peer.token), work)
    return limits.public_work_bits ? [findWork(about, limits.public_work_bits)] : []
  }

  async #envelopes(connection) {
    const held = new Set() // accounts whose mailbox takes nothing now
    if (this.#rests(SUBMITS)) return
    for (const key of this.store.keys('outbox/')) {
      const envelope = this.store.get(key)
      const whose = envelope.group ? null : hex(envelope.grants[0].account)
      if (whose && isForked(this.store, envelope.grants[0].account)) held.add(whose)
      if (held.has(whose) || envelope.notBefore > this.now()) {
        if (whose) held.add(whose)
        continue
      }
      if (this.now() - envelope.at > SAME_BYTES_MS) {
        await this.#anew(key, envelope)
        continue
      }
      let answer
      let renewed
      try {
        answer = await connection.submit(envelope)
        renewed = answer.outcomes.includes(OUTCOME.notAllowed) && !envelope.group && (await this.#withOtherToken(envelope))
      } catch (error) {
        this.#rest(SUBMITS, error)
        this.tell({ event: 'not submitted', why: error.code ?? String(error) })
        return
      }
      if (whose && answer.outcomes.some((outcome) => AGAIN.includes(outcome))) held.add(whose)
      if (renewed) {
        await this.store.change((tx) => tx.set(key, renewed))
        this.again ??= connection
        return
      }
      await this.#answered(key, envelope, answer, connection)
    }
  }

  // The same bytes under the same id, with another token of the account, if there is one.
  async #withOtherToken(envelope) {
    const [{ account, token }] = envelope.grants
    if (!token.length || !(await this.directory.otherToken(account, token))) return null
    const peer = reachOf(this.store, account)
    this.tell({ event: 'another token', account, token_class: peer.tokenClass })
    return { ...envelope, grants: [grantOf(peer)], work: await this.#work(peer, envelope.envelopeId) }
  }

  // After 7 days the same content goes out encrypted anew.
  #anew(key, { draft, content, group }) {
    return this.store.change((tx) => {
      tx.delete(key)
      addDraft(tx, group ? draft : { ...draft, content })
    })
  }

  // What the relay's answer means, for each target.
  async #answered(key, envelope, { outcomes, behind = [] }, connection) {
    const targets = envelope.targets.map((target, i) => ({ ...target, outcome: outcomes[i] }))
    const good = targets.filter(({ outcome }) => outcome === OUTCOME.stored || outcome === OUTCOME.relayed)
    const later = targets.filter(({ outcome }) => AGAIN.includes(outcome))
    const stale = targets.filter(({ outcome }) => outcome === OUTCOME.unknownDevice)
    const refused = targets.filter(({ outcome }) => [OUTCOME.notAllowed, OUTCOME.conflict, OUTCOME.workRequired].includes(outcome))
    const accounts = [...behind.map(([account]) => account), ...stale.map((target) => envelope.grants[target.grant].account)]
    await this.store.change((tx) => {
      if (later.length) {
        tx.set(key, { ...envelope, targets: later.map(({ outcome, ...target }) => target), notBefore: this.now() + LATER_MS })
        return
      }
      tx.delete(key)
      if (envelope.group) for (const account of accounts) tx.set(`stale/${hex(account)}`, true)
      else if (accounts.length) addDraft(tx, { ...envelope.draft, content: envelope.content, done: [...envelope.draft.done, ...good.map(({ device }) => device)] })
      if (refused.length && !good.length) {
        if (envelope.draft.message) noteState(tx, envelope.draft.message, 'refused')
        const { account, type } = envelope.draft
        if (!envelope.group) draftCopy(tx, account, type, envelope.content, CODES[refused[0].outcome], this)
        tx.after.push(() => this.tell({ event: 'refused', outcomes }))
      } else if (!accounts.length || envelope.group) noteSent(tx, envelope.draft)
      const sent = { event: 'accepted', message: envelope.draft.message ?? null, tag: envelope.draft.tag ?? null }
      tx.after.push(() => this.tell(sent))
    })
    if (!accounts.length) return
    try {
      for (const account of new Map(accounts.map((one) => [hex(one), one])).values()) {
        const { token } = reachOf(this.store, account)
        if (token) await this.directory.fetch(account, token)
      }
      this.again ??= connection
    } catch (error) {
      if (!(error instanceof RelayRefusal || error.name === 'Refusal' || error.name === 'TypeError')) throw error
      this.tell({ event: 'waiting', why: error.code ?? error.kind ?? String(error), to: hex(accounts[0]) }) // tried again with the draft
    }
  }
}

// What goes to another account goes to the own other devices as well, as it was encrypted; `refusal`: the relay would not have it.
function draftCopy(tx, to, type, content, refusal, { random, now }) {
  const { account } = tx.get('own')
  if (equal(to, account) || !COPIED.includes(type) || listOf(tx, account).at(-1).devices.length < 2) return
  addDraft(tx, { account, type: TYPE.copy, body: [to, content, refusal], messageId: random(16), sentAt: now() })
}

export const grantOf = (peer) => ({ account: peer.account, token: peer.token ?? zeros(0), version: chainOf(peer.chain).at(-1)?.version ?? 0 })

export function addEnvelope(tx, { envelopeId, work = [], content, targets, draft, grants, at, ciphertexts = null, group = null }) {
  const listed = targets.map(({ device, grant = 0 }, i) => ({ device, ciphertext: ciphertexts ? 0 : i, grant }))
  const bytes = ciphertexts ?? targets.map(({ ciphertext }) => ciphertext)
  const envelope = { envelopeId, class: 1, ttl: TTL_SECONDS, ciphertexts: bytes, targets: listed, grants, work, content, draft, group, at }
  tx.set(numbered('outbox', tx.next('outbox')), envelope)
}

export function noteState(tx, number, state) {
  const key = numbered('message', number)
  const message = tx.get(key)
  if (message) tx.set(key, { ...message, state })
}
export const noteSent = (tx, { message }) => message && noteState(tx, message, 'sent')

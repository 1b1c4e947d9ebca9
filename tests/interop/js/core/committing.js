// Groups as one who may commit: making one, letting in, taking out, granting requests (Committing, Joining). What is to be changed is
// `wanted`; of that one `commit` at a time is under way. Each step is kept before the next, and may be done twice.
import { base32, base64url, concat, equal, hex, u16, u32, u64, u8, utf8, zeros } from './bytes.js'
import { putToken } from './account.js'
import { apply, encodeCommit, kindFor, KIND, parseRequest } from './commits.js'
import { TYPE } from './contents.js'
import { learnToken, listOf, peerKey, peerOf } from './directory.js'
import { commitmentOf, encodeEpochHandOut } from './epochs.js'
import { isPassing, Refusal } from './errors.js'
import { learnSecret, saveGroup } from './group_log.js'
import { sealEntry } from './group_messages.js'
import { enter, keysOf, loadGroup, newGroup, presentSecret, setToken, tokenOf, wayKey } from './group_record.js'
import * as states from './group_state.js'
import { deviceIn } from './manifests.js'
import { addDraft } from './outbox.js'
import { sha256, sign, signingPublic, verify } from './primitives.js'
import { transcript } from './transcripts.js'

const { RIGHT, ROLE } = states
const ALL_RIGHTS = 511
const MEMBERS_RIGHTS = 3
const WAY_MS = 30 * 86_400_000 // how long an invitation lets somebody in
const LOOK_MS = 50
const MOST_STATE = 190_000 // of what a welcome can hold; this client makes no blob of it

const added = ({ account, version, role, wants, given }) => concat(u8(1), account, u64(version), u8(role), u32(wants), u32(given))
const CHANGES = {
  add: ({ account, version, wants }) => added({ account, version, role: ROLE.member, wants, given: MEMBERS_RIGHTS }),
  remove: ({ account }) => concat(u8(2), account),
  grant: ({ request }) => concat(u8(9), request),
}
const appended = ({ groupId, index, entry, writeKey, tokenHash }) => transcript('log append', groupId, u64(index), sha256(entry), writeKey ?? zeros(0), tokenHash ?? zeros(0))

// A commit on `state` (null: on none), signed and sealed for the log, and the cut that it makes, if it is one. `key` seals it; the first one is
// sealed under the epoch that it begins.
export function signCommit(state, { own, groupId, version, changes, now, kind, secret, nonce, index, key }, manifestOf) {
  const commitment = kind === KIND.cut ? commitmentOf(groupId, secret) : null
  const body = encodeCommit({ kind, groupId, previous: state && states.hashOfState(state), account: own.account, device: own.device, version, time: now, commitment, changes })
  const signature = sign(own.signingSeed, body)
  const next = apply(state, body, signature, manifestOf)
  const cut = kind === KIND.cut ? { epoch: next.epoch, step: 0, cutHash: states.cutHashOf(next), secret } : null
  const entry = sealEntry(concat(signature, body), { key: key ?? keysOf(groupId, cut).entry, groupId, index, nonce: nonce() })
  return { body, signature, entry, next, cut }
}

export class Committing {
  constructor(parts) {
    Object.assign(this, parts, { turns: new Map(), waiting: [] })
  }

  // --- What users and members want

  // A group of this account alone.
  async create(name) {
    const own = this.store.get('own')
    const [groupId, secret, writeSeed, ownToken] = [this.random(32), this.random(32), this.random(32), this.random(16)]
    const { version } = listOf(this.store, own.account).at(-1)
    const changes = [
      added({ account: own.account, version, role: ROLE.owner, wants: ALL_RIGHTS, given: ALL_RIGHTS }),
      concat(u8(7), states.encodeSetting({ name: 'name', value: utf8(name), critical: 0 })),
    ]
    const about = { own, groupId, version, changes, now: this.now(), kind: KIND.cut, secret, nonce: () => this.random(12), index: 0 }
    const { entry, next, cut } = signCommit(null, about, this.#manifests(this.store))
    const { readToken } = keysOf(groupId, cut)
    const group = newGroup(groupId, { inviter: own.account, secret: null, ownToken })
    enter(group, { handOut: { groupId, ...cut, writeSeed }, readToken, nextEntry: 1, stateBytes: states.encodeState(next) }, own.account)
    const body = { log_id: groupId, write_key: signingPublic(writeSeed), read_token_hash: sha256(readToken), entry }
    await this.store.change((tx) => saveGroup(tx, { ...group, status: 'making', making: body }))
    await this.go(groupId)
    if (loadGroup(this.store, groupId).status !== 'in') throw new Refusal('Refused', 'the relay did not take the group')
    return base32(groupId)
  }

  // A contact is invited: the secret that goes to it lets this one account in. Answers when the relay has it, or will not for now.
  async invite(groupId, account) {
    const tag = `invitation/${hex(this.random(12))}`
    await this.store.change((tx) => {
      const group = mine(tx, groupId, RIGHT.ADD)
      if (!peerOf(tx, account).accepted || states.memberOf(group.state, account)) throw new Refusal('Refused', 'no contact, or a member already')
      if (states.encodeState(group.state).length > MOST_STATE) throw new Refusal('TooLarge', 'this client lets nobody into a group of so many')
      const secret = this.random(16)
      tx.set(wayKey(secret), { groupId, account, until: this.now() + WAY_MS })
      this.#tell(tx, account, TYPE.groupInvitation, [groupId, secret, group.name], tag)
    })
    this.wake()
    while (this.#isUnderWay(tag)) await this.sleep(LOOK_MS)
  }

  // Answers when the log has it.
  async remove(groupId, account) {
    await this.store.change((tx) => want(tx, mine(tx, groupId, RIGHT.REMOVE), { kind: 'remove', account }))
    const done = new Promise((resolve, reject) => this.waiting.push({ groupId, account, resolve, reject }))
    this.go(groupId)
    await done
  }

  // Content 21: somebody asks to be let in, by what was given to it.
  asked(tx, account, [groupId, secret, token, version, wants]) {
    const way = tx.get(wayKey(secret))
    const group = loadGroup(tx, groupId)
    if (!way || !group?.state || !equal(way.groupId, groupId) || !equal(way.account, account) || way.until < this.now()) return
    tx.delete(wayKey(secret))
    setToken(group, account, token)
    const peer = peerOf(tx, account)
    learnToken(peer, token, 'group')
    tx.set(peerKey(account), peer)
    want(tx, group, { kind: 'add', account, version, wants })
    tx.after.push(() => this.go(groupId))
  }

  // Content 25: a member asks for what is its own. Who has its list verifies it.
  requested(tx, account, [request]) {
    const { groupId, account: whose, device } = parseRequest(request.slice(64))
    const group = loadGroup(tx, groupId)
    const listed = listOf(tx, account).length && deviceIn(listOf(tx, account).at(-1), device)
    if (!equal(whose, account) || !listed || group?.status !== 'in' || !states.mayCommit(states.memberOf(group.state, tx.get('own').account))) return
    verify(listed.signing, request.slice(64), request.slice(0, 64))
    want(tx, group, { kind: 'grant', account, request })
    tx.after.push(() => this.go(groupId))
  }

  // --- Step by step

  get isBusy() {
    return this.store.all('group/').some(({ wanted, making }) => wanted?.length || making)
  }

  goAll() {
    return Promise.all(this.store.all('group/').filter(({ wanted, making }) => wanted?.length || making).map(({ groupId }) => this.go(groupId)))
  }

  // As far as it goes now; one at a time for each group.
  go(groupId) {
    const name = hex(groupId)
    const run = (this.turns.get(name) ?? Promise.resolve()).then(() => this.#go(groupId)).catch((error) => {
      if (!isPassing(error) && error.name !== 'RelayRefusal' && error.name !== 'Refusal') throw error
      this.tell({ event: 'waiting', why: error.code ?? error.kind ?? String(error), to: name })
    })
    this.turns.set(name, run)
    return run
  }

  async #go(groupId) {
    let hasMoved = false
    for (let isMoving = true; isMoving; ) {
      const { making, wanted } = loadGroup(this.store, groupId)
      if (making) await this.#make(groupId, making)
      else if (!wanted?.length || !(await this.log.read(groupId))) isMoving = false
      else isMoving = await this.#step(groupId)
      hasMoved ||= isMoving
      this.#answer(groupId)
    }
    if (hasMoved) this.wake()
  }

  // The same body again gets the same answer, so this may be asked twice.
  async #make(groupId, making) {
    const { ownToken } = loadGroup(this.store, groupId)
    await putToken(this.http, ownToken, 'group')
    const json = Object.fromEntries(Object.entries(making).map(([name, value]) => [name, base64url(value)]))
    await this.http.json('POST', '/v1/group-logs', { json, signed: true })
    await this.store.change((tx) => saveGroup(tx, { ...loadGroup(tx, groupId), status: 'in', making: null }))
  }

  // → whether something moved.
  async #step(groupId) {
    const { commit, nextEntry } = loadGroup(this.store, groupId)
    if (!commit) return this.store.change((tx) => this.#prepare(tx, groupId))
    if (commit.isThere) return this.store.change((tx) => this.#finish(tx, groupId))
    if (nextEntry > commit.index) return this.store.change((tx) => saveGroup(tx, { ...loadGroup(tx, groupId), commit: null }) ?? true) // another was first
    if (this.#isUnderWay(commit.tag) || (commit.cut && this.#isSpeaking(groupId))) return false
    await this.#append(groupId, commit)
    return true
  }

  // The first of what is wanted and still makes sense, signed; of a cut, its secret on the way to those who may commit.
  #prepare(tx, groupId) {
    const group = loadGroup(tx, groupId)
    const own = tx.get('own')
    const secret = presentSecret(group)
    if (!secret?.writeSeed) return false
    const [first, ...others] = group.wanted
    const manifestOf = this.#manifests(tx)
    try {
      const about = first.kind === 'add' ? { ...first, version: Math.max(listOf(tx, first.account).at(-1).version, 1) } : first
      const changes = [CHANGES[first.kind](about)]
      if (states.isBroadcast(group.state)) throw new Refusal('CommitRefused', 'this client commits in no broadcast group')
      const kind = kindFor(group.state, { account: own.account, changes }, manifestOf)
      const given = { own, groupId, version: states.memberOf(group.state, own.account).version, changes, now: this.now(), kind, secret: this.random(32) }
      const made = signCommit(group.state, { ...given, nonce: () => this.random(12), index: group.nextEntry, key: keysOf(groupId, secret).entry }, manifestOf)
      const cut = made.cut && { ...made.cut, writeSeed: this.random(32) }
      const tag = `commit/${hex(sha256(made.entry))}`
      group.commit = { index: group.nextEntry, want: first, entry: made.entry, cut, writeSeed: secret.writeSeed, tag, isThere: false }
      if (!cut) saveGroup(tx, group)
      else learnSecret(tx, group, cut)
      for (const member of cut ? this.#others(tx, made.next).filter(states.mayCommit) : []) this.#tellSecret(tx, group, member, cut, secret, tag)
    } catch (error) {
      if (error.name !== 'Refusal') throw error
      this.tell({ event: 'not committed', group: base32(groupId), why: error.message })
      saveGroup(tx, { ...loadGroup(tx, groupId), wanted: others })
    }
    return true
  }

  // Nobody waits for a device that takes nothing now.
  #isUnderWay(tag) {
    const isNow = ({ notBefore }) => !(notBefore > this.now())
    return this.store.all('draft/').some((draft) => draft.tag === tag && !draft.tried) || this.store.all('outbox/').some((envelope) => envelope.draft.tag === tag && isNow(envelope))
  }

  // What was sealed for who is in by now goes out before somebody is out.
  #isSpeaking(groupId) {
    return this.store.all('outbox/').some(({ group, notBefore }) => group && equal(group, groupId) && !(notBefore > this.now()))
  }

  async #append(groupId, { index, entry, cut, writeSeed }) {
    const next = cut && { writeKey: signingPublic(cut.writeSeed), tokenHash: sha256(keysOf(groupId, cut).readToken) }
    const signature = sign(writeSeed, appended({ groupId, index, entry, ...next }))
    const json = { index, entry: base64url(entry), signature: base64url(signature) }
    if (next) Object.assign(json, { next_write_key: base64url(next.writeKey), next_read_token_hash: base64url(next.tokenHash) })
    try {
      await this.http.json('POST', `/v1/group-logs/${base32(groupId)}/entries`, { json })
    } catch (error) {
      if (error.code !== 'conflict') throw error // else the log is read on, and what is still wanted is committed anew
    }
  }

  // It is in the log and was read there: who came in is welcomed, all others hear of it.
  #finish(tx, groupId) {
    const group = loadGroup(tx, groupId)
    const { want: done, cut, index, entry } = group.commit
    const secret = presentSecret(group)
    if (!secret) return false
    if (done.kind === 'add' && states.memberOf(group.state, done.account)) this.#welcome(tx, group, secret, done.account)
    if (cut) {
      const before = group.secrets.find(({ epoch }) => epoch < cut.epoch)
      for (const member of this.#others(tx, group.state)) {
        if (!states.mayCommit(member)) this.#tellSecret(tx, group, member, cut, before)
        else this.#tell(tx, member.account, TYPE.groupCommit, [groupId, index, zeros(0)])
      }
      if (!states.memberOf(group.state, done.account)) this.#tell(tx, done.account, TYPE.groupCommit, [groupId, index, entry]) // it can read the log no more
    } else this.#tellAll(tx, groupId, TYPE.groupCommit, [groupId, index, zeros(0)])
    if (done.kind === 'add') this.#tellAll(tx, groupId, TYPE.groupTokens, [groupId, [[done.account, tokenOf(group, done.account)]]])
    saveGroup(tx, { ...group, commit: null, wanted: group.wanted.slice(1) })
    return true
  }

  #welcome(tx, group, secret, account) {
    const { groupId, readToken, nextEntry, state, tokens, ownToken } = group
    const handOut = handOutFor(groupId, secret, states.memberOf(state, account))
    this.#tell(tx, account, TYPE.groupWelcome, [handOut, readToken, nextEntry, states.encodeState(state), null])
    const known = tokens.filter((one) => !equal(one.account, account) && states.memberOf(state, one.account)).map((one) => [one.account, one.token])
    this.#tell(tx, account, TYPE.groupTokens, [groupId, [[tx.get('own').account, ownToken], ...known]])
  }

  // With the secret before, which a member that was in by then may lack.
  #tellSecret(tx, { groupId }, member, cut, before, tag = null) {
    const told = before && member.since <= before.epoch ? [before, cut] : [cut]
    this.#tell(tx, member.account, TYPE.groupSecrets, [told.map((one) => handOutFor(groupId, one, member))], tag)
  }

  #tell(tx, account, type, body, tag = null) {
    addDraft(tx, { account, type, body, tag, messageId: this.random(16), sentAt: this.now() })
  }

  #tellAll(tx, group, type, body) {
    addDraft(tx, { account: null, group, type, body, messageId: this.random(16), sentAt: this.now() })
  }

  #others = (tx, state) => state.members.filter((one) => states.has(one, RIGHT.HEAR) && !equal(one.account, tx.get('own').account))

  #manifests = (tx) => (account, version) => {
    const found = listOf(tx, account).find((one) => one.version === version)
    if (!found) throw new Refusal('CommitRefused', 'a manifest that is not here')
    return found
  }

  // Who waits for a removal hears of it, or that it cannot be.
  #answer(groupId) {
    const { state, wanted, commit } = loadGroup(this.store, groupId)
    for (const one of this.waiting.filter((each) => equal(each.groupId, groupId))) {
      const isOut = !states.memberOf(state, one.account)
      if (!isOut && (commit || wanted?.some(({ account }) => equal(account, one.account)))) continue
      this.waiting = this.waiting.filter((each) => each !== one)
      if (isOut) one.resolve()
      else one.reject(new Refusal('CommitRefused', 'this account may not take it out'))
    }
  }
}

const handOutFor = (groupId, { epoch, step, cutHash, secret, writeSeed }, member) =>
  encodeEpochHandOut({ groupId, epoch, step, cutHash, secret, writeSeed: (states.mayCommit(member) && writeSeed) || zeros(32) })

function mine(tx, groupId, right) {
  const group = loadGroup(tx, groupId)
  if (group.status !== 'in' || !states.has(states.memberOf(group.state, tx.get('own').account), right)) throw new Refusal('Refused', 'without the right to do this')
  return group
}

function want(tx, group, wanted) {
  saveGroup(tx, { ...group, wanted: [...(group.wanted ?? []), wanted] })
}

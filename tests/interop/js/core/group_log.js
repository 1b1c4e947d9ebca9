// Following a group: its log is read to the end, entry by entry, as far as secrets and manifests go (The log).
import { base32, equal, hex, unbase64url } from './bytes.js'
import { apply, parseCommit } from './commits.js'
import { listOf, peerOf } from './directory.js'
import { commitmentOf, nextStep } from './epochs.js'
import { RelayRefusal, Refusal } from './errors.js'
import { openEntry } from './group_messages.js'
import { addSecret, closeWays, groupKey, keysOf, loadGroup, presentSecret, tokenOf } from './group_record.js'
import * as states from './group_state.js'

export function saveGroup(tx, group) {
  tx.set(groupKey(group.groupId), { ...group, state: group.state && states.encodeState(group.state) })
}

// The manifest of one version that a rule asks for; one that is not known is fetched first.
class ManifestNeeded extends Error {
  constructor(account, version) {
    super('a manifest has to be fetched')
    Object.assign(this, { name: 'ManifestNeeded', account, version })
  }
}

export class GroupLog {
  constructor({ store, http, directory, now, tell }) {
    Object.assign(this, { store, http, directory, now, tell, reading: new Map() })
  }

  // Read a group's log to its end → whether the relay let us. One reading at a time.
  read(groupId) {
    const name = hex(groupId)
    const before = this.reading.get(name) ?? Promise.resolve()
    const run = before.catch(() => {}).then(() => this.#read(groupId))
    this.reading.set(name, run)
    return run
  }

  // An entry that a member told of: judged like any, if it is the next one.
  async take(groupId, { index, entry }) {
    if (loadGroup(this.store, groupId)?.nextEntry === index) await this.#entry(groupId, index, entry)
  }

  async #read(groupId) {
    for (;;) {
      const group = loadGroup(this.store, groupId)
      if (!group || group.status !== 'in') return false
      const answer = await this.#fetch(group)
      if (!answer) return false
      if (answer.first_index > group.nextEntry) throw new Refusal('GroupRefused', 'the log has the next entry no more')
      for (const { index, entry } of answer.entries) {
        if (!(await this.#entry(groupId, index, unbase64url(entry)))) return false
      }
      if ((loadGroup(this.store, groupId)?.nextEntry ?? 0) >= answer.next_index) return true
      if (!answer.entries.length) return true
    }
  }

  // By the newest token that the relay takes: those of secrets whose cut was not read yet come first.
  async #fetch(group) {
    const waiting = [...group.waiting].sort((a, b) => b.epoch - a.epoch).map((one) => keysOf(group.groupId, one).readToken)
    for (const token of [...waiting, group.readToken]) {
      try {
        return await this.http.json('GET', `/v1/group-logs/${base32(group.groupId)}?from=${group.nextEntry}`, { logToken: token })
      } catch (error) {
        if (!(error instanceof RelayRefusal) || error.code !== 'not_allowed') throw error
      }
    }
    this.tell({ event: 'group log shut', group: base32(group.groupId) })
    return null
  }

  // One entry: applied, or skipped by everybody → whether reading can go on.
  async #entry(groupId, index, entry) {
    const asked = new Set()
    for (;;) {
      try {
        return await this.store.change((tx) => this.#take(tx, groupId, index, entry, asked))
      } catch (error) {
        if (error.name !== 'ManifestNeeded') throw error
        const name = `${hex(error.account)} ${error.version}`
        if (asked.has(name)) throw error
        asked.add(name)
        const group = loadGroup(this.store, groupId)
        const token = tokenOf(group, error.account) ?? peerOf(this.store, error.account).token
        if (token) await this.directory.fetch(error.account, token)
      }
    }
  }

  #take(tx, groupId, index, entry, asked) {
    const manifestOf = (account, version) => {
      const found = listOf(tx, account).find((one) => one.version === version)
      if (found) return found
      if (!asked.has(`${hex(account)} ${version}`)) throw new ManifestNeeded(account, version)
      throw new Refusal('CommitRefused', 'a manifest that does not exist')
    }
    return takeEntry(tx, groupId, index, entry, manifestOf, this.tell)
  }
}

// One entry, in a transaction → whether reading can go on.
export function takeEntry(tx, groupId, index, entry, manifestOf, tell) {
  const group = loadGroup(tx, groupId)
  if (index < group.nextEntry) return true
  const secret = presentSecret(group)
  if (!secret) return false
  try {
    const { body, signature } = openEntry(entry, { key: keysOf(groupId, secret).entry, groupId, index })
    const before = group.state
    group.state = apply(before, body, signature, manifestOf)
    follow(tx, group, before, secret, parseCommit(body), tell)
    if (group.commit && equal(group.commit.entry, entry)) group.commit.isThere = true
  } catch (error) {
    if (error.name !== 'Refusal') throw error
    if (error.kind === 'TooOld') throw error
    tx.after.push(() => tell({ event: 'entry skipped', index, why: error.message }))
  }
  group.nextEntry = index + 1
  saveGroup(tx, group)
  return true
}

// What a new state means for keys, tokens and the own place.
function follow(tx, group, before, secret, commit, tell) {
  const { state, groupId } = group
  const own = tx.get('own')
  if (state.step > before.step && state.epoch === before.epoch) {
    addSecret(group, { ...secret, step: state.step, secret: nextStep({ groupId, ...secret }, states.hashOfState(state)) })
  }
  if (state.epoch > before.epoch) {
    takeWaiting(group)
    group.own = null
  }
  group.name = new TextDecoder().decode(states.settingOf(state, 'name') ?? new Uint8Array(0))
  if (!states.memberOf(state, own.account)) group.status = 'out'
  for (const { account } of before.members) if (!states.memberOf(state, account)) closeWays(tx, groupId, account)
  const told = { event: 'group changed', group: base32(groupId), by: base32(commit.account), members: state.members.length, status: group.status }
  tx.after.push(() => tell(told))
}

// The secret of a cut, whether that was read or not.
export function learnSecret(tx, group, secret) {
  group.waiting = [...group.waiting, secret].slice(-64)
  takeWaiting(group)
  saveGroup(tx, group)
}

// A secret that was told before its cut was read: it counts if it opens the commitment.
function takeWaiting(group) {
  const { state, groupId } = group
  for (const one of group.waiting) {
    if (one.epoch !== state.epoch || !equal(commitmentOf(groupId, one.secret), state.commitment)) continue
    const secret = { epoch: one.epoch, step: 0, cutHash: states.cutHashOf(state), secret: one.secret, writeSeed: one.writeSeed ?? null }
    addSecret(group, secret)
    group.readToken = keysOf(groupId, secret).readToken
  }
  group.waiting = group.waiting.filter((one) => one.epoch > state.epoch)
}

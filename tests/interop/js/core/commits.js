// From one state of a group to the next: commits, and the rules by which all members come to one answer (Commits, Rules).
import { concat, equal, Reader, u64, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import * as states from './group_state.js'
import { RIGHT, ROLE } from './group_state.js'
import { deviceIn } from './manifests.js'
import { verify } from './primitives.js'
import { fieldsOf, transcript } from './transcripts.js'

export const KIND = { plain: 0, cut: 1, step: 2 }
const MAX_CHANGES = 3000
const refuse = (why) => {
  throw new Refusal('CommitRefused', why)
}
const tooNew = (why) => {
  throw new Refusal('TooOld', why)
}

export const encodeCommit = ({ kind, groupId, previous, account, device, version, time, commitment, changes }) =>
  transcript('group commit', concat(u8(1), u8(kind)), groupId, previous ?? zeros(0), account, device, u64(version), u64(time), commitment ?? zeros(0), ...changes)

export function parseCommit(body) {
  const fields = fieldsOf('group commit', body)
  if (fields.length < 8 || fields[0].length !== 2) throw new Refusal('InvalidEncoding', 'no commit')
  const [start, groupId, previous, account, device, version, time, commitment, ...changes] = fields
  return {
    ...{ format: start[0], kind: start[1], groupId, previous: previous.length ? previous : null, account, device },
    ...{ version: new Reader(version).u64(), time: new Reader(time).u64(), commitment: commitment.length ? commitment : null, changes },
  }
}

export function parseRequest(bytes) {
  const fields = fieldsOf('group request', bytes)
  if (fields.length !== 7) throw new Refusal('InvalidEncoding', 'no request')
  const [groupId, account, device, since, kind, value, time] = fields
  return { groupId, account, device, since: new Reader(since).u64(), kind: kind[0], value: new Reader(value).u64(), time: new Reader(time).u64() }
}

export const encodeRequest = ({ groupId, account, device, since, kind, value, time }) =>
  transcript('group request', groupId, account, device, u64(since), u8(kind), u64(value), u64(time))

const outranks = (one, other) => one.role === ROLE.owner || one.role > other.role

// One commit while it is judged: the state that grows, and what its changes ask for.
class Judging {
  constructor(state, commit, manifestOf) {
    this.before = state
    this.commit = commit
    this.manifestOf = manifestOf
    this.by = states.memberOf(state, commit.account)
    this.state = { ...state, members: state.members.map((one) => ({ ...one })), banned: [...state.banned], settings: [...state.settings] }
    this.epoch = state.epoch + (commit.kind === KIND.cut ? 1 : 0)
    this.needsCut = false
    this.needsStep = false
  }

  may(right) {
    if (!states.has(this.by, right)) refuse('the right is missing')
  }
  target(account) {
    return states.memberOf(this.state, account) ?? refuse('no member')
  }
  overRanked(account) {
    const member = this.target(account)
    if (!outranks(this.by, member)) refuse('the committer does not outrank it')
    return member
  }
  takeOut(account) {
    if (equal(account, this.commit.account)) refuse('nobody takes itself out')
    this.state.members = this.state.members.filter((one) => !equal(one.account, account))
    this.needsCut = true
  }
  // A version that there is, of who may commit: it must be known, or is fetched.
  needs(member) {
    if (states.mayCommit(member)) this.manifestOf(member.account, member.version)
  }
  // `how` changes a member; what it loses asks for a cut, who comes to hear for a step.
  alter(member, how) {
    const before = states.rightsOf(member)
    const committed = states.mayCommit(member)
    how(member)
    const after = states.rightsOf(member)
    if (before & ~after) this.needsCut = true
    if (~before & after & RIGHT.HEAR) this.needsStep = true
    if (!committed) this.needs(member)
  }
}

const roleOf = (role) => states.mostOf(role) ?? tooNew('an unknown role')
const within = (rights, role) => (rights & ~roleOf(role)) === 0 || refuse('rights beyond the role')

const CHANGES = {
  1: (judging, reader) => {
    judging.may(RIGHT.ADD)
    const member = { account: reader.take(32), version: reader.u64(), role: reader.u8(), wants: reader.u32(), given: reader.u32(), since: judging.epoch, askedAt: 0 }
    within(member.given, member.role)
    const { by, state } = judging
    if (states.memberOf(state, member.account) || state.banned.some((one) => equal(one, member.account))) refuse('a member already, or banned')
    if (member.role >= by.role && by.role !== ROLE.owner) refuse('a role that is not below the own one')
    if (member.role > ROLE.member) judging.may(RIGHT.PROMOTE)
    if (member.version < 1) refuse('no version')
    state.members.push(member)
    if (states.has(member, RIGHT.HEAR)) judging.needsStep = true
    judging.needs(member)
  },
  2: (judging, reader) => {
    judging.may(RIGHT.REMOVE)
    judging.takeOut(judging.overRanked(reader.take(32)).account)
  },
  3: (judging, reader) => {
    judging.may(RIGHT.PROMOTE)
    const [account, role] = [reader.take(32), reader.u8()]
    const most = roleOf(role)
    const member = judging.target(account)
    if (equal(account, judging.commit.account)) {
      if (role > member.role || (role === member.role && role !== ROLE.owner)) refuse('the own role is only lowered')
    } else {
      judging.overRanked(account)
      if (role >= judging.by.role && judging.by.role !== ROLE.owner) refuse('a role that is not below the own one')
    }
    judging.alter(member, (one) => Object.assign(one, { role, given: most }))
  },
  4: (judging, reader) => {
    judging.may(RIGHT.GIVE)
    const member = judging.overRanked(reader.take(32))
    const given = reader.u32()
    within(given, member.role)
    judging.alter(member, (one) => Object.assign(one, { given }))
  },
  5: (judging, reader) => {
    judging.may(RIGHT.BAN)
    const account = reader.take(32)
    if (equal(account, judging.commit.account) || judging.state.banned.some((one) => equal(one, account))) refuse('banned already, or itself')
    if (states.memberOf(judging.state, account)) {
      judging.overRanked(account)
      judging.takeOut(account)
    }
    judging.state.banned.push(account)
  },
  6: (judging, reader) => {
    judging.may(RIGHT.BAN)
    const account = reader.take(32)
    const left = judging.state.banned.filter((one) => !equal(one, account))
    if (left.length === judging.state.banned.length) refuse('not banned')
    judging.state.banned = left
  },
  7: (judging, reader) => {
    judging.may(RIGHT.SETTINGS)
    const setting = states.takeSetting(reader)
    const left = judging.state.settings.filter((one) => one.name !== setting.name)
    if (!setting.value.length && left.length === judging.state.settings.length) refuse('no such setting to take away')
    judging.state.settings = left
    if (setting.value.length) judging.state.settings.push(setting)
  },
  8: (judging, reader) => {
    const member = judging.target(reader.take(32))
    const [version, deviceLeft] = [reader.u64(), reader.u8()]
    if (version <= member.version || deviceLeft > 1) refuse('versions only rise')
    member.version = version
    if (deviceLeft) judging.needsCut = true
    if (states.has(member, RIGHT.HEAR)) judging.needsStep = true
    judging.needs(member)
  },
  9: (judging, reader) => {
    const [signature, bytes] = [reader.take(64), reader.rest()]
    const request = parseRequest(bytes)
    const member = judging.target(request.account)
    if (!equal(request.groupId, judging.before.groupId) || request.since !== member.since || request.time <= member.askedAt) refuse('a request that was taken before')
    if (request.kind !== 1 && request.kind !== 2) tooNew('an unknown request')
    const could = states.has(judging.by, RIGHT.REMOVE) && (request.kind === 1 || states.has(judging.by, RIGHT.ADD)) && outranks(judging.by, member)
    if (!could) {
      if (!states.mayCommit(member)) refuse('a request that nobody can judge')
      const device = deviceIn(judging.manifestOf(member.account, member.version), request.device) ?? refuse('no device of the member')
      verify(device.signing, bytes, signature)
    }
    if (request.kind === 1) judging.takeOut(member.account)
    else judging.alter(member, (one) => Object.assign(one, { wants: request.value, askedAt: request.time }))
  },
}

function create(commit, manifestOf) {
  const [type, ...first] = commit.changes[0] ?? refuse('it adds nobody')
  const reader = new Reader(Uint8Array.from(first))
  const account = reader.take(32)
  if (type !== 1 || commit.kind !== KIND.cut || !equal(account, commit.account)) refuse('the first commit adds its committer')
  const founder = { account, version: reader.u64(), role: reader.u8(), wants: reader.u32(), given: reader.u32(), since: 1, askedAt: 0 }
  if (founder.role !== ROLE.owner || founder.version !== commit.version) refuse('the first member is an owner')
  const state = { groupId: commit.groupId, index: -1, previous: null, epoch: 0, step: 0, cutAt: 0, commitment: null, cutHash: null, members: [founder], banned: [], settings: [] }
  return { judging: new Judging(state, commit, manifestOf), changes: commit.changes.slice(1) }
}

// The state that a commit makes of `state` (null: of none). `manifestOf(account, version)` gives a verified manifest, or throws
// ManifestNeeded. A commit that does not stand is a CommitRefused or InvalidSignature; TooOld says that this client has to stop.
export function apply(state, body, signature, manifestOf) {
  const commit = parseCommit(body)
  if (state && (!commit.previous || !equal(commit.previous, states.hashOfState(state)) || !equal(commit.groupId, state.groupId))) refuse('it changes another state')
  if (!state && commit.previous) refuse('it changes a state')
  const { judging, changes } = state ? { judging: new Judging(state, commit, manifestOf), changes: commit.changes } : create(commit, manifestOf)
  if (!judging.by || !states.mayCommit(judging.by) || commit.version < judging.by.version) refuse('its committer may not commit')
  const device = deviceIn(manifestOf(commit.account, commit.version), commit.device) ?? refuse('no device of the committer')
  verify(device.signing, body, signature)
  if (commit.format !== 1 || commit.kind > 2) tooNew('an unknown format')
  if (changes.length > MAX_CHANGES || (commit.kind === KIND.cut) !== Boolean(commit.commitment)) refuse('a shape that cannot be')
  judgeChanges(judging, changes)
  return finish(judging, commit, state)
}

function judgeChanges(judging, changes) {
  for (const change of changes) {
    const reader = new Reader(change)
    const judge = CHANGES[reader.u8()] ?? tooNew('an unknown change')
    judge(judging, reader)
    reader.end()
  }
}

const leastOf = ({ before, needsCut, needsStep }) => (needsCut ? KIND.cut : needsStep && states.isBroadcast(before) ? KIND.step : KIND.plain)

// The kind that a commit of these changes needs, or the refusal of a change: `commit` is { account, changes }.
export function kindFor(state, commit, manifestOf) {
  const judging = new Judging(state, { ...commit, kind: KIND.plain }, manifestOf)
  if (!judging.by || !states.mayCommit(judging.by)) refuse('its committer may not commit')
  judgeChanges(judging, commit.changes)
  return leastOf(judging)
}

function finish(judging, commit, old) {
  const { state, before, epoch } = judging
  const committer = states.memberOf(state, commit.account)
  if (!committer || !states.mayCommit(committer)) refuse('nobody gives up the right to commit')
  if (commit.version !== committer.version) refuse('a version that neither the state nor the commit names')
  if (!state.members.some((one) => one.role === ROLE.owner)) refuse('without an owner')
  if (state.members.length > 10000 || state.banned.length > 10000 || state.settings.length > 64) refuse('beyond the limits')
  const least = leastOf(judging)
  if (commit.kind !== KIND.cut && commit.kind !== least) refuse('another kind is needed')
  const next = { ...state, index: before.index + 1, previous: old ? states.hashOfState(old) : null, epoch }
  if (commit.kind === KIND.cut) return { ...next, step: 0, cutAt: commit.time, commitment: commit.commitment, cutHash: null }
  return { ...next, step: before.step + (commit.kind === KIND.step ? 1 : 0), cutHash: states.cutHashOf(old) }
}

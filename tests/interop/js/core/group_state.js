// What all members of a group agree on, and who may do what in it (State, Roles and rights).
import { compare, concat, equal, Reader, text, u16, u32, u64, u8, utf8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { sha256 } from './primitives.js'
import { fieldsOf, transcript } from './transcripts.js'

export const RIGHT = { HEAR: 1, SEND: 2, ADD: 4, REMOVE: 8, BAN: 16, GIVE: 32, PROMOTE: 64, SETTINGS: 128, TIDY: 256 }
export const ROLE = { listener: 1, member: 2, moderator: 3, admin: 4, owner: 5 }
const MOST = { 1: 1, 2: 3, 3: 319, 4: 511, 5: 511 }
const COMMITS = RIGHT.ADD | RIGHT.REMOVE | RIGHT.BAN | RIGHT.GIVE | RIGHT.PROMOTE | RIGHT.SETTINGS
export const KNOWN_SETTINGS = ['name', 'about', 'picture', 'joining', 'expiry', 'broadcast']

export const mostOf = (role) => MOST[role] ?? null
export const rightsOf = (member) => (member ? (member.wants & member.given) >>> 0 : 0)
export const has = (member, right) => (rightsOf(member) & right) === right
export const mayCommit = (member) => has(member, RIGHT.HEAR) && (rightsOf(member) & COMMITS) !== 0
export const memberOf = (state, account) => state.members.find((one) => equal(one.account, account)) ?? null
export const isBroadcast = (state) => state.settings.some(({ name, value }) => name === 'broadcast' && value.length === 1 && value[0] === 1)
export const settingOf = (state, name) => state.settings.find((one) => one.name === name)?.value ?? null

const encodeMember = ({ account, version, role, wants, given, since, askedAt }) =>
  concat(account, u64(version), u8(role), u32(wants), u32(given), u64(since), u64(askedAt))
export const encodeSetting = ({ name, value, critical }) => concat(u8(utf8(name).length), u8(critical), u16(value.length), utf8(name), value)

export const encodeState = (state) =>
  transcript(
    ...['group state', state.groupId, u64(state.index), state.previous ?? zeros(0), u64(state.epoch), u32(state.step)],
    ...[u64(state.cutAt), state.commitment, state.cutHash ?? zeros(0)],
    concat(...[...state.members].sort((a, b) => compare(a.account, b.account)).map(encodeMember)),
    concat(...[...state.banned].sort(compare)),
    concat(...[...state.settings].sort((a, b) => compare(utf8(a.name), utf8(b.name))).map(encodeSetting)),
  )

export const hashOfState = (state) => sha256(encodeState(state))
export const cutHashOf = (state) => state.cutHash ?? hashOfState(state)

function many(bytes, take) {
  const reader = new Reader(bytes)
  const list = []
  while (reader.at < bytes.length) list.push(take(reader))
  return list
}

export function takeSetting(reader) {
  const [nameLength, critical, length] = [reader.u8(), reader.u8(), reader.u16()]
  if (nameLength < 1 || nameLength > 64 || critical > 1 || length > 4096) throw new Refusal('InvalidEncoding', 'no setting')
  return { name: text(reader.take(nameLength)), critical, value: reader.take(length) }
}

const takeMember = (reader) => ({
  ...{ account: reader.take(32), version: reader.u64(), role: reader.u8(), wants: reader.u32(), given: reader.u32() },
  ...{ since: reader.u64(), askedAt: reader.u64() },
})

export function parseState(bytes) {
  const fields = fieldsOf('group state', bytes)
  if (fields.length !== 11) throw new Refusal('InvalidEncoding', 'no state of a group')
  const [groupId, index, previous, epoch, step, cutAt, commitment, cutHash, members, banned, settings] = fields
  const state = {
    ...{ groupId, index: new Reader(index).u64(), previous: previous.length ? previous : null, epoch: new Reader(epoch).u64() },
    ...{ step: new Reader(step).u32(), cutAt: new Reader(cutAt).u64(), commitment, cutHash: cutHash.length ? cutHash : null },
    ...{ members: many(members, takeMember), banned: many(banned, (reader) => reader.take(32)), settings: many(settings, takeSetting) },
  }
  if (!equal(encodeState(state), bytes)) throw new Refusal('InvalidEncoding', 'a state that is not written as it must be')
  return state
}

// What is kept of one group, and what follows from it: keys of epochs, members, tokens.
import { equal, hex } from './bytes.js'
import { commitmentOf, epochKeys } from './epochs.js'
import { Refusal } from './errors.js'
import { cutHashOf, memberOf, parseState, settingOf } from './group_state.js'
import { sha256 } from './primitives.js'

const MAX_SECRETS = 256

export const groupKey = (groupId) => `group/${hex(groupId)}`
export const chainKeyOf = (groupId, device, chainId) => `chain/${hex(groupId)}/${hex(device)}/${hex(chainId)}`

// A group that was asked for. `secrets` are { epoch, step, cutHash, secret }, the newest first; `waiting` those whose cut was not read.
export const newGroup = (groupId, { inviter, secret, ownToken }) => ({
  ...{ groupId, inviter, secret, ownToken, status: 'asked', state: null, secrets: [], waiting: [], readToken: null, nextEntry: 0 },
  ...{ tokens: [], own: null, dirty: false, name: '' },
})

export function loadGroup(tx, groupId) {
  const kept = tx.get(groupKey(groupId))
  return kept ? { ...kept, state: kept.state && parseState(kept.state) } : null
}

const derived = new Map()
export function keysOf(groupId, { epoch, step, cutHash, secret }) {
  const name = hex(secret) + step
  if (!derived.has(name)) {
    if (derived.size > 2 * MAX_SECRETS) derived.clear()
    derived.set(name, epochKeys({ groupId, epoch, step, cutHash, secret }))
  }
  return derived.get(name)
}

export function addSecret(group, secret) {
  if (group.secrets.some((one) => equal(one.secret, secret.secret))) return
  group.secrets = [...group.secrets, secret].sort((a, b) => b.epoch - a.epoch || b.step - a.step).slice(0, MAX_SECRETS)
}

// The secret of the present epoch and step, or null while it has not come.
export function presentSecret({ state, secrets }) {
  return secrets.find((one) => one.epoch === state.epoch && one.step === state.step) ?? null
}

export function tokenOf(group, account) {
  return group.tokens.find((one) => equal(one.account, account))?.token ?? null
}

export function setToken(group, account, token) {
  group.tokens = [...group.tokens.filter((one) => !equal(one.account, account)), { account, token }]
}

export const mustBe = (condition, why) => {
  if (!condition) throw new Refusal('GroupRefused', why)
}

// `writeSeed` is told to devices that may commit; zeros to others.
export const secretOf = ({ epoch, step, cutHash, secret, writeSeed }) => ({ epoch, step, cutHash, secret, writeSeed: writeSeed?.some(Boolean) ? writeSeed : null })

// By what an account may come in: kept under the hash of the secret that was given to it.
export const wayKey = (secret) => `way/${hex(sha256(secret))}`

// Who was taken out comes in by nothing that was given to it before.
export function closeWays(tx, groupId, account) {
  for (const key of tx.keys('way/')) {
    const way = tx.get(key)
    if (equal(way.groupId, groupId) && equal(way.account, account)) tx.delete(key)
  }
}

// A welcome: from here on this account is in. Its parts have to fit together. → the state.
export function enter(group, { handOut, readToken, nextEntry, stateBytes }, account) {
  const state = parseState(stateBytes)
  mustBe(equal(state.groupId, handOut.groupId) && state.epoch === handOut.epoch && state.step === handOut.step, 'a welcome whose parts do not fit')
  mustBe(equal(cutHashOf(state), handOut.cutHash) && memberOf(state, account), 'a welcome whose parts do not fit')
  mustBe(state.step > 0 || equal(commitmentOf(state.groupId, handOut.secret), state.commitment), 'a secret that does not open the commitment')
  addSecret(group, secretOf(handOut))
  Object.assign(group, { state, status: 'in', readToken, nextEntry, name: new TextDecoder().decode(settingOf(state, 'name') ?? new Uint8Array(0)) })
  return state
}

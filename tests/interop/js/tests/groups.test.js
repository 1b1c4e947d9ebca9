import assert from 'node:assert/strict'
import test from 'node:test'
import { equal, hex } from '../core/bytes.js'
import { apply, encodeCommit, encodeRequest, parseCommit, parseRequest } from '../core/commits.js'
import * as epochs from '../core/epochs.js'
import { openEntry, openHeader, openMessage, receivingChain, sealMessage } from '../core/group_messages.js'
import { encodeState, mostOf, parseState, ROLE } from '../core/group_state.js'
import { decodeManifest } from '../core/manifests.js'
import { sha256, signingPublic } from '../core/primitives.js'
import { label } from '../core/transcripts.js'
import { bytes, failureOf, load, same } from './vectors.js'

const LABELS = {
  ...{ GROUP_STATE: 'group state', GROUP_COMMIT: 'group commit', GROUP_REQUEST: 'group request', GROUP_ENTRY: 'group log entry', GROUP_MESSAGE: 'group message' },
  ...{ GROUP_SIGNATURE: 'group signature', EPOCH_COMMITMENT: 'epoch commitment', EPOCH_KEYS: 'epoch keys', EPOCH_STEP: 'epoch step', GROUP_CHAIN: 'group chain' },
}

test('derivations', () => {
  const vectors = load('group_derivations.json')
  for (const [name, digits] of Object.entries(vectors.labels)) same(label(LABELS[name]), digits, name)
  for (const [name, [value, most]] of Object.entries(vectors.roles)) assert.deepEqual([ROLE[name], mostOf(ROLE[name])], [value, most])
  const { epoch: given, step } = vectors
  const epoch = { groupId: bytes(given.group_id), epoch: given.epoch, step: given.step, cutHash: bytes(given.cut_hash), secret: bytes(given.secret) }
  same(epochs.commitmentOf(epoch.groupId, epoch.secret), given.commitment)
  const check = (keys, expected) => {
    same(keys.header, expected.header_key)
    same(keys.entry, expected.entry_key)
    same(keys.readToken, expected.read_token)
  }
  check(epochs.epochKeys(epoch), given)
  const secret = epochs.nextStep(epoch, bytes(step.state_hash))
  same(secret, step.secret)
  check(epochs.epochKeys({ ...epoch, step: step.step, secret }), step)
  const chain = epochs.groupChainStep(bytes(vectors.chain_step.chain_key))
  same(chain.messageKey, vectors.chain_step.message_key)
  same(chain.next, vectors.chain_step.next)
  for (const one of vectors.epoch_hand_outs) {
    const handOut = epochs.parseEpochHandOut(bytes(one.encoded))
    same(epochs.encodeEpochHandOut(handOut), one.encoded)
    same(handOut.secret, given.secret)
  }
})

test('a request of a member, the hand-out of a chain', () => {
  const { request: asked, chain_hand_out: chain } = load('group_derivations.json')
  const [group, account, device] = [asked.group_id, asked.account, asked.device].map(bytes)
  const made = { groupId: group, account, device, since: asked.since, kind: asked.kind, value: asked.value, time: asked.asked_at_ms }
  same(encodeRequest(made), asked.transcript)
  assert.deepEqual(parseRequest(bytes(asked.transcript)), made)
  same(epochs.encodeChainHandOut(epochs.parseChainHandOut(bytes(chain.encoded))), chain.encoded)
})

test('what must fail of hand-outs and entries', () => {
  const { epoch: { group_id: group, entry_key: key }, must_fail: given } = load('group_derivations.json')
  const readers = {
    epoch_hand_outs: epochs.parseEpochHandOut,
    chain_hand_outs: epochs.parseChainHandOut,
    entries: (entry) => openEntry(entry, { key: bytes(key), groupId: bytes(group), index: 7 }),
  }
  assert.deepEqual(Object.keys(given), Object.keys(readers))
  for (const [name, reader] of Object.entries(readers)) for (const one of given[name]) assert.equal(failureOf(() => reader(bytes(one.encoded))), one.error, `${name}: ${one.name}`)
})

const life = load('group_life.json')
const groupId = bytes(life.group_id)
const chains = Object.values(life.members).map((member) => ({ ...member, parsed: decodeManifest(bytes(member.manifest)) }))

// The vectors give one manifest of each member; versions that they do not hold stand for it.
function manifestOf(account) {
  const member = chains.find((one) => equal(one.parsed.account, account))
  assert.ok(member, 'a manifest that the vectors do not hold')
  return member.parsed
}

test('a group from its creation', () => {
  let state = null
  for (const entry of life.entries) {
    const before = life.entries[Math.max(entry.index - 1, 0)]
    const leaves = entry.index ? life.entries.slice(0, entry.index).findLast((one) => one.secret) : entry
    const cutHash = cutHashes(leaves)
    const { entry: key } = epochs.epochKeys({ groupId, epoch: leaves.epoch, step: leaves.step, cutHash, secret: bytes(leaves.secret) })
    const call = () => {
      const opened = openEntry(bytes(entry.entry), { key, groupId, index: entry.index })
      same(opened.body, entry.body)
      same(opened.signature, entry.signature)
      same(encodeCommit(parseCommit(opened.body)), entry.body)
      state = apply(state, opened.body, opened.signature, manifestOf)
      same(encodeState(state), entry.state)
      same(encodeState(parseState(bytes(entry.state))), entry.state)
    }
    assert.equal(failureOf(call), entry.skipped ? 'Undecryptable' : null, entry.does)
    same(sha256(encodeState(state)), entry.state_hash)
    assert.ok(before)
  }
})

// The hash at the cut of an entry: that of the state which began its epoch.
function cutHashes({ epoch }) {
  return bytes(life.entries.find((one) => one.epoch === epoch && one.state_hash).state_hash)
}

for (const [i, one] of life.messages.entries()) {
  test(`message ${i}: ${one.does ?? 'good'}`, () => {
    const handOut = epochs.parseChainHandOut(bytes(one.chain_hand_out))
    same(epochs.encodeChainHandOut(handOut), one.chain_hand_out)
    same(signingPublic(bytes(one.signing_seed)), hex(handOut.signing))
    const { account, device } = life.members[one.from]
    const chain = { ...receivingChain(handOut, bytes(account), bytes(device)), next: one.iteration }
    const secret = life.entries.find((entry) => entry.epoch === one.epoch).secret
    const { header } = epochs.epochKeys({ groupId, epoch: one.epoch, step: 0, cutHash: handOut.cutHash, secret: bytes(secret) })
    let opened = null
    const call = () => {
      const found = openHeader(bytes(one.envelope), header)
      if (!found) return
      opened = openMessage(bytes(one.envelope), chain, found.iteration)
    }
    const error = failureOf(call)
    if (one.error === 'ChainMissing') assert.equal(opened, null)
    else assert.equal(error, one.error ?? null)
    if (one.error) return
    same(opened.content, one.plaintext)
    same(opened.messageKey, one.message_key)
    same(opened.chain.chainKey, one.next_chain_key)
    const own = { ...chain, iteration: one.iteration, signingSeed: bytes(one.signing_seed) }
    same(sealMessage(bytes(one.plaintext), own, { headerKey: header, nonce: bytes(one.nonce) }).envelope, one.envelope)
  })
}

// The members of a group, step by step.
import { concat, hex, u64, zeros } from '../core/bytes.js'
import { kindFor, KIND } from '../core/commits.js'
import { signCommit } from '../core/committing.js'
import { listOf, keepList } from '../core/directory.js'
import { encodeEpochHandOut, parseChainHandOut, parseEpochHandOut } from '../core/epochs.js'
import { Refusal } from '../core/errors.js'
import { learnSecret, saveGroup, takeEntry } from '../core/group_log.js'
import { sealMessage } from '../core/group_messages.js'
import { keepChain, openGroupMessage } from '../core/group_opening.js'
import { enter, keysOf, loadGroup, newGroup, presentSecret, secretOf } from '../core/group_record.js'
import { handOutOf, newChain } from '../core/group_sending.js'
import { encodeState, has, hashOfState, mayCommit, memberOf, RIGHT } from '../core/group_state.js'
import { flipped, Stage } from './stage.js'
import { bytes } from './vectors.js'

const refuse = (kind) => {
  throw new Refusal(kind, 'the member cannot do this')
}

export class GroupStage extends Stage {
  groupId = null
  log = []
  writeSeeds = new Map() // of cuts, by the hash of their secret

  group(name) {
    return loadGroup(this.devices[name].kept, this.groupId)
  }

  manifestOf = (account, version) => this.lists.get(hex(account)).find((one) => one.version === version) ?? refuse('ManifestNeeded')

  // Where a member stands after a step.
  stand(name) {
    const { state, secrets } = this.group(name)
    const secret = presentSecret({ state, secrets })?.secret ?? zeros(0)
    return { epoch: state.epoch, step: state.step, state: encodeState(state), state_hash: hashOfState(state), secret }
  }

  handOut({ groupId, epoch, step, cutHash, secret }, writeSeed = zeros(32)) {
    return encodeEpochHandOut({ groupId, epoch, step, cutHash, secret, writeSeed })
  }

  writeSeedOf({ epoch }, member) {
    return mayCommit(member) ? this.writeSeeds.get(epoch) : zeros(32)
  }

  // A signed commit and its entry, on `state` (null: none); what a cut needs besides.
  commitOn(state, { by, ...about }) {
    const own = this.devices[by]
    const { version } = listOf(own.kept, own.account).at(-1)
    return signCommit(state, { own, groupId: this.groupId, version, ...about }, this.manifestOf)
  }

  create({ by, changes, now_ms: now }, random) {
    this.groupId = random(32)
    const { groupId } = this
    const [secret, writeSeed] = [random(32), random(32)]
    const made = this.commitOn(null, { by, changes: changes.map(bytes), now, kind: KIND.cut, nonce: () => random(12), index: 0, secret })
    this.log.push(made.entry)
    this.writeSeeds.set(1, writeSeed)
    const { kept, account } = this.devices[by]
    const group = newGroup(groupId, { inviter: account, secret: zeros(16), ownToken: null })
    const handOut = this.handOut({ groupId, ...made.cut }, writeSeed)
    enter(group, { handOut: parseEpochHandOut(handOut), readToken: keysOf(groupId, made.cut).readToken, nextEntry: 1, stateBytes: encodeState(made.next) }, account)
    saveGroup(kept, group)
    return { group_id: groupId, body: made.body, signature: made.signature, entry: made.entry, hand_out: handOut, ...this.stand(by) }
  }

  commit({ by, changes: given, cut, now_ms: now }, random) {
    const { account, kept } = this.devices[by]
    const group = this.group(by)
    const changes = given.map(bytes)
    const needed = kindFor(group.state, { account, changes }, this.manifestOf)
    const kind = cut ? KIND.cut : needed
    const [secret, writeSeed] = kind === KIND.cut ? [random(32), random(32)] : []
    const index = this.log.length
    const key = keysOf(this.groupId, presentSecret(group)).entry
    const made = this.commitOn(group.state, { by, changes, now, kind, nonce: () => random(12), index, key, secret })
    this.log.push(made.entry)
    if (made.cut) {
      this.writeSeeds.set(made.cut.epoch, writeSeed)
      learnSecret(kept, group, made.cut)
      this.present = made.cut
    }
    const handOut = made.cut ? this.handOut({ groupId: this.groupId, ...made.cut }, writeSeed) : zeros(0)
    return { index, kind, body: made.body, signature: made.signature, entry: made.entry, hand_out: handOut }
  }

  follow({ by, junk }) {
    if (junk) this.log.push(bytes(junk))
    const { kept } = this.devices[by]
    const before = this.group(by)
    const index = before.nextEntry
    if (!takeEntry(kept, this.groupId, index, this.log[index], this.manifestOf, () => {})) refuse('ChainMissing')
    return { index, stands: this.group(by).state.index > before.state.index, ...this.stand(by) }
  }

  // --- What goes from hand to hand

  tell_secret({ by, to }) {
    const member = memberOf(this.group(by).state, this.devices[to].account)
    if (!member || !has(member, RIGHT.HEAR)) refuse('NotEntitled')
    const handOut = this.handOut({ groupId: this.groupId, ...this.present }, this.writeSeedOf(this.present, member))
    learnSecret(this.devices[to].kept, this.group(to), secretOf(parseEpochHandOut(handOut)))
    return { hand_out: handOut, ...this.stand(to) }
  }

  tell_welcome({ by, to }) {
    const { state, readToken, nextEntry, ...group } = this.group(by)
    const { account, kept } = this.devices[to]
    const member = memberOf(state, account)
    if (!member || !has(member, RIGHT.HEAR)) refuse('NotEntitled')
    const secret = presentSecret({ state, ...group })
    const handOut = this.handOut({ groupId: this.groupId, ...secret }, this.writeSeedOf(secret, member))
    const letIn = newGroup(this.groupId, { inviter: this.devices[by].account, secret: zeros(16), ownToken: null })
    const stateBytes = encodeState(state)
    enter(letIn, { handOut: parseEpochHandOut(handOut), readToken, nextEntry, stateBytes }, account)
    saveGroup(kept, letIn)
    return { welcome: concat(handOut, u64(nextEntry), stateBytes), ...this.stand(to) }
  }

  tell_chain({ by, to, now_ms: now }, random) {
    const { kept, account, device } = this.devices[by]
    const group = this.group(by)
    group.own ??= newChain(group, { account, device }, { random, now: () => now })
    saveGroup(kept, group)
    const handOut = handOutOf(group.own)
    for (const name of to) keepChain(this.devices[name].kept, account, device, parseChainHandOut(handOut))
    return { hand_out: handOut }
  }

  // --- Messages

  say({ by, plaintext }, random) {
    const { kept, account } = this.devices[by]
    const group = this.group(by)
    const secret = presentSecret(group)
    if (!secret) refuse('ChainMissing')
    if (!has(memberOf(group.state, account), RIGHT.SEND)) refuse('NotEntitled')
    const { iteration } = group.own
    const sealed = sealMessage(bytes(plaintext), group.own, { headerKey: keysOf(this.groupId, secret).header, nonce: random(12) })
    group.own = { ...sealed.chain, handed: group.own.handed }
    saveGroup(kept, group)
    return { iteration, message_key: sealed.messageKey, next_chain_key: sealed.chain.chainKey, envelope: sealed.envelope }
  }

  hear({ by, envelope_of: from, flip }) {
    const opened = openGroupMessage(this.devices[by].kept, flipped(this.envelopes[from], flip))
    return { plaintext: opened.content }
  }

  // Everybody knows all lists.
  account(step, random, left) {
    const made = super.account(step, random, left)
    for (const one of Object.values(this.devices)) {
      for (const other of Object.values(this.devices)) keepList(one.kept, other.account, this.lists.get(hex(other.account)))
    }
    return made
  }
}

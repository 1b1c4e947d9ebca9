// Speaking in a group: the own chain is handed to everybody who hears, then each message is encrypted once (Sender chains, Sending).
import { equal, hex } from './bytes.js'
import { TYPE } from './contents.js'
import { chainOf, isForked, peerKey, peerOf } from './directory.js'
import { encodeChainHandOut } from './epochs.js'
import { Refusal } from './errors.js'
import { saveGroup } from './group_log.js'
import { sealMessage } from './group_messages.js'
import { keysOf, loadGroup, presentSecret, tokenOf } from './group_record.js'
import * as states from './group_state.js'
import { addDraft, addEnvelope, countedContent } from './outbox.js'
import { numbered } from './store.js'
import { signingPublic } from './primitives.js'

const MAX_MESSAGES = 500
const MAX_AGE_MS = 7 * 86_400_000
const MAX_TARGETS = 4000

export class GroupSending {
  constructor(parts) {
    Object.assign(this, parts)
  }

  // → whether the draft has become an envelope; if not, hand-outs are on their way, or something has to come first.
  async encryptDraft({ number, group: groupId }) {
    if (!(await this.log.read(groupId))) return false
    const group = loadGroup(this.store, groupId)
    const own = this.store.get('own')
    const secret = presentSecret(group)
    if (!secret) return false
    const unknown = group.state.settings.find((one) => one.critical && !states.KNOWN_SETTINGS.includes(one.name))
    if (unknown) throw new Refusal('TooOld', 'a setting that this client does not know')
    if (!states.has(states.memberOf(group.state, own.account), states.RIGHT.SEND)) throw new Refusal('Refused', 'without the right to send')
    const audience = group.state.members.filter((one) => states.has(one, states.RIGHT.HEAR) && !equal(one.account, own.account))
    await this.#fetchLists(group, audience)
    await this.store.change((tx) => this.#handOut(tx, groupId, audience, own))
    const { chainId } = loadGroup(this.store, groupId).own
    if (this.#isUnderWay(`chain/${hex(chainId)}`)) return false
    await this.store.change((tx) => this.#encrypt(tx, number, groupId, { audience, secret, own }))
    return true
  }

  // Device lists of members that are not known, or that the relay called old.
  async #fetchLists(group, audience) {
    for (const { account } of audience) {
      const peer = peerOf(this.store, account)
      const isStale = this.store.get(`stale/${hex(account)}`)
      const token = tokenOf(group, account) ?? peer.token
      if ((peer.chain.length && !isStale) || !token) continue
      await this.directory.fetch(account, token)
      if (isStale) await this.store.change((tx) => tx.delete(`stale/${hex(account)}`))
    }
  }

  #isUnderWay(tag) {
    const drafts = this.store.all('draft/').filter((draft) => draft.tag === tag && !draft.tried)
    return drafts.length > 0 || this.store.all('outbox/').some((envelope) => envelope.draft.tag === tag)
  }

  // A chain that is good, and a hand-out to each account of which a device lacks it.
  #handOut(tx, groupId, audience, own) {
    const group = loadGroup(tx, groupId)
    const listed = audience.flatMap(({ account }) => devicesOf(tx, account).map((device) => hex(device.id)))
    const left = (group.own?.handed ?? []).some((device) => !listed.includes(device))
    const isOld = !group.own || group.own.epoch !== group.state.epoch || group.own.iteration >= MAX_MESSAGES || this.now() - group.own.madeAt > MAX_AGE_MS
    if (isOld || left) group.own = newChain(group, own, this)
    const { chainId } = group.own
    for (const { account } of audience) {
      const lacking = devicesOf(tx, account).map((device) => hex(device.id)).filter((device) => !group.own.handed.includes(device))
      if (!lacking.length || !peerOf(tx, account).token || isForked(tx, account)) continue
      group.own.handed = [...group.own.handed, ...lacking]
      this.#draftHandOut(tx, account, group.own, `chain/${hex(chainId)}`)
    }
    saveGroup(tx, group)
  }

  #draftHandOut(tx, account, chain, tag) {
    const body = [handOutOf(chain)]
    addDraft(tx, { account, type: TYPE.groupChain, body, tag, messageId: this.random(16), sentAt: this.now() })
  }

  // A device of the audience says that it lacks the chain (content 27).
  handOutAgain(tx, account, _device, [groupId, , , chainId]) {
    const group = loadGroup(tx, groupId)
    const member = group?.state && states.memberOf(group.state, account)
    if (!group?.own || !equal(group.own.chainId, chainId) || !states.has(member, states.RIGHT.HEAR)) return
    this.#draftHandOut(tx, account, group.own, null)
    tx.after.push(() => this.wake())
  }

  #encrypt(tx, number, groupId, { audience, secret, own }) {
    const key = numbered('draft', number)
    const draft = tx.get(key)
    const group = loadGroup(tx, groupId)
    const content = draft.content ?? countedContent(tx, groupId, draft)
    const sealed = sealMessage(content, group.own, { headerKey: keysOf(groupId, secret).header, nonce: this.random(12) })
    group.own = { ...sealed.chain, handed: group.own.handed }
    saveGroup(tx, group)
    tx.delete(key)
    const [targets, grants] = [[], []]
    for (const { account } of audience) {
      const token = tokenOf(group, account) ?? peerOf(tx, account).token
      const chain = chainOf(tx.get(peerKey(account))?.chain ?? [])
      if (!token || !chain.length || isForked(tx, account)) continue
      grants.push({ account, token, version: chain.at(-1).version })
      for (const device of chain.at(-1).devices) targets.push({ device: device.id, grant: grants.length - 1 })
    }
    if (targets.length > MAX_TARGETS) throw new Refusal('TooLarge', 'this client sends to 4,000 devices at most')
    if (targets.length) addEnvelope(tx, { envelopeId: this.random(16), content: null, targets, draft: { ...draft, content }, grants, at: this.now(), ciphertexts: [sealed.envelope], group: groupId })
  }
}

// An own chain of this epoch, that nobody has yet.
export function newChain({ groupId, state }, { account, device }, { random, now }) {
  const chain = { groupId, epoch: state.epoch, cutHash: states.cutHashOf(state), account, device, chainId: random(12) }
  return { ...chain, chainKey: random(32), signingSeed: random(32), iteration: 0, madeAt: now(), handed: [] }
}

export const handOutOf = (chain) => encodeChainHandOut({ ...chain, signing: signingPublic(chain.signingSeed) })

const devicesOf = (tx, account) => chainOf(peerOf(tx, account).chain).at(-1)?.devices ?? []

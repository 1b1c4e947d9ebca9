// Groups as a member: getting in, what members tell each other in their sessions, sending and receiving (Groups).
import { base32, equal, hex, unbase32 } from './bytes.js'
import { putToken } from './account.js'
import { decodeContent, isShown, TYPE } from './contents.js'
import { chainOf, learnToken, peerKey, peerOf } from './directory.js'
import { commitmentOf, parseChainHandOut, parseEpochHandOut } from './epochs.js'
import { Refusal } from './errors.js'
import { GroupLog, saveGroup, takeWaiting } from './group_log.js'
import * as messages from './group_messages.js'
import { addSecret, chainKeyOf, groupKey, keysOf, loadGroup, mustBe, newGroup, setToken } from './group_record.js'
import { GroupSending } from './group_sending.js'
import * as states from './group_state.js'
import { act, count, noteFailure, showMessage } from './inbox.js'
import { parseLink } from './links.js'
import { deviceIn } from './manifests.js'
import { addDraft } from './outbox.js'
import { numbered } from './store.js'

const WANTS = states.RIGHT.HEAR | states.RIGHT.SEND
const MAX_HELD = 1000
const HELD_MS = 7 * 86_400_000
const LACKS = { chain: 2 }

export class Groups {
  constructor(parts) {
    Object.assign(this, parts)
    this.log = new GroupLog(parts)
    this.sending = new GroupSending({ ...parts, log: this.log })
  }

  // A group by its id, the beginning of it, or its name.
  find(name) {
    const found = this.store.all('group/').filter((group) => base32(group.groupId).startsWith(name) || group.name === name)
    if (found.length !== 1) throw new Refusal('Refused', 'no such group, or several')
    return found[0].groupId
  }

  list() {
    return this.store.all('group/').map(({ groupId, name, status }) => ({ group: base32(groupId), name, status, members: loadGroup(this.store, groupId).state?.members.length ?? 0 }))
  }

  // --- Joining

  async join(link) {
    const { group, inviter, token, secret } = parseLink(link)
    await this.store.change((tx) => {
      const peer = peerOf(tx, inviter)
      learnToken(peer, token, 'group')
      tx.set(peerKey(inviter), peer)
    })
    return this.#ask(group, inviter, secret)
  }

  accept(group) {
    const invited = this.store.get(`invited/${hex(unbase32(group))}`)
    if (!invited) throw new Refusal('Refused', 'no invitation')
    return this.#ask(unbase32(group), invited.account, invited.secret)
  }

  async #ask(groupId, inviter, secret) {
    const known = this.store.get(groupKey(groupId))
    const ownToken = known?.ownToken ?? this.random(16)
    await putToken(this.http, ownToken, 'group')
    await this.store.change((tx) => {
      const { chain } = tx.get('own')
      tx.set(groupKey(groupId), newGroup(groupId, { inviter, secret, ownToken }))
      const body = [groupId, secret, ownToken, chainOf(chain).at(-1).version, WANTS]
      addDraft(tx, { account: inviter, type: TYPE.groupJoin, body, messageId: this.random(16), sentAt: this.now() })
    })
    this.wake()
    return base32(groupId)
  }

  // --- What members tell each other in their sessions

  take(tx, { account, device, peer, content, own, now }) {
    const { type, body } = content
    if (type === TYPE.groupInvitation) {
      const [groupId, secret, name] = body
      tx.set(`invited/${hex(groupId)}`, { account, secret, name })
      tx.after.push(() => this.tell({ event: 'invited', group: base32(groupId), name, by: base32(account), is_contact: peer.accepted }))
    } else if (type === TYPE.groupWelcome) this.#welcome(tx, account, body, own)
    else if (type === TYPE.groupSecrets) body[0].forEach((handOut) => this.#secret(tx, parseEpochHandOut(handOut)))
    else if (type === TYPE.groupChain) this.#chain(tx, account, device, parseChainHandOut(body[0]))
    else if (type === TYPE.groupTokens) this.#tokens(tx, account, body)
    else if (type === TYPE.groupCommit) tx.after.push(() => this.readLog(body[0], body[2].length ? { index: body[1], entry: body[2] } : null))
    else if (type === TYPE.groupAsk && body[1] === LACKS.chain) this.sending.handOutAgain(tx, account, device, body)
    if (now && [TYPE.groupWelcome, TYPE.groupSecrets, TYPE.groupChain].includes(type)) tx.after.push(() => this.openHeld())
  }

  #welcome(tx, account, [handOutBytes, readToken, nextEntry, stateBytes, blob], own) {
    const handOut = parseEpochHandOut(handOutBytes)
    const group = loadGroup(tx, handOut.groupId)
    if (!group || group.status === 'in') return // a welcome to a group that is known is good for its secret alone
    mustBe(group.status === 'asked' && equal(account, group.inviter), 'a welcome that was not asked for')
    if (!stateBytes.length) {
      tx.after.push(() => this.#welcomeFromBlob(account, [handOutBytes, readToken, nextEntry, null, null], blob))
      return
    }
    const state = states.parseState(stateBytes)
    mustBe(equal(state.groupId, handOut.groupId) && state.epoch === handOut.epoch && state.step === handOut.step, 'a welcome whose parts do not fit')
    mustBe(equal(states.cutHashOf(state), handOut.cutHash) && states.memberOf(state, own.account), 'a welcome whose parts do not fit')
    mustBe(state.step > 0 || equal(commitmentOf(state.groupId, handOut.secret), state.commitment), 'a secret that does not open the commitment')
    addSecret(group, { epoch: handOut.epoch, step: handOut.step, cutHash: handOut.cutHash, secret: handOut.secret })
    Object.assign(group, { state, status: 'in', readToken, nextEntry, name: new TextDecoder().decode(states.settingOf(state, 'name') ?? new Uint8Array(0)) })
    const early = tx.get(`early/${hex(handOut.groupId)}`) ?? { tokens: [], secrets: [] }
    group.waiting = early.secrets.filter((one) => one.epoch > state.epoch)
    saveGroup(tx, group)
    for (const [who, body] of early.tokens) this.#tokens(tx, who, body)
    tx.delete(`early/${hex(handOut.groupId)}`)
    tx.after.push(() => this.tell({ event: 'joined', group: base32(handOut.groupId), name: group.name, members: state.members.length }))
    this.#readSoon(tx, handOut.groupId)
  }

  async #welcomeFromBlob(account, body, blob) {
    try {
      const state = await this.uploads.fetch(blob)
      await this.store.change((tx) => this.#welcome(tx, account, [...body.slice(0, 3), state, null], tx.get('own')))
      await this.openHeld()
    } catch (error) {
      this.tell({ event: 'failed', why: String(error) })
    }
  }

  #secret(tx, handOut) {
    const group = loadGroup(tx, handOut.groupId)
    const one = { epoch: handOut.epoch, step: 0, cutHash: handOut.cutHash, secret: handOut.secret }
    if (!group?.state) {
      const key = `early/${hex(handOut.groupId)}`
      const early = tx.get(key) ?? { tokens: [], secrets: [] }
      tx.set(key, { ...early, secrets: [...early.secrets, one].slice(-64) })
      return
    }
    if (handOut.epoch < group.state.epoch) return
    group.waiting = [...group.waiting, one].slice(-64)
    takeWaiting(group)
    saveGroup(tx, group)
    this.#readSoon(tx, handOut.groupId)
  }

  #chain(tx, account, device, handOut) {
    const key = chainKeyOf(handOut.groupId, device, handOut.chainId)
    const known = tx.get(key)
    if (!known) tx.set(key, messages.receivingChain(handOut, account, device))
    else if (!equal(known.signing, handOut.signing)) throw new Refusal('CopiedState', 'one chain with two signing keys')
  }

  // A member's own token counts, and those of others from who may add.
  #tokens(tx, account, [groupId, pairs]) {
    const group = loadGroup(tx, groupId)
    if (!group?.state) {
      const key = `early/${hex(groupId)}`
      const early = tx.get(key) ?? { tokens: [], secrets: [] }
      tx.set(key, { ...early, tokens: [...early.tokens, [account, [groupId, pairs]]].slice(-64) })
      return
    }
    const member = states.memberOf(group.state, account)
    if (!member) return
    for (const [whose, token] of pairs) {
      if (!equal(whose, account) && !states.has(member, states.RIGHT.ADD)) continue
      setToken(group, whose, token)
      const peer = peerOf(tx, whose)
      learnToken(peer, token, 'group')
      tx.set(peerKey(whose), peer)
    }
    saveGroup(tx, group)
  }

  #readSoon(tx, groupId) {
    tx.after.push(() => this.readLog(groupId))
  }

  // `told` is an entry that a member sent: of whom it takes out, the log can be read no more.
  async readLog(groupId, told = null) {
    try {
      if (!(await this.log.read(groupId)) && told) await this.log.take(groupId, told)
      await this.openHeld()
      this.wake()
    } catch (error) {
      this.tell({ event: 'group not read', group: base32(groupId), why: error.code ?? error.kind ?? String(error) })
    }
  }

  readLogs() {
    for (const group of this.store.all('group/')) if (group.status === 'in') this.readLog(group.groupId)
  }

  // --- Receiving

  // Open an envelope of kind 3, or hold it until its chain or secret comes.
  openMessage(tx, frame, isHeld = false) {
    for (const { groupId } of tx.keys('group/').map((key) => tx.get(key))) {
      const group = loadGroup(tx, groupId)
      for (const secret of group.secrets) {
        const header = messages.openHeader(frame.ciphertext, keysOf(groupId, secret).header)
        if (header) return this.#opened(tx, { group, secret, header, frame, isHeld })
      }
    }
    if (!isHeld) {
      this.#hold(tx, frame)
      for (const { groupId, status } of tx.keys('group/').map((key) => tx.get(key))) if (status === 'in') this.#readSoon(tx, groupId)
    }
    return false
  }

  #hold(tx, frame) {
    const number = tx.next('held')
    tx.set(numbered('held', number), { frame, at: this.now() })
    if (number > MAX_HELD) tx.delete(numbered('held', number - MAX_HELD))
  }

  #opened(tx, { group, secret, header, frame, isHeld }) {
    const key = chainKeyOf(group.groupId, header.device, header.chainId)
    const chain = tx.get(key)
    if (!chain) {
      if (!isHeld) this.#hold(tx, frame)
      return false
    }
    const { account, device } = chain
    const member = states.memberOf(group.state, account)
    const peer = peerOf(tx, account)
    if (!member && !isHeld) {
      this.#hold(tx, frame) // it may have come in by what was not read yet
      this.#readSoon(tx, group.groupId)
      return false
    }
    if (!member || !states.has(member, states.RIGHT.SEND) || secret.epoch < member.since) throw new Refusal('SenderRefused', 'who may not speak in the group')
    if (!peer.chain.length || !deviceIn(chainOf(peer.chain).at(-1), device)) throw new Refusal('DeviceRefused', 'no device of its account')
    if (chain.epoch !== secret.epoch || !equal(chain.cutHash, secret.cutHash)) throw new Refusal('SenderRefused', 'a chain of another epoch')
    const opened = messages.openMessage(frame.ciphertext, chain, header.iteration)
    tx.set(key, opened.chain)
    const content = decodeContent(opened.content)
    if (!equal(content.conversation, group.groupId)) throw new Refusal('redirected', 'a content of another conversation')
    count(tx, { account, device, content, isTwo: false }, this.tell)
    const who = { account, device, peer }
    if (isShown(content.type)) showMessage(tx, { ...who, content, frame, group: group.groupId }, this.tell)
    else if ([TYPE.reaction, TYPE.edit, TYPE.delete].includes(content.type)) act(tx, { ...who, content, mayTidy: states.has(member, states.RIGHT.TIDY) }, this.tell)
    else if (content.type === TYPE.groupTokens || content.type === TYPE.groupCommit) this.take(tx, { ...who, content, own: tx.get('own') })
    return true
  }

  // What was held: each is tried again, and goes when it opens, fails for good, or is 7 days old.
  async openHeld() {
    for (const key of this.store.keys('held/')) {
      await this.store.change((tx) => {
        const held = tx.get(key)
        if (!held) return
        try {
          if (this.openMessage(tx, held.frame, true) || this.now() - held.at > HELD_MS) tx.delete(key)
        } catch (error) {
          if (error.name !== 'Refusal') throw error
          tx.delete(key)
          if (error.kind !== 'Replayed') noteFailure(tx, held.frame, error, this.tell)
        }
      })
    }
  }

  encryptDraft(draft) {
    return this.sending.encryptDraft(draft)
  }
}

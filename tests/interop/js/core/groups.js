// Groups as a member: getting in, what members tell each other in their sessions, sending and receiving (Groups).
import { base32, equal, hex, unbase32 } from './bytes.js'
import { putToken } from './account.js'
import { Committing } from './committing.js'
import { ACTS, decodeContent, isShown, TYPE } from './contents.js'
import { chainOf, learnToken, peerKey, peerOf } from './directory.js'
import { parseChainHandOut, parseEpochHandOut } from './epochs.js'
import { Refusal } from './errors.js'
import { GroupLog, learnSecret, saveGroup } from './group_log.js'
import { keepChain, openGroupMessage } from './group_opening.js'
import { enter, groupKey, loadGroup, mustBe, newGroup, secretOf, setToken } from './group_record.js'
import { GroupSending } from './group_sending.js'
import * as states from './group_state.js'
import { act, count, noteFailure, showMessage } from './inbox.js'
import { parseLink } from './links.js'
import { addDraft } from './outbox.js'
import { numbered } from './store.js'

const WANTS = states.RIGHT.HEAR | states.RIGHT.SEND
const MAX_HELD = 1000
const HELD_MS = 7 * 86_400_000
const LACKS = { chain: 2 }

export class Groups {
  constructor(parts) {
    Object.assign(this, parts, { arrivals: [] })
    this.log = new GroupLog(parts)
    this.sending = new GroupSending({ ...parts, log: this.log })
    this.committing = new Committing({ ...parts, log: this.log })
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

  // Until this account is in.
  async arrived(groupId) {
    while (loadGroup(this.store, unbase32(groupId)).status === 'asked') await new Promise((resolve) => this.arrivals.push(resolve))
    return groupId
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
    } else if (type === TYPE.groupJoin) this.committing.asked(tx, account, body)
    else if (type === TYPE.groupRequest) this.committing.requested(tx, account, body)
    else if (type === TYPE.groupWelcome) this.#welcome(tx, account, body, own)
    else if (type === TYPE.groupSecrets) body[0].forEach((handOut) => this.#secret(tx, parseEpochHandOut(handOut)))
    else if (type === TYPE.groupChain) keepChain(tx, account, device, parseChainHandOut(body[0]))
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
    const state = enter(group, { handOut, readToken, nextEntry, stateBytes }, own.account)
    const early = tx.get(`early/${hex(handOut.groupId)}`) ?? { tokens: [], secrets: [] }
    group.waiting = early.secrets.filter((one) => one.epoch > state.epoch)
    saveGroup(tx, group)
    for (const [who, body] of early.tokens) this.#tokens(tx, who, body)
    tx.delete(`early/${hex(handOut.groupId)}`)
    tx.after.push(() => this.tell({ event: 'joined', group: base32(handOut.groupId), name: group.name, members: state.members.length }))
    tx.after.push(() => this.arrivals.splice(0).forEach((look) => look()))
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
    const one = secretOf(handOut)
    if (!group?.state) {
      const key = `early/${hex(handOut.groupId)}`
      const early = tx.get(key) ?? { tokens: [], secrets: [] }
      tx.set(key, { ...early, secrets: [...early.secrets, one].slice(-64) })
      return
    }
    if (handOut.epoch < group.state.epoch) return
    learnSecret(tx, group, one)
    this.#readSoon(tx, handOut.groupId)
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
      await this.committing.go(groupId)
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
    let opened
    try {
      opened = openGroupMessage(tx, frame.ciphertext)
    } catch (error) {
      const mayOpenLater = error.kind === 'ChainMissing' || (error.isOutsider && !isHeld) // it may have come in by what was not read yet
      if (!mayOpenLater) throw error
      if (!isHeld) this.#hold(tx, frame, error)
      return false
    }
    this.#said(tx, opened, frame)
    return true
  }

  #hold(tx, frame, { groupId, isOutsider }) {
    const number = tx.next('held')
    tx.set(numbered('held', number), { frame, at: this.now() })
    if (number > MAX_HELD) tx.delete(numbered('held', number - MAX_HELD))
    if (isOutsider) this.#readSoon(tx, groupId)
    else if (!groupId) for (const group of tx.keys('group/').map((key) => tx.get(key))) if (group.status === 'in') this.#readSoon(tx, group.groupId)
  }

  #said(tx, { group, member, account, device, content: bytes }, frame) {
    const peer = peerOf(tx, account)
    const content = decodeContent(bytes)
    if (!equal(content.conversation, group.groupId)) throw new Refusal('redirected', 'a content of another conversation')
    count(tx, { account, device, content, isTwo: false }, this.tell)
    const who = { account, device, peer }
    if (isShown(content.type)) showMessage(tx, { ...who, content, frame, group: group.groupId }, this.tell)
    else if (ACTS.includes(content.type)) act(tx, { ...who, content, mayTidy: states.has(member, states.RIGHT.TIDY) }, this.tell)
    else if (content.type === TYPE.groupTokens || content.type === TYPE.groupCommit) this.take(tx, { ...who, content, own: tx.get('own') })
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

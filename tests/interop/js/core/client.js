// The client as a whole: an account, its two connections, and what an application calls.
import { base32, hex, unbase64url } from './bytes.js'
import { careForPrekeys, careForToken, putToken, register } from './account.js'
import { Accepting } from './accepting.js'
import { Connection } from './connection.js'
import { conversationOf, TYPE } from './contents.js'
import { AccountDevices } from './account_devices.js'
import { Directory } from './directory.js'
import { isPassing, Refusal, RelayRefusal } from './errors.js'
import { ack, resume } from './frames.js'
import { Groups } from './groups.js'
import { inOrder } from './history.js'
import { Http } from './http.js'
import { act, Inbox } from './inbox.js'
import { FIRST_TOKEN_MS } from './joining.js'
import { contactLink } from './links.js'
import { addDraft, Outbox } from './outbox.js'
import { OwnDevices } from './own_devices.js'
import { OwnList } from './own_list.js'
import { sha256 } from './primitives.js'
import { draftReceipts, markRead } from './receipts.js'
import { draftAsks, dropSent, forgetSent } from './resends.js'
import { Renewal } from './renewal.js'
import { Revoking } from './revoking.js'
import { numbered, Store } from './store.js'
import { Uploads } from './uploads.js'

const PAUSE_MS = 500
const AGAIN_MS = 5_000
const LONGEST_TIMER_MS = 60 * 60_000
const REPLACED = 4001
const REVOKED = 4004
const NOTICE = { prekeysLow: 1, manifestChanged: 2, quarantined: 7 }

// A relay that has no time says how long.
const pauseAfter = (error) => Math.max(PAUSE_MS, error.retryAfterMs ?? 0)

export class Client {
  // `io` is { storage, fetch, fetchUnsigned, WebSocket, random(n), now(), sleep(ms), tell(event) }: all that the client has of the world.
  static async open(io) {
    const client = new Client()
    Object.assign(client, io, { store: await Store.open(io.storage), mailbox: null, sender: null, running: false, cared: false, isCaughtUp: false, quarantined: 0, turn: Promise.resolve() })
    client.devices = new AccountDevices(client, { httpFor: (origin) => client.#httpFor(origin), build: () => client.#build() })
    if (client.store.get('own')) client.#build()
    return client
  }

  get own() {
    return this.store.get('own')
  }

  #httpFor(origin, own = null) {
    return new Http({ origin, fetch: this.fetch, fetchUnsigned: this.fetchUnsigned, now: this.now, random: this.random, own })
  }

  #build() {
    const { origin, device, signingSeed } = this.own
    this.http = this.#httpFor(origin, { device, signingSeed })
    const parts = { store: this.store, http: this.http, random: this.random, now: this.now, tell: this.tell }
    this.directory = new Directory(parts)
    this.outbox = new Outbox({ ...parts, directory: this.directory })
    this.inbox = new Inbox({ ...parts, directory: this.directory })
    this.uploads = new Uploads(parts)
    this.renewal = new Renewal(parts)
    this.groups = new Groups({ ...parts, directory: this.directory, uploads: this.uploads, sleep: this.sleep, wake: () => this.pump() })
    this.ownDevices = new OwnDevices({ ...parts, wake: () => this.pump() })
    const ownList = new OwnList({ ...parts, directory: this.directory })
    this.accepting = new Accepting({ ...parts, ownDevices: this.ownDevices, ownList })
    this.revoking = new Revoking({ ...parts, ownList, renewal: this.renewal })
    Object.assign(this.outbox, { groups: this.groups, uploads: this.uploads })
    Object.assign(this.inbox, { groups: this.groups, ownDevices: this.ownDevices })
    this.directory.left = () => {
      this.tell({ event: 'ended', why: 'device_revoked' })
      this.running = false
      this.mailbox?.close()
      this.sender?.close()
    }
  }

  // Make an account from an invite, or at the origin of an open relay.
  async register(link, handle = null) {
    await register({ store: this.store, httpFor: (origin) => this.#httpFor(origin), random: this.random, now: this.now, link, handle })
    this.#build()
    await this.care()
    this.cared = true
    return this.whoami()
  }

  whoami() {
    const { account, device, handle, origin } = this.own
    return { account: base32(account), device: base32(device), handle, origin }
  }

  // A link by which anybody who has it can write to this account; the same one each time.
  async contactLink() {
    const { linkToken } = await this.store.change((tx) => {
      const own = { ...tx.get('own') }
      own.linkToken ??= this.random(16)
      tx.set('own', own)
      return own
    })
    await putToken(this.http, linkToken, 'link')
    await this.store.change((tx) => tx.set('own', { ...tx.get('own'), isLinkThere: true }))
    return contactLink(this.own.origin, this.own.account, linkToken)
  }

  // Whom this client knows, and by which class of token it can write to them.
  contacts() {
    return this.store.all('peer/').map(({ account, handle, claimed, token, tokenClass, accepted }) => ({ token_hash: token && hex(sha256(token)), account: base32(account), handle: handle ?? claimed, token_class: tokenClass, is_contact: accepted }))
  }

  // Another contact token, of which all contacts are told; the old one ends 7 days after they were.
  async renewToken() {
    await this.renewal.begin()
    await this.renewal.go()
    this.pump()
  }

  // The own tokens, as the relay knows them.
  async tokens() {
    const { tokens } = await this.http.json('GET', '/v1/delivery-tokens', { signed: true })
    return tokens.map((one) => ({ token_hash: hex(unbase64url(one.token_hash)), token_class: one.token_class, expires_at_ms: one.expires_at_ms }))
  }

  // What the relay has to have of this account.
  async care() {
    await this.store.change((tx) => forgetSent(tx, this.now()))
    await careForToken({ store: this.store, http: this.http, now: this.now, firstTokenMs: FIRST_TOKEN_MS })
    await careForPrekeys({ store: this.store, http: this.http, random: this.random, now: this.now })
    await this.directory.fetchOwn()
  }

  // Stay connected until `stop`: read the mailbox, and send what waits.
  async start() {
    this.#mustBeIn()
    this.running = true
    this.loop = this.#stay()
    await new Promise((resolve) => (this.#caughtUp = resolve))
  }

  #mustBeIn() {
    if (!this.own?.registered) throw new Refusal('Refused', 'this store has no account')
    if (this.own.isOut) throw new Refusal('Refused', 'this device is no longer one of its account')
  }

  #caughtUp = () => {}

  async #stay() {
    const document = await this.#document()
    while (this.running) {
      let pause = PAUSE_MS
      try {
        await this.#once(document)
      } catch (error) {
        this.tell({ event: 'disconnected', why: error.code ?? String(error) })
        if (error.status === REVOKED) await this.#wasItRevoked()
        pause = pauseAfter(error)
      }
      this.mailbox?.close()
      this.sender?.close()
      this.sender = null
      if (this.running) await this.sleep(pause)
    }
  }

  async #document() {
    while (this.running) {
      try {
        return await this.http.document(this.own.relayKey)
      } catch (error) {
        this.tell({ event: 'disconnected', why: error.code ?? String(error) })
        await this.sleep(pauseAfter(error))
      }
    }
    return null
  }

  async #once(document) {
    const common = { WebSocket: this.WebSocket, own: this.own }
    this.mailbox = new Connection({ ...common, anonymous: false, hear: (frame) => this.#queue(frame) })
    await this.mailbox.ready
    this.sender = document.anonymous_submit ? new Connection({ ...common, anonymous: true, hear: () => {} }) : this.mailbox
    this.acked = this.inbox.position
    this.isCaughtUp = false
    if (!this.cared) await this.care()
    this.cared = true
    this.mailbox.send(resume(this.inbox.position))
    const code = await Promise.race([this.mailbox.closed, this.sender.closed])
    this.mailbox.close()
    await this.turn.catch(() => {})
    if (code === REVOKED) await this.#wasItRevoked()
    if (code === REPLACED) {
      this.running = false // else two programs would take the mailbox from each other without end
      this.tell({ event: 'ended', why: 'replaced' })
    }
    this.tell({ event: 'disconnected', why: `closed ${code}` })
  }

  async #wasItRevoked() {
    try {
      await this.directory.askAsOutsider({ isUnknown: true })
    } catch (error) {
      this.#tellWaiting(error)
    }
  }

  #tellWaiting(error) {
    this.tell({ event: 'waiting', why: error.code ?? error.kind ?? String(error) })
  }

  // What the mailbox says is done one after the other.
  #queue(frame) {
    const connection = this.mailbox
    // What came on a connection that was given up comes again: nothing may be done that stands behind what failed.
    this.turn = this.turn.then(() => connection.isOpen && this.#hear(frame, connection)).catch((error) => {
      this.tell({ event: 'failed', why: error.stack })
      connection.close()
    })
  }

  async #hear(frame, connection) {
    if (frame.name === 'deliver') await this.inbox.deliver(frame)
    else if (frame.name === 'missed') await this.inbox.missed(frame)
    else if (frame.name === 'caughtUp') {
      this.isCaughtUp = true
      await this.#openQuarantined(connection)
      this.#caughtUp()
      await this.inbox.compareHeads()
      await this.directory.fetchOwn().catch((error) => this.#tellWaiting(error))
      this.pump()
      this.groups.readLogs()
    } else if (frame.name === 'refused' && frame.code === 'sequence_ahead') await this.store.change((tx) => tx.set('position', 0))
    else if (frame.name === 'notice' && frame.kind === NOTICE.prekeysLow) this.care().catch((error) => this.tell({ event: 'failed', why: String(error) }))
    else if (frame.name === 'notice' && frame.kind === NOTICE.quarantined && this.isCaughtUp) await this.#openQuarantined(connection)
    else if (frame.name === 'notice' && frame.kind === NOTICE.manifestChanged) this.directory.fetchOwn().catch(() => {})
    else if (frame.name === 'batchEnd' && this.inbox.position > this.acked && connection.isOpen) {
      this.acked = this.inbox.position
      connection.send(ack(this.acked))
      if (this.isCaughtUp) this.pump()
    }
  }

  // What the relay delivered 5 times and nobody acknowledged it skips: a client that died each time fetches it. The notice of it may
  // have gone to one that is dead, so this is asked whenever the mailbox is read to its end.
  async #openQuarantined(connection) {
    try {
      for (let after = 0; ; ) {
        const { envelopes } = await this.http.json('GET', `/v1/mailbox/quarantine?after=${after}`, { signed: true })
        if (!envelopes.length) return
        for (const { sequence, envelope_id: id, received_at_ms: receivedAt, ciphertext } of envelopes) {
          await this.inbox.deliver({ name: 'deliver', sequence, envelopeId: unbase64url(id), receivedAt, ciphertext: unbase64url(ciphertext) }, true)
          connection.send(ack(this.inbox.position, [sequence]))
          this.quarantined += 1
        }
        after = envelopes.at(-1).sequence
      }
    } catch (error) {
      if (!isPassing(error) && !(error instanceof RelayRefusal)) throw error
      this.tell({ event: 'waiting', why: error.code ?? String(error) }) // asked again on the next connection
    }
  }

  // Send what waits; what cannot go now is tried again, and what is due later is done then.
  async pump() {
    if (!this.sender || !this.isCaughtUp || this.own.isOut) return
    const due = await this.#due()
    await this.revoking.go().catch((error) => this.#tellWaiting(error))
    await this.renewal.go().catch((error) => this.tell({ event: 'waiting', why: error.code ?? String(error) }))
    await this.outbox.pump(this.sender).catch((error) => this.tell({ event: 'failed', why: error.stack }))
    await this.groups.committing.goAll().catch((error) => this.tell({ event: 'failed', why: error.stack }))
    const waits = this.store.keys('draft/').length + this.store.keys('outbox/').length + this.store.keys('renewal').length + this.store.keys('revoking').length + this.groups.committing.isBusy
    const at = Math.min(waits ? this.now() + AGAIN_MS : Infinity, due ?? Infinity)
    if (!this.running || at === Infinity || (this.timer && this.timerAt <= at)) return
    clearTimeout(this.timer)
    this.timerAt = at
    this.timer = setTimeout(() => {
      this.timer = null
      this.pump()
    }, Math.min(Math.max(at - this.now(), 1), LONGEST_TIMER_MS))
  }

  // What the client says by itself, drafted when its time has come. → when the next is due, or null.
  #due() {
    return this.store.change((tx) => {
      const io = { now: this.now(), random: this.random }
      this.ownDevices.share(tx)
      const times = [draftReceipts(tx, io), draftAsks(tx, io)].filter((time) => time !== null)
      return times.length ? Math.min(...times) : null
    })
  }

  async stop() {
    this.running = false
    this.accepting?.stop()
    clearTimeout(this.timer)
    this.mailbox?.close()
    this.sender?.close()
    await this.loop
  }

  // → the number of the message. `what` is { text } or { file: { name, mediaType, bytes } }; `to` a handle, link, account id or `group:<id>`.
  async send(to, what) {
    this.#mustBeIn()
    const group = to.startsWith('group:') ? this.groups.find(to.slice(6)) : null
    const account = group ? null : await this.directory.resolve(to)
    const number = await this.store.change((tx) => {
      const own = tx.get('own')
      const common = { messageId: this.random(16), sentAt: this.now() }
      const upload = what.file ? this.uploads.prepare(tx, what.file) : null
      const [type, body] = upload ? [TYPE.file, null] : [TYPE.text, [what.text]]
      const message = tx.next('message')
      const conversation = group ?? conversationOf(own.account, account)
      const shown = { number: message, from: own.account, to: account, group, conversation, type, body, isOwn: true, state: 'draft', edits: [], reactions: [], ...common }
      tx.set(numbered('message', message), shown)
      addDraft(tx, { account, group, type, body, message, upload, ...common })
      return message
    })
    this.pump()
    return number
  }

  // React to a message, edit or delete it: `type` is one of TYPE, `said` the emoji or the new text. It shows here at once.
  async act(number, type, said = null) {
    await this.store.change((tx) => {
      const message = tx.get(numbered('message', number))
      if (!message?.reference || message.state === 'deleted') throw new Refusal('Refused', 'a message that takes no acts')
      if (type !== TYPE.reaction && !message.isOwn) throw new Refusal('Refused', 'the author alone edits and deletes')
      const about = [message.from, message.messageId, message.reference]
      const earlier = [...message.edits, ...message.reactions].map((one) => one.order[0])
      const content = { type, body: type === TYPE.delete ? [about] : [about, said], messageId: this.random(16), sentAt: Math.max(this.now(), ...earlier.map((time) => time + 1)) }
      act(tx, { account: this.own.account, content: { ...content, conversation: message.conversation }, mayTidy: false }, this.tell)
      if (type === TYPE.delete) dropSent(tx, message.conversation, message.messageId)
      const account = message.isOwn ? message.to : message.from
      addDraft(tx, { account: message.group ? null : account, group: message.group, ...content })
    })
    this.pump()
  }

  // The user has seen these messages of others.
  async read(numbers) {
    await this.store.change((tx) => numbers.forEach((number) => markRead(tx, number, { now: this.now(), random: this.random })))
    this.pump()
  }

  // Whether this account gives receipts.
  setReceipts(on) {
    return this.store.change((tx) => tx.set('settings', { ...tx.get('settings'), receipts: on }))
  }

  // What was said, in the order of each sending device's counter.
  messages(after = 0) {
    return inOrder(this.store.all('message/')).filter((message) => message.number > after)
  }

  // Numbers of sending devices that were jumped over.
  missing() {
    return this.store.all('in/').reduce((sum, known) => sum + known.missing.length, 0)
  }

  // Receipts that wait for their time.
  owed() {
    return this.store.all('owes/').reduce((sum, { numbers }) => sum + Object.keys(numbers).length, 0)
  }

  // Of those, the ones that nobody has any more.
  gone() {
    return this.store.all('in/').reduce((sum, known) => sum + (known.gone?.length ?? 0), 0)
  }
}

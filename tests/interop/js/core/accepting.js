// A manager lets a new device into its account: it reads the code, answers, and lists the device after its user's yes (Linking).
import { base32, hex } from './bytes.js'
import { Refusal } from './errors.js'
import { setItem } from './items.js'
import { LinkMailbox } from './link_mailbox.js'
import * as linking from './linking.js'
import { parseLink } from './links.js'
import { MANAGER, deviceIn } from './manifests.js'
import { listOf } from './directory.js'
import { encode } from '@msgpack/msgpack/dist.esm/index.mjs'

const YES_MS = 60_000

export class Accepting {
  constructor({ store, http, ownDevices, ownList, random, now, tell }) {
    Object.assign(this, { store, http, ownDevices, ownList, random, now, tell, open: null, waiting: null })
  }

  // → the digits that both devices show, and the name that the new one says it has.
  async answer(link) {
    const { origin, kind, mailbox: id, request: hash } = parseLink(link)
    const own = this.store.get('own')
    if (kind !== 'link' || origin !== own.origin) throw new Refusal('LinkRefused', 'no link of a device at this relay')
    if (!(deviceIn(listOf(this.store, own.account).at(-1), own.device)?.flags & MANAGER)) throw new Refusal('Refused', 'this device does not manage its account')
    const key = `answered-link/${hex(hash)}`
    if (this.store.get(key)) throw new Refusal('LinkRefused', 'this request was answered before')
    const scanned = { mailbox: id, hash, at: this.now() }
    const mailbox = new LinkMailbox({ http: this.http, id, now: this.now })
    const answered = linking.answerRequest(scanned, await mailbox.mustRead('request', scanned.at), own, { random: this.random, now: this.now() })
    await this.store.change((tx) => tx.set(key, true))
    await mailbox.write('answer', answered.sealed)
    this.open = { scanned, mailbox, asked: answered.asked }
    return { digits: answered.digits, name: answered.asked.name }
  }

  // The user said yes here; the new device's user has to say it there. → the new device.
  async confirm() {
    const { open } = this
    if (!open) throw new Refusal('Refused', 'no request was answered')
    this.open = null
    const { scanned, mailbox, asked } = open
    if (this.now() - scanned.at > YES_MS) throw new Refusal('LinkRefused', 'over 60 s')
    const confirmation = await mailbox.mustRead('confirmation', scanned.at)
    const { account } = this.store.get('own')
    const device = linking.confirmedDevice(scanned, asked, confirmation, account, this.now())
    await this.store.change((tx) => setItem(tx, `device/${hex(device.id)}`, encode([asked.name]), this.now()))
    await this.ownList.change((devices) => (devices.some((one) => hex(one.id) === hex(device.id)) ? null : [...devices, device]))
    this.#handOverWhenReady(mailbox, scanned.at, device.id)
    return base32(device.id)
  }

  // Not waited for: a device that is slower, or a manager that ends, does it when the device asks.
  async #handOverWhenReady(mailbox, since, device) {
    this.waiting = mailbox
    try {
      if (!(await mailbox.read('ready', since))) return
      await this.store.change((tx) => this.ownDevices.handOver(tx, device))
      this.ownDevices.wake()
    } catch (error) {
      this.tell({ event: 'waiting', why: error.code ?? String(error) })
    }
  }

  stop() {
    if (this.waiting) this.waiting.isOver = true
  }
}

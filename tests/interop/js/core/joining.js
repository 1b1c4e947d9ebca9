// A new device gets into an account that there is: it shows a code, then digits, and goes on after its user's yes (Linking).
import { putToken, careForPrekeys } from './account.js'
import { concat } from './bytes.js'
import { TYPE } from './contents.js'
import { listOf } from './directory.js'
import { isPassing, Refusal, RelayRefusal } from './errors.js'
import { LinkMailbox } from './link_mailbox.js'
import * as linking from './linking.js'
import { deviceLink } from './links.js'
import { addDraft } from './outbox.js'

const LISTED_WITHIN_MS = 90_000
const ASK_EVERY_MS = 500
export const FIRST_TOKEN_MS = 7 * 86_400_000

export class Joining {
  constructor({ store, httpFor, random, now, sleep, tell }) {
    Object.assign(this, { store, httpFor, random, now, sleep, tell, pending: null })
  }

  // → the link that a manager scans. Whatever was begun before, and never got a yes, is over.
  async show(origin, name) {
    if (this.store.get('own')) throw new Refusal('Refused', 'this store has an account, or is on its way into one')
    this.http = this.httpFor(origin)
    const { relayKey } = await this.http.document(null) // nothing pins it yet: compared with what the account pinned
    this.pending = { ...linking.makeRequest({ name, random: this.random, now: this.now() }), origin, relayKey }
    this.mailbox = new LinkMailbox({ http: this.http, id: this.pending.mailbox, now: this.now })
    await this.mailbox.write('request', this.pending.request)
    return deviceLink(origin, linking.codeOf(this.pending))
  }

  // → the digits that both devices show, once a manager answered.
  async answered() {
    const { pending } = this
    if (!pending) throw new Refusal('Refused', 'no code was shown')
    const sealed = await this.mailbox.mustRead('answer', pending.madeAt)
    this.answer = linking.openAnswer(pending, sealed, this.now())
    pending.isOpened = true
    return this.answer.digits
  }

  // The user said yes: the keys are kept before the manager hears it.
  async confirm() {
    const { pending, answer } = this
    if (!answer) throw new Refusal('Refused', 'no digits were shown')
    const { origin, relayKey, name, device, signingSeed, identityPrivate, mailbox } = pending
    const own = {
      ...{ origin, relayKey, rootSeed: null, account: answer.account, device, signingSeed, identityPrivate, name, handle: null },
      ...{ contactToken: this.random(16), isFirstToken: true, publicToken: null, chain: [], proof: new Uint8Array(0), registered: false },
      ...{ joining: { manager: answer.manager, mailbox, since: this.now() }, waitsForItems: true },
    }
    await this.store.change((tx) => tx.set('own', own))
    await this.mailbox.write('confirmation', answer.confirmation)
    this.tell({ event: 'confirmed' })
  }

  // Until the relay lists this device, then all that it needs to be written to. May be called again after a crash at any moment.
  async finish(http, directory) {
    const { joining } = this.store.get('own')
    await this.#listed(directory, joining)
    const own = this.store.get('own')
    const { contactToken, device, account } = own
    linking.checkListed(listOf(this.store, account), own, joining.manager)
    await putToken(http, contactToken, 'contact', this.now() + FIRST_TOKEN_MS)
    await careForPrekeys({ store: this.store, http, random: this.random, now: this.now })
    await this.store.change((tx) => {
      tx.set('own', { ...tx.get('own'), registered: true })
      addDraft(tx, { account, type: TYPE.sharedItems, body: [[], false, true], messageId: this.random(16), sentAt: this.now() })
    })
    const mailbox = new LinkMailbox({ http, id: joining.mailbox, now: this.now })
    try {
      await mailbox.write('ready', Uint8Array.of(1))
    } catch (error) {
      if (!(error instanceof RelayRefusal)) throw error // too late for that: the question for items is on its way as well
    }
    return concat(account, device)
  }

  async #listed(directory, { since }) {
    for (;;) {
      try {
        return await directory.fetchOwn()
      } catch (error) {
        const isUnknown = error.code === 'unauthenticated'
        if (!isUnknown && !isPassing(error)) throw error
        if (isUnknown && this.now() - since > LISTED_WITHIN_MS) {
          await this.store.change((tx) => tx.delete('own'))
          throw new Refusal('LinkRefused', 'the manager never listed this device')
        }
      }
      await this.sleep(ASK_EVERY_MS)
    }
  }
}

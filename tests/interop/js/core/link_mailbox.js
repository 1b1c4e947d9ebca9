// The mailbox at the relay in which two devices that do not know each other yet leave what a link needs (Link mailbox).
import { base32 } from './bytes.js'
import { RelayRefusal, Refusal } from './errors.js'

const WAIT_SECONDS = 5 // so long a client that is ended still waits
const GOOD_MS = 60_000

export class LinkMailbox {
  constructor({ http, id, now }) {
    Object.assign(this, { http, path: `/v1/links/${base32(id)}`, now, isOver: false })
  }

  write(slot, body) {
    return this.http.send('PUT', `${this.path}/${slot}`, { body, headers: { 'Content-Type': 'application/octet-stream' } })
  }

  // What lies in a slot, waited for as long as a link is good; null if nothing came.
  async read(slot, since) {
    try {
      while (!this.isOver && this.now() - since <= GOOD_MS) {
        const { status, bytes } = await this.http.send('GET', `${this.path}/${slot}?wait_seconds=${WAIT_SECONDS}`)
        if (status === 200) return bytes
      }
      return null
    } catch (error) {
      if (error instanceof RelayRefusal && error.code === 'not_found') return null // its minute is over
      throw error
    }
  }

  async mustRead(slot, since) {
    const bytes = await this.read(slot, since)
    if (!bytes) throw new Refusal('LinkRefused', `nothing came within 60 s: ${slot}`)
    return bytes
  }
}

// The devices of the account, as an application has them: linking on both sides, and who there is (Linking, Own devices).
import { base32, equal, unbase32 } from './bytes.js'
import { listOf } from './directory.js'
import { Refusal } from './errors.js'
import { nameOf } from './items.js'
import { Joining } from './joining.js'
import { MANAGER } from './manifests.js'

export class AccountDevices {
  // `build` makes the parts of a client that has keys.
  constructor(client, { httpFor, build }) {
    Object.assign(this, { client, httpFor, build, joining: null })
  }

  // A new device of an account that there is: → the link that one of its managers scans (`accept`).
  showCode(origin, name) {
    this.joining = this.#joining()
    return this.joining.show(origin.replace(/\/$/, ''), name)
  }

  #joining() {
    const { store, random, now, sleep, tell } = this.client
    return new Joining({ store, httpFor: this.httpFor, random, now, sleep, tell })
  }

  #mustHaveShown() {
    if (!this.joining) throw new Refusal('Refused', 'no code was shown')
  }

  // The digits, to be compared with those of the manager.
  digits() {
    this.#mustHaveShown()
    return this.joining.answered()
  }

  // The user's yes, on the new device, which is one of its account then. After a crash it goes on where it was.
  async join() {
    const { client } = this
    if (!client.own) {
      this.#mustHaveShown()
      await this.joining.confirm()
    }
    if (!client.own.joining || client.own.registered) throw new Refusal('Refused', 'this store has an account')
    this.build()
    await this.#joining().finish(client.http, client.directory)
    client.cared = true
    return client.whoami()
  }

  // The manager's side: → the digits, and the new device's name; then the user's yes → the device.
  accept(link) {
    return this.client.accepting.answer(link)
  }

  confirm() {
    return this.client.accepting.confirm()
  }

  // Taken out of the account, for good.
  async remove(device) {
    await this.client.revoking.remove(unbase32(device))
    this.client.pump()
  }

  list() {
    const { own, store } = this.client
    const describe = ({ id, flags }) => ({ device: base32(id), name: nameOf(store, id), is_manager: Boolean(flags & MANAGER), is_self: equal(id, own.device) })
    return listOf(store, own.account).at(-1).devices.map(describe)
  }
}

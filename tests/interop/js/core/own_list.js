// The list of the own devices, as its manager changes it (Changing the list).
import { base64url, hex } from './bytes.js'
import { listOf } from './directory.js'
import { nextManifest } from './manifests.js'

export const manifestObject = ({ body, signer, signature }) => ({ body: base64url(body), signer: base64url(signer), signature: base64url(signature) })
export const madeKey = (manifest) => `made/${hex(manifest.hash)}`

export class OwnList {
  constructor({ store, http, directory }) {
    Object.assign(this, { store, http, directory })
  }

  // Put the next list in place: `how` makes the new devices of those that there are, or says null if nothing is left to do. If another
  // manager was first, its change is fetched (and told), and this one comes on top.
  async change(how) {
    for (;;) {
      const own = this.store.get('own')
      const chain = listOf(this.store, own.account)
      const devices = how(chain.at(-1).devices)
      if (!devices) return
      const next = nextManifest(chain, devices, own)
      await this.store.change((tx) => tx.set(madeKey(next), true)) // a list by this device that is not noted is an alarm
      try {
        await this.http.json('POST', '/v1/accounts/self/manifests', { json: { manifest: manifestObject(next) }, signed: true })
      } catch (error) {
        if (error.code !== 'manifest_conflict') throw error
      }
      await this.directory.fetchOwn()
    }
  }
}

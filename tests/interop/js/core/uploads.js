// Files at the relay: sealed here, uploaded by tus, and fetched by whoever has the message (Blobs).
import { base32, base64, unbase32 } from './bytes.js'
import { checkWhole, openBlob, sealBlob } from './blobs.js'
import { sha256 } from './primitives.js'
import { numbered } from './store.js'

const TUS = { 'Tus-Resumable': '1.0.0' }
const CHUNK = 4 * 1024 * 1024

export class Uploads {
  constructor({ store, http, random }) {
    Object.assign(this, { store, http, random })
  }

  // Seal a file; the transaction that makes the draft keeps the ciphertext until the relay has it.
  prepare(tx, { name, mediaType, bytes }) {
    const key = this.random(32)
    const ciphertext = sealBlob(bytes, key, this.random(16))
    const number = tx.next('upload')
    tx.set(numbered('upload', number), { ciphertext, location: null })
    return { number, key, size: bytes.length, sha256: sha256(ciphertext), name, mediaType }
  }

  // Upload what a draft waits for, from where it stands, and give the draft its body.
  async finish(draft) {
    const key = numbered('upload', draft.upload.number)
    const { ciphertext } = this.store.get(key)
    let { location } = this.store.get(key)
    if (!location) {
      const headers = { ...TUS, 'Upload-Length': String(ciphertext.length), 'Upload-Metadata': `sha256 ${base64(draft.upload.sha256)}` }
      location = (await this.http.send('POST', '/v1/blobs', { headers, signed: true })).headers.get('location')
      await this.store.change((tx) => tx.set(key, { ciphertext, location }))
    }
    const head = await this.#stand(key, location)
    for (let offset = Number(head.headers.get('upload-offset')); offset < ciphertext.length; ) {
      const body = ciphertext.slice(offset, offset + CHUNK)
      const headers = { ...TUS, 'Content-Type': 'application/offset+octet-stream', 'Upload-Offset': String(offset) }
      await this.http.send('PATCH', location, { body, headers, signed: true, streamed: true, offset })
      offset += body.length
    }
    await this.store.change((tx) => {
      const { upload, number, message } = tx.get(numbered('draft', draft.number))
      const body = [unbase32(location.split('/').at(-1)), upload.key, upload.size, upload.sha256, upload.name, upload.mediaType]
      tx.set(numbered('draft', number), { ...draft, body, upload: null })
      if (message) tx.set(numbered('message', message), { ...tx.get(numbered('message', message)), body })
      tx.delete(key)
    })
    Object.assign(draft, { ...this.store.get(numbered('draft', draft.number)) })
  }

  // How far an upload is. One that the relay keeps no more begins anew with the next try.
  async #stand(key, location) {
    try {
      return await this.http.send('HEAD', location, { headers: TUS, signed: true })
    } catch (error) {
      if (error.status === 404) await this.store.change((tx) => tx.set(key, { ...tx.get(key), location: null }))
      throw error
    }
  }

  // The content of a file that a message names.
  async fetch([blobId, key, size, hash]) {
    const { bytes } = await this.http.send('GET', `/v1/blobs/${base32(blobId)}`)
    checkWhole(bytes, hash)
    return openBlob(bytes, key, size)
  }
}

// A name that is good for a file: the last part, without control characters and leading dots, never a path.
export function safeName(name) {
  const last = name.split(/[/\\]/).at(-1)
  return [...last].filter((character) => character > '\u001f' && character !== '\u007f').join('').replace(/^\.+/, '') || 'file'
}

// Files, sealed in segments that open alone (Blob encryption).
import { concat, equal, u32, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { bucket } from './padding.js'
import { hkdf, open, seal, sha256 } from './primitives.js'
import { label, SUITE } from './transcripts.js'

const SEGMENT = 65536
const HEAD = 49

function keysOf(key, salt) {
  const keys = hkdf(salt, key, label('blob'), 71)
  return { aes: keys.slice(0, 32), prefix: keys.slice(32, 39), commitment: keys.slice(39) }
}

const nonceOf = (prefix, i, count) => concat(prefix, u32(i), u8(i === count - 1 ? 1 : 0))

export function sealBlob(content, key, salt) {
  const { aes, prefix, commitment } = keysOf(key, salt)
  const padded = concat(content, zeros(bucket(content.length) - content.length))
  const count = Math.ceil(padded.length / SEGMENT)
  const segments = Array.from({ length: count }, (_, i) =>
    seal(aes, nonceOf(prefix, i, count), padded.subarray(i * SEGMENT, (i + 1) * SEGMENT)),
  )
  return concat(u8(SUITE), salt, commitment, ...segments)
}

export function openBlob(ciphertext, key, trueLength) {
  const size = bucket(trueLength)
  const count = Math.ceil(size / SEGMENT)
  if (ciphertext[0] !== SUITE) throw new Refusal('InvalidEncoding', 'another suite')
  if (ciphertext.length !== HEAD + size + 16 * count) throw new Refusal('Undecryptable', 'another size than the true length says')
  const { aes, prefix, commitment } = keysOf(key, ciphertext.slice(1, 17))
  if (!equal(commitment, ciphertext.subarray(17, HEAD))) throw new Refusal('Undecryptable', 'sealed under another key')
  const opened = Array.from({ length: count }, (_, i) => {
    const at = HEAD + i * (SEGMENT + 16)
    return open(aes, nonceOf(prefix, i, count), ciphertext.subarray(at, Math.min(at + SEGMENT + 16, ciphertext.length)))
  })
  const padded = concat(...opened)
  if (padded.subarray(trueLength).some((byte) => byte !== 0)) throw new Refusal('Undecryptable', 'padding that is not zeros')
  return padded.slice(0, trueLength)
}

export const checkWhole = (ciphertext, expected) => {
  if (!equal(sha256(ciphertext), expected)) throw new Refusal('Undecryptable', 'not the bytes that the message names')
}

// Sizes that say little: buckets of envelopes, PADMÉ of blobs, and the padding inside (Envelopes and padding).
import { concat, Reader, u32, zeros } from './bytes.js'
import { Refusal } from './errors.js'

export const MAX_ENVELOPE = 262144

// The smallest size of the table that holds `length` bytes; envelopes end at 262,144, blobs do not.
export function bucket(length) {
  for (const small of [256, 512, 1024]) if (length <= small) return small
  const exponent = Math.floor(Math.log2(length))
  const grain = 2 ** (exponent - Math.floor(Math.log2(exponent)) - 1)
  return Math.ceil(length / grain) * grain
}

export const isBucket = (length) => length <= MAX_ENVELOPE && bucket(length) === length

// length ‖ content ‖ zeros, so that with `around` other bytes the envelope has a bucket's size.
export function pad(content, around) {
  const size = bucket(around + 4 + content.length)
  if (size > MAX_ENVELOPE) throw new Refusal('TooLarge', 'no envelope holds so much')
  return concat(u32(content.length), content, zeros(size - around - 4 - content.length))
}

export function unpad(padded) {
  const reader = new Reader(padded)
  const content = reader.sized()
  if (reader.rest().some((byte) => byte !== 0)) throw new Refusal('InvalidEncoding', 'padding that is not zeros')
  return content
}

// Proofs of work: 8 bytes that make a hash begin with zero bits (Strangers; Registration).
import { sha256 } from '@noble/hashes/sha2.js'
import { u64 } from './bytes.js'

const MOST_BITS = 24

const hasBits = (hash, bits) => {
  for (let i = 0; i < bits; i++) if (hash[i >> 3] & (128 >> (i & 7))) return false
  return true
}

export const isWork = (transcript, bits) => hasBits(sha256(transcript), bits)

// The first 8 bytes for which `transcriptWith(them)`, which ends with them, has so many bits. No relay asks for more than 24.
export function findWork(transcriptWith, bits) {
  if (bits > MOST_BITS) throw new RangeError('no work of more than 24 bits is looked for')
  const start = sha256.create().update(transcriptWith(u64(0)).subarray(0, -8))
  for (let tried = 0; ; tried++) {
    const work = u64(tried)
    if (hasBits(start.clone().update(work).digest(), bits)) return work
  }
}

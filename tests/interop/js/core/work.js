// Proofs of work: 8 bytes that make a hash begin with zero bits (Strangers; Registration).
import { u64 } from './bytes.js'
import { sha256 } from './primitives.js'

const MOST_BITS = 24

export function isWork(transcript, bits) {
  const hash = sha256(transcript)
  for (let i = 0; i < bits; i++) if (hash[i >> 3] & (128 >> (i & 7))) return false
  return true
}

// The first 8 bytes for which `transcriptWith(them)` has so many bits. No relay asks for more than 24.
export function findWork(transcriptWith, bits) {
  if (bits > MOST_BITS) throw new RangeError('no work of more than 24 bits is looked for')
  for (let tried = 0; ; tried++) {
    const work = u64(tried)
    if (isWork(transcriptWith(work), bits)) return work
  }
}

// One ciphertext for a whole group, under the chain of the device that sends it; and the entries of its log (Messages, The log).
import { concat, copyOf, equal, Reader, u32, u64, u8 } from './bytes.js'
import { groupChainStep } from './epochs.js'
import { Refusal } from './errors.js'
import { isBucket, pad, unpad } from './padding.js'
import { open, seal, sha256, sign, verify } from './primitives.js'
import { SUITE, transcript } from './transcripts.js'

const START = Uint8Array.of(3, 1)
const MAX_JUMP = 10_000
const MAX_SKIPPED = 2_000

const entryData = (groupId, index) => transcript('group log entry', groupId, u64(index))

export function sealEntry(commit, { key, groupId, index, nonce }) {
  const start = concat(u8(SUITE), nonce)
  return concat(start, seal(key, nonce, pad(commit, start.length + 16), entryData(groupId, index)))
}

export function openEntry(entry, { key, groupId, index }) {
  if (entry[0] !== SUITE || !isBucket(entry.length)) throw new Refusal('InvalidEncoding', 'no entry of suite 1')
  const reader = new Reader(unpad(open(key, entry.slice(1, 13), entry.subarray(13), entryData(groupId, index))))
  return { signature: reader.take(64), body: reader.rest() }
}

// What a message is bound to: { groupId, epoch, cutHash, account, device, chainId }.
const bound = (name, about, iteration, last) =>
  transcript(name, about.groupId, u64(about.epoch), about.cutHash, about.account, about.device, about.chainId, u32(iteration), last)

export function sealMessage(content, chain, { headerKey, nonce }) {
  const header = seal(headerKey, nonce, concat(chain.device, chain.chainId, u32(chain.iteration)), START)
  const beginning = concat(START, nonce, header)
  const { messageKey, next } = groupChainStep(chain.chainKey)
  const padded = pad(content, beginning.length + 16 + 64)
  const unsigned = concat(beginning, seal(messageKey, nonce, padded, bound('group message', chain, chain.iteration, beginning)))
  const signature = sign(chain.signingSeed, bound('group signature', chain, chain.iteration, sha256(unsigned)))
  return { envelope: concat(unsigned, signature), messageKey, chain: { ...chain, chainKey: next, iteration: chain.iteration + 1 } }
}

// Whose a message is, if this header key opens it; else null.
export function openHeader(envelope, headerKey) {
  if (!equal(envelope.subarray(0, 2), START) || !isBucket(envelope.length)) throw new Refusal('InvalidEncoding', 'no group message of suite 1')
  try {
    const reader = new Reader(open(headerKey, envelope.slice(2, 14), envelope.subarray(14, 62), START))
    return { device: reader.take(16), chainId: reader.take(12), iteration: reader.u32() }
  } catch {
    return null
  }
}

// A chain of another device as it is kept: what it is bound to, where it stands, and keys that were skipped.
export const receivingChain = (handOut, account, device) => ({
  ...{ groupId: handOut.groupId, epoch: handOut.epoch, cutHash: handOut.cutHash, account, device, chainId: handOut.chainId },
  ...{ signing: handOut.signing, chainKey: handOut.chainKey, next: handOut.iteration, skipped: [] },
})

export function openMessage(envelope, old, iteration) {
  const chain = copyOf(old)
  const unsigned = envelope.subarray(0, envelope.length - 64)
  verify(chain.signing, bound('group signature', chain, iteration, sha256(unsigned)), envelope.slice(envelope.length - 64))
  let key = null
  if (iteration < chain.next) {
    const at = chain.skipped.findIndex(([one]) => one === iteration)
    if (at < 0) throw new Refusal('Replayed', 'this message was opened before')
    key = chain.skipped.splice(at, 1)[0][1]
  } else if (iteration - chain.next > MAX_JUMP) throw new Refusal('TooFarAhead', 'too many messages are missing')
  while (chain.next <= iteration) {
    const step = groupChainStep(chain.chainKey)
    if (chain.next === iteration) key = step.messageKey
    else chain.skipped = [...chain.skipped, [chain.next, step.messageKey]].slice(-MAX_SKIPPED)
    chain.chainKey = step.next
    chain.next += 1
  }
  const beginning = envelope.slice(0, 62)
  const padded = open(key, envelope.slice(2, 14), unsigned.subarray(62), bound('group message', chain, iteration, beginning))
  return { content: unpad(padded), chain, messageKey: key }
}

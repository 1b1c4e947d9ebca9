// The secrets of a group: what follows from them, and the forms in which they are handed out (Epochs, Sender chains).
import { concat, Reader, u32, u64, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { checkSigningKey, hkdf, hmac, sha256 } from './primitives.js'
import { label, SUITE, transcript } from './transcripts.js'

export const commitmentOf = (groupId, secret) => sha256(transcript('epoch commitment', groupId, secret))

export function epochKeys({ groupId, epoch, step, cutHash, secret }) {
  const keys = hkdf(cutHash, secret, transcript('epoch keys', groupId, u64(epoch), u32(step)), 96)
  return { header: keys.slice(0, 32), entry: keys.slice(32, 64), readToken: keys.slice(64) }
}

// The secret of the next step of a broadcast group, after a commit that led to `stateHash`.
export const nextStep = ({ groupId, epoch, step, secret }, stateHash) =>
  hkdf(stateHash, secret, transcript('epoch step', groupId, u64(epoch), u32(step + 1)), 32)

export const encodeEpochHandOut = ({ groupId, epoch, step, cutHash, secret, writeSeed = zeros(32) }) =>
  concat(u8(SUITE), groupId, u64(epoch), u32(step), cutHash, secret, writeSeed)

export function parseEpochHandOut(bytes) {
  const reader = new Reader(bytes)
  if (reader.u8() !== SUITE) throw new Refusal('InvalidEncoding', 'another suite')
  const handOut = { groupId: reader.take(32), epoch: reader.u64(), step: reader.u32(), cutHash: reader.take(32), secret: reader.take(32), writeSeed: reader.take(32) }
  reader.end()
  return handOut
}

export const encodeChainHandOut = ({ groupId, epoch, cutHash, chainId, iteration, chainKey, signing }) =>
  concat(u8(SUITE), groupId, u64(epoch), cutHash, chainId, u32(iteration), chainKey, signing)

export function parseChainHandOut(bytes) {
  const reader = new Reader(bytes)
  if (reader.u8() !== SUITE) throw new Refusal('InvalidEncoding', 'another suite')
  const handOut = { groupId: reader.take(32), epoch: reader.u64(), cutHash: reader.take(32), chainId: reader.take(12), iteration: reader.u32(), chainKey: reader.take(32), signing: reader.take(32) }
  reader.end()
  checkSigningKey(handOut.signing)
  return handOut
}

export const groupChainStep = (chainKey) => ({
  messageKey: hmac(chainKey, concat(label('group chain'), u8(1))),
  next: hmac(chainKey, concat(label('group chain'), u8(2))),
})

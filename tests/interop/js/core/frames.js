// Messages of the WebSocket: arrays of frames, each exactly shaped (The WebSocket protocol).
import { decode, encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { Refusal } from './errors.js'

const int = (value) => Number.isInteger(value) && value >= 0
const bin = (least, most) => (value) => value instanceof Uint8Array && value.length >= least && value.length <= (most ?? least)
const string = (value) => typeof value === 'string'
const list = (of) => (value) => Array.isArray(value) && value.every(of)
const behind = (value) => Array.isArray(value) && value.length === 2 && bin(32)(value[0]) && int(value[1])

// type: name, fields, and how many of them may be left out at the end.
const FRAMES = {
  10: ['accepted', { requestId: int, outcomes: list(int), behind: list(behind) }, 1],
  11: ['deliver', { sequence: int, envelopeId: bin(16), receivedAt: int, class: int, ciphertext: bin(1, 262144) }, 0],
  12: ['caughtUp', { sequence: int }, 0],
  13: ['missed', { from: int, to: int, reason: int }, 0],
  14: ['refused', { requestId: int, code: string, retryAfterMs: int }, 0],
  15: ['notice', { kind: int, data: list(() => true) }, 1],
  16: ['challenge', { challenge: bin(32), relayTime: int }, 0],
  17: ['ready', { limitsDigest: bin(32), nextSequence: int }, 0],
}

export const submit = (requestId, { envelopeId, class: class_, urgent = false, ttl, ciphertexts, targets, grants, work = [] }) => [
  ...[1, requestId, envelopeId, class_, urgent, ttl, ciphertexts],
  ...[targets.map((one) => [one.device, one.ciphertext, one.grant]), grants.map((one) => [one.account, one.token, one.version])],
  ...(work.length ? [work] : []),
]
export const ack = (upTo, also = []) => (also.length ? [2, upTo, also] : [2, upTo])
export const resume = (after) => [3, after]
export const authenticate = (device, signature) => [4, device, signature]
export const anonymous = () => [5]

export const encodeFrames = (frames) => encode(frames)

// A relay may add fields at the end of its frames to whoever shows to know them; to this client it does not.
function parseFrame(fields) {
  const [name, shape, optional] = (Array.isArray(fields) && FRAMES[fields[0]]) || []
  if (!name) throw new Refusal('malformed_frame', 'an unknown frame')
  const names = Object.keys(shape)
  const given = fields.slice(1)
  if (given.length > names.length || given.length < names.length - optional) throw new Refusal('malformed_frame', 'missing or extra fields')
  const frame = { name }
  for (const [i, value] of given.entries()) {
    if (!shape[names[i]](value)) throw new Refusal('malformed_frame', `${name}.${names[i]} does not fit`)
    frame[names[i]] = value
  }
  return frame
}

export function decodeFrames(bytes) {
  let frames
  try {
    frames = decode(bytes)
  } catch {
    throw new Refusal('malformed_frame', 'no MessagePack, or bytes behind it')
  }
  if (!Array.isArray(frames) || frames.length < 1 || frames.length > 64) throw new Refusal('malformed_frame', '1 to 64 frames')
  return frames.map(parseFrame)
}

// Signed keys by which a device can be written to while it is away (Prekeys; Checking a bundle).
import { concat, Reader, u32, u64, u8 } from './bytes.js'
import { Refusal } from './errors.js'
import { checkExchangeKey, checkKemKey, checkSealingKey, exchangePublic, kemPublic, sealingPublic, sign, verify } from './primitives.js'
import { transcript } from './transcripts.js'

export const KIND = { signed: 1, kem: 2, oneTime: 3, sealing: 4 }
export const CLASS = { rotating: 1, oneTime: 2, lastResort: 3 }
const CLASSES = { 1: [1], 2: [2, 3], 3: [2], 4: [1] }
const CHECKS = { 1: checkExchangeKey, 2: checkKemKey, 3: checkExchangeKey, 4: checkSealingKey }
const LENGTHS = { 1: 32, 2: 1184, 3: 32, 4: 1216 }
const PUBLICS = { 1: exchangePublic, 2: kemPublic, 3: exchangePublic, 4: sealingPublic }
const DAY_MS = 86_400_000
export const SEED_BYTES = { 1: 32, 2: 64, 3: 32, 4: 32 }

export const prekeyTranscript = (account, device, { kind, class: class_, id, madeAt, key }) =>
  transcript('prekey', account, device, u8(kind), u8(class_), u32(id), u64(madeAt), key)

// From `seed` (X25519 private key, ML-KEM seed d ‖ z, or X-Wing seed) to what goes to the relay.
export function makePrekey({ kind, class: class_, id, madeAt, seed }, { account, device, signingSeed }) {
  const prekey = { kind, class: class_, id, madeAt, key: PUBLICS[kind](seed) }
  const signature = sign(signingSeed, prekeyTranscript(account, device, prekey))
  return concat(u8(kind), u8(class_), u32(id), u64(madeAt), signature, prekey.key)
}

export function parsePrekey(bytes) {
  const reader = new Reader(bytes)
  return { kind: reader.u8(), class: reader.u8(), id: reader.u32(), madeAt: reader.u64(), signature: reader.take(64), key: reader.rest() }
}

// The form in which a session transcript names a key.
export const named = ({ kind, class: class_, id, key }) => concat(u8(kind), u8(class_), u32(id), key)

// A bundle's keys by kind, or a refusal of all of it. `seen` is the newest time for each [kind, class] of this device.
export function checkBundle(keys, { account, device, now, seen }) {
  const bundle = {}
  for (const prekey of keys.map(parsePrekey)) {
    const { kind, class: class_, madeAt, key } = prekey
    if (bundle[kind]) throw new Refusal('InvalidKey', 'two keys of one kind')
    if (!CLASSES[kind]?.includes(class_) || key.length !== LENGTHS[kind]) throw new Refusal('InvalidEncoding', 'a class or length that its kind cannot have')
    verify(device.signing, prekeyTranscript(account, device.id, prekey), prekey.signature)
    CHECKS[kind](key)
    const newest = seen.find(([seenKind, seenClass]) => seenKind === kind && seenClass === class_)
    if ((newest && madeAt < newest[2]) || madeAt > now + DAY_MS) throw new Refusal('StaleKey', 'older than one seen, or from the future')
    if (class_ !== CLASS.oneTime && madeAt < now - 45 * DAY_MS) throw new Refusal('StaleKey', 'the device is dormant')
    bundle[kind] = prekey
  }
  for (const kind of [KIND.signed, KIND.kem, KIND.sealing]) if (!bundle[kind]) throw new Refusal('InvalidKey', 'a key is missing')
  return bundle
}

// `seen` with what this bundle shows.
export function seenWith(seen, bundle) {
  const kept = seen.filter(([kind, class_]) => !(bundle[kind]?.class === class_))
  return [...kept, ...Object.values(bundle).map((one) => [one.kind, one.class, one.madeAt])]
}

// How a session begins: PQXDH, its values, and the sealed envelope that carries them (Session set-up, Set-up envelope).
import { concat, Reader, u32, u64, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { decodeManifest, encodeManifest } from './manifests.js'
import { isBucket, pad, unpad } from './padding.js'
import { KIND, named } from './prekeys.js'
import * as primitives from './primitives.js'
import { hkdf, sha256 } from './primitives.js'
import { label, transcript } from './transcripts.js'

const ENC = 1120

// `a` and `b` are { account, device, version, hash, identity }: the manifests that stand behind the two devices.
export const sessionTranscript = ({ a, b, setupNumber, signed, oneTime, kem, ephemeral, ciphertext }) =>
  transcript(
    'session transcript',
    ...[a.account, a.device, u64(a.version), a.hash, a.identity],
    ...[b.account, b.device, u64(b.version), b.hash, b.identity],
    ...[u32(setupNumber), named(signed), oneTime ? named(oneTime) : zeros(0), named(kem), ephemeral, ciphertext],
  )

export function sessionKeys(sessionId, exchanges, secret) {
  const ikm = concat(new Uint8Array(32).fill(255), ...exchanges, secret)
  const keys = hkdf(primitives.NO_SALT, ikm, concat(label('session keys'), sessionId), 96)
  return { sessionId, rootKey: keys.slice(0, 32), headerKeyA: keys.slice(32, 64), nextHeaderKeyB: keys.slice(64) }
}

export const encodeValues = ({ a, b, setupNumber, signed, oneTime, kem, ephemeral, ciphertext }) =>
  concat(
    ...[a.account, a.device, u64(a.version), a.hash, u64(b.version), b.hash, u32(setupNumber), u32(signed.id)],
    ...[u8(oneTime ? 1 : 0), u32(oneTime ? oneTime.id : 0), u8(kem.class), u32(kem.id), ephemeral, ciphertext],
  )

export function parseValues(bytes) {
  const reader = new Reader(bytes)
  const values = {
    account: reader.take(32),
    device: reader.take(16),
    version: reader.u64(),
    hash: reader.take(32),
    peerVersion: reader.u64(),
    peerHash: reader.take(32),
    setupNumber: reader.u32(),
    signedId: reader.u32(),
    hasOneTime: reader.u8(),
    oneTimeId: reader.u32(),
    kemClass: reader.u8(),
    kemId: reader.u32(),
    ephemeral: reader.take(32),
    ciphertext: reader.take(1088),
  }
  reader.end()
  if (values.hasOneTime > 1 || (!values.hasOneTime && values.oneTimeId !== 0) || ![2, 3].includes(values.kemClass)) {
    throw new Refusal('InvalidEncoding', 'set-up values that cannot be')
  }
  return values
}

// A's side. `bundle` is checked; `a` and `b` as in the transcript, `a.identityPrivate` besides.
export function begin({ a, b, bundle, setupNumber, random, encapsulate = primitives.encapsulate }) {
  const ephemeralPrivate = random(32)
  const { ciphertext, secret } = encapsulate(bundle[KIND.kem].key, random)
  const setup = {
    ...{ a, b, setupNumber, signed: bundle[KIND.signed], oneTime: bundle[KIND.oneTime] ?? null, kem: bundle[KIND.kem] },
    ...{ ephemeral: primitives.exchangePublic(ephemeralPrivate), ciphertext },
  }
  const exchanges = [
    primitives.exchange(a.identityPrivate, setup.signed.key),
    primitives.exchange(ephemeralPrivate, b.identity),
    primitives.exchange(ephemeralPrivate, setup.signed.key),
    ...(setup.oneTime ? [primitives.exchange(ephemeralPrivate, setup.oneTime.key)] : []),
  ]
  const keys = sessionKeys(sha256(sessionTranscript(setup)), exchanges, secret)
  return { ...keys, values: encodeValues(setup), exchanges, secret, setup }
}

// B's side. `privates` holds what the ids of the values name: { signed, oneTime, kem }, each { kind, class, id, key, seed }.
export function answer({ values, a, b, privates }) {
  const { signed, oneTime, kem } = privates
  const exchanges = [
    primitives.exchange(signed.seed, a.identity),
    primitives.exchange(b.identityPrivate, values.ephemeral),
    primitives.exchange(signed.seed, values.ephemeral),
    ...(oneTime ? [primitives.exchange(oneTime.seed, values.ephemeral)] : []),
  ]
  const secret = primitives.decapsulate(kem.seed, values.ciphertext)
  const { ephemeral, ciphertext, setupNumber } = values
  const bytes = sessionTranscript({ a, b, setupNumber, signed, oneTime, kem, ephemeral, ciphertext })
  return { ...sessionKeys(sha256(bytes), exchanges, secret), transcript: bytes, exchanges, secret }
}

export const setupInfo = (account, device, sealingId) => transcript('setup envelope', account, device, u32(sealingId))

export const encodeSetup = ({ values, manifests, proof, message }) =>
  concat(
    ...[values, u8(manifests.length)],
    ...manifests.map(encodeManifest).flatMap((one) => [u32(one.length), one]),
    ...[u32(proof.length), proof, message],
  )

// `to` is { account, device, sealing }: whose envelope it is, and the checked sealing prekey of the bundle.
export function sealSetup(content, to, random) {
  const start = concat(Uint8Array.of(1, 1), u32(to.sealing.id))
  const padded = pad(content, start.length + ENC + 16)
  return concat(start, primitives.hpkeSeal(to.sealing.key, setupInfo(to.account, to.device, to.sealing.id), padded, random))
}

export function sealingIdOf(envelope) {
  if (envelope[0] !== 1 || envelope[1] !== 1 || envelope.length < 6 + ENC + 16 || !isBucket(envelope.length)) {
    throw new Refusal('InvalidEncoding', 'no set-up envelope of suite 1')
  }
  return new Reader(envelope.subarray(2)).u32()
}

export function openSetup(envelope, seed, { account, device }) {
  const padded = primitives.hpkeOpen(seed, setupInfo(account, device, sealingIdOf(envelope)), envelope.subarray(6))
  return parseSetup(unpad(padded))
}

export function parseSetup(content) {
  const reader = new Reader(content)
  const bytes = reader.take(1266)
  const manifests = Array.from({ length: reader.u8() }, () => decodeManifest(reader.sized()))
  if (manifests.length > 64) throw new Refusal('InvalidEncoding', 'more than 64 manifests')
  return { bytes, digest: sha256(bytes), values: parseValues(bytes), manifests, proof: reader.sized(), message: reader.rest() }
}

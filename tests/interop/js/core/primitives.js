// Suite 1, from libraries that are kept well; here stand only the checks that the protocol asks for beyond them.
import { gcm } from '@noble/ciphers/aes.js'
import { chacha20poly1305 } from '@noble/ciphers/chacha.js'
import { ed25519, x25519 } from '@noble/curves/ed25519.js'
import { expand, extract, hkdf as nobleHkdf } from '@noble/hashes/hkdf.js'
import { hmac as nobleHmac } from '@noble/hashes/hmac.js'
import { sha256 as nobleSha256, sha512 } from '@noble/hashes/sha2.js'
import { sha3_256, shake256 } from '@noble/hashes/sha3.js'
import { ml_kem768 } from '@noble/post-quantum/ml-kem.js'
import { concat, equal, u16, utf8, zeros } from './bytes.js'
import { Refusal } from './errors.js'

export { sha512 }
export const sha256 = (...parts) => nobleSha256(concat(...parts))
export const hmac = (key, message) => nobleHmac(nobleSha256, key, message)
export const hkdf = (salt, ikm, info, length) => nobleHkdf(nobleSha256, ikm, salt, info, length)
export const NO_SALT = zeros(32)

export const seal = (key, nonce, plaintext, ad = zeros(0)) => gcm(key, nonce, ad).encrypt(plaintext)

export function open(key, nonce, ciphertext, ad = zeros(0)) {
  try {
    return gcm(key, nonce, ad).decrypt(ciphertext)
  } catch {
    throw new Refusal('Undecryptable', 'AES-GCM does not open')
  }
}

// --- Ed25519, strict (Conventions)

export const signingPublic = (seed) => ed25519.getPublicKey(seed)
export const sign = (seed, message) => ed25519.sign(message, seed)

const { Point } = ed25519
const ORDER = Point.Fn.ORDER
const believed = new Map() // public keys that passed the checks of points: they cost more than a signature

function pointOf(publicKey) {
  const name = publicKey.join()
  if (!believed.has(name)) {
    const point = Point.fromBytes(publicKey, false)
    if (point.is0() || !point.isTorsionFree()) throw new Error('no point of the group')
    if (believed.size > 1000) believed.clear()
    believed.set(name, point)
  }
  return believed.get(name)
}

const littleEndian = (bytes) => bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n)

// A point of the group, and no weak one: of keys that are kept, before anything was signed by them.
export function checkSigningKey(publicKey) {
  try {
    pointOf(publicKey)
  } catch {
    throw new Refusal('InvalidKey', 'no Ed25519 key that may be used')
  }
}

export function verify(publicKey, message, signature) {
  if (signature.length !== 64) throw new Refusal('InvalidEncoding', 'a signature has 64 bytes')
  let good = false
  try {
    const s = littleEndian(signature.subarray(32))
    if (publicKey.length === 32 && s < ORDER) {
      const k = littleEndian(sha512(concat(signature.subarray(0, 32), publicKey, message))) % ORDER
      const point = Point.BASE.multiplyUnsafe(s).subtract(pointOf(publicKey).multiplyUnsafe(k))
      good = equal(point.toBytes(), signature.subarray(0, 32))
    }
  } catch {
    good = false
  }
  if (!good) throw new Refusal('InvalidSignature', 'the signature does not verify')
}

// --- X25519

const FIELD = 2n ** 255n - 19n
export const exchangePublic = (privateKey) => x25519.getPublicKey(privateKey)

export function checkExchangeKey(publicKey) {
  if (publicKey.length !== 32 || littleEndian(publicKey) >= FIELD) throw new Refusal('InvalidKey', 'X25519 key is not canonical')
}

export function exchange(privateKey, publicKey) {
  checkExchangeKey(publicKey)
  try {
    return x25519.getSharedSecret(privateKey, publicKey) // refuses a result that is all zero
  } catch {
    throw new Refusal('InvalidKey', 'X25519 gives nothing')
  }
}

// --- ML-KEM-768

export const kemPublic = (seed) => ml_kem768.keygen(seed).publicKey

// The modulus check of FIPS 203, section 7.2: 768 coefficients of 12 bits, each below 3329.
export function checkKemKey(publicKey) {
  let good = publicKey.length === 1184
  for (let i = 0; good && i < 1152; i += 3) {
    const low = publicKey[i] | ((publicKey[i + 1] & 15) << 8)
    const high = (publicKey[i + 1] >> 4) | (publicKey[i + 2] << 4)
    good = low < 3329 && high < 3329
  }
  if (!good) throw new Refusal('InvalidKey', 'ML-KEM key fails the modulus check')
}

export function encapsulate(publicKey, random) {
  checkKemKey(publicKey)
  const { cipherText, sharedSecret } = ml_kem768.encapsulate(publicKey, random(32))
  return { ciphertext: cipherText, secret: sharedSecret }
}

export const decapsulate = (seed, ciphertext) => ml_kem768.decapsulate(ciphertext, ml_kem768.keygen(seed).secretKey)

// --- X-Wing, and HPKE base mode with it (RFC 9180)

const XWING_LABEL = utf8('\\.//^\\')

function xwingKeys(seed) {
  const expanded = shake256(seed, { dkLen: 96 })
  const kem = ml_kem768.keygen(expanded.subarray(0, 64))
  const exchangePrivate = expanded.subarray(64)
  return { kem, exchangePrivate, exchangePublic: exchangePublic(exchangePrivate) }
}

export function sealingPublic(seed) {
  const keys = xwingKeys(seed)
  return concat(keys.kem.publicKey, keys.exchangePublic)
}

export function checkSealingKey(publicKey) {
  if (publicKey.length !== 1216) throw new Refusal('InvalidEncoding', 'a sealing key has 1,216 bytes')
  checkKemKey(publicKey.subarray(0, 1184))
  checkExchangeKey(publicKey.subarray(1184))
}

const combine = (kemSecret, dh, dhCiphertext, dhPublic) => sha3_256(concat(kemSecret, dh, dhCiphertext, dhPublic, XWING_LABEL))

const HPKE_SUITE = concat(utf8('HPKE'), u16(0x647a), u16(0x0001), u16(0x0003))
const VERSION = utf8('HPKE-v1')
const labeledExtract = (salt, name, ikm) => extract(nobleSha256, concat(VERSION, HPKE_SUITE, utf8(name), ikm), salt)
const labeledExpand = (prk, name, info, length) =>
  expand(nobleSha256, prk, concat(u16(length), VERSION, HPKE_SUITE, utf8(name), info), length)

function hpkeCipher(secret, info) {
  const context = concat(zeros(1), labeledExtract(zeros(0), 'psk_id_hash', zeros(0)), labeledExtract(zeros(0), 'info_hash', info))
  const prk = labeledExtract(secret, 'secret', zeros(0))
  return chacha20poly1305(labeledExpand(prk, 'key', context, 32), labeledExpand(prk, 'base_nonce', context, 12))
}

// enc 1,120 ‖ ciphertext ‖ tag; `random` gives what ML-KEM draws, then the X25519 key.
export function hpkeSeal(publicKey, info, plaintext, random) {
  checkSealingKey(publicKey)
  const kem = encapsulate(publicKey.subarray(0, 1184), random)
  const ephemeral = random(32)
  const dhPublic = publicKey.subarray(1184)
  const dhCiphertext = exchangePublic(ephemeral)
  const secret = combine(kem.secret, exchange(ephemeral, dhPublic), dhCiphertext, dhPublic)
  return concat(kem.ciphertext, dhCiphertext, hpkeCipher(secret, info).encrypt(plaintext))
}

export function hpkeOpen(seed, info, sealed) {
  if (sealed.length < 1120 + 16) throw new Refusal('Undecryptable', 'too short for what HPKE seals')
  const keys = xwingKeys(seed)
  try {
    const dhCiphertext = sealed.subarray(1088, 1120)
    const kemSecret = ml_kem768.decapsulate(sealed.subarray(0, 1088), keys.kem.secretKey)
    const dh = x25519.getSharedSecret(keys.exchangePrivate, dhCiphertext)
    return hpkeCipher(combine(kemSecret, dh, dhCiphertext, keys.exchangePublic), info).decrypt(sealed.subarray(1120))
  } catch {
    throw new Refusal('Undecryptable', 'HPKE does not open')
  }
}

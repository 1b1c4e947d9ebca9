// Bytes and their text forms: joining, big-endian numbers, hex, base64url and base32, all canonical (Conventions).
import { Refusal } from './errors.js'

export const utf8 = (text) => new TextEncoder().encode(text)
export const zeros = (length) => new Uint8Array(length)

export function text(bytes) {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new Refusal('InvalidEncoding', 'not UTF-8')
  }
}

export function concat(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

function number(length, value) {
  const bytes = new Uint8Array(length)
  if (!Number.isSafeInteger(value) || value < 0 || value >= 256 ** length) throw new RangeError(`no u${8 * length}: ${value}`)
  for (let i = length - 1; i >= 0; i--) {
    bytes[i] = value % 256
    value = Math.floor(value / 256)
  }
  return bytes
}
export const u8 = (value) => number(1, value)
export const u16 = (value) => number(2, value)
export const u32 = (value) => number(4, value)
export const u64 = (value) => number(8, value)

// The same bytes? The time taken depends on the length alone.
export function equal(a, b) {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i] ^ b[i]
  return difference === 0
}

// Which of two byte strings is the smaller one: below 0, 0, or above 0.
export function compare(a, b) {
  for (let i = 0; i < Math.min(a.length, b.length); i++) if (a[i] !== b[i]) return a[i] - b[i]
  return a.length - b.length
}

export const hex = (bytes) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')

export function unhex(digits) {
  if (!/^([0-9a-f]{2})*$/.test(digits)) throw new Refusal('InvalidEncoding', 'not hexadecimal')
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => parseInt(pair, 16))
}

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const BASE32 = 'abcdefghijklmnopqrstuvwxyz234567'

function toText(bytes, alphabet, bits) {
  let held = 0
  let count = 0
  let out = ''
  for (const byte of bytes) {
    held = (held << 8) | byte
    count += 8
    while (count >= bits) {
      count -= bits
      out += alphabet[(held >> count) & ((1 << bits) - 1)]
    }
    held &= (1 << count) - 1
  }
  return count ? out + alphabet[(held << (bits - count)) & ((1 << bits) - 1)] : out
}

function fromText(string, alphabet, bits) {
  let held = 0
  let count = 0
  const out = []
  for (const character of string) {
    const value = alphabet.indexOf(character)
    if (value < 0) throw new Refusal('InvalidEncoding', 'another alphabet')
    held = (held << bits) | value
    count += bits
    if (count >= 8) {
      count -= 8
      out.push((held >> count) & 255)
    }
    held &= (1 << count) - 1
  }
  if (held !== 0 || count >= bits) throw new Refusal('InvalidEncoding', 'unused bits that are not zero')
  return Uint8Array.from(out)
}

export const base64url = (bytes) => toText(bytes, BASE64URL, 6)
export const unbase64url = (string) => fromText(string, BASE64URL, 6)
export const base32 = (bytes) => toText(bytes, BASE32, 5)
export const unbase32 = (string) => fromText(string, BASE32, 5)

// Base64 with padding, which tus wants in its headers.
export function base64(bytes) {
  const unpadded = base64url(bytes).replaceAll('-', '+').replaceAll('_', '/')
  return unpadded + '='.repeat((4 - (unpadded.length % 4)) % 4)
}

// A copy of plain data that shares no bytes with it.
export function copyOf(data) {
  if (data instanceof Uint8Array) return data.slice()
  if (Array.isArray(data)) return data.map(copyOf)
  if (data === null || typeof data !== 'object') return data
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, copyOf(value)]))
}

// Takes a byte string apart; whoever reads beyond the end, or leaves something, gets a refusal.
export class Reader {
  constructor(bytes) {
    this.bytes = bytes
    this.at = 0
  }
  take(length) {
    if (this.at + length > this.bytes.length) throw new Refusal('InvalidEncoding', 'too short')
    this.at += length
    return this.bytes.slice(this.at - length, this.at)
  }
  number(length) {
    let value = 0
    for (const byte of this.take(length)) value = value * 256 + byte
    if (!Number.isSafeInteger(value)) throw new Refusal('InvalidEncoding', 'a number of 2⁵³ or more')
    return value
  }
  u8() {
    return this.number(1)
  }
  u16() {
    return this.number(2)
  }
  u32() {
    return this.number(4)
  }
  u64() {
    return this.number(8)
  }
  sized() {
    return this.take(this.u32())
  }
  rest() {
    return this.take(this.bytes.length - this.at)
  }
  end() {
    if (this.at !== this.bytes.length) throw new Refusal('InvalidEncoding', 'bytes behind the end')
  }
}

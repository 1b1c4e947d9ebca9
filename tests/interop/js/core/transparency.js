// The relay's append-only log: its signed heads, and proofs that something is in it (Transparency).
import { concat, equal, Reader, u64, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { sha256, verify } from './primitives.js'
import { fieldsOf, transcript } from './transcripts.js'

const node = (left, right) => sha256(u8(1), left, right)
export const leafHash = (leaf) => sha256(u8(0), leaf)

export const manifestLeaf = (account, version, hash) => transcript('log leaf', u8(1), account, u64(version), hash)
export const handleSubject = (salt, handle) => sha256(transcript('log handle', salt, handle))
export const handleLeaf = (subject, version, account) =>
  transcript('log leaf', u8(2), subject, u64(version), sha256(account ?? zeros(0)))

const HEAD_FIELDS = [32, 8, 32, 8]

function headFields(body) {
  const fields = fieldsOf('log head', body)
  if (fields.length !== HEAD_FIELDS.length || fields.some((field, i) => field.length !== HEAD_FIELDS[i])) throw new Refusal('InvalidEncoding', 'a head has four fields')
  return fields
}

export function parseHead(bytes, relayKey) {
  const reader = new Reader(bytes)
  const signature = reader.take(64)
  const body = reader.rest()
  verify(relayKey, body, signature)
  const [logId, size, root, time] = headFields(body)
  return { logId, size: new Reader(size).u64(), root, time: new Reader(time).u64(), bytes }
}

// RFC 9162, section 2.1.3.2.
export function checkInclusion(leaf, index, hashes, head) {
  if (index >= head.size) throw new Refusal('LogRefused', 'no leaf of this log')
  let [at, last, hash] = [BigInt(index), BigInt(head.size - 1), leafHash(leaf)]
  for (const other of hashes) {
    if (last === 0n) throw new Refusal('LogRefused', 'too long')
    if (at & 1n || at === last) {
      hash = node(other, hash)
      while (!(at & 1n) && at !== 0n) [at, last] = [at >> 1n, last >> 1n]
    } else hash = node(hash, other)
    ;[at, last] = [at >> 1n, last >> 1n]
  }
  if (last !== 0n || !equal(hash, head.root)) throw new Refusal('LogRefused', 'the leaf is not in the log')
}

// RFC 9162, section 2.1.4.2: the log of the larger head begins with that of the smaller one.
export function checkConsistency(smaller, larger, hashes) {
  const refuse = () => {
    throw new Refusal('LogRefused', 'one log does not continue the other')
  }
  if (smaller.size > larger.size) refuse()
  if (smaller.size === 0 || smaller.size === larger.size) {
    if (hashes.length || (smaller.size && !equal(smaller.root, larger.root))) refuse()
    return
  }
  let [first, second] = [BigInt(smaller.size - 1), BigInt(larger.size - 1)]
  const path = (smaller.size & (smaller.size - 1)) === 0 ? [smaller.root, ...hashes] : [...hashes]
  if (!path.length) refuse()
  while (first & 1n) [first, second] = [first >> 1n, second >> 1n]
  let [a, b] = [path[0], path[0]]
  for (const other of path.slice(1)) {
    if (second === 0n) refuse()
    if (first & 1n || first === second) {
      ;[a, b] = [node(other, a), node(other, b)]
      while (!(first & 1n) && first !== 0n) [first, second] = [first >> 1n, second >> 1n]
    } else b = node(b, other)
    ;[first, second] = [first >> 1n, second >> 1n]
  }
  if (second !== 0n || !equal(a, smaller.root) || !equal(b, larger.root)) refuse()
}

// index ‖ number of hashes ‖ hashes ‖ head: as a set-up envelope carries it.
export const encodeInclusion = ({ index, hashes, head }) => concat(u64(index), u8(hashes.length), ...hashes, head)

export function parseInclusion(bytes) {
  const reader = new Reader(bytes)
  const index = reader.u64()
  const count = reader.u8()
  if (count > 53) throw new Refusal('InvalidEncoding', 'more than 53 hashes')
  const proof = { index, hashes: Array.from({ length: count }, () => reader.take(32)), head: reader.rest() }
  headFields(proof.head.slice(64))
  return proof
}

// Who is who: accounts, devices and the chain of signed lists of devices (Identity and manifests).
import { compare, concat, equal, hex, Reader, u64, u8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { sha256, sha512, sign, signingPublic, verify } from './primitives.js'
import { fieldsOf, transcript } from './transcripts.js'

export const MANAGER = 1
const MOST_DEVICES = 16
export const accountOf = (rootPublic) => sha256(u8(1), rootPublic)

export const deviceTranscript = (account, device) =>
  transcript('device', account, device.id, device.signing, device.identity)

export function makeBody({ rootPublic, version, previous, devices }) {
  const listed = [...devices].sort((a, b) => compare(a.id, b.id))
  const fields = listed.map((one) => concat(one.id, one.signing, one.identity, u8(one.flags), u64(one.addedAt), one.signature))
  return transcript('manifest', rootPublic, u64(version), previous ?? zeros(0), ...fields)
}

export const signed = (body, seed, signer = zeros(0)) => ({ body, signer, signature: sign(seed, body) })

// The first manifest of a new account, signed by its root key.
export function firstManifest(rootSeed, device, signingSeed) {
  const rootPublic = signingPublic(rootSeed)
  const signature = sign(signingSeed, deviceTranscript(accountOf(rootPublic), device))
  return signed(makeBody({ rootPublic, version: 1, previous: null, devices: [{ ...device, signature }] }), rootSeed)
}

// The list that follows on `chain`, signed by a device of it that manages the account.
export function nextManifest(chain, devices, { device, signingSeed }) {
  const { rootPublic, version, hash } = chain.at(-1)
  if (devices.length > MOST_DEVICES || !devices.some(({ flags }) => flags & MANAGER)) {
    throw new Refusal('ManifestRefused', 'a list has a manager, and 16 devices at most')
  }
  return parse(signed(makeBody({ rootPublic, version: version + 1, previous: hash, devices }), signingSeed, device))
}

// u8 0 ‖ signature ‖ body, or u8 1 ‖ device ‖ signature ‖ body: as set-up envelopes carry it.
export const encodeManifest = ({ body, signer, signature }) =>
  signer.length ? concat(u8(1), signer, signature, body) : concat(u8(0), signature, body)

export function decodeManifest(bytes) {
  const reader = new Reader(bytes)
  const kind = reader.u8()
  if (kind > 1) throw new Refusal('InvalidEncoding', 'who signed is the root key or a device')
  return parse({ signer: reader.take(kind * 16), signature: reader.take(64), body: reader.rest() })
}

function parseDevice(bytes) {
  const reader = new Reader(bytes)
  const device = {
    id: reader.take(16),
    signing: reader.take(32),
    identity: reader.take(32),
    flags: reader.u8(),
    addedAt: reader.u64(),
    signature: reader.take(64),
  }
  reader.end()
  if (device.flags & ~7) throw new Refusal('InvalidEncoding', 'an unknown flag')
  return device
}

// A signed manifest with what its body says. Nothing of it is believed before `walk`.
export function parse({ body, signer, signature }) {
  const [rootPublic, version, previous, ...devices] = fieldsOf('manifest', body)
  if (devices.length < 1 || devices.length > MOST_DEVICES || rootPublic.length !== 32 || version.length !== 8) {
    throw new Refusal('InvalidEncoding', 'no manifest')
  }
  const parsed = {
    body,
    signer,
    signature,
    hash: sha256(body),
    rootPublic,
    account: accountOf(rootPublic),
    version: new Reader(version).u64(),
    previous,
    devices: devices.map(parseDevice),
  }
  checkShape(parsed)
  return parsed
}

function checkShape({ version, previous, devices, rootPublic, account }) {
  const refuse = (why) => {
    throw new Refusal('ManifestRefused', why)
  }
  if (version < 1 || previous.length !== (version === 1 ? 0 : 32)) refuse('the previous hash is absent in version 1, and only there')
  const keys = new Set([hex(rootPublic)])
  for (const [i, device] of devices.entries()) {
    if (i > 0 && compare(devices[i - 1].id, device.id) >= 0) refuse('devices out of order')
    for (const key of [device.signing, device.identity]) {
      if (keys.has(hex(key))) refuse('a key stands twice')
      keys.add(hex(key))
    }
    verify(device.signing, deviceTranscript(account, device), device.signature)
  }
}

export const deviceIn = (manifest, id) => manifest.devices.find((device) => equal(device.id, id)) ?? null

// Who may sign what comes after `current` (null: what comes first)?
function checkSigner(next, current) {
  let key = next.rootPublic
  if (next.signer.length) {
    const device = current && deviceIn(current, next.signer)
    if (!device || !(device.flags & MANAGER)) throw new Refusal('ManifestRefused', 'signed by no manager')
    key = device.signing
  }
  verify(key, next.body, next.signature)
}

function checkKeysKept(chain, next) {
  const owners = new Map()
  for (const manifest of chain) {
    for (const device of manifest.devices) {
      for (const key of [device.signing, device.identity]) owners.set(hex(key), hex(device.id))
      owners.set(hex(device.id), hex(device.signing) + hex(device.identity))
    }
  }
  for (const device of next.devices) {
    const keys = owners.get(hex(device.id))
    if (keys !== undefined && keys !== hex(device.signing) + hex(device.identity)) throw new Refusal('ManifestRefused', 'a device with other keys')
    for (const key of [device.signing, device.identity]) {
      const owner = owners.get(hex(key))
      if (owner !== undefined && owner !== hex(device.id)) throw new Refusal('ManifestRefused', "another device's key")
    }
  }
}

function checkSame(known, other, before) {
  if (equal(known.body, other.body)) return
  checkSigner(other, before)
  const fork = [known, other].map(encodeManifest)
  throw Object.assign(new Refusal('ManifestFork', `two manifests of version ${other.version}`), { account: known.account, fork })
}

// The chain that follows when `more` came to what is known: `known` verified before, oldest first; `account` is whose it must be.
export function walk(account, known, more) {
  const chain = [...known]
  for (const next of more) {
    if (!equal(next.account, account)) throw new Refusal('ManifestRefused', "another account's manifest")
    const newest = chain.at(-1)
    if (!newest) {
      if (next.signer.length) throw new Refusal('ManifestRefused', 'at first contact the root key signs')
      checkSigner(next, null)
      chain.push(next)
    } else if (next.version <= newest.version) {
      const at = chain.findIndex((one) => one.version === next.version)
      if (at >= 0) checkSame(chain[at], next, chain[at - 1] ?? null)
    } else {
      if (next.version !== newest.version + 1) throw new Refusal('ManifestGap', 'versions are missing')
      if (!equal(next.rootPublic, newest.rootPublic)) throw new Refusal('ManifestRefused', 'another root key')
      checkSigner(next, newest)
      if (!equal(next.previous, newest.hash)) throw new Refusal('ManifestRefused', 'it follows another manifest')
      checkKeysKept(chain, next)
      chain.push(next)
    }
  }
  return chain
}

// The newest manifest must not be older than the one that is known (a rollback): of an answer that claims to be the newest.
export function checkNewest(known, more) {
  if (known.length && more.length && more.at(-1).version < known.at(-1).version) {
    throw new Refusal('ManifestRollback', 'older than the manifest that is known')
  }
}

// 60 digits that two people compare (Safety number).
export function safetyNumber(one, other) {
  const [smaller, larger] = compare(one, other) < 0 ? [one, other] : [other, one]
  const hash = sha512(transcript('safety number', smaller, larger))
  const group = (i) => String(hash.subarray(5 * i, 5 * i + 5).reduce((sum, byte) => sum * 256 + byte, 0) % 100000)
  return Array.from({ length: 12 }, (_, i) => group(i).padStart(5, '0')).join('')
}

// The hash of a chain's manifest of one version, or null.
export const hashOf = (chain, version) => chain.find((one) => one.version === version)?.hash ?? null

// The own account: made once, then its keys at the relay kept fresh (Registration, Prekeys, Lifetimes of private keys).
import { base64url, u64, utf8, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { parseLink } from './links.js'
import { manifestObject } from './own_list.js'
import { decodeManifest, encodeManifest, firstManifest, MANAGER, parse } from './manifests.js'
import { CLASS, KIND, makePrekey, SEED_BYTES } from './prekeys.js'
import { exchangePublic, sha256, signingPublic } from './primitives.js'
import { transcript } from './transcripts.js'
import { findWork } from './work.js'

const DAY_MS = 86_400_000
const STOCK = 100
const ROTATE_MS = 6 * DAY_MS
const KEEP_MS = 45 * DAY_MS

// New keys, kept before the relay sees them: after a crash the same manifest goes up again.
function makeAccount({ origin, relayKey, random, now, handle }) {
  const [rootSeed, signingSeed, identityPrivate] = [random(32), random(32), random(32)]
  const device = { id: random(16), signing: signingPublic(signingSeed), identity: exchangePublic(identityPrivate), flags: MANAGER, addedAt: now }
  const manifest = firstManifest(rootSeed, device, signingSeed)
  return {
    ...{ origin, relayKey, rootSeed, account: parse(manifest).account, device: device.id, signingSeed, identityPrivate, handle },
    ...{ contactToken: random(16), publicToken: handle ? random(16) : null, chain: [encodeManifest(manifest)], proof: zeros(0) },
    registered: false,
  }
}

// `link` is an invite, or the origin of an open relay.
export async function register({ store, httpFor, random, now, link, handle }) {
  const invite = /\/invite#/.test(link) ? parseLink(link) : { origin: link.replace(/\/$/, ''), secret: null, relayKey: null }
  const http = httpFor(invite.origin)
  const document = await http.document(invite.relayKey)
  let own = store.get('own')
  if (own?.registered || own?.joining) throw new Refusal('Refused', 'this store has an account')
  if (!own) {
    own = makeAccount({ origin: invite.origin, relayKey: document.relayKey, random, now: now(), handle })
    await store.change((tx) => tx.set('own', own))
  }
  const manifest = decodeManifest(own.chain.at(-1))
  const request = { manifest: manifestObject(manifest), handle: own.handle, public_token: own.publicToken && base64url(own.publicToken) }
  if (invite.secret) request.invite = base64url(invite.secret)
  else request.work = registrationWork(document, own, manifest)
  await http.json('POST', '/v1/accounts', { json: request })
  await store.change((tx) => tx.set('own', { ...tx.get('own'), registered: true }))
  return store.get('own')
}

function registrationWork({ time_ms: time, registration_work_bits: bits = 0 }, own, manifest) {
  const about = (work) => transcript('registration work', utf8(own.origin), own.account, sha256(manifest.body), u64(time), work)
  return { time_ms: time, work: base64url(findWork(about, bits)) }
}

export async function putToken(http, token, tokenClass, expiresAt = null) {
  const json = { token_hash: base64url(sha256(token)), token_class: tokenClass, expires_at_ms: expiresAt }
  await http.json('POST', '/v1/delivery-tokens', { json, signed: true })
}

// The relay has the own contact token; one that has an end by now keeps it.
export async function careForToken({ store, http, now, firstTokenMs }) {
  const { contactToken, isFirstToken } = store.get('own')
  const { tokens } = await http.json('GET', '/v1/delivery-tokens', { signed: true })
  const name = base64url(sha256(contactToken))
  if (!tokens.some((one) => one.token_hash === name)) await putToken(http, contactToken, 'contact', isFirstToken ? now() + firstTokenMs : null)
  await store.change((tx) => tx.set('own', { ...tx.get('own'), isTokenThere: true }))
}

const ROTATING = [[KIND.signed, CLASS.rotating], [KIND.sealing, CLASS.rotating], [KIND.kem, CLASS.lastResort]]

// Make what the relay lacks: rotating keys that are old, one-time keys that were taken. Private halves are kept first; a rotating key
// stands, and the one before it begins to retire, when the relay has taken it.
export async function careForPrekeys({ store, http, random, now }) {
  const { stock } = await http.json('GET', '/v1/prekeys', { signed: true })
  const atRelay = Object.fromEntries(stock.map((one) => [one.kind, one]))
  const made = await store.change((tx) => {
    const own = tx.get('own')
    const keys = []
    const add = (kind, class_) => {
      const id = Math.max(tx.get(`next/prekey${kind}`) ?? 0, atRelay[kind]?.highest_id ?? 0) + 1
      tx.set(`next/prekey${kind}`, id)
      const prekey = { kind, class: class_, id, madeAt: now(), seed: random(SEED_BYTES[kind]) }
      const encoded = makePrekey(prekey, own)
      tx.set(`prekey/${kind}/${id}`, { ...prekey, key: encoded.slice(78), retiredAt: null, isTaken: false })
      keys.push(encoded)
    }
    for (const [kind, class_] of ROTATING) {
      const stands = standing(tx, kind, class_).some((one) => one.isTaken && now() - one.madeAt < ROTATE_MS)
      if (!stands || !atRelay[kind]?.highest_id) add(kind, class_)
    }
    for (const kind of [KIND.kem, KIND.oneTime]) {
      for (let left = atRelay[kind]?.one_time_left ?? 0; left < STOCK; left++) add(kind, CLASS.oneTime)
    }
    forgetOld(tx, now())
    return keys
  })
  if (!made.length) return
  await http.json('POST', '/v1/prekeys', { json: { keys: made.map(base64url) }, signed: true })
  await store.change((tx) => ROTATING.forEach(([kind, class_]) => noteTaken(tx, standing(tx, kind, class_), now())))
}

const standing = (tx, kind, class_) => tx.keys(`prekey/${kind}/`).map((key) => tx.get(key)).filter((one) => one.class === class_ && !one.retiredAt)

// The newest one has its place at the relay now; what came before it, and did not get there, is older.
function noteTaken(tx, keys, now) {
  const newest = Math.max(...keys.map(({ id }) => id))
  for (const key of keys) tx.set(`prekey/${key.kind}/${key.id}`, key.id === newest ? { ...key, isTaken: true } : { ...key, retiredAt: now })
}

function forgetOld(tx, now) {
  for (const key of tx.keys('prekey/')) {
    const { class: class_, retiredAt, madeAt } = tx.get(key)
    const since = class_ === CLASS.oneTime ? madeAt + KEEP_MS : retiredAt
    if (since && now - since > KEEP_MS) tx.delete(key)
  }
}

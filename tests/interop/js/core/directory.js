// Who others are: their chains of manifests, fetched and held against the relay's log (First contact, What a client checks).
import { base32, equal, hex, unbase64url, utf8 } from './bytes.js'
import { isPassing, Refusal, RelayRefusal } from './errors.js'
import { parseLink } from './links.js'
import { checkNewest, decodeManifest, deviceIn, encodeManifest, parse, walk } from './manifests.js'
import { madeKey } from './own_list.js'
import * as log from './transparency.js'

const CLASSES = ['public', 'link', 'group', 'contact'] // the last one is the best
const UNANSWERED_MS = 3 * 86_400_000
const MAX_HEARD = 100
const parsedBefore = new Map()

// A chain as it is stored (verified when it was stored) with all that its manifests say.
export const chainOf = (encoded) =>
  encoded.map((bytes) => {
    const name = hex(bytes)
    if (!parsedBefore.has(name)) parsedBefore.set(name, decodeManifest(bytes))
    return parsedBefore.get(name)
  })

export const peerKey = (account) => `peer/${hex(account)}`
export const newPeer = (account) => ({
  ...{ account, chain: [], token: null, tokenClass: null, handle: null, claimed: null },
  ...{ accepted: false, introduce: true, unanswered: 0 },
})
export const peerOf = (tx, account) => tx.get(peerKey(account)) ?? newPeer(account)

// The list of devices of an account as it is known, oldest first; the own one is kept with what this device is.
export const isOwn = (tx, account) => equal(account, tx.get('own')?.account ?? new Uint8Array(0))
export const listOf = (tx, account) => chainOf(isOwn(tx, account) ? tx.get('own').chain : peerOf(tx, account).chain)

export function keepList(tx, account, chain) {
  const encoded = chain.map(encodeManifest)
  dropLeft(tx, account, chain)
  if (isOwn(tx, account)) tx.set('own', { ...tx.get('own'), chain: encoded })
  else tx.set(peerKey(account), { ...peerOf(tx, account), chain: encoded })
}

// A device that left its list loses its sessions at once.
function dropLeft(tx, account, chain) {
  for (const key of tx.keys(`sessions/${hex(account)}/`)) if (!deviceIn(chain.at(-1), tx.get(key).device)) tx.delete(key)
}

// One version with two lists, both signed: both are kept and shown, and nothing more is sent to the account.
const forkKey = (account) => `fork/${hex(account)}`
export const isForked = (tx, account) => Boolean(tx.get(forkKey(account)))

export function noteFork(tx, { account, fork: [known, other] }, now, tell) {
  if (isForked(tx, account)) return
  tx.set(forkKey(account), { account, known, other, at: now })
  tx.after.push(() => tell({ event: 'alarm', why: 'ManifestFork', account, known, other }))
}

// How an account is written to: others by what is known of them, the own devices by the own contact token.
export function reachOf(tx, account) {
  if (!isOwn(tx, account)) return peerOf(tx, account)
  const { chain, contactToken } = tx.get('own')
  return { account, chain, token: contactToken, tokenClass: 'contact', accepted: true, isSelf: true }
}

// A token that came takes the place of the one before of its class; the one of the best class is used.
export function learnToken(peer, token, tokenClass) {
  peer.tokens = { ...peer.tokens, [tokenClass]: token }
  if (tokenClass === 'contact') peer.isCutOff = false
  takeBest(peer)
}

function takeBest(peer) {
  const best = CLASSES.findLast((name) => peer.tokens?.[name]) ?? null
  Object.assign(peer, { token: best && peer.tokens[best], tokenClass: best })
}

// The relay knows it no more. Until a contact token is given again, what is written introduces this account.
function dropToken(peer, token) {
  peer.tokens = Object.fromEntries(Object.entries(peer.tokens ?? {}).filter(([, one]) => !equal(one, token)))
  peer.isCutOff = true
  takeBest(peer)
}

export class Directory {
  constructor({ store, http, now, tell }) {
    Object.assign(this, { store, http, now, tell, left: () => {} })
  }

  // A handle, a contact link, or the id of an account that is known: → account id.
  async resolve(to) {
    const own = this.store.get('own')
    if (to === own.handle || to === base32(own.account)) return own.account
    if (/\/contact#/.test(to)) {
      const { origin, account, token } = parseLink(to)
      if (origin !== own.origin) throw new Refusal('InvalidEncoding', 'a link of another relay')
      if (equal(account, own.account)) return account
      await this.#learn(account, (peer) => learnToken(peer, token, 'link'))
      return account
    }
    const known = this.store.all('peer/').find((peer) => peer.handle === to || base32(peer.account) === to)
    return known ? known.account : this.#lookUp(to)
  }

  async #lookUp(handle) {
    const before = this.store.get('log/head')
    const answer = await this.http.json('GET', `/v1/handles/${encodeURIComponent(handle)}`, { signed: true })
    const [account, token] = [unbase64url(answer.account_id), unbase64url(answer.public_token)]
    const subject = log.handleSubject(unbase64url(answer.salt), utf8(handle))
    await this.checkLog(inclusionOf(answer.inclusion), log.handleLeaf(subject, answer.version, account), before)
    await this.#learn(account, (peer) => {
      learnToken(peer, token, 'public')
      peer.handle = handle
    })
    return account
  }

  // The relay answered `not_allowed` for this token. → whether there is another one now: one that came meanwhile, the best
  // other one that was ever given, or that of the directory.
  async otherToken(account, refused) {
    const isOther = () => {
      const { token } = reachOf(this.store, account)
      return Boolean(token) && !equal(token, refused)
    }
    if (isOther()) return true
    if (isOwn(this.store, account)) return false // another own device tells the one that took its place
    await this.#learn(account, (peer) => dropToken(peer, refused))
    if (isOther()) return true
    const { handle, claimed } = peerOf(this.store, account)
    try {
      return Boolean(handle ?? claimed) && equal(await this.#lookUp(handle ?? claimed), account) && isOther()
    } catch (error) {
      if (!(error instanceof RelayRefusal) || isPassing(error)) throw error
      return false // the directory does not know it
    }
  }

  #learn(account, how) {
    return this.store.change((tx) => {
      const peer = peerOf(tx, account)
      how(peer)
      tx.set(peerKey(account), peer)
    })
  }

  // The newest manifests of an account; `token` is any delivery token of it.
  async fetch(account, token) {
    if (isOwn(this.store, account)) return this.fetchOwn()
    const known = chainOf(peerOf(this.store, account).chain)
    const { chain } = await this.#fetchChain(account, known, { token })
    await this.store.change((tx) => chain.length >= listOf(tx, account).length && keepList(tx, account, chain))
    return chain
  }

  // The own chain, and the proof that the log has its newest manifest, which set-up envelopes carry.
  async fetchOwn() {
    const own = this.store.get('own')
    const known = chainOf(own.chain)
    let fetched
    try {
      fetched = await this.#fetchChain(own.account, known, { signed: true })
    } catch (error) {
      if (error.code !== 'unauthenticated' || !own.registered) throw error
      return this.askAsOutsider()
    }
    const { chain, proof } = fetched
    await this.store.change((tx) => this.#keepOwn(tx, chain, proof))
    return chain
  }

  // A device that the relay does not know asks as anybody could, before it believes that it was taken out of the list.
  // `isUnknown`: the relay said so on a connection. If it has the newest list all the same, it is no relay that came back.
  async askAsOutsider({ isUnknown = false } = {}) {
    const { account, chain: encoded, contactToken } = this.store.get('own')
    const { chain } = await this.#fetchChain(account, chainOf(encoded), { token: contactToken })
    await this.store.change((tx) => this.#keepOwn(tx, chain, tx.get('own').proof, isUnknown))
  }

  // The user is told who came and went; a device that finds itself gone says so, and does no more.
  #keepOwn(tx, chain, proof, isUnknown = false) {
    const own = tx.get('own')
    const known = chainOf(own.chain)
    const isOut = isUnknown || !deviceIn(chain.at(-1), own.device)
    dropLeft(tx, own.account, chain)
    tx.set('own', { ...own, chain: chain.map(encodeManifest), proof, isOut })
    for (const [i, next] of chain.entries()) {
      if (!i || known.some((one) => one.version === next.version)) continue
      if (equal(next.signer, own.device)) {
        if (!tx.get(madeKey(next))) tx.after.push(() => this.tell({ event: 'alarm', why: 'own_manifest_unknown', version: next.version }))
        continue
      }
      const by = next.signer.length ? base32(next.signer) : 'the root key'
      const tellOf = (event, list, other) => list.devices.filter((one) => !deviceIn(other, one.id)).forEach((one) => tx.after.push(() => this.tell({ event, device: base32(one.id), by })))
      if (known.length) tellOf('device came', next, chain[i - 1])
      if (known.length) tellOf('device went', chain[i - 1], next)
    }
    if (!isOut) return
    tx.after.push(() => this.tell({ event: 'out', why: 'this device is no longer one of its account' }))
    tx.after.push(() => this.left())
  }

  async #fetchChain(account, known, access) {
    const before = this.store.get('log/head')
    let chain = known
    for (;;) {
      const from = chain.at(-1)?.version ?? 1
      const answer = await this.http.json('GET', `/v1/accounts/${base32(account)}/manifests?from=${from}`, access)
      const more = answer.manifests.map((one) => parse({ body: unbase64url(one.body), signer: unbase64url(one.signer), signature: unbase64url(one.signature) }))
      checkNewest(chain, more)
      const longer = await this.#walked(account, chain, more)
      const newest = longer.at(-1)
      if (newest?.version === answer.latest) {
        const proof = inclusionOf(answer.inclusion)
        await this.checkLog(proof, log.manifestLeaf(account, newest.version, newest.hash), before)
        return { chain: longer, proof: log.encodeInclusion(proof) }
      }
      if (longer.length === chain.length) throw new Refusal('ManifestGap', 'the relay keeps manifests back')
      chain = longer
    }
  }

  async #walked(account, chain, more) {
    try {
      return walk(account, chain, more)
    } catch (error) {
      if (error.kind === 'ManifestFork') await this.store.change((tx) => noteFork(tx, error, this.now(), this.tell))
      throw error
    }
  }

  // That the leaf is in the log, and that the log goes on from the largest head that is known.
  async checkLog({ index, hashes, head: bytes }, leaf, before) {
    const { relayKey } = this.store.get('own')
    const head = log.parseHead(bytes, relayKey)
    log.checkInclusion(leaf, index, hashes, head)
    await this.#compare(head, relayKey, before)
  }

  async #compare(head, relayKey, before) {
    const known = this.store.get('log/head')
    if (known) {
      const largest = log.parseHead(known, relayKey)
      const first = before && log.parseHead(before, relayKey)
      if (!equal(largest.logId, head.logId)) throw new Refusal('LogRefused', 'another log: this client begins no new one by itself')
      if (first && head.size < first.size) throw new Refusal('LogRefused', 'log_rolled_back')
      const [smaller, larger] = largest.size <= head.size ? [largest, head] : [head, largest]
      const same = smaller.size === larger.size || smaller.size === 0
      const path = `/v1/transparency/consistency?from=${smaller.size}&to=${larger.size}`
      const hashes = same ? [] : (await this.http.json('GET', path)).hashes.map(unbase64url)
      log.checkConsistency(smaller, larger, hashes)
      if (largest.size >= head.size) return
    }
    await this.store.change((tx) => tx.set('log/head', head.bytes))
  }

  // Heads that contacts' set-up envelopes brought, held against the own one. What cannot be had is asked for later; a head
  // that waits for 3 days is told. Throws what is wrong with one of them.
  async compareHeads(now) {
    const { relayKey } = this.store.get('own')
    for (const key of this.store.keys('heard/')) {
      const { bytes, at } = this.store.get(key)
      try {
        await this.#compare(log.parseHead(bytes, relayKey), relayKey, null)
      } catch (error) {
        const isUnanswered = isPassing(error) || error instanceof RelayRefusal
        if (isUnanswered && now - at < UNANSWERED_MS) return
        await this.store.change((tx) => tx.delete(key))
        throw isUnanswered ? new Refusal('LogRefused', 'log_unanswered') : error
      }
      await this.store.change((tx) => tx.delete(key))
    }
  }
}

// Kept in the transaction that opened the envelope: a head is compared, however often the client or the relay is killed.
export function noteHead(tx, bytes, now) {
  const key = `heard/${hex(bytes)}`
  if (!tx.get(key) && tx.keys('heard/').length < MAX_HEARD) tx.set(key, { bytes, at: now })
}

const inclusionOf = ({ index, hashes, head }) => ({ index, hashes: hashes.map(unbase64url), head: unbase64url(head) })

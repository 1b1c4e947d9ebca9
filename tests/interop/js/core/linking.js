// Linking: a new device shows a code, a manager of the account answers it, both show the same digits, and the manager lists it (Linking).
import { concat, equal, Reader, text, utf8 } from './bytes.js'
import { Refusal } from './errors.js'
import { deviceIn, deviceTranscript } from './manifests.js'
import { checkExchangeKey, checkSealingKey, checkSigningKey, exchangePublic, hpkeOpen, hpkeSeal, sealingPublic, sha256, sign, signingPublic, verify } from './primitives.js'
import { fieldsOf, transcript } from './transcripts.js'

const GOOD_MS = 60_000 // the request, its answer and the user's yes

const refuse = (why) => {
  throw new Refusal('LinkRefused', why)
}
const mustBeInTime = (since, now) => now - since > GOOD_MS && refuse('over 60 s')

// What the new device keeps: its keys, and the request that goes into the mailbox.
export function makeRequest({ name, random, now }) {
  const [device, mailbox] = [random(16), random(16)]
  const [signingSeed, identityPrivate, sealingSeed] = [random(32), random(32), random(32)]
  const shown = [sealingPublic(sealingSeed), device, signingPublic(signingSeed), exchangePublic(identityPrivate), utf8(name)]
  const asked = transcript('link request', ...shown)
  return { name, device, signingSeed, identityPrivate, sealingSeed, mailbox, request: concat(sign(signingSeed, asked), asked), madeAt: now, isOpened: false }
}

// What is scanned: whose mailbox it is, and which request has to be in it.
export const codeOf = ({ mailbox, request }) => concat(mailbox, sha256(request))

function parseRequest(request) {
  const reader = new Reader(request)
  const [signature, asked] = [reader.take(64), reader.rest()]
  const fields = fieldsOf('link request', asked)
  const [sealing, id, signing, identity, name] = fields
  const lengths = [1216, 16, 32, 32]
  if (fields.length !== 5 || lengths.some((length, i) => fields[i].length !== length) || name.length < 1 || name.length > 64) {
    throw new Refusal('InvalidEncoding', 'no request')
  }
  checkSigningKey(signing)
  verify(signing, asked, signature)
  checkSealingKey(sealing)
  checkExchangeKey(identity)
  return { sealing, id, signing, identity, name: text(name) }
}

const answerInfo = (mailbox, hash) => transcript('link answer', mailbox, hash)

// 8 digits that both sides show.
function digitsOf(hash, answer) {
  const number = sha256(transcript('link code', hash, answer)).subarray(0, 8).reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n)
  return String(number % 100_000_000n).padStart(8, '0')
}

// The manager's answer to what lay in the mailbox. `scanned` is { mailbox, hash, at }; → what it keeps, the digits, and what goes there.
export function answerRequest(scanned, request, own, { random, now }) {
  mustBeInTime(scanned.at, now)
  if (!equal(sha256(request), scanned.hash)) refuse('another request than the one that was scanned')
  const asked = parseRequest(request)
  const answer = concat(own.account, own.device, random(32))
  const sealed = hpkeSeal(asked.sealing, answerInfo(scanned.mailbox, scanned.hash), answer, random)
  return { asked, answer, digits: digitsOf(scanned.hash, answer), sealed }
}

// The new device opens the answer: whose account it is to join, who answered, the digits, and its signature for that account.
export function openAnswer(pending, sealed, now) {
  if (pending.isOpened) refuse('a second answer')
  mustBeInTime(pending.madeAt, now)
  const hash = sha256(pending.request)
  const answer = hpkeOpen(pending.sealingSeed, answerInfo(pending.mailbox, hash), sealed)
  const reader = new Reader(answer)
  const [account, manager] = [reader.take(32), reader.take(16)]
  reader.take(32)
  reader.end()
  const device = { id: pending.device, signing: signingPublic(pending.signingSeed), identity: exchangePublic(pending.identityPrivate) }
  return { account, manager, digits: digitsOf(hash, answer), confirmation: sign(pending.signingSeed, deviceTranscript(account, device)) }
}

// After the user's yes: the new device as the next list has it; it manages nothing.
export function confirmedDevice(scanned, asked, confirmation, account, now) {
  mustBeInTime(scanned.at, now)
  const device = { id: asked.id, signing: asked.signing, identity: asked.identity, flags: 0, addedAt: now, signature: confirmation }
  verify(device.signing, deviceTranscript(account, device), confirmation)
  return device
}

// By which lists the new device goes on: the manager that answered signed the one that has it first, with its own keys.
export function checkListed(chain, { device, signingSeed, identityPrivate }, manager) {
  const first = chain.find((one) => deviceIn(one, device))
  const listed = first && deviceIn(first, device)
  const isRight = listed && equal(first.signer, manager) && equal(listed.signing, signingPublic(signingSeed)) && equal(listed.identity, exchangePublic(identityPrivate))
  if (!isRight) throw new Refusal('DevicesRefused', 'another one than the manager that answered listed this device')
}

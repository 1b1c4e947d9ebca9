// What sessions and groups encrypt: one MessagePack array, of whatever type (Contents).
import { decode, encode } from '@msgpack/msgpack/dist.esm/index.mjs'
import { compare, zeros } from './bytes.js'
import { Refusal } from './errors.js'
import { sha256 } from './primitives.js'
import { transcript } from './transcripts.js'

export const TYPE = {
  ...{ empty: 0, text: 1, file: 2, copy: 3, sharedItems: 4, historyKeys: 5, reaction: 10, edit: 11, delete: 12, receipt: 13 },
  ...{ typing: 14, presence: 15, groupInvitation: 20, groupJoin: 21, groupWelcome: 22, groupSecrets: 23, groupChain: 24 },
  ...{ groupRequest: 25, groupTokens: 26, groupAsk: 27, groupCommit: 28, contactToken: 30, resend: 31, manifestEvidence: 32, profileKey: 33 },
}
// What users do to messages.
export const ACTS = [TYPE.reaction, TYPE.edit, TYPE.delete]
// What users see as a message. All else is done, or passed over.
export const isShown = (type) => type === TYPE.text || type === TYPE.file || !Object.values(TYPE).includes(type)

export function conversationOf(one, other) {
  const pair = compare(one, other) < 0 ? [one, other] : [other, one]
  return sha256(transcript('direct conversation', ...pair))
}

export const referenceOf = ({ conversation, account, device, messageId, hash }) =>
  sha256(transcript('message reference', conversation, account, device, messageId, hash))

export function encodeContent({ type, conversation, messageId, counter, previous, sentAt, expires = 0, introduction = null, body }) {
  const told = introduction && [introduction.token, introduction.handle]
  return encode([type, conversation, messageId, counter, previous ?? zeros(0), sentAt, expires, told, body])
}

const isInt = (value, most = 2 ** 53) => Number.isInteger(value) && value >= 0 && value <= most
const isBin = (value, least, most = least) => value instanceof Uint8Array && value.length >= least && value.length <= most
const isText = (value, least, most) => typeof value === 'string' && [...value].length >= least && [...value].length <= most
const isReference = (value) => Array.isArray(value) && isBin(value[0], 32) && isBin(value[1], 16) && isBin(value[2], 32)

const areEntries = (value) => Array.isArray(value) && value.length <= 256 && value.every((one) => Array.isArray(one) && isBin(one[0], 16) && isBin(one[1], 32))
const isItem = (value) => Array.isArray(value) && isText(value[0], 1, 128) && isBin(value[1], 0, 65536) && isInt(value[2]) && isBin(value[3], 16)
const areNumbers = (value) => Array.isArray(value) && value.length <= 256 && value.every((one) => isInt(one) && one >= 1)

// Of the types whose bodies this client reads.
export const BODIES = {
  [TYPE.empty]: (body) => body === null,
  [TYPE.text]: ([said, answers]) => isText(said, 0, 50000) && (answers == null || isReference(answers)),
  [TYPE.file]: (body) => isFile(body),
  [TYPE.copy]: ([to, content, refusal]) => isBin(to, 32) && isBin(content, 0, 262144) && isText(refusal, 0, 64),
  [TYPE.sharedItems]: ([items, isAll, asks]) => Array.isArray(items) && items.length <= 4096 && items.every(isItem) && [isAll, asks].every((one) => typeof one === 'boolean'),
  [TYPE.reaction]: ([message, emoji]) => isReference(message) && isText(emoji, 0, 32),
  [TYPE.edit]: ([message, said]) => isReference(message) && isText(said, 0, 50000),
  [TYPE.delete]: ([message]) => isReference(message),
  [TYPE.receipt]: ([author, delivered, read]) => isBin(author, 32) && areEntries(delivered) && areEntries(read),
  [TYPE.groupInvitation]: ([group, secret, name]) => isBin(group, 32) && isBin(secret, 16) && isText(name, 0, 64),
  [TYPE.groupJoin]: ([group, secret, token, version, wants]) => isBin(group, 32) && [secret, token].every((one) => isBin(one, 16)) && isInt(version) && version >= 1 && isInt(wants, 2 ** 32 - 1),
  [TYPE.groupRequest]: ([request]) => isBin(request, 64, 1024),
  [TYPE.groupWelcome]: ([handOut, token, next, state, blob]) =>
    isBin(handOut, 141) && isBin(token, 32) && isInt(next) && isBin(state, 0, 200000) && (blob === null || isFile(blob)),
  [TYPE.groupSecrets]: ([handOuts]) => Array.isArray(handOuts) && handOuts.length >= 1 && handOuts.length <= 256 && handOuts.every((one) => isBin(one, 141)),
  [TYPE.groupChain]: ([handOut, token = zeros(0)]) => isBin(handOut, 153) && isBin(token, 0, 16),
  [TYPE.groupTokens]: ([group, pairs]) => isBin(group, 32) && Array.isArray(pairs) && pairs.length >= 1 && pairs.length <= 2000 && pairs.every(([account, token]) => isBin(account, 32) && isBin(token, 16)),
  [TYPE.groupCommit]: ([group, index, entry]) => isBin(group, 32) && isInt(index) && isBin(entry, 0, 200000),
  [TYPE.groupAsk]: ([group, lacks, epoch, chain]) => isBin(group, 32) && isInt(lacks, 255) && isInt(epoch) && isBin(chain, 0, 12),
  [TYPE.contactToken]: ([token]) => isBin(token, 16),
  [TYPE.resend]: ([device, conversation, wanted, gone]) => isBin(device, 16) && isBin(conversation, 32) && areNumbers(wanted) && areNumbers(gone),
}

export const isFile = (body) =>
  Array.isArray(body) && isBin(body[0], 32) && isBin(body[1], 32) && isInt(body[2], 2 ** 32) && isBin(body[3], 32) && isText(body[4], 1, 255) && isText(body[5], 1, 127)

export function checkBody(type, body) {
  let good = !BODIES[type]
  try {
    good ||= (type === TYPE.empty || Array.isArray(body)) && BODIES[type](body)
  } catch {
    good = false
  }
  if (!good) throw new Refusal('InvalidEncoding', `no body of type ${type}`)
}

// `passing`: it came as an ephemeral message, and is not counted.
export function decodeContent(bytes, passing = false) {
  let fields
  try {
    fields = decode(bytes)
  } catch {
    throw new Refusal('InvalidEncoding', 'no MessagePack')
  }
  if (!Array.isArray(fields) || fields.length < 9) throw new Refusal('InvalidEncoding', 'no content')
  const [type, conversation, messageId, counter, previous, sentAt, expires, introduction, body, gossip = zeros(0), backups = null] = fields
  const good =
    isInt(type, 65535) && isBin(conversation, 32) && isBin(messageId, 16) && isInt(counter) && isBin(previous, 0, 32) && isInt(sentAt) &&
    isInt(expires, 2 ** 32) && (introduction === null || (isBin(introduction[0], 16) && isText(introduction[1], 0, 32))) &&
    isBin(gossip, 0, 512) && (backups === null || (Array.isArray(backups) && isBin(backups[0], 0, 201) && isBin(backups[1], 0, 201)))
  if (!good) throw new Refusal('InvalidEncoding', 'a field does not fit')
  if (previous.length !== (counter > 1 ? 32 : 0) || (counter === 0) !== passing) throw new Refusal('InvalidEncoding', 'the number and its predecessor do not fit')
  checkBody(type, body)
  const told = introduction && { token: introduction[0], handle: introduction[1] }
  return { type, conversation, messageId, counter, previous, sentAt, expires, introduction: told, body, gossip, hash: sha256(bytes) }
}

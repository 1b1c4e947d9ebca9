// A group message, in a transaction: whose it is, whether they may speak, and what it says (Messages, Receiving).
import { equal } from './bytes.js'
import { listOf } from './directory.js'
import { Refusal } from './errors.js'
import * as messages from './group_messages.js'
import { chainKeyOf, keysOf, loadGroup } from './group_record.js'
import * as states from './group_state.js'
import { deviceIn } from './manifests.js'

// A chain that was handed out in a session of this device.
export function keepChain(tx, account, device, handOut) {
  const key = chainKeyOf(handOut.groupId, device, handOut.chainId)
  const known = tx.get(key)
  if (!known) tx.set(key, messages.receivingChain(handOut, account, device))
  else if (!equal(known.signing, handOut.signing)) throw new Refusal('CopiedState', 'one chain with two signing keys')
}

const refusal = (kind, why, about = {}) => Object.assign(new Refusal(kind, why), about)

// → { group, member, account, device, content }, and its chain has moved. ChainMissing says that the secret or the chain is not here
// (with `groupId` if the secret is), NotEntitled with `isOutsider` that the newest state which was read has no such member.
export function openGroupMessage(tx, envelope) {
  const { group, secret, header } = headerOf(tx, envelope)
  const { groupId } = group
  const key = chainKeyOf(groupId, header.device, header.chainId)
  const chain = tx.get(key)
  if (!chain) throw refusal('ChainMissing', 'its chain was not handed out yet', { groupId })
  const { account, device } = chain
  const member = states.memberOf(group.state, account)
  if (!member || !states.has(member, states.RIGHT.SEND) || secret.epoch < member.since) {
    throw refusal('NotEntitled', 'who may not speak in the group', { groupId, isOutsider: !member })
  }
  const list = listOf(tx, account)
  if (!list.length || !deviceIn(list.at(-1), device)) throw new Refusal('DeviceRefused', 'no device of its account')
  if (chain.epoch !== secret.epoch || !equal(chain.cutHash, secret.cutHash)) throw new Refusal('NotEntitled', 'a chain of another epoch')
  const opened = messages.openMessage(envelope, chain, header.iteration)
  tx.set(key, opened.chain)
  return { group, member, account, device, content: opened.content }
}

function headerOf(tx, envelope) {
  for (const { groupId } of tx.keys('group/').map((key) => tx.get(key))) {
    const group = loadGroup(tx, groupId)
    for (const secret of group.secrets) {
      const header = messages.openHeader(envelope, keysOf(groupId, secret).header)
      if (header) return { group, secret, header }
    }
  }
  throw new Refusal('ChainMissing', 'no secret that is here opens its header')
}

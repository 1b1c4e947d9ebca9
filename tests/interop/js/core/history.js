// The order in which messages are shown.
import { equal, hex } from './bytes.js'

// What was missing and came late stands before what its device said after it in that conversation.
export function inOrder(messages) {
  const ordered = []
  const newest = new Map()
  for (const message of messages) {
    const { counter, device, conversation } = message
    const from = counter && `${hex(conversation)}/${hex(device)}`
    const isLate = from && (newest.get(from) ?? 0) > counter
    const at = isLate ? ordered.findIndex((one) => one.counter > counter && equal(one.device, device) && equal(one.conversation, conversation)) : ordered.length
    ordered.splice(at, 0, message)
    if (from && !isLate) newest.set(from, counter)
  }
  return ordered
}

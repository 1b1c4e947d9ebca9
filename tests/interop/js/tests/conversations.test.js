import assert from 'node:assert/strict'
import test from 'node:test'
import { hex } from '../core/bytes.js'
import { GroupStage } from './group_stage.js'
import { Stage } from './stage.js'
import { load, same } from './vectors.js'

const FILES = { two_people: Stage, post_quantum: Stage, link: Stage, group: GroupStage, broadcast: GroupStage }
const KINDS = { Undecryptable: ['Undecryptable', 'KeyMissing'] }

// Bytes are compared as hexadecimal, all else as it is.
function compareResult(result, expected, about) {
  for (const [name, value] of Object.entries(expected)) {
    if (name === 'opened_chain' || name === 'kem_step') continue // the root key shows both
    if (name === 'keys') compareResult(result.keys, value, about)
    else if (result[name] instanceof Uint8Array) same(result[name], value, `${about}: ${name}`)
    else assert.equal(result[name], value, `${about}: ${name}`)
  }
}

for (const [name, Kind] of Object.entries(FILES)) {
  test(`a conversation from its file: ${name}`, () => {
    const stage = new Kind()
    for (const [number, step] of load(`conversation_${name}.json`).steps.entries()) {
      const { error, result } = stage.play(step, number)
      const about = `step ${number}, ${step.does}`
      const expected = step.result
      if (expected.error) {
        assert.ok((KINDS[expected.error] ?? [expected.error]).includes(error), `${about}: ${error} instead of ${expected.error}`)
        continue
      }
      assert.equal(error, null, about)
      if (step.action === 'receive') {
        const session = result.sessions.find((one) => hex(one.sessionId) === expected.session_id)
        Object.assign(result, { session_id: session.sessionId, root_key: session.ratchet.rootKey })
        result.is_active = hex(result.active.sessionId) === expected.session_id
      }
      compareResult(result, expected, about)
    }
  })
}

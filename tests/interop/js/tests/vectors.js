// What all tests of vectors need: the file, its hexadecimal as bytes, and refusals by their kind.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { hex } from '../core/bytes.js'

const FOLDER = process.env.TOKENIM_VECTORS ?? new URL('../../../vectors/', import.meta.url)
export const load = (name) => JSON.parse(readFileSync(new URL(name, new URL(FOLDER, 'file://')), 'utf8'))
export const bytes = (digits) => Uint8Array.from(Buffer.from(digits, 'hex'))
export const same = (actual, digits, about) => assert.equal(hex(actual), digits, about)

// Which kind of failure a call ends with; null if it ends well.
export function failureOf(call) {
  try {
    call()
    return null
  } catch (error) {
    if (error.name !== 'Refusal') throw error
    return error.kind
  }
}

// Random bytes as a vector gives them, in order.
export function drawn(...draws) {
  const left = draws.map(bytes)
  return (length) => {
    const next = left.shift()
    assert.equal(next?.length, length, 'another draw than the vector has')
    return next
  }
}

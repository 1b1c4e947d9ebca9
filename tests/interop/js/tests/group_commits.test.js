import assert from 'node:assert/strict'
import test from 'node:test'
import { equal } from '../core/bytes.js'
import { apply, encodeCommit, parseCommit } from '../core/commits.js'
import { Refusal } from '../core/errors.js'
import { encodeState, parseState } from '../core/group_state.js'
import { decodeManifest } from '../core/manifests.js'
import { bytes, failureOf, load, same } from './vectors.js'

const vectors = load('group_commits.json')
const manifests = Object.values(vectors.accounts).flatMap((one) => one.manifests.map((encoded) => decodeManifest(bytes(encoded))))

function manifestOf(account, version) {
  const found = manifests.find((one) => equal(one.account, account) && one.version === version)
  if (!found) throw new Refusal('ManifestNeeded', 'a list that the vectors do not hold')
  return found
}

// What this client calls the failures: whatever every member skips is skipped here, under the name of what was found first.
const SKIPPED = ['CommitRefused', 'InvalidSignature', 'InvalidEncoding', 'InvalidKey']
const KINDS = { CommitRefused: SKIPPED, CommitOutdated: SKIPPED, ManifestGap: ['ManifestNeeded'], GroupTooNew: ['TooOld'], null: [null] }

for (const one of vectors.commits) {
  test(`rule ${one.rule}: ${one.does}`, () => {
    const before = vectors.states[one.state] ? parseState(bytes(vectors.states[one.state])) : null
    let after = null
    const error = failureOf(() => {
      after = apply(before, bytes(one.body), bytes(one.signature), manifestOf)
    })
    assert.ok(KINDS[one.error].includes(error), `${error} instead of ${one.error}`)
    if (one.error) return
    same(encodeState(after), one.following)
    same(encodeState(parseState(bytes(one.following))), one.following)
    same(encodeCommit(parseCommit(bytes(one.body))), one.body)
  })
}

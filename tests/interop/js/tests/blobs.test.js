import assert from 'node:assert/strict'
import test from 'node:test'
import { shake256 } from '@noble/hashes/sha3.js'
import { checkWhole, openBlob, sealBlob } from '../core/blobs.js'
import { hex, utf8 } from '../core/bytes.js'
import { sha256 } from '../core/primitives.js'
import { bytes, failureOf, load, same } from './vectors.js'

const vectors = load('blobs.json')
const contentOf = (length) => shake256(utf8(`content ${length}`), { dkLen: length })

for (const one of vectors.blobs) {
  test(`blob of ${one.true_length}`, () => {
    const content = one.true_length ? contentOf(one.true_length) : new Uint8Array(0)
    same(sha256(content), one.content_sha256, 'the content is made as the vectors say')
    const sealed = sealBlob(content, bytes(one.key), bytes(one.salt))
    assert.equal(sealed.length, one.ciphertext_bytes)
    same(sha256(sealed), one.ciphertext_sha256)
    if (one.ciphertext) same(sealed, one.ciphertext)
    checkWhole(sealed, bytes(one.ciphertext_sha256))
    assert.equal(hex(openBlob(sealed, bytes(one.key), one.true_length)), hex(content))
  })
}

for (const one of vectors.must_fail) {
  test(`must fail: ${one.name}`, () => {
    const good = vectors.blobs.find((blob) => blob.true_length === 5)
    let changed = bytes(good.ciphertext)
    if (one.xor) changed[one.at] ^= one.xor
    if (one.keep) changed = changed.slice(0, one.keep)
    if (one.append) changed = Uint8Array.from([...changed, ...bytes(one.append)])
    const call = () => openBlob(changed, bytes(one.key ?? good.key), one.true_length ?? 5)
    assert.equal(failureOf(call), one.error)
  })
}

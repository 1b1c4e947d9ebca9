// Transcripts: the exact bytes that are signed, hashed or authenticated (Conventions).
import { concat, equal, Reader, u32, u8, utf8 } from './bytes.js'
import { Refusal } from './errors.js'

export const SUITE = 1
export const label = (name) => utf8(`tokenim/v1 ${name}\0`)

export const transcript = (name, ...fields) =>
  concat(label(name), u8(SUITE), ...fields.flatMap((field) => [u32(field.length), field]))

// The fields of a transcript that came from outside.
export function fieldsOf(name, bytes) {
  const reader = new Reader(bytes)
  const start = concat(label(name), u8(SUITE))
  if (bytes.length < start.length || !equal(reader.take(start.length), start)) {
    throw new Refusal('InvalidEncoding', `no transcript "${name}" of suite 1`)
  }
  const fields = []
  while (reader.at < bytes.length) fields.push(reader.sized())
  return fields
}

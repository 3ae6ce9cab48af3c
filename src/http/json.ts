// Reads the bytes of a body as JSON.

import { isAscii, isUtf8 } from 'node:buffer'
import { FlowError } from '../domain/errors.ts'
import type { JsonValue } from '../domain/json.ts'
import { type JsonLimits, parseJsonText } from '../domain/json-text.ts'

/**
 * Parses as `parseJsonText` does.
 *
 * @throws FlowError `malformed_json` also for bytes that are not UTF-8 or begin with a byte order mark.
 */
export function parseJson(bytes: Buffer, limits: JsonLimits): JsonValue {
  return parseJsonText(decode(bytes), limits)
}

function decode(bytes: Buffer): string {
  if (isAscii(bytes)) return bytes.toString('latin1')
  if (!isUtf8(bytes)) {
    const message = `The body is not UTF-8: byte ${firstBadByte(bytes)} does not belong there.`
    throw malformed(message)
  }
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    throw malformed('The body begins with a byte order mark: send UTF-8 without one.')
  }
  return bytes.toString('utf8')
}

function malformed(message: string): FlowError {
  return new FlowError('malformed_json', message, {
    errors: [{ pointer: '', code: 'encoding', message }],
  })
}

/** The offset of the first byte that no UTF-8 text could have there. */
function firstBadByte(bytes: Buffer): number {
  let low = 0
  let high = bytes.length
  // The longest valid prefix may end up to three bytes before the fault, inside a cut character.
  const validUpTo = (end: number) =>
    [0, 1, 2, 3].some((cut) => end - cut >= 0 && isUtf8(bytes.subarray(0, end - cut)))
  while (low < high) {
    const middle = Math.ceil((low + high) / 2)
    if (validUpTo(middle)) low = middle
    else high = middle - 1
  }
  while (low > 0 && !isUtf8(bytes.subarray(0, low))) low--
  return low
}

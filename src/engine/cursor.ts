// Opaque places in lists, bound to the list and filter they were made for.

import { createHash } from 'node:crypto'
import { FlowError, invalid } from '../domain/errors.ts'
import { isId } from '../domain/id.ts'

const instant = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/
const timestamp = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

/** Checks of a position's parts: a cursor comes from outside and ends in a statement. */
const checks = {
  instant: (part: unknown) => typeof part === 'string' && instant.test(part),
  timestamp: (part: unknown) => typeof part === 'string' && timestamp.test(part),
  id: (part: unknown) => typeof part === 'string' && isId(part),
  name: (part: unknown) => typeof part === 'string' && part.length <= 255 && !part.includes('\0'),
  revision: (part: unknown) => Number.isSafeInteger(part) && (part as number) >= 0,
  xid: (part: unknown) => typeof part === 'string' && /^\d{1,19}$/.test(part),
}

function digest(bound: unknown): string {
  return createHash('sha256').update(JSON.stringify(bound)).digest('base64url').slice(0, 12)
}

/** Makes a cursor from the list's name and filter, and a position in it. */
export function encodeCursor(bound: unknown, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([digest(bound), ...position])).toString('base64url')
}

/**
 * Reads a cursor's position. Throws `invalid_request` when it is no cursor of ours and
 * `cursor_mismatch` when it was made for another list or filter.
 *
 * @param pointer the query parameter that it came in, for the error.
 */
export function decodeCursor(
  cursor: string,
  bound: unknown,
  shape: readonly (keyof typeof checks)[],
  pointer: '?cursor' | '?after' = '?cursor',
): (string | number)[] {
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    parts = null
  }
  const message = `Send ${pointer.slice(1)} exactly as an answer of this list gave it, or leave it out.`
  if (!Array.isArray(parts) || parts.length !== shape.length + 1) {
    throw invalid(pointer, 'malformed', message)
  }
  const [made, ...position] = parts as [unknown, ...(string | number)[]]
  if (made !== digest(bound)) {
    const mismatch =
      'This cursor belongs to another filter. Repeat the filter, or start without a cursor.'
    throw new FlowError('cursor_mismatch', mismatch, {
      errors: [{ pointer, code: 'mismatch', message: mismatch }],
    })
  }
  if (!shape.every((kind, i) => checks[kind](position[i]))) {
    throw invalid(pointer, 'malformed', message)
  }
  return position
}

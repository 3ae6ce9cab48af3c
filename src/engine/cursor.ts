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
  epoch: (part: unknown) => typeof part === 'string' && part.length <= 32,
  xid: (part: unknown) => typeof part === 'string' && /^\d{1,19}$/.test(part),
}

/** A short text that stands for a list and its filter. */
export function digest(bound: unknown): string {
  return createHash('sha256').update(JSON.stringify(bound)).digest('base64url').slice(0, 12)
}

/** Makes a cursor from the list's name and filter, and a position in it. */
export function encodeCursor(bound: unknown, position: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([digest(bound), ...position])).toString('base64url')
}

/** Where a cursor or position came in, for the error. */
export type CursorPointer = '?cursor' | '?after' | 'last-event-id'

/**
 * Reads a cursor's position. Throws `invalid_request` when it is no cursor of ours and
 * `cursor_mismatch` when it was made for another list or filter.
 *
 * @param from `optional` parts at the end may be absent.
 */
export function decodeCursor(
  cursor: string,
  bound: unknown,
  shape: readonly (keyof typeof checks)[],
  from: { pointer?: CursorPointer; optional?: number } = {},
): (string | number)[] {
  const { pointer = '?cursor', optional = 0 } = from
  let parts: unknown
  try {
    parts = JSON.parse(Buffer.from(cursor, 'base64url').toString())
  } catch {
    parts = null
  }
  const name = pointer.replace('?', '')
  const message = `Send ${name} exactly as an answer of this list gave it, or leave it out.`
  const most = shape.length + 1
  if (!Array.isArray(parts) || parts.length > most || parts.length < most - optional) {
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
  if (!position.every((part, i) => checks[shape[i] as keyof typeof checks](part))) {
    throw invalid(pointer, 'malformed', message)
  }
  return position
}

// Rows as a parameter: an array for each column, in the server's binary form. It reads that in about half the
// time that JSON takes it, and reading what is to be written is a good part of what a batch costs.

import type { Sql } from './sql.ts'

/** Object ids of the types, the same on every server (`pg_type.dat`). */
const oids = {
  boolean: 16,
  bigint: 20,
  smallint: 21,
  integer: 23,
  text: 25,
  timestamptz: 1184,
  uuid: 2950,
  jsonb: 3802,
  xid8: 5069,
} as const

type ArrayType = keyof typeof oids

/** The member of the rows, which is also the name in the statement, and its type there. */
export type ArrayColumn = readonly [name: string, type: ArrayType]

/** Rows that become a parameter, and how a statement speaks of them. */
export interface ArrayRows {
  /** `as alias(…)` takes these names. */
  names: string
  /**
   * What stands behind `from`. What is undefined, and what is false in a column of booleans, is null there,
   * so that a column which is nothing else costs nothing: booleans are to be asked for by `is true`.
   *
   * @param more the members of `beside`, in as many rows.
   */
  of(rows: readonly object[], more?: readonly object[]): Sql
}

/**
 * How to give rows with these columns to a statement.
 *
 * @param beside columns from rows of their own: to add members to a copy of a record costs far more than
 *   the copy, or a second object.
 */
export function arrayRows(
  columns: readonly ArrayColumn[],
  beside: readonly ArrayColumn[] = [],
): ArrayRows {
  const all = [...columns, ...beside]
  const casts = all.map(([, type]) => `::${type}[]`)
  const strings = ['unnest(', ...casts.slice(0, -1).map((cast) => `${cast}, `), `${casts.at(-1)})`]
  return {
    names: all.map(([name]) => name).join(', '),
    of: (rows, more = []) => ({
      strings,
      values: all.map(([name, type], i) =>
        arrayOf(type, (i < columns.length ? rows : more) as readonly Row[], name),
      ),
    }),
  }
}

type Row = Readonly<Record<string, unknown>>

/** Written to and copied from; grows with the largest parameter. Nothing awaits while it is in use. */
let scratch = Buffer.allocUnsafe(64 * 1024)

const headerBytes = 20
/** The length -1. */
const nullBytes = 4

/** One column as an array of the server's (`array_send`), or null when no row has anything in it. */
function arrayOf(type: ArrayType, rows: readonly Row[], name: string): Buffer | null {
  if (!rows.some((row) => says(type, row[name]))) return null
  const write = writers[type]
  let at = headerBytes
  let nulls = 0
  for (const row of rows) {
    const value = row[name]
    if (!says(type, value)) {
      ensure(at, nullBytes)
      at = scratch.writeInt32BE(-1, at)
      nulls = 1
      continue
    }
    ensure(at, 4 + 16)
    const end = write(value, at + 4)
    scratch.writeInt32BE(end - at - 4, at)
    at = end
  }
  // One dimension, whether there are nulls, the type, and the dimension: its length, counted from 1.
  scratch.writeInt32BE(1, 0)
  scratch.writeInt32BE(nulls, 4)
  scratch.writeInt32BE(oids[type], 8)
  scratch.writeInt32BE(rows.length, 12)
  scratch.writeInt32BE(1, 16)
  return Buffer.from(scratch.subarray(0, at))
}

function says(type: ArrayType, value: unknown): boolean {
  return value !== null && value !== undefined && (type !== 'boolean' || value !== false)
}

/** Makes room for so many bytes more. */
function ensure(at: number, bytes: number): void {
  if (at + bytes <= scratch.length) return
  const larger = Buffer.allocUnsafe(Math.max(scratch.length * 2, at + bytes))
  scratch.copy(larger, 0, 0, at)
  scratch = larger
}

/**
 * Writes a value in its binary form (`<type>recv`), and answers where it ends. Sixteen bytes are there. A value
 * is of the type that its column says, so that `String` and `Number` give it back as it is.
 */
const writers: Record<ArrayType, (value: unknown, at: number) => number> = {
  boolean(_, at) {
    scratch[at] = 1
    return at + 1
  },
  bigint(value, at) {
    const number = Number(value)
    const high = scratch.writeInt32BE(Math.floor(number / word), at)
    return scratch.writeUInt32BE(modulo(number, word), high)
  },
  smallint: (value, at) => scratch.writeInt16BE(Number(value), at),
  integer: (value, at) => scratch.writeInt32BE(Number(value), at),
  text: (value, at) => writeText(String(value), at),
  jsonb(value, at) {
    // The version of the format.
    scratch[at] = 1
    return writeText(JSON.stringify(value), at + 1)
  },
  timestamptz(value, at) {
    const text = String(value)
    if (text !== lastTime.text) lastTime = timeOf(text)
    return scratch.writeUInt32BE(lastTime.low, scratch.writeInt32BE(lastTime.high, at))
  },
  uuid: (value, at) => writeUuid(String(value), at),
  xid8(value, at) {
    const number = Number(value)
    if (!Number.isSafeInteger(number)) return scratch.writeBigUInt64BE(BigInt(String(value)), at)
    const high = scratch.writeUInt32BE(Math.floor(number / word), at)
    return scratch.writeUInt32BE(number % word, high)
  },
}

function writeUuid(value: string, at: number): number {
  let end = at
  for (let i = 0; i < value.length; i += 2) {
    if (value.charCodeAt(i) === dash) i++
    scratch[end++] = (nibble(value.charCodeAt(i)) << 4) | nibble(value.charCodeAt(i + 1))
  }
  if (end !== at + 16) throw new RangeError(`${value} is no UUID`)
  return end
}

/** The remainder that is never negative, of a whole number. */
function modulo(value: number, by: number): number {
  return ((value % by) + by) % by
}

function writeText(value: string, at: number): number {
  // UTF-8 takes three bytes at most for each unit of UTF-16.
  ensure(at, value.length * 3)
  return at + scratch.write(value, at)
}

const dash = 45

/** The value of a hexadecimal digit. */
function nibble(code: number): number {
  if (code >= 48 && code <= 57) return code - 48
  const letter = (code | 32) - 87
  if (letter < 10 || letter > 15) throw new RangeError('a UUID has a letter that is no digit of it')
  return letter
}

const word = 2 ** 32
/** What the server counts times from: the beginning of 2000, in milliseconds of ours. */
const epoch = Date.UTC(2000, 0, 1)
/** A batch says the same few times again and again. */
let lastTime = timeOf('2000-01-01T00:00:00.000Z')

/** A time in microseconds, as two words: as one number it would lose its last digits after 2255. */
function timeOf(text: string): { text: string; high: number; low: number } {
  const microseconds = BigInt(Date.parse(text) - epoch) * 1000n
  const high = Number(microseconds >> 32n)
  return { text, high, low: Number(microseconds & 0xffff_ffffn) }
}

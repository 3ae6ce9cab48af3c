// How values of the server become ours: times as the wire has them, and numbers that fit.

import pg from 'pg'

const timestamptz = 1184
const int8 = 20

/** Rows have the same few times again and again: those of late, as the server writes them and as we do. */
const lately = new Map<string, string>()
const mostLately = 256

/** `2026-04-23 15:00:00.12+00`, as the server writes it, to RFC 3339 in UTC with milliseconds. */
export function timestampFromServer(text: string): string {
  const known = lately.get(text)
  if (known !== undefined) return known
  if (lately.size === mostLately) lately.clear()
  const wire = toWire(text)
  lately.set(text, wire)
  return wire
}

function toWire(text: string): string {
  if (text.endsWith('+00') && text.length >= 22 && text[4] === '-') {
    const fraction = text.length === 22 ? '.000' : text.slice(19, -3).padEnd(4, '0').slice(0, 4)
    return `${text.slice(0, 10)}T${text.slice(11, 19)}${fraction}Z`
  }
  const offset = /[+-]\d\d$/.test(text) ? `${text}:00` : text
  return new Date(offset.replace(' ', 'T')).toISOString()
}

function int8FromServer(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError(`${text} is past 2^53`)
  return value
}

/** For the pools of the service. */
export const types: pg.CustomTypesConfig = {
  getTypeParser: ((oid: number, format?: 'text' | 'binary') => {
    if (oid === timestamptz) return timestampFromServer
    if (oid === int8) return int8FromServer
    return pg.types.getTypeParser(oid, format)
  }) as typeof pg.types.getTypeParser,
}

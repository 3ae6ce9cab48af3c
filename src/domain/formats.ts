// Points in time and durations as texts: what is accepted, why something is refused, what it means.

import { type FlowError, invalid } from './errors.ts'
import type { Timestamp } from './time.ts'

const timestampPattern =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,30}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/

/** A text longer than this is neither a timestamp nor a duration; it is not looked at any closer. */
const maxLength = 64

const secondMs = 1000
const minuteMs = 60 * secondMs
const hourMs = 60 * minuteMs
const dayMs = 24 * hourMs

/** From the first to the last instant that four digits of a year can name in UTC. */
const firstInstant = Date.parse('0001-01-01T00:00:00.000Z')
const lastInstant = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** The longest duration, in milliseconds: 9999 years, since no timer can be due later. */
const maxDurationMs = 9999 * 366 * dayMs

/** A value that was read, or a sentence of at most 15 words that says what is wrong and how to mend it. */
type Reading<Value> = { value: Value } | { fault: string }

function readTimestamp(text: string): Reading<number> {
  const match = text.length > maxLength ? null : timestampPattern.exec(text)
  if (match === null) {
    return { fault: 'must be a time with a zone, for example 2026-04-23T15:00:00Z' }
  }
  const part = (index: number) => Number(match[index] ?? 0)
  const [year, month, day] = [part(1), part(2), part(3)]
  const [hour, minute, second] = [part(4), part(5), part(6)]
  if (year === 0) return { fault: 'must be in the years 0001 to 9999' }
  if (month < 1 || month > 12) return { fault: 'has a month outside 01 to 12' }
  const lastDay = daysIn(year, month)
  if (day < 1 || day > lastDay) {
    return { fault: `names a day that does not exist: ${match[1]}-${match[2]} has ${lastDay} days` }
  }
  if (hour > 23) return { fault: 'has an hour outside 00 to 23' }
  if (minute > 59) return { fault: 'has a minute outside 00 to 59' }
  if (second === 60) return { fault: 'names a leap second: send second 59 or the next minute' }
  if (second > 59) return { fault: 'has a second outside 00 to 59' }
  if (part(9) > 23 || part(10) > 59) return { fault: 'has a zone outside -23:59 to +23:59' }
  const fraction = match[7] ?? ''
  if (/[1-9]/.test(fraction.slice(3))) {
    return { fault: 'is finer than a millisecond: send three digits after the second' }
  }
  // Built through setUTCFullYear, because Date.UTC takes the years 0 to 99 for 1900 to 1999.
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  date.setUTCHours(hour, minute, second, Number(fraction.slice(0, 3).padEnd(3, '0')))
  const offset = (part(9) * hourMs + part(10) * minuteMs) * (match[8] === '-' ? -1 : 1)
  const millis = date.getTime() - offset
  return millis < firstInstant || millis > lastInstant
    ? { fault: 'must be in the years 0001 to 9999, counted in UTC' }
    : { value: millis }
}

function daysIn(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
}

const durationPattern =
  /^P(?=.)(?:(\d{1,15})(?:\.(\d{1,15}))?W)?(?:(\d{1,15})(?:\.(\d{1,15}))?D)?(?:T(?=.)(?:(\d{1,15})(?:\.(\d{1,15}))?H)?(?:(\d{1,15})(?:\.(\d{1,15}))?M)?(?:(\d{1,15})(?:\.(\d{1,15}))?S)?)?$/

const unitsMs = [7 * dayMs, dayMs, hourMs, minuteMs, secondMs]

const exampleDurations = 'for example PT30S, PT1H or P2D'

function readDuration(text: string): Reading<number> {
  const match = text.length > maxLength ? null : durationPattern.exec(text)
  if (match === null) return { fault: durationFaultOf(text) }
  let total = 0n
  let ended = false
  for (const [index, unit] of unitsMs.entries()) {
    const whole = match[1 + 2 * index]
    if (whole === undefined) continue
    if (ended) return { fault: 'can have a fraction on its last part only' }
    total += BigInt(whole) * BigInt(unit)
    const fraction = match[2 + 2 * index]
    if (fraction === undefined) continue
    ended = true
    const scaled = BigInt(fraction) * BigInt(unit)
    const scale = 10n ** BigInt(fraction.length)
    if (scaled % scale !== 0n) {
      return { fault: 'is finer than a millisecond: send whole milliseconds, as in PT0.25S' }
    }
    total += scaled / scale
  }
  return total > BigInt(maxDurationMs)
    ? { fault: 'must not be longer than 9999 years' }
    : { value: Number(total) }
}

function durationFaultOf(text: string): string {
  if (/^-/.test(text) || /\d-|-\d/.test(text)) return `must not be negative: ${exampleDurations}`
  if (/^P[^T]*[YM]/.test(text)) {
    return 'must be in weeks, days, hours, minutes and seconds: months and years differ in length'
  }
  return `must be an ISO 8601 duration, ${exampleDurations}`
}

/** What is wrong with a timestamp, to stand behind its name (`names a day that …`); null when nothing is. */
export function timestampFault(text: string): string | null {
  const reading = readTimestamp(text)
  return 'fault' in reading ? reading.fault : null
}

/** What is wrong with a duration, to stand behind its name; null when nothing is. */
export function durationFault(text: string): string | null {
  const reading = readDuration(text)
  return 'fault' in reading ? reading.fault : null
}

/**
 * A timestamp of RFC 3339 in the service's own form: UTC, milliseconds, fixed width.
 *
 * The zone must be there. Digits finer than a millisecond must be zeros, for nothing is dropped in
 * silence. Days that do not exist, leap seconds and years outside 0001 to 9999 are refused.
 *
 * @param pointer where the text was found, for the error.
 * @throws FlowError `invalid_request`
 */
export function parseTimestamp(text: string, pointer = ''): Timestamp {
  const reading = readTimestamp(text)
  if ('fault' in reading) throw formatError(pointer, reading.fault)
  return new Date(reading.value).toISOString()
}

/**
 * A duration of ISO 8601 in whole milliseconds.
 *
 * Weeks, days (of 24 hours), hours, minutes and seconds, in this order; the last one given may have
 * a fraction after a point, down to a millisecond. Months and years have no fixed length and are
 * refused, as are signs. Zero is a duration.
 *
 * @param pointer where the text was found, for the error.
 * @throws FlowError `invalid_request`
 */
export function parseDuration(text: string, pointer = ''): number {
  const reading = readDuration(text)
  if ('fault' in reading) throw formatError(pointer, reading.fault)
  return reading.value
}

/** Milliseconds as a duration of days, hours, minutes and seconds, each only when there are some. */
export function formatDuration(millis: number): string {
  const days = Math.floor(millis / dayMs)
  const hours = Math.floor((millis % dayMs) / hourMs)
  const minutes = Math.floor((millis % hourMs) / minuteMs)
  const seconds = (millis % minuteMs) / secondMs
  const part = (count: number, unit: string) => (count === 0 ? '' : `${count}${unit}`)
  const time = part(hours, 'H') + part(minutes, 'M') + part(seconds, 'S')
  const text = `P${part(days, 'D')}${time === '' ? '' : `T${time}`}`
  return text === 'P' ? 'PT0S' : text
}

function formatError(pointer: string, fault: string): FlowError {
  const name = pointer.slice(pointer.lastIndexOf('/') + 1).replace(/^[?:]/, '')
  return invalid(pointer, 'format', `${name === '' ? 'This value' : name} ${fault}.`)
}

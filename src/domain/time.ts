// Time as records carry it, and as sentences tell it.

/** RFC 3339 in UTC with milliseconds (`2026-04-23T15:00:00.000Z`): fixed width, so `<` on the text is `<` in time. */
export type Timestamp = string

const units = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
] as const

/** A span in plain words, in its largest unit: `3 minutes`. */
export function inWords(ms: number): string {
  for (const [unit, size] of units) {
    const count = Math.floor(ms / size)
    if (count >= 1) return count === 1 ? `1 ${unit}` : `${count} ${unit}s`
  }
  return 'less than a second'
}

/** A span in plain words, down to its last second: `1 day 12 hours`. */
export function spanInWords(ms: number): string {
  let rest = ms
  const parts = units.flatMap(([unit, size]) => {
    const count = Math.floor(rest / size)
    rest -= count * size
    return count === 0 ? [] : [count === 1 ? `1 ${unit}` : `${count} ${unit}s`]
  })
  return parts.length === 0 ? 'less than a second' : parts.join(' ')
}

/** From one time to another, in milliseconds. */
export function millisBetween(from: Timestamp, to: Timestamp): number {
  return Date.parse(to) - Date.parse(from)
}

/** The last instant that a timestamp's fixed width can hold, in Unix milliseconds. */
export const lastInstant = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** So many milliseconds later, or the last instant when that would leave the calendar. */
export function after(at: Timestamp, ms: number): Timestamp {
  return new Date(Math.min(Date.parse(at) + ms, lastInstant)).toISOString()
}

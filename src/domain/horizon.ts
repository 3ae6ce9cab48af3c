// How far ahead timers may be, for callers that are held to that.

import { FlowError } from './errors.ts'
import type { TimeSpec, WaitSpec } from './wait.ts'

const units: readonly (readonly [string, number])[] = [
  ['day', 86_400_000],
  ['hour', 3_600_000],
  ['minute', 60_000],
  ['second', 1_000],
]

/** A time in the largest unit that divides it, as in "30 days" and "12 hours". */
export function spanWords(millis: number): string {
  const [unit, size] = units.find(([, length]) => millis >= length && millis % length === 0) ?? [
    'millisecond',
    1,
  ]
  const count = millis / size
  return `${count} ${unit}${count === 1 ? '' : 's'}`
}

/**
 * Refuses a time that lies further ahead than that. Judged by the clock of who asks: what is measured in days
 * does not turn on the milliseconds between two clocks.
 *
 * @param now in milliseconds of Unix time
 * @throws FlowError `timer_horizon_exceeded`.
 */
export function refuseFarTime(time: TimeSpec, horizon: number, now: number): void {
  const ahead = 'after' in time ? time.after : Date.parse(time.at) - now
  if (ahead <= horizon) return
  throw new FlowError(
    'timer_horizon_exceeded',
    `Timers may be ${spanWords(horizon)} ahead at most with this key: choose an earlier time, or wait in several pieces.`,
    { maximum_ms: horizon },
  )
}

/** The same for the timers and the time-out of a wait. */
export function refuseFarWait(wait: WaitSpec, horizon: number, now: number): void {
  const branches = wait.kind === 'any' || wait.kind === 'all' ? wait.of : [wait]
  for (const branch of branches) {
    if (branch.kind === 'timer') refuseFarTime(branch, horizon, now)
  }
  if (wait.timeout !== undefined) refuseFarTime(wait.timeout, horizon, now)
}

// How far ahead timers may be, for callers that are held to that.

import { FlowError } from './errors.ts'
import { spanInWords } from './time.ts'
import type { TimeSpec, WaitSpec } from './wait.ts'

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
    `Timers may be ${spanInWords(horizon)} ahead at most with this key: choose an earlier time, or wait in several pieces.`,
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

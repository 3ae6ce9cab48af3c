// Spares an endpoint in trouble: after some failures in a row nothing is sent to it for a while, then one
// step as a probe. One process's own view; nothing of it is stored.

import type { Health } from './push-answer.ts'

export interface Breaker {
  /** How many steps may be under way at a time, now. */
  most(now: number): number
  /** Whether the endpoint has failed too often since it last did well. */
  isOpen(): boolean
  /** Until something may be sent again, in milliseconds; 0 when it may now. */
  restsFor(now: number): number
  /**
   * Takes the result of one step.
   *
   * @param least how long the endpoint asked to be left alone, in milliseconds.
   * @returns the pause that begins with it, or 0.
   */
  record(health: Health, now: number, least?: number): number
}

/** Failures in a row that open it. */
const tolerance = 5
/** The first pause and the longest, in milliseconds; each is twice the one before. */
const firstPause = 1_000
const longestPause = 60_000

/** Times are milliseconds of one clock that never goes back. */
export function createBreaker(): Breaker {
  let failures = 0
  let pauses = 0
  let until = 0
  return {
    most: (now) => (failures < tolerance ? Number.POSITIVE_INFINITY : now < until ? 0 : 1),
    isOpen: () => failures >= tolerance,
    restsFor: (now) => (failures < tolerance ? 0 : Math.max(0, until - now)),
    record(health, now, least = 0) {
      if (health === 'unknown') return 0
      if (health === 'ok') {
        failures = 0
        pauses = 0
        return 0
      }
      failures++
      // Those that were under way when it opened tell nothing new.
      if (failures < tolerance || now < until) return 0
      const pause = Math.min(longestPause, Math.max(least, firstPause * 2 ** Math.min(pauses, 10)))
      pauses++
      until = now + pause
      return pause
    },
  }
}

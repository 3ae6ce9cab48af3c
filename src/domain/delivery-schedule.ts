// When a delivery is tried again: the schedule of Standard Webhooks, spread out, and slower on request.

const second = 1_000
const minute = 60 * second
const hour = 60 * minute

/** The pause before each attempt, in milliseconds, the first included: ten attempts in some 75 hours. */
export const deliverySchedule: readonly number[] = [
  0,
  5 * second,
  5 * minute,
  30 * minute,
  2 * hour,
  5 * hour,
  10 * hour,
  14 * hour,
  20 * hour,
  24 * hour,
]

/** How far a pause strays from the schedule, so that what failed together does not come back together. */
const jitter = 0.2

const longestRetryAfter = 24 * hour

/**
 * The pause before the next attempt, in milliseconds; null when there is none left.
 *
 * The pause of the schedule, give or take a fifth. A receiver can ask for a longer one with
 * `Retry-After`, up to 24 h, and never for a shorter one: the schedule holds for those in trouble too.
 *
 * @param attemptsDone how many attempts there were.
 * @param random from 0 up to 1, evenly spread.
 * @param retryAfterMs what the last answer asked for; null when it did not.
 */
export function nextAttemptAfter(
  attemptsDone: number,
  random: number,
  retryAfterMs: number | null,
): number | null {
  const pause = deliverySchedule[attemptsDone]
  if (pause === undefined) return null
  const spread = Math.round(pause * (1 - jitter + 2 * jitter * random))
  return Math.max(spread, Math.min(retryAfterMs ?? 0, longestRetryAfter))
}

/** The three spellings of a date that RFC 9110 makes recipients read: IMF-fixdate, RFC 850, asctime. */
const fixdate = /^[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT$/
const rfc850 = /^[A-Z][a-z]{5,8}, \d\d-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d GMT$/
const asctime = /^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}$/

/**
 * A `Retry-After` in milliseconds from now: seconds or an HTTP date. 0 for one in the past, null for
 * what cannot be read.
 *
 * @param nowMillis Unix milliseconds.
 */
export function retryAfterMillis(headerText: string, nowMillis: number): number | null {
  const text = headerText.trim()
  if (/^\d{1,12}$/.test(text)) return Number(text) * second
  const date =
    fixdate.test(text) || rfc850.test(text) ? text : asctime.test(text) ? `${text} GMT` : null
  const at = date === null ? Number.NaN : Date.parse(date)
  return Number.isNaN(at) ? null : Math.max(0, at - nowMillis)
}

// How often and when a step is tried again.

/** Defaults: three attempts, a second apart at first, at most five minutes (those of taquba). */
const defaultRetry = { max_attempts: 3, base_ms: 1_000, factor: 2, cap_ms: 300_000 } as const

/** What may be said of retries; what is left out has its default. Durations in milliseconds. */
export interface RetrySpec {
  max_attempts?: number
  base_ms?: number
  factor?: number
  cap_ms?: number
  /** Codes of errors that are final at once. */
  non_retryable?: string[]
}

/** When a step is tried again, and which errors are final. How often stands in `max_attempts` of the step. */
export type RetryPolicy = {
  base_ms: number
  factor: number
  cap_ms: number
  non_retryable: string[]
}

/** A policy from what the step says, then its controller, then the defaults. */
export function retryPolicy(
  own: RetrySpec | undefined,
  controller: RetrySpec | null,
): { max_attempts: number; policy: RetryPolicy } {
  const {
    max_attempts,
    base_ms,
    factor,
    cap_ms,
    non_retryable = [],
  } = {
    ...defaultRetry,
    ...controller,
    ...own,
  }
  return { max_attempts, policy: { base_ms, factor, cap_ms, non_retryable } }
}

/** No pause is shorter, in milliseconds: retries that come at once help nobody. */
const shortest = 100
/** The power is taken no further: it would leave the range of numbers before the cap is applied. */
const maxExponent = 60
/** The longest pause that a worker can ask for, in milliseconds. */
export const longestRetryAfter = 3_600_000

/**
 * The pause before the next attempt, in milliseconds: anywhere between nothing and the exponential
 * bound ("full jitter"), so that what failed together does not come back together.
 *
 * @param attempt the one that failed, from 1.
 * @param random from 0 up to 1.
 * @param after what the worker asked for instead, in milliseconds; an hour at most.
 */
export function retryDelay(
  policy: RetryPolicy,
  attempt: number,
  random: number,
  after?: number,
): number {
  if (after !== undefined) return Math.min(after, longestRetryAfter)
  const exponent = Math.min(Math.max(0, attempt - 1), maxExponent)
  const bound = Math.min(policy.cap_ms, policy.base_ms * policy.factor ** exponent)
  return Math.max(Math.min(shortest, bound), Math.floor(bound * random))
}

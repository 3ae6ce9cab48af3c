// What the answer of a controller's endpoint means for the step that was pushed to it.

import { retryAfterMillis } from '../domain/delivery-schedule.ts'
import { longestRetryAfter } from '../domain/retry.ts'
import type { OutboundAnswer } from './outbound.ts'
import type { Failure } from './outbound-failure.ts'

/** Why an attempt failed, in the words of an outcome. */
export interface PushError {
  code: string
  message: string
  retryable: boolean
}

/**
 * How an endpoint is: `trouble` when it does not do what it shall, `unreached` when nothing arrived
 * there, `unknown` when this attempt tells nothing.
 */
export type Health = 'ok' | 'trouble' | 'unreached' | 'unknown'

export type Verdict =
  /** The body says what became of the step. */
  | { type: 'outcome'; body: Buffer }
  /** The step is settled later, by whoever has its token. */
  | { type: 'accepted' }
  /** To be sent again after so many milliseconds; the attempt does not count. */
  | { type: 'not_now'; delay: number }
  /** Nothing is wanted there any more. */
  | { type: 'gone' }
  /** Given up here: whether it arrived is not known. */
  | { type: 'aborted' }
  | { type: 'error'; error: PushError }

/** No step comes back sooner, in milliseconds, whatever was asked for. */
const shortestDelay = 1_000
/** How much of an answer stands in the message of an error, in characters. */
const shown = 200

/** Failures before anything of the request can have arrived. */
const unreached: readonly Failure[] = ['connect', 'dns', 'tls', 'blocked']
/** Of the statuses below 500, those that ask for another try. */
const passing: readonly number[] = [408, 425, 429]

/**
 * Judges an answer.
 *
 * @param nowMillis Unix milliseconds, which dates in `Retry-After` are counted from.
 */
export function judgeAnswer(
  answer: OutboundAnswer,
  nowMillis: number,
): { verdict: Verdict; health: Health } {
  if ('failure' in answer) {
    const { failure, message } = answer
    if (failure === 'aborted') return { verdict: { type: 'aborted' }, health: 'unknown' }
    return {
      verdict: { type: 'error', error: { code: failure, message, retryable: true } },
      health: unreached.includes(failure) ? 'unreached' : 'trouble',
    }
  }
  const { status, headers, body, truncated } = answer
  const error = (message: string, retryable: boolean, code = `http_${status}`): Verdict => ({
    type: 'error',
    error: { code, message: `${message}${excerpt(body)}`, retryable },
  })
  if (status === 200) {
    return truncated
      ? { verdict: badAnswer('It is longer than an outcome can be.'), health: 'ok' }
      : { verdict: { type: 'outcome', body }, health: 'ok' }
  }
  if (status === 202) return { verdict: { type: 'accepted' }, health: 'ok' }
  if (status === 410) return { verdict: { type: 'gone' }, health: 'ok' }
  if (status < 300) {
    return {
      verdict: badAnswer(`A step is answered with 200 and an outcome, or with 202, not ${status}.`),
      health: 'ok',
    }
  }
  const wanted = headers['retry-after']
  const after = wanted === undefined ? null : retryAfterMillis(wanted, nowMillis)
  if ((status === 429 || status === 503) && after !== null) {
    const delay = Math.min(Math.max(after, shortestDelay), longestRetryAfter)
    return { verdict: { type: 'not_now', delay }, health: 'trouble' }
  }
  if (status >= 500) {
    return { verdict: error(`The endpoint answered ${status}`, true), health: 'trouble' }
  }
  if (status < 400) {
    const message = `The endpoint answered ${status}, and redirects are not followed`
    return { verdict: error(message, false), health: 'ok' }
  }
  const retryable = passing.includes(status)
  return { verdict: error(`The endpoint answered ${status}`, retryable), health: 'ok' }
}

/** The error of an answer that is no outcome. It may be right the next time. */
export function badAnswer(fault: string): Verdict {
  return {
    type: 'error',
    error: {
      code: 'bad_answer',
      message: `The answer cannot be taken: ${fault}`,
      retryable: true,
    },
  }
}

/** What an answer begins with, as far as it can stand in a message. */
function excerpt(body: Buffer): string {
  // Halves of characters that the cut leaves go too: no database takes them.
  const text = body
    .toString('utf8')
    .slice(0, 4 * shown)
    .replaceAll(/[\p{Cc}\p{Cs}\s]+/gu, ' ')
    .trim()
  return text === '' ? '.' : `: ${Array.from(text).slice(0, shown).join('')}`
}

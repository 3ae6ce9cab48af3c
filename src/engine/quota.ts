// How many streams may be open at a time: in this process, and for one caller.

import { FlowError } from '../domain/errors.ts'
import type { Caller } from './change.ts'

export interface Quota {
  /** Takes a place; answers how to give it back, once. Throws `quota_exceeded` or `overloaded`. */
  take(caller: Caller): () => void
  taken(): number
}

export function createStreamQuota(limits: { total: number; perCaller: number }): Quota {
  const callers = new Map<string, number>()
  let taken = 0
  return {
    taken: () => taken,
    take({ namespace, actor }) {
      const name = JSON.stringify([namespace, actor])
      const own = callers.get(name) ?? 0
      if (own >= limits.perCaller) {
        throw new FlowError(
          'quota_exceeded',
          `You have ${own} streams open, the most at a time: close some first.`,
          { limit: 'streams_per_caller', maximum: limits.perCaller, retry_after: 5 },
        )
      }
      if (taken >= limits.total) {
        throw new FlowError(
          'overloaded',
          'The service has as many streams open as it can take. Send the same request again shortly.',
          { retry_after: 5 },
        )
      }
      taken++
      callers.set(name, own + 1)
      let given = false
      return () => {
        if (given) return
        given = true
        taken--
        const rest = (callers.get(name) ?? 1) - 1
        if (rest === 0) callers.delete(name)
        else callers.set(name, rest)
      }
    },
  }
}

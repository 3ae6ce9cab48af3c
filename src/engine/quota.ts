// How many streams may be open at a time: in this process, for one namespace and for one caller.

import { FlowError } from '../domain/errors.ts'
import type { Caller } from './change.ts'

export interface Quota {
  /** Takes a place; answers how to give it back, once. Throws `quota_exceeded` or `overloaded`. */
  take(caller: Caller): () => void
  taken(): number
}

export interface StreamLimits {
  total: number
  perCaller: number
  /** 0: no limit. */
  perNamespace: number
}

export function createStreamQuota(limits: StreamLimits): Quota {
  /** By namespace, and by caller within it. */
  const places = new Map<string, number>()
  let taken = 0

  function add(names: readonly string[], sign: 1 | -1): void {
    taken += sign
    for (const name of names) {
      const rest = (places.get(name) ?? 0) + sign
      if (rest === 0) places.delete(name)
      else places.set(name, rest)
    }
  }

  return {
    taken: () => taken,
    take({ namespace, actor }) {
      const shared = JSON.stringify([namespace])
      const own = JSON.stringify([namespace, actor])
      const { total, perCaller, perNamespace } = limits
      if ((places.get(own) ?? 0) >= perCaller) {
        throw new FlowError(
          'quota_exceeded',
          `You have ${perCaller} streams open, the most at a time: close some first.`,
          { limit: 'streams_per_caller', maximum: perCaller, retry_after: 5 },
        )
      }
      if (perNamespace > 0 && (places.get(shared) ?? 0) >= perNamespace) {
        throw new FlowError(
          'quota_exceeded',
          `A namespace may have ${perNamespace} open streams: close some, or try again when there is room.`,
          { limit: 'namespace_streams', maximum: perNamespace, retry_after: 5 },
        )
      }
      if (taken >= total) {
        throw new FlowError(
          'overloaded',
          'The service has as many streams open as it can take. Send the same request again shortly.',
          { retry_after: 5 },
        )
      }
      const names = [shared, own]
      add(names, 1)
      let given = false
      return () => {
        if (given) return
        given = true
        add(names, -1)
      }
    },
  }
}

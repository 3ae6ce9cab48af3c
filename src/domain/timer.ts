// How a wait begins, and what is wrong with one that cannot be fired.

import { invalid } from './errors.ts'
import type { Timestamp } from './time.ts'
import type { Wait, WaitSpec } from './wait.ts'

/** The last instant that a timestamp's fixed width can hold. */
const lastInstant = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/** The wait that a request asks for, from now on. Throws when a relative timer would leave the calendar. */
export function makeWait(id: string, spec: WaitSpec, since: Timestamp): Wait {
  if (spec.kind !== 'timer') return { id, ...spec, since }
  if ('at' in spec) return { id, kind: 'timer', at: spec.at, since }
  const at = Date.parse(since) + spec.after
  if (at > lastInstant) {
    throw invalid(
      '/after',
      'out_of_range',
      'The timer would be due after the year 9999: make it shorter.',
    )
  }
  return { id, kind: 'timer', at: new Date(at).toISOString(), since }
}

/** Why a stored wait cannot be fired, or null. Only rows changed by hand can have such a fault. */
export function waitFault(wait: Wait | null): string | null {
  if (wait === null) return 'a waiting flow has no wait'
  if (typeof wait.id !== 'string') return 'the wait has no id'
  if (wait.kind !== 'timer') return 'the wait is due, but it is not a timer'
  return typeof wait.at === 'string' && !Number.isNaN(Date.parse(wait.at))
    ? null
    : 'the timer has no time that can be read'
}

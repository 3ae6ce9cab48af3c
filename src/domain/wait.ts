// What a flow can wait for.

import { invalid } from './errors.ts'
import type { Timestamp } from './flow.ts'

export const waitKinds = ['timer', 'external_event', 'manual'] as const
export type WaitKind = (typeof waitKinds)[number]

/** A wait as it is asked for. `after` is in milliseconds, counted from the database's now. */
export type WaitSpec =
  | { kind: 'timer'; at: Timestamp }
  | { kind: 'timer'; after: number }
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal?: string }

/**
 * A wait as it stands on a flow. Its `id` is its own: whatever ends a wait names that id, so that a
 * late timer or signal can never end a newer wait.
 */
export type Wait = { id: string; since: Timestamp } & (
  | { kind: 'timer'; at: Timestamp }
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal?: string }
)

/** What a signal is addressed to: an `external_event` wait by topic and correlation, or a `manual` one by name. */
export type SignalTarget =
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal: string }

/** Whether a signal ends a wait. A nameless manual wait is ended by any name. */
export function matches(wait: Wait, target: SignalTarget): boolean {
  if (wait.kind === 'external_event' && target.kind === 'external_event') {
    return wait.topic === target.topic && wait.correlation_id === target.correlation_id
  }
  if (wait.kind === 'manual' && target.kind === 'manual') {
    return wait.signal === undefined || wait.signal === target.signal
  }
  return false
}

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

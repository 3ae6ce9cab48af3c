// What a flow can wait for.

import type { Timestamp } from './time.ts'

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

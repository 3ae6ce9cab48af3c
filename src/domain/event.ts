// What an audit event is. Events are appended and never changed.

import type { JsonObject } from './json.ts'
import type { Timestamp } from './time.ts'

export const eventKinds = [
  'created',
  'started',
  'waiting',
  'wait_progressed',
  'wait_moved',
  'resumed',
  'state_updated',
  'labels_updated',
  'finished',
  'failed',
  'cancel_requested',
  'cancelled',
  'step_observed',
  'step_enqueued',
  'step_settled',
  'step_dead',
  'quarantined',
  'reopened',
  'retention_updated',
] as const
export type EventKind = (typeof eventKinds)[number]

/** The kinds that end a flow. */
export const closingKinds = ['finished', 'failed', 'cancelled'] as const satisfies EventKind[]

export function isClosing(kind: EventKind): boolean {
  return (closingKinds as readonly EventKind[]).includes(kind)
}

/** One entry of a flow's audit log. `(flow_id, revision)` names it: one event per revision, no gaps. */
export interface FlowEvent {
  flow_id: string
  revision: number
  kind: EventKind
  payload: JsonObject
  /** Who caused it: the caller's name, or `wait-engine` for the service's own clock. */
  actor: string
  at: Timestamp
}

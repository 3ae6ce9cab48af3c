// What a flow is: its record, its statuses, and which status may follow which.

import type { JsonObject } from './json.ts'
import type { Timestamp } from './time.ts'
import type { Traceparent } from './trace.ts'
import type { Wait } from './wait.ts'

export const flowStatuses = [
  'created',
  'running',
  'waiting',
  'finished',
  'failed',
  'cancelled',
] as const
export type FlowStatus = (typeof flowStatuses)[number]

export const flowModes = ['managed', 'mirrored'] as const
export type FlowMode = (typeof flowModes)[number]

/** Which statuses may follow each status. An empty list makes a status terminal. */
export const transitions: Readonly<Record<FlowStatus, readonly FlowStatus[]>> = {
  created: ['running', 'cancelled'],
  running: ['waiting', 'finished', 'failed', 'cancelled'],
  waiting: ['running', 'failed', 'cancelled'],
  finished: [],
  failed: [],
  cancelled: [],
}

/** Whether a flow in this status has ended for good. */
export function isTerminal(status: FlowStatus): boolean {
  return transitions[status].length === 0
}

/**
 * A flow without its state: what a batch locks and what `decide` looks at. Columns and members have
 * the same names; `cancel_reason`, `wake_at`, `state_bytes`, `open_steps`, `last_xid`, `hooked`,
 * `traceparent` and `shard` are not shown on the wire.
 */
export interface FlowControl {
  id: string
  shard: number
  namespace: string
  key: string | null
  controller_id: string
  goal: string
  owner_session_key: string
  requester_origin: string
  mode: FlowMode
  current_step: string
  status: FlowStatus
  wait: Wait | null
  cancel_requested: boolean
  cancel_reason: string | null
  labels: Record<string, string>
  revision: number
  /** When the tick must look at this flow, or null when time alone never changes it. */
  wake_at: Timestamp | null
  /** The transaction under which the feed shows its last event; kept by the store. */
  last_xid: string
  /** Whether hooks were ever set on this one flow; kept by the store. */
  hooked: boolean
  /** The trace of the last change that had one, or null. */
  traceparent: Traceparent | null
  /** An upper bound of the state's size as JSON, in bytes. */
  state_bytes: number
  /** Managed steps that are not settled; none count once the flow has ended. */
  open_steps: number
  created_at: Timestamp
  updated_at: Timestamp
  closed_at: Timestamp | null
}

export interface FlowRecord extends FlowControl {
  state: JsonObject
}

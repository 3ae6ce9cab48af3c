// What a flow is: its record, its statuses, and which status may follow which.

import { FlowError } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { Wait } from './wait.ts'

/** RFC 3339 in UTC with milliseconds (`2026-04-23T15:00:00.000Z`): fixed width, so `<` on the text is `<` in time. */
export type Timestamp = string

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
 * the same names; `cancel_reason`, `wake_at`, `state_bytes` and `shard` are not shown on the wire.
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
  /** An upper bound of the state's size as JSON, in bytes. */
  state_bytes: number
  created_at: Timestamp
  updated_at: Timestamp
  closed_at: Timestamp | null
}

export interface FlowRecord extends FlowControl {
  state: JsonObject
}

/** Labels after a change: given ones replace, null removes. Throws `limit_exceeded` past `maximum` labels. */
export function mergeLabels(
  labels: Record<string, string>,
  given: Record<string, string | null>,
  maximum: number,
): Record<string, string> {
  const kept = Object.entries({ ...labels, ...given }).filter(
    (entry): entry is [string, string] => entry[1] !== null,
  )
  if (kept.length > maximum) {
    throw new FlowError(
      'limit_exceeded',
      `A flow can have ${maximum} labels: remove some by setting them to null.`,
      { limit: 'labels', maximum, actual: kept.length },
    )
  }
  return Object.fromEntries(kept)
}

// What a step is, and when an observation of a mirrored step counts.

import { type JsonValue, jsonEqual } from './json.ts'
import type { Timestamp } from './time.ts'

export const stepStatuses = ['pending', 'running', 'succeeded', 'failed', 'cancelled'] as const
export type StepStatus = (typeof stepStatuses)[number]

export const stepRuntimes = ['managed', 'mirrored'] as const
export type StepRuntime = (typeof stepRuntimes)[number]

export interface StepRecord {
  id: string
  shard: number
  flow_id: string
  run_id: string
  runtime: StepRuntime
  task: string
  status: StepStatus
  input: JsonValue
  result: JsonValue
  error: JsonValue
  child_session_key: string | null
  attempt: number
  max_attempts: number
  priority: number
  run_at: Timestamp | null
  lease_until: Timestamp | null
  worker_id: string | null
  /** When the newest accepted observation was made; null for a managed step. */
  observed_at: Timestamp | null
  created_at: Timestamp
  updated_at: Timestamp
}

/** A report on work that runs elsewhere. An absent member leaves what is stored as it is. */
export interface Observation {
  run_id: string
  task: string
  status: StepStatus
  child_session_key?: string
  result?: JsonValue
  /** When it was seen to be so; the database's now when absent. */
  observed_at?: Timestamp
}

/**
 * How an observation stands to what is stored: `stale` and `repeat` change nothing.
 *
 * @param at the database's time, which dates an observation that has no date of its own.
 */
export function judgeObservation(
  known: StepRecord,
  seen: Observation,
  at: Timestamp,
): 'newer' | 'repeat' | 'stale' {
  const same =
    known.task === seen.task &&
    known.status === seen.status &&
    (seen.child_session_key === undefined || seen.child_session_key === known.child_session_key) &&
    (seen.result === undefined || jsonEqual(seen.result, known.result)) &&
    (seen.observed_at === undefined || seen.observed_at === known.observed_at)
  if (same) return 'repeat'
  // A sender's clock may run ahead: what is dated here can then be older than what is stored.
  const seenAt = seen.observed_at ?? at
  return known.observed_at !== null && seenAt < known.observed_at ? 'stale' : 'newer'
}

/**
 * A mirrored step as a new observation leaves it.
 *
 * @param known the step before, or null at its first observation, which makes it with `id`.
 * @param at the database's time, which dates an observation that has no date of its own.
 */
export function observedStep(
  flow: { id: string; shard: number },
  known: StepRecord | null,
  seen: Observation,
  id: string,
  at: Timestamp,
): StepRecord {
  return {
    ...(known ?? newMirroredStep(flow, id, at)),
    run_id: seen.run_id,
    task: seen.task,
    status: seen.status,
    observed_at: seen.observed_at ?? at,
    updated_at: at,
    ...(seen.child_session_key !== undefined && { child_session_key: seen.child_session_key }),
    ...(seen.result !== undefined && { result: seen.result }),
  }
}

function newMirroredStep(
  flow: { id: string; shard: number },
  id: string,
  at: Timestamp,
): StepRecord {
  return {
    id,
    shard: flow.shard,
    flow_id: flow.id,
    run_id: '',
    runtime: 'mirrored',
    task: '',
    status: 'pending',
    input: null,
    result: null,
    error: null,
    child_session_key: null,
    attempt: 0,
    max_attempts: 1,
    priority: 1000,
    run_at: null,
    lease_until: null,
    worker_id: null,
    observed_at: null,
    created_at: at,
    updated_at: at,
  }
}

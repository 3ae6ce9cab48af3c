// What a step is, and when an observation of a mirrored step counts.

import { type JsonObject, type JsonValue, jsonEqual } from './json.ts'
import type { RetryPolicy, RetrySpec } from './retry.ts'
import type { Timestamp } from './time.ts'
import type { Traceparent } from './trace.ts'
import type { TimeSpec } from './wait.ts'

export const stepStatuses = ['pending', 'running', 'succeeded', 'failed', 'cancelled'] as const
export type StepStatus = (typeof stepStatuses)[number]

export const stepRuntimes = ['managed', 'mirrored'] as const
export type StepRuntime = (typeof stepRuntimes)[number]

export const deadPolicies = ['fail', 'park'] as const
/** What becomes of a flow when a step dies: it fails, or stays as it is for somebody to decide. */
export type DeadPolicy = (typeof deadPolicies)[number]

/** Time-outs of a step, in milliseconds. */
export type StepTimeouts = {
  /** From being due until it is claimed. Past it the step dies: another attempt would wait no less. */
  schedule_to_start?: number
  /** Of one attempt, whatever its heartbeats say. */
  start_to_close?: number
  /** Over all attempts. */
  schedule_to_close?: number
  /** Between two heartbeats: the longest lease of a claim. */
  heartbeat?: number
}

/** Why an attempt failed. */
export type StepError = {
  message: string
  /** For programs: what `non_retryable` names. */
  code?: string
  details?: JsonValue
  retryable: boolean
  at: Timestamp
}

/** A managed step as it is asked for. */
export interface NewStep {
  step_id: string
  /** The caller's name of the run; the step's own id when absent. */
  run_id?: string
  task: string
  input?: JsonValue
  /** At once when absent. */
  run_at?: TimeSpec
  priority?: number
  retry?: RetrySpec
  timeouts?: StepTimeouts
  on_dead?: DeadPolicy
}

/** What a controller says of all its steps that do not say it themselves. */
export interface StepDefaults {
  retry: RetrySpec | null
  on_dead: DeadPolicy
}

/** A step that a wait brings along: everything about it is settled but when it begins. */
export type PlannedStep = {
  step_id: string
  run_id: string
  task: string
  input: JsonValue
  /** Milliseconds after its wait ended. */
  delay: number
  priority: number
  max_attempts: number
  retry: RetryPolicy
  timeouts: StepTimeouts | null
  on_dead: DeadPolicy
}

export interface StepRecord {
  id: string
  shard: number
  namespace: string
  flow_id: string
  controller_id: string
  run_id: string
  runtime: StepRuntime
  task: string
  status: StepStatus
  input: JsonValue
  result: JsonValue
  /** Of a managed step: why its newest failed attempt failed. */
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
  /** Whether it can be claimed now. */
  ready: boolean
  /** The order of claims among those that are ready. */
  rank: Timestamp | null
  /** When time alone changes it, or null. */
  wake_at: Timestamp | null
  on_dead: DeadPolicy
  retry: RetryPolicy | null
  timeouts: StepTimeouts | null
  /** When it was first to be run. */
  scheduled_at: Timestamp | null
  /** When the newest attempt was claimed. */
  started_at: Timestamp | null
  claims: number
  /** Leases in a row that ended without a word. */
  interruptions: number
  /** Of the newest claim, as long as a report under it counts. */
  lease_token: string | null
  lease_ms: number | null
  /** Claimed to be pushed to its controller. */
  pushed: boolean
  cancel_requested: boolean
  progress: JsonValue
  checkpoint: JsonValue
  /** What ended the wait that it follows; null when it follows none. */
  signal: { payload?: JsonValue } | null
  settled_token: string | null
  settled_hash: string | null
  /** The trace of what added it, or null. */
  traceparent: Traceparent | null
}

export const attemptOutcomes = [
  'succeeded',
  'error',
  'lease_expired',
  'timed_out',
  'released',
  'discarded',
] as const
export type AttemptOutcome = (typeof attemptOutcomes)[number]

/** An attempt that ended without settling its step. */
export interface AttemptRecord {
  step_id: string
  flow_id: string
  claim: number
  attempt: number
  shard: number
  started_at: Timestamp
  ended_at: Timestamp
  outcome: Exclude<AttemptOutcome, 'succeeded'>
  worker_id: string | null
  error: JsonObject | null
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
  flow: StepHome,
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

function newMirroredStep(flow: StepHome, id: string, at: Timestamp): StepRecord {
  return { ...blankStep(flow, id, at), runtime: 'mirrored' }
}

/** The flow that a step belongs to. */
export interface StepHome {
  id: string
  shard: number
  namespace: string
  controller_id: string
  traceparent: Traceparent | null
}

/** Points of priority when nobody says: in the middle, so that others can come before it and after. */
export const defaultPriority = 1_000

/** A step that nothing is known of yet. */
export function blankStep(flow: StepHome, id: string, at: Timestamp): StepRecord {
  return {
    id,
    shard: flow.shard,
    namespace: flow.namespace,
    flow_id: flow.id,
    controller_id: flow.controller_id,
    run_id: id,
    runtime: 'managed',
    task: '',
    status: 'pending',
    input: null,
    result: null,
    error: null,
    child_session_key: null,
    attempt: 0,
    max_attempts: 1,
    priority: defaultPriority,
    run_at: null,
    lease_until: null,
    worker_id: null,
    observed_at: null,
    created_at: at,
    updated_at: at,
    ready: false,
    rank: null,
    wake_at: null,
    on_dead: 'fail',
    retry: null,
    timeouts: null,
    scheduled_at: null,
    started_at: null,
    claims: 0,
    interruptions: 0,
    lease_token: null,
    lease_ms: null,
    pushed: false,
    cancel_requested: false,
    progress: null,
    checkpoint: null,
    signal: null,
    settled_token: null,
    settled_hash: null,
    traceparent: flow.traceparent,
  }
}

// The life of one managed step, apart from its flow: how it becomes due, is tried again and ends.

import { invalid } from './errors.ts'
import type { JsonValue } from './json.ts'
import { retryDelay, retryPolicy } from './retry.ts'
import {
  type AttemptOutcome,
  type AttemptRecord,
  blankStep,
  defaultPriority,
  type NewStep,
  type PlannedStep,
  type StepDefaults,
  type StepError,
  type StepHome,
  type StepRecord,
  type StepStatus,
} from './step.ts'
import { after, type Timestamp } from './time.ts'
import { timeOf } from './timer.ts'

/** One point of priority is worth so much waiting, in milliseconds: a thousand points, a quarter of an hour. */
const pointMs = 1_000
/** Leases in a row that may end without a word, as when workers are replaced; past it, it is the step that kills them. */
const maxInterruptions = 10

/** A step as it is asked for, with everything settled that it does not say itself. */
export function planStep(
  step: NewStep,
  defaults: StepDefaults | null,
): Omit<PlannedStep, 'delay'> & Pick<NewStep, 'run_at'> {
  const { max_attempts, policy } = retryPolicy(step.retry, defaults?.retry ?? null)
  return {
    step_id: step.step_id,
    run_id: step.run_id ?? step.step_id,
    task: step.task,
    input: step.input ?? null,
    ...(step.run_at !== undefined && { run_at: step.run_at }),
    priority: step.priority ?? defaultPriority,
    max_attempts,
    retry: policy,
    timeouts: step.timeouts ?? null,
    on_dead: step.on_dead ?? defaults?.on_dead ?? 'fail',
  }
}

/**
 * The record of a new step. One of a flow that was not started is held: neither claimable nor due.
 *
 * @throws FlowError when a delay would leave the calendar.
 */
export function newStep(
  flow: StepHome,
  plan: Omit<PlannedStep, 'delay'> & Pick<NewStep, 'run_at'>,
  at: Timestamp,
  held: boolean,
): StepRecord {
  const { step_id, run_at: time, ...rest } = plan
  const asked = time === undefined ? at : timeOf(time, at, '/delay')
  const step = { ...blankStep(flow, step_id, at), ...rest }
  const due = asked > at ? asked : at
  return held
    ? { ...step, run_at: due, rank: rankOf(due, step.priority) }
    : scheduled({ ...step, scheduled_at: due }, due, at)
}

/** The place of a step among those that are ready: its time, later for each point of priority. */
export function rankOf(run_at: Timestamp, priority: number): Timestamp {
  return after(run_at, priority * pointMs)
}

/** A step that is to be run at a time: ready if that has come, else due to become so. */
export function scheduled(step: StepRecord, run_at: Timestamp, at: Timestamp): StepRecord {
  const ready = run_at <= at
  const next: StepRecord = {
    ...step,
    status: 'pending',
    ready,
    run_at,
    rank: rankOf(run_at, step.priority),
    lease_until: null,
    worker_id: null,
    pushed: false,
    updated_at: at,
  }
  return { ...next, wake_at: wakeOf(next) }
}

/** Who is given a step, and for how long. */
export interface Lease {
  worker_id: string
  /** Milliseconds; the step's own limit between two heartbeats may be less. */
  lease_ms: number
  /** The fence: a UUID. */
  token: string
}

/** A step that is ready, as a worker has it. The same as `claimSteps` makes of a row. */
export function claimed(
  step: StepRecord,
  { worker_id, lease_ms, token }: Lease,
  at: Timestamp,
): StepRecord {
  const ms = Math.min(lease_ms, step.timeouts?.heartbeat ?? lease_ms)
  const next: StepRecord = { ...step }
  next.status = 'running'
  next.ready = false
  next.attempt++
  next.claims++
  next.lease_token = token
  next.worker_id = worker_id
  next.pushed = false
  next.lease_ms = ms
  next.lease_until = after(at, ms)
  next.started_at = at
  next.updated_at = at
  next.progress = null
  next.wake_at = wakeOf(next)
  return next
}

/** When time alone changes a step; null when it never does. */
export function wakeOf(step: StepRecord): Timestamp | null {
  const times = [deadlineOf(step)]
  if (step.status === 'running') times.push(step.lease_until, closeDeadlineOf(step))
  else if (step.status === 'pending' && step.ready) times.push(startDeadlineOf(step))
  else if (step.status === 'pending' && step.scheduled_at !== null) times.push(step.run_at)
  else return null
  return times.reduce(
    (first, at) => (at !== null && (first === null || at < first) ? at : first),
    null,
  )
}

/** When all attempts must be over. */
function deadlineOf({ scheduled_at, timeouts }: StepRecord): Timestamp | null {
  const ms = timeouts?.schedule_to_close
  return scheduled_at === null || ms === undefined ? null : after(scheduled_at, ms)
}

/** When the present attempt must be over. */
function closeDeadlineOf({ started_at, timeouts }: StepRecord): Timestamp | null {
  const ms = timeouts?.start_to_close
  return started_at === null || ms === undefined ? null : after(started_at, ms)
}

/** When a step that is ready must have been claimed. */
function startDeadlineOf({ run_at, timeouts }: StepRecord): Timestamp | null {
  const ms = timeouts?.schedule_to_start
  return run_at === null || ms === undefined ? null : after(run_at, ms)
}

/** What time does to a step. */
export type StepDue =
  | { type: 'none' }
  /** Its delay is over. */
  | { type: 'promote' }
  /** The attempt is over: another one may follow. */
  | { type: 'attempt_over'; outcome: 'lease_expired' | 'timed_out'; error: StepError }
  /** No attempt will follow. */
  | { type: 'over'; error: StepError }

/** What of a step is due. A late attempt ends by the first of its limits. */
export function stepDue(step: StepRecord, at: Timestamp): StepDue {
  const isPast = (time: Timestamp | null) => time !== null && time <= at
  const error = (code: string, message: string, retryable: boolean): StepError => ({
    message,
    code,
    retryable,
    at,
  })
  if (step.status !== 'pending' && step.status !== 'running') return { type: 'none' }
  if (isPast(deadlineOf(step))) {
    const message = 'the step was not done within schedule_to_close'
    return { type: 'over', error: error('schedule_to_close', message, false) }
  }
  if (step.status === 'pending') {
    if (!step.ready) {
      return step.scheduled_at !== null && isPast(step.run_at)
        ? { type: 'promote' }
        : { type: 'none' }
    }
    if (!isPast(startDeadlineOf(step))) return { type: 'none' }
    const message = 'no worker claimed the step within schedule_to_start'
    return { type: 'over', error: error('schedule_to_start', message, false) }
  }
  if (isPast(closeDeadlineOf(step))) {
    const message = 'the attempt was not done within start_to_close'
    return {
      type: 'attempt_over',
      outcome: 'timed_out',
      error: error('start_to_close', message, true),
    }
  }
  if (!isPast(step.lease_until)) return { type: 'none' }
  const message = 'the lease ended without a word of the worker'
  return {
    type: 'attempt_over',
    outcome: 'lease_expired',
    error: error('lease_expired', message, true),
  }
}

/**
 * A step after an attempt that failed: to be tried again, or null when that was the last.
 *
 * The attempt was counted when it was claimed. A lease that ended without a word is not the step's
 * fault, since workers are restarted: it does not use up the last attempt, unless it happens again and
 * again.
 *
 * @param retry_after milliseconds that the worker asked for.
 */
export function retried(
  step: StepRecord,
  outcome: 'error' | 'lease_expired' | 'timed_out',
  error: StepError,
  at: Timestamp,
  random: number,
  retry_after?: number,
): StepRecord | null {
  const policy = step.retry ?? retryPolicy(undefined, null).policy
  const final =
    !error.retryable || (error.code !== undefined && policy.non_retryable.includes(error.code))
  if (final) return null
  const interrupted = outcome === 'lease_expired'
  const interruptions = interrupted ? step.interruptions + 1 : 0
  const last = step.attempt >= step.max_attempts
  if (last && !(interrupted && interruptions < maxInterruptions)) return null
  const pause = retryDelay(policy, Math.max(step.attempt, interruptions), random, retry_after)
  return scheduled(
    {
      ...step,
      attempt: last ? step.max_attempts - 1 : step.attempt,
      interruptions,
      error: { ...error },
      // Nobody else has it yet: what its worker still reports counts, unless its time was up.
      lease_token: interrupted ? step.lease_token : null,
    },
    after(at, pause),
    at,
  )
}

/** A step that has ended. Its lease ends with it; its checkpoint has served its time. */
export function ended(
  step: StepRecord,
  status: Exclude<StepStatus, 'pending' | 'running'>,
  at: Timestamp,
  more: Partial<Pick<StepRecord, 'result' | 'error' | 'settled_token' | 'settled_hash'>> = {},
): StepRecord {
  return {
    ...step,
    status,
    ready: false,
    wake_at: null,
    lease_until: null,
    lease_token: null,
    pushed: false,
    checkpoint: null,
    updated_at: at,
    ...more,
  }
}

/** A dead or pending step that is to be run from the start. */
export function revived(step: StepRecord, at: Timestamp): StepRecord {
  return scheduled(
    {
      ...step,
      attempt: 0,
      interruptions: 0,
      lease_token: null,
      cancel_requested: false,
      scheduled_at: at,
      settled_token: null,
      settled_hash: null,
    },
    at,
    at,
  )
}

/** The row of an attempt that ended without settling its step. */
export function attemptOf(
  step: StepRecord,
  outcome: Exclude<AttemptOutcome, 'succeeded'>,
  error: StepError | null,
  at: Timestamp,
): AttemptRecord {
  return {
    step_id: step.id,
    flow_id: step.flow_id,
    claim: step.claims,
    attempt: step.attempt,
    shard: step.shard,
    started_at: step.started_at ?? at,
    ended_at: at,
    outcome,
    worker_id: step.worker_id,
    error: error === null ? null : { ...error },
  }
}

/** Longest message of an error that is kept, in characters; longer ones are cut. */
const maxMessage = 4_096

/** An error as it is kept. */
export function stepError(
  { message, code, details, retryable }: Omit<StepError, 'at'>,
  at: Timestamp,
): StepError {
  return {
    message: message.length > maxMessage ? `${message.slice(0, maxMessage - 1)}…` : message,
    ...(code !== undefined && { code }),
    ...(details !== undefined && { details }),
    retryable,
    at,
  }
}

/**
 * Refuses time-outs that contradict each other.
 *
 * @param pointer where the step stands in the request.
 */
export function refuseBadTimeouts(step: Pick<NewStep, 'timeouts'>, pointer = ''): void {
  const { schedule_to_close: total, start_to_close: one } = step.timeouts ?? {}
  if (total === undefined || one === undefined || one <= total) return
  throw invalid(
    `${pointer}/timeouts/start_to_close`,
    'out_of_range',
    'start_to_close is for one attempt and cannot be longer than schedule_to_close, which is for all.',
  )
}

/** A value that a step keeps, or null: absent and null are the same to it. */
export function orNull(value: JsonValue | undefined): JsonValue {
  return value ?? null
}

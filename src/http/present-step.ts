// Steps as the wire shows them. The token of a lease is shown to whoever claims, and to nobody else.

import type { Memo } from '../contract/memo.ts'
import type { Step, StepAttempt, StepDetail, StepFailure } from '../contract/step.ts'
import type { ClaimedStepBody } from '../contract/step-work.ts'
import type { JsonValue } from '../domain/json.ts'
import { leaseToken } from '../domain/lease.ts'
import type { AttemptRecord, StepRecord } from '../domain/step.ts'
import type { WrittenMemo } from '../engine/memos.ts'
import type { ClaimedStep } from '../engine/step-queue.ts'

export function presentStep(step: StepRecord): Step {
  return {
    id: step.id,
    flow_id: step.flow_id,
    run_id: step.run_id,
    runtime: step.runtime,
    task: step.task,
    status: step.status,
    input: step.input,
    result: step.result,
    error: presentError(step.error),
    child_session_key: step.child_session_key,
    attempt: step.attempt,
    max_attempts: step.max_attempts,
    priority: step.priority,
    run_at: step.run_at,
    lease_until: step.lease_until,
    worker_id: step.worker_id,
    observed_at: step.observed_at,
    controller_id: step.controller_id,
    progress: step.progress,
    on_dead: step.on_dead,
    cancel_requested: step.cancel_requested,
    created_at: step.created_at,
    updated_at: step.updated_at,
  }
}

/** An error as it was kept; a row that was changed by hand has none. */
export function presentError(error: JsonValue): StepFailure | null {
  if (typeof error !== 'object' || error === null || Array.isArray(error)) return null
  const { message, code, details, retryable, at } = error
  if (typeof message !== 'string' || typeof at !== 'string') return null
  return {
    message,
    ...(typeof code === 'string' && { code }),
    ...(details !== undefined && { details }),
    retryable: retryable === true,
    at,
  }
}

export function presentClaimed(step: ClaimedStep): ClaimedStepBody {
  const { flow_id, lease_token, checkpoint, signal, controller_id, traceparent } = step
  if (lease_token === null) throw new Error('a step was claimed without a token')
  const { goal, state, labels } = step.flow
  return {
    ...presentStep(step),
    lease_token: leaseToken({ flow_id, token: lease_token }),
    flow: { id: flow_id, controller_id, goal, state, labels },
    ...(checkpoint !== null && { checkpoint }),
    ...(traceparent !== null && { traceparent }),
    ...(signal !== null && { signal: signal.payload ?? null }),
  }
}

/** A step with its attempts. The one that settled it has no row: it is told by the step itself. */
export function presentDetail(step: StepRecord, attempts: readonly AttemptRecord[]): StepDetail {
  const told = attempts.map(presentAttempt)
  const own = step.claims > 0 && !attempts.some(({ claim }) => claim === step.claims)
  if (step.status === 'succeeded' && step.settled_token !== null && own) {
    const { attempt, worker_id, started_at, updated_at } = step
    const outcome = 'succeeded'
    told.push({
      attempt,
      worker_id,
      started_at: started_at ?? updated_at,
      ended_at: updated_at,
      outcome,
      error: null,
    })
  }
  return { ...presentStep(step), attempts: told }
}

function presentAttempt(attempt: AttemptRecord): StepAttempt {
  return {
    attempt: attempt.attempt,
    worker_id: attempt.worker_id,
    started_at: attempt.started_at,
    ended_at: attempt.ended_at,
    outcome: attempt.outcome,
    error: presentError(attempt.error),
  }
}

export function presentMemo({
  flow_id,
  key,
  value,
  created_at,
  updated_at,
}: WrittenMemo['memo']): Memo {
  return { flow_id, key, value, created_at, updated_at }
}

// How a flow is born: its first record and the events that tell of it.

import type { Command, DecidedFlow, DomainLimits } from './command.ts'
import { decide } from './decide.ts'
import { FlowError } from './errors.ts'
import type { FlowEvent } from './event.ts'
import type { FlowMode, FlowRecord } from './flow.ts'
import { type JsonObject, jsonBytes } from './json.ts'
import { mergeLabels } from './labels.ts'
import type { NewStep, StepDefaults, StepRecord } from './step.ts'
import type { Timestamp } from './time.ts'
import type { Traceparent } from './trace.ts'

/** A flow as it is asked for. */
export interface NewFlow {
  controller_id: string
  goal: string
  owner_session_key: string
  requester_origin: string
  /** `init` when absent. */
  current_step?: string
  /** `{}` when absent. */
  state?: JsonObject
  /** `managed` when absent; a mirrored flow is born running. */
  mode?: FlowMode
  labels?: Record<string, string>
  /** Unique in its namespace among open flows. */
  key?: string
  /** What to do when an open flow has the key: `fail` when absent. */
  on_conflict?: 'fail' | 'use_existing'
  /** Chooses the shard; the key does when absent. */
  routing_key?: string
  /** Whether to be born running. */
  start?: boolean
  /** Steps to begin with; the flow is then born running. */
  steps?: NewStep[]
}

/**
 * Makes the first record of a flow, with one event for each of its revisions: `created`, `started`
 * when it is born running, and one for each of its steps. Throws `limit_exceeded`.
 *
 * @param defaults what its controller says of steps, when there are any.
 */
export function createFlow(
  place: {
    id: string
    shard: number
    namespace: string
    actor: string
    traceparent?: Traceparent | null
  },
  input: NewFlow,
  now: Timestamp,
  limits: DomainLimits,
  defaults: StepDefaults | null = null,
): { flow: FlowRecord; events: FlowEvent[]; steps: StepRecord[] } {
  const { id, shard, namespace, actor, traceparent = null } = place
  const state = input.state ?? {}
  const labels = mergeLabels({}, input.labels ?? {}, limits.labels)
  const bytes = jsonBytes(state)
  if (bytes > limits.state_bytes) {
    throw new FlowError(
      'limit_exceeded',
      `The state is larger than ${limits.state_bytes} bytes: keep large data elsewhere and refer to it.`,
      { limit: 'state_bytes', maximum: limits.state_bytes, actual: bytes },
    )
  }
  const born: FlowRecord = {
    id,
    shard,
    namespace,
    key: input.key ?? null,
    controller_id: input.controller_id,
    goal: input.goal,
    owner_session_key: input.owner_session_key,
    requester_origin: input.requester_origin,
    mode: input.mode ?? 'managed',
    current_step: input.current_step ?? 'init',
    status: 'created',
    wait: null,
    cancel_requested: false,
    cancel_reason: null,
    labels,
    revision: 0,
    wake_at: null,
    last_xid: '0',
    hooked: false,
    traceparent,
    state_bytes: bytes,
    open_steps: 0,
    created_at: now,
    updated_at: now,
    closed_at: null,
    state,
  }
  const { controller_id, goal, owner_session_key, requester_origin, mode, key, current_step } = born
  const created: FlowEvent = {
    flow_id: id,
    revision: 0,
    kind: 'created',
    payload: {
      controller_id,
      goal,
      owner_session_key,
      requester_origin,
      mode,
      key,
      current_step,
      labels,
      state,
    },
    actor,
    at: now,
  }
  const { steps = [] } = input
  if (born.mode === 'managed' && input.start !== true && steps.length === 0) {
    return { flow: born, events: [created], steps: [] }
  }
  const commands: Command[] = [
    { type: 'start' },
    ...steps.map((step): Command => ({ type: 'enqueue', step, defaults, known: null })),
  ]
  const events = [created]
  const records: StepRecord[] = []
  let flow: DecidedFlow = born
  for (const command of commands) {
    const decision = decide(flow, command, actor, now, limits)
    events.push(...decision.events)
    if (decision.step !== undefined) records.push(decision.step)
    flow = decision.flow
  }
  return { flow: { ...flow, state }, events, steps: records }
}

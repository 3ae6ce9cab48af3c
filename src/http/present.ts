// Records as the wire shows them: exactly the members of the contract, whatever else a row holds.

import type { EventFeedPage, FlowEventPage } from '../contract/event.ts'
import type { Flow } from '../contract/flow.ts'
import type { Step } from '../contract/step.ts'
import type { FlowEvent } from '../domain/event.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Wait } from '../domain/wait.ts'
import type { Page } from '../engine/page.ts'

export function presentFlow(flow: FlowRecord): Flow {
  return {
    id: flow.id,
    namespace: flow.namespace,
    key: flow.key,
    controller_id: flow.controller_id,
    goal: flow.goal,
    owner_session_key: flow.owner_session_key,
    requester_origin: flow.requester_origin,
    mode: flow.mode,
    current_step: flow.current_step,
    state: flow.state,
    status: flow.status,
    wait: flow.wait === null ? null : presentWait(flow.wait),
    cancel_requested: flow.cancel_requested,
    labels: flow.labels,
    revision: flow.revision,
    created_at: flow.created_at,
    updated_at: flow.updated_at,
    closed_at: flow.closed_at,
  }
}

/** Its members in one order, however the row has them. */
function presentWait(wait: Wait): Wait {
  const { id, since } = wait
  switch (wait.kind) {
    case 'timer':
      return { id, kind: wait.kind, at: wait.at, since }
    case 'external_event':
      return { id, kind: wait.kind, topic: wait.topic, correlation_id: wait.correlation_id, since }
    case 'manual':
      return {
        id,
        kind: wait.kind,
        ...(wait.signal !== undefined && { signal: wait.signal }),
        since,
      }
  }
}

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
    error: step.error,
    child_session_key: step.child_session_key,
    attempt: step.attempt,
    max_attempts: step.max_attempts,
    priority: step.priority,
    run_at: step.run_at,
    lease_until: step.lease_until,
    worker_id: step.worker_id,
    observed_at: step.observed_at,
    created_at: step.created_at,
    updated_at: step.updated_at,
  }
}

export function presentEvent(event: FlowEvent): FlowEvent {
  return {
    flow_id: event.flow_id,
    revision: event.revision,
    kind: event.kind,
    payload: event.payload,
    actor: event.actor,
    at: event.at,
  }
}

/** A page of records as a page of what they look like on the wire. */
export function presentPage<Row, Item>(
  page: Page<Row>,
  present: (row: Row) => Item,
): { items: Item[]; next_cursor: string | null } {
  return { items: page.items.map(present), next_cursor: page.next_cursor }
}

export function presentEvents(page: Page<FlowEvent>): FlowEventPage {
  return presentPage(page, presentEvent)
}

export function presentFeed(page: Page<FlowEvent> & { position: string | null }): EventFeedPage {
  return { ...presentPage(page, presentEvent), position: page.position }
}

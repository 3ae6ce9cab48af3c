// Records as the wire shows them: exactly the members of the contract, whatever else a row holds.

import type { EventFeedPage, FlowEventPage } from '../contract/event.ts'
import type { Flow } from '../contract/flow.ts'
import type { Signal } from '../contract/signal.ts'
import type { FlowEvent } from '../domain/event.ts'
import type { FlowRecord } from '../domain/flow.ts'
import { formatDuration } from '../domain/formats.ts'
import type { SignalRecord } from '../domain/signal.ts'
import type { Branch, Wait } from '../domain/wait.ts'
import type { Page } from '../engine/page.ts'

type WireWait = NonNullable<Flow['wait']>

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
    ...presentRetention(flow),
    revision: flow.revision,
    created_at: flow.created_at,
    updated_at: flow.updated_at,
    closed_at: flow.closed_at,
  }
}

/** Answers that a release before this one kept for repeats have neither. */
function presentRetention(flow: Partial<FlowRecord>): Pick<Flow, 'retain' | 'hold'> {
  const { retain_ms = null, hold = null } = flow
  return {
    retain: retain_ms === null ? null : formatDuration(retain_ms),
    hold: hold === null ? null : { reason: hold.reason, since: hold.since, by: hold.by },
  }
}

/** Its members in one order, however the row has them. */
export function presentWait(wait: Wait): WireWait {
  const { id, since, timeout_at, on_timeout, link_expires_at, next } = wait
  const common = {
    ...(timeout_at !== undefined && { timeout_at }),
    ...(on_timeout !== undefined && { on_timeout }),
    ...(link_expires_at !== undefined && { link_expires_at }),
    ...(next !== undefined && { next: { run_id: next.run_id, task: next.task } }),
    since,
  }
  switch (wait.kind) {
    case 'any':
      return { id, kind: wait.kind, of: presentBranches(wait.of), ...common }
    case 'all': {
      const { kind, of, satisfied } = wait
      return { id, kind, of: presentBranches(of), satisfied, ...common }
    }
    default:
      return { id, ...presentBranch(wait), ...common }
  }
}

/** A row that was damaged by hand must not spoil the list that it is in. */
function presentBranches(branches: Branch[]): Branch[] {
  return Array.isArray(branches) ? branches.map(presentBranch) : []
}

export function presentBranch(branch: Branch): Branch {
  switch (branch.kind) {
    case 'timer':
      return { kind: branch.kind, at: branch.at }
    case 'external_event': {
      const { kind, topic, correlation_id } = branch
      return { kind, topic, correlation_id }
    }
    case 'manual':
      return { kind: branch.kind, ...(branch.signal !== undefined && { signal: branch.signal }) }
  }
}

export function presentSignal(signal: SignalRecord): Signal {
  const { target } = signal
  const external = target.kind === 'external_event' ? target : null
  return {
    id: signal.id,
    outcome: signal.outcome,
    topic: external?.topic ?? null,
    correlation_id: external?.correlation_id ?? null,
    name: target.kind === 'manual' ? target.signal : null,
    flow_id: signal.flow_id,
    wait_id: target.kind === 'link' ? target.wait_id : null,
    // A mark that tells narrow callers apart is no source.
    source: /^(@|$)/.test(signal.source) ? null : signal.source,
    sender_id: signal.sender_id,
    actor: signal.actor,
    deliver: signal.deliver,
    ...(signal.payload !== undefined && { payload: signal.payload }),
    delivered_count: signal.delivered_count,
    deliveries: signal.deliveries,
    expires_at: signal.expires_at,
    // Its microseconds order signals; the wire has milliseconds everywhere.
    received_at: `${signal.received_at.slice(0, 23)}Z`,
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

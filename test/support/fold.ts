// Rebuilds a flow from its audit events alone, by the wire contract and not by the service's code, and refuses a log that no legal history can have.

import type { FlowEvent } from '../../src/domain/event.ts'
import type { FlowRecord, FlowStatus } from '../../src/domain/flow.ts'
import type { JsonObject, JsonValue } from '../../src/domain/json.ts'

/** What the audit log tells of a flow. */
export type Folded = Pick<
  FlowRecord,
  | 'id'
  | 'controller_id'
  | 'goal'
  | 'owner_session_key'
  | 'requester_origin'
  | 'mode'
  | 'key'
  | 'current_step'
  | 'status'
  | 'cancel_requested'
  | 'labels'
  | 'revision'
  | 'state'
  | 'created_at'
  | 'updated_at'
  | 'closed_at'
  | 'open_steps'
> & { wait: JsonValue }

/** The graph of the contract, written a second time on purpose. */
const graph: Record<FlowStatus, FlowStatus[]> = {
  created: ['running', 'cancelled'],
  running: ['waiting', 'finished', 'failed', 'cancelled'],
  waiting: ['running', 'failed', 'cancelled'],
  finished: [],
  failed: [],
  cancelled: [],
}

/** What may still be told of a flow that has ended. */
const afterTheEnd = ['labels_updated', 'step_observed', 'reopened']

function fault(event: FlowEvent, what: string): Error {
  return new Error(`flow ${event.flow_id}, revision ${event.revision} (${event.kind}): ${what}`)
}

/** The part of a row that the log must be able to rebuild. */
export function shownOf(row: FlowRecord): Folded {
  const {
    shard: _1,
    namespace: _2,
    cancel_reason: _3,
    wake_at: _4,
    last_xid: _6,
    hooked: _7,
    state_bytes: _5,
    traceparent: _8,
    ...shown
  } = row
  return { ...shown, wait: row.wait as JsonValue }
}

/** Folds a whole log, oldest first. Throws when it breaks a rule of the contract. */
export function fold(events: readonly FlowEvent[]): Folded {
  const [first, ...rest] = events
  if (first === undefined) throw new Error('a flow without any event')
  if (first.kind !== 'created' || first.revision !== 0) {
    throw fault(first, 'a log begins with created at revision 0')
  }
  const p = first.payload
  let flow: Folded = {
    id: first.flow_id,
    controller_id: text(first, 'controller_id'),
    goal: text(first, 'goal'),
    owner_session_key: text(first, 'owner_session_key'),
    requester_origin: text(first, 'requester_origin'),
    mode: p['mode'] === 'mirrored' ? 'mirrored' : 'managed',
    key: p['key'] === null ? null : text(first, 'key'),
    current_step: text(first, 'current_step'),
    status: 'created',
    wait: null,
    cancel_requested: false,
    labels: merge({}, object(first, 'labels')) as Record<string, string>,
    revision: 0,
    state: object(first, 'state'),
    created_at: first.at,
    updated_at: first.at,
    closed_at: null,
    open_steps: 0,
  }
  for (const event of rest) flow = step(flow, event)
  return flow
}

function step(flow: Folded, event: FlowEvent): Folded {
  if (event.flow_id !== flow.id) throw fault(event, `stands in the log of ${flow.id}`)
  if (event.revision !== flow.revision + 1) throw fault(event, `follows revision ${flow.revision}`)
  if (event.at < flow.updated_at) throw fault(event, `dated before revision ${flow.revision}`)
  if (graph[flow.status].length === 0 && !afterTheEnd.includes(event.kind)) {
    throw fault(event, `the flow was ${flow.status} already`)
  }
  const next = { ...flow, revision: event.revision, updated_at: event.at }
  const { payload } = event
  const become = (status: FlowStatus, change: Partial<Folded> = {}): Folded => {
    if (!graph[flow.status].includes(status)) throw fault(event, `${flow.status} to ${status}`)
    const ended = graph[status].length === 0
    const closed = ended && { closed_at: event.at, open_steps: 0 }
    return { ...next, status, wait: null, ...closed, ...change }
  }
  const only = (status: FlowStatus) => {
    if (flow.status !== status) throw fault(event, `needs a ${status} flow, found ${flow.status}`)
  }
  if (flow.cancel_requested) {
    const sticky = ['cancelled', 'labels_updated', 'step_observed', 'quarantined']
    if (payload['discarded'] === true) sticky.push('step_settled')
    if (!sticky.includes(event.kind)) throw fault(event, 'a cancel was requested before')
  }
  switch (event.kind) {
    case 'started':
      only('created')
      return become('running')
    case 'waiting':
      return become('waiting', { wait: object(event, 'wait'), state: withoutUnset(flow, event) })
    case 'wait_moved':
      return { ...next, wait: movedWait(flow, event) }
    case 'wait_progressed': {
      only('waiting')
      const patch = payload['state_patch'] === undefined ? {} : object(event, 'state_patch')
      return { ...next, wait: progressedWait(flow, event), state: merge(flow.state, patch) }
    }
    case 'resumed': {
      only('waiting')
      presentWait(flow, event)
      const patch = payload['state_patch'] === undefined ? {} : object(event, 'state_patch')
      return become('running', { state: merge(flow.state, patch) })
    }
    case 'state_updated': {
      const merged = { ...flow, state: merge(flow.state, object(event, 'patch')) }
      const current_step =
        payload['next_step'] === undefined ? flow.current_step : text(event, 'next_step')
      return { ...next, current_step, state: withoutUnset(merged, event) }
    }
    case 'labels_updated': {
      const merged = Object.entries(merge(flow.labels, object(event, 'labels')))
      const labels = merged.filter((entry): entry is [string, string] => entry[1] !== null)
      return { ...next, labels: Object.fromEntries(labels) }
    }
    case 'finished': {
      // A step may end its flow while another one made it wait.
      const waiting = flow.status === 'waiting' && payload['by'] === 'step'
      if (waiting) {
        return { ...next, status: 'finished', wait: null, closed_at: event.at, open_steps: 0 }
      }
      const patch = payload['final_state'] === undefined ? {} : object(event, 'final_state')
      return become('finished', { state: merge(flow.state, patch) })
    }
    case 'failed': {
      if (payload['by'] === 'timeout') presentWait(flow, event)
      const failure = { reason: text(event, 'reason'), at: event.at }
      return become('failed', { state: merge(flow.state, { failure }) })
    }
    case 'cancel_requested': {
      const open_steps = flow.open_steps - Number(payload['steps_cancelled'] ?? 0)
      return { ...next, cancel_requested: true, open_steps }
    }
    case 'cancelled':
      if (payload['by'] === 'timeout') presentWait(flow, event)
      return become('cancelled')
    case 'step_observed':
    case 'quarantined':
      return next
    case 'step_enqueued': {
      const current_step =
        payload['current_step'] === undefined ? flow.current_step : text(event, 'current_step')
      return { ...next, current_step, open_steps: flow.open_steps + 1 }
    }
    case 'step_settled':
    case 'step_dead': {
      const patch = payload['state_patch'] === undefined ? {} : object(event, 'state_patch')
      const open_steps = flow.open_steps - (payload['was'] === 'failed' ? 0 : 1)
      if (open_steps < 0) throw fault(event, 'more steps ended than were enqueued')
      return { ...next, open_steps, state: merge(flow.state, patch) }
    }
    case 'reopened':
      only('failed')
      return { ...next, status: 'running', closed_at: null, state: withoutUnset(flow, event) }
    case 'created':
      throw fault(event, 'the fold does not know what this does here')
  }
}

function merge(a: JsonObject, b: JsonObject): JsonObject {
  return Object.fromEntries([...Object.entries(a), ...Object.entries(b)])
}

/** The state without the members that an event unsets. */
function withoutUnset(flow: Folded, event: FlowEvent): JsonObject {
  const unset = event.payload['unset'] ?? []
  if (!Array.isArray(unset)) throw fault(event, 'unset is no list')
  return Object.fromEntries(
    Object.entries(flow.state).filter(([member]) => !unset.includes(member)),
  )
}

/** The wait whose one timer was moved: its own, or that of the branch which the event names. */
function movedWait(flow: Folded, event: FlowEvent): JsonObject {
  const wait = presentWait(flow, event)
  const { branch } = event.payload
  const of = wait['of']
  const timer = branch === undefined ? wait : Array.isArray(of) ? of[Number(branch)] : undefined
  if (typeof timer !== 'object' || timer === null || Array.isArray(timer)) {
    throw fault(event, 'moved a branch that is not there')
  }
  if (timer['kind'] !== 'timer') throw fault(event, 'moved what is no timer')
  if (timer['at'] !== event.payload['from']) throw fault(event, 'moved from another time')
  const moved = { ...timer, at: text(event, 'at') }
  if (!Array.isArray(of)) return moved
  return { ...wait, of: of.map((one, i) => (i === branch ? moved : one)) }
}

/** An `all` wait with one branch more satisfied, and at least one left open. */
function progressedWait(flow: Folded, event: FlowEvent): JsonObject {
  const wait = presentWait(flow, event)
  const { branch, satisfied } = event.payload
  const before = wait['satisfied']
  if (wait['kind'] !== 'all' || !Array.isArray(before) || !Array.isArray(satisfied)) {
    throw fault(event, 'progress of a wait that is not for all')
  }
  const expected = before.map((done, i) => done === true || i === branch)
  if (before[Number(branch)] !== false) throw fault(event, `branch ${branch} was not open`)
  if (JSON.stringify(satisfied) !== JSON.stringify(expected)) {
    throw fault(event, 'tells of other branches than the one it names')
  }
  if (!satisfied.includes(false)) throw fault(event, 'the wait was over and is told to go on')
  return { ...wait, satisfied }
}

function presentWait(flow: Folded, event: FlowEvent): JsonObject {
  const { wait } = flow
  if (typeof wait !== 'object' || wait === null || Array.isArray(wait)) {
    throw fault(event, 'the flow was not waiting')
  }
  if (wait['id'] !== event.payload['wait_id']) {
    throw fault(event, `names wait ${event.payload['wait_id']}, the present one is ${wait['id']}`)
  }
  return wait
}

function text(event: FlowEvent, member: string): string {
  const value = event.payload[member]
  if (typeof value !== 'string') throw fault(event, `${member} is no text`)
  return value
}

function object(event: FlowEvent, member: string): JsonObject {
  const value = event.payload[member]
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw fault(event, `${member} is no object`)
  }
  return value
}

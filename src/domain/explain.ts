// Why a flow does not move: what blocks it, since when, and what happens by itself next. Pure.

import type { EventKind, FlowEvent } from './event.ts'
import { tellAutomatic, tellBlocker, tellNearest } from './explain-words.ts'
import { type FlowControl, type FlowStatus, isTerminal } from './flow.ts'
import { type NearMiss, type NearSignal, nearMisses } from './near-miss.ts'
import type { StepRecord } from './step.ts'
import { millisBetween, type Timestamp } from './time.ts'
import { dueOf } from './timer.ts'
import { type Branch, openBranches, type Wait, waitKinds, wakeTimeOf } from './wait.ts'

/** A step that has not ended, as far as this service was told, or that is dead. */
export type OpenStep = Pick<
  StepRecord,
  | 'run_id'
  | 'task'
  | 'runtime'
  | 'status'
  | 'attempt'
  | 'run_at'
  | 'worker_id'
  | 'lease_until'
  | 'error'
  | 'updated_at'
> & { step_id: string }

/** All that the answer is judged by. */
export interface Situation {
  /** The database's time. */
  now: Timestamp
  flow: FlowControl
  /** Whether the wait engine of this process runs. */
  engine_running: boolean
  open_steps: OpenStep[]
  /** Managed steps that are dead. */
  dead_steps: OpenStep[]
  /** The newest events of the flow, newest first. */
  events: FlowEvent[]
  /** Signals that may have been meant for the flow. */
  signals: NearSignal[]
}

export const linkStates = ['none', 'open', 'expired'] as const

export const cancellers = ['service', 'steps', 'controller'] as const

/** What stands in the way of a flow. */
export type Blocker =
  | { kind: 'not_started' }
  | { kind: 'controller'; controller_id: string; open_steps: OpenStep[] }
  | { kind: 'dead_steps'; controller_id: string; steps: OpenStep[] }
  | { kind: 'wait'; wait: Wait; open: Branch[]; link: (typeof linkStates)[number] }
  | { kind: 'overdue'; wait: Wait; due_at: Timestamp; late_ms: number }
  | { kind: 'cancel_requested'; reason: string | null; carried_out_by: (typeof cancellers)[number] }
  | { kind: 'set_aside'; wait: Wait | null; reason: string }
  | {
      kind: 'ended'
      status: FlowStatus
      by: string | null
      reason: string | null
      /** Of a failed flow: the dead step with which it can go on. */
      dead_step: OpenStep | null
    }

export const automaticChanges = ['resumed', 'wait_progressed', 'failed', 'cancelled'] as const
export const automaticCauses = ['timer', 'timeout', 'cancel_request'] as const

/** What the service does by itself next. */
export interface Automatic {
  change: (typeof automaticChanges)[number]
  by: (typeof automaticCauses)[number]
  at: Timestamp
}

export interface Explanation {
  flow: FlowControl
  now: Timestamp
  summary: string
  blocked_by: Blocker
  since: Timestamp
  automatic: Automatic | null
  engine_running: boolean
  near_misses: NearMiss[]
}

/** A due flow that is not fired within this time, in milliseconds, is late: above a tick and its work. */
const lateAfter = 5_000
/** After every time that a wait can have. */
const endOfTime = '9999-12-31T23:59:59.999Z'

export function explain(situation: Situation): Explanation {
  const { now, flow, engine_running, signals } = situation
  const { blocker, since } = findBlocker(situation)
  const automatic = nextByItself(flow, blocker)
  const open = blocker.kind === 'ended' || blocker.kind === 'cancel_requested'
  const wait = isReadable(flow.wait) ? flow.wait : null
  const near_misses = open ? [] : nearMisses({ id: flow.id, wait }, signals, now)
  const sentences = [
    tellBlocker(blocker, since, now),
    ...(automatic === null ? [] : [tellAutomatic(automatic, now, engine_running)]),
    ...tellNearest(near_misses),
  ]
  return {
    flow,
    now,
    summary: sentences.join(' '),
    blocked_by: blocker,
    since,
    automatic,
    engine_running,
    near_misses,
  }
}

function findBlocker(situation: Situation): { blocker: Blocker; since: Timestamp } {
  const { now, flow, engine_running, open_steps, dead_steps } = situation
  const { status, wait } = flow
  if (isTerminal(status)) {
    const event = newest(situation, status as EventKind)
    const reason = textOf(event, 'reason')
    return {
      blocker: {
        kind: 'ended',
        status,
        by: event?.actor ?? null,
        reason,
        dead_step: status === 'failed' ? (dead_steps[0] ?? null) : null,
      },
      since: flow.closed_at ?? flow.updated_at,
    }
  }
  const readable = isReadable(wait) ? wait : null
  if (isSetAside(flow, readable)) {
    const event = newest(situation, 'quarantined')
    const reason = textOf(event, 'reason') ?? 'its wait cannot be read'
    return {
      blocker: { kind: 'set_aside', wait: readable, reason },
      since: event?.at ?? flow.updated_at,
    }
  }
  if (flow.cancel_requested) {
    return {
      blocker: {
        kind: 'cancel_requested',
        reason: flow.cancel_reason,
        carried_out_by: cancellerOf(flow, now),
      },
      since: newest(situation, 'cancel_requested')?.at ?? flow.updated_at,
    }
  }
  if (status === 'created') return { blocker: { kind: 'not_started' }, since: flow.created_at }
  if (readable === null) {
    const { controller_id } = flow
    if (dead_steps.length > 0 && flow.open_steps === 0) {
      return {
        blocker: { kind: 'dead_steps', controller_id, steps: dead_steps },
        since: flow.updated_at,
      }
    }
    return { blocker: { kind: 'controller', controller_id, open_steps }, since: flow.updated_at }
  }
  const due_at = wakeTimeOf(readable)
  const late_ms = due_at === null ? 0 : millisBetween(due_at, now)
  if (due_at !== null && late_ms > (engine_running ? lateAfter : 0)) {
    return { blocker: { kind: 'overdue', wait: readable, due_at, late_ms }, since: due_at }
  }
  const open = openBranches(readable).map(({ branch }) => branch)
  return {
    blocker: { kind: 'wait', wait: readable, open, link: linkOf(readable, now) },
    since: readable.since,
  }
}

/** Who ends a flow that is to end. */
function cancellerOf(flow: FlowControl, now: Timestamp): (typeof cancellers)[number] {
  if (flow.status !== 'running') return 'service'
  if (flow.wake_at !== null && flow.wake_at <= now) return 'service'
  return flow.open_steps > 0 ? 'steps' : 'controller'
}

/** Whether a wait is there and can be read: one of a row changed by hand may not. */
export function isReadable(wait: Wait | null): wait is Wait {
  if (wait === null || typeof wait.id !== 'string' || !waitKinds.includes(wait.kind)) return false
  const open = openBranches(wait)
  const times = open.flatMap(({ branch }) => (branch.kind === 'timer' ? [branch.at] : []))
  if (open.length === 0) return false
  return times.every((at) => typeof at === 'string' && !Number.isNaN(Date.parse(at)))
}

/** Whether the clock has given up on a flow: it should wake by itself, and has no time for it. */
function isSetAside(flow: FlowControl, readable: Wait | null): boolean {
  if (flow.wake_at !== null) return flow.status === 'waiting' && readable === null
  if (flow.status === 'running') return false
  if (flow.cancel_requested) return true
  return flow.status === 'waiting' && (readable === null || wakeTimeOf(readable) !== null)
}

function linkOf(wait: Wait, now: Timestamp): (typeof linkStates)[number] {
  const { link_expires_at: until } = wait
  if (until === undefined) return 'none'
  return until === null || until > now ? 'open' : 'expired'
}

function nextByItself(flow: FlowControl, blocker: Blocker): Automatic | null {
  if (flow.wake_at === null) return null
  if (blocker.kind === 'cancel_requested') {
    return { change: 'cancelled', by: 'cancel_request', at: flow.wake_at }
  }
  if (blocker.kind !== 'wait' && blocker.kind !== 'overdue') return null
  const { wait } = blocker
  const at = wakeTimeOf(wait)
  const due = dueOf(wait, endOfTime)
  if (at === null || due === null) return null
  if (due.by === 'timer') {
    const last = wait.kind !== 'all' || openBranches(wait).length === 1
    return { change: last ? 'resumed' : 'wait_progressed', by: 'timer', at }
  }
  const changes = { resume: 'resumed', fail: 'failed', cancel: 'cancelled' } as const
  return { change: changes[wait.on_timeout ?? 'resume'], by: 'timeout', at }
}

function newest({ events }: Situation, kind: EventKind): FlowEvent | undefined {
  return events.find((event) => event.kind === kind)
}

function textOf(event: FlowEvent | undefined, member: string): string | null {
  const value = event?.payload[member]
  return typeof value === 'string' ? value : null
}

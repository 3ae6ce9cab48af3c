// What must hold of the managed steps of a flow, whatever was done to them: each is as its flow's log tells, and none is stuck.

import type { FlowEvent } from '../../src/domain/event.ts'
import { type FlowRecord, isTerminal } from '../../src/domain/flow.ts'
import type { StepStatus } from '../../src/domain/step.ts'

export interface ManagedStepRow {
  id: string
  flow_id: string
  shard: number
  namespace: string
  controller_id: string
  run_id: string
  status: StepStatus
  ready: boolean
  attempt: number
  max_attempts: number
  claims: number
  has_lease: boolean
  wakes: boolean
  held: boolean
  overdue: boolean
  settled: boolean
  attempts_ended: number
}

/** The columns of a `ManagedStepRow`, of table alias `s`. */
export const managedStepColumns = `
  s.id, s.flow_id, s.shard, s.namespace, s.controller_id, s.run_id, s.status, s.ready, s.attempt,
  s.max_attempts, s.claims, s.lease_token is not null as has_lease, s.wake_at is not null as wakes,
  s.scheduled_at is null as held, s.wake_at < now() - interval '1 minute' as overdue,
  s.settled_token is not null as settled,
  (select count(*)::integer from step_attempts a where a.step_id = s.id) as attempts_ended`

/** Events that tell what a step has become. */
const telling = ['step_enqueued', 'step_settled', 'step_dead']

/** Statuses that a step can have, by the last event that tells of it. */
function possible(flow: FlowRecord, log: readonly FlowEvent[], id: string): StepStatus[] | null {
  const last = log.findLast(
    ({ kind, payload }) => payload['step_id'] === id && telling.includes(kind),
  )
  if (last === undefined) return null
  switch (last.kind) {
    case 'step_enqueued':
      // Cancelled with its flow, which may have been reopened since, or by the request for it.
      if (isTerminal(flow.status)) return ['cancelled']
      if (flow.cancel_requested) return ['running', 'cancelled']
      return log.some(({ kind }) => kind === 'reopened')
        ? ['pending', 'running', 'cancelled']
        : ['pending', 'running']
    case 'step_settled': {
      const { outcome, discarded } = last.payload
      return discarded === true || outcome === 'cancel' ? ['cancelled'] : ['succeeded']
    }
    case 'step_dead':
      return ['failed']
    default:
      return null
  }
}

/** What is wrong with the managed steps of one flow. */
export function managedStepFaults(
  flow: FlowRecord,
  log: readonly FlowEvent[],
  steps: readonly ManagedStepRow[],
): string[] {
  const wrong: string[] = []
  const fault = (step: ManagedStepRow, what: string) => wrong.push(`step ${step.run_id}: ${what}`)
  for (const step of steps) {
    const { status } = step
    const about = log.filter(
      ({ kind, payload }) => payload['step_id'] === step.id && telling.includes(kind),
    )
    const allowed = possible(flow, log, step.id)
    if (allowed === null) fault(step, 'no event tells of it')
    else if (!allowed.includes(status)) fault(step, `is ${status}, told ${allowed.join(' or ')}`)
    // Between two times that it was enqueued, a step ends at most once.
    let ended = true
    for (const { kind, payload } of about) {
      if (kind !== 'step_enqueued' && ended && payload['was'] !== 'failed')
        fault(step, 'ended twice')
      ended = kind !== 'step_enqueued'
    }
    if (step.ready && status !== 'pending') fault(step, 'ready, and not pending')
    if (status === 'running' && !(step.has_lease && step.wakes)) {
      fault(step, 'running, and nothing would ever rescue it')
    }
    if (status === 'pending' && !step.ready && !step.wakes && flow.status !== 'created') {
      fault(step, 'pending, and nothing would ever make it ready')
    }
    if (!['pending', 'running'].includes(status) && step.wakes) fault(step, 'ended, and still due')
    if (step.overdue) fault(step, 'was due a minute ago')
    if (step.attempt > step.max_attempts) fault(step, 'has more attempts than it may')
    if (step.attempts_ended > step.claims) fault(step, 'has more attempts than claims')
    if (step.shard !== flow.shard || step.namespace !== flow.namespace) {
      fault(step, 'lies elsewhere than its flow')
    }
    if (step.controller_id !== flow.controller_id) fault(step, 'has another controller')
  }
  const told = new Set(
    log.flatMap(({ kind, payload }) =>
      kind === 'step_enqueued' ? [String(payload['step_id'])] : [],
    ),
  )
  for (const { id } of steps) told.delete(id)
  for (const id of told) wrong.push(`step ${id} was enqueued and is not there`)
  return wrong
}

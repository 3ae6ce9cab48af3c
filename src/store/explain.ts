// What tells why a flow does not move, read for callers: bounded look-ups, however many signals there are.

import type { FlowEvent } from '../domain/event.ts'
import type { OpenStep } from '../domain/explain.ts'
import type { NearSignal } from '../domain/near-miss.ts'
import type { SignalDelivery, SignalOutcome } from '../domain/signal.ts'
import type { Timestamp } from '../domain/time.ts'
import type { SignalTarget } from '../domain/wait.ts'
import { read, type Scope } from './db.ts'
import { raw, type Sql, sql } from './sql.ts'
import { nowhere, type Within } from './wall.ts'

/** The database's time. */
export async function readClock(scope: Scope): Promise<Timestamp> {
  const [row] = await read<{ now: Timestamp }>(
    scope,
    nowhere,
    sql`select date_trunc('milliseconds', clock_timestamp()) as now`,
  )
  if (row === undefined) throw new Error('the clock statement answered no row')
  return row.now
}

const openStepColumns = raw(
  [
    's.id as step_id, s.run_id, s.task, s.runtime, s.status, s.attempt, s.run_at, s.worker_id',
    's.lease_until, s.error, s.updated_at',
  ].join(', '),
)

/** Steps of a flow that have not ended, the longest untouched first. */
export async function readOpenSteps(
  scope: Scope,
  within: Within,
  flowId: string,
  limit: number,
): Promise<OpenStep[]> {
  return read<OpenStep>(
    scope,
    within,
    sql`
      select ${openStepColumns} from flow_steps s
      where s.flow_id = ${flowId} and s.status in ('pending', 'running')
      order by s.updated_at, s.id
      limit ${limit}`,
  )
}

/** Managed steps of a flow that are dead, the one that died last first. */
export async function readDeadSteps(
  scope: Scope,
  within: Within,
  flowId: string,
  limit: number,
): Promise<OpenStep[]> {
  return read<OpenStep>(
    scope,
    within,
    sql`
      select ${openStepColumns} from flow_steps s
      where s.flow_id = ${flowId} and s.status = 'failed' and s.runtime = 'managed'
      order by s.updated_at desc, s.id
      limit ${limit}`,
  )
}

/** The newest events of a flow, newest first. */
export async function readNewestEvents(
  scope: Scope,
  within: Within,
  flowId: string,
  limit: number,
): Promise<FlowEvent[]> {
  return read<FlowEvent>(
    scope,
    within,
    sql`
      select flow_id, revision, kind, payload, actor, at from flow_events
      where flow_id = ${flowId}
      order by revision desc
      limit ${limit}`,
  )
}

/** Where signals are looked for that almost met the waits of a flow. */
export interface NearQuery {
  namespace: string
  flow_id: string
  /** Whether to tell of a signal that is not for this flow alone. */
  tells: (sent: NearReach) => boolean
  correlation_ids: readonly string[]
  topics: readonly string[]
  /** The newest of each correlation id. */
  per_correlation: number
  /** The newest of each topic. */
  per_topic: number
  /** The newest of those kept for the flow. */
  for_flow: number
}

interface NearRow {
  id: string
  kind: SignalTarget['kind']
  topic: string | null
  correlation_id: string | null
  name: string | null
  wait_id: string | null
  flow_id: string | null
  outcome: SignalOutcome
  deliveries: SignalDelivery[]
  received_at: Timestamp
  expires_at: Timestamp | null
  owner_session_key: string | null
  controllers: string[] | null
}

/** Which flows a signal reaches. */
export type NearReach = Pick<NearRow, 'owner_session_key' | 'controllers'>

const nearColumns = raw(
  [
    's.id, s.kind, s.topic, s.correlation_id, s.name, s.wait_id, s.flow_id',
    's.deliveries, s.received_at, s.expires_at, s.owner_session_key, s.controllers',
    "case when s.outcome = 'buffered' and s.expires_at <= now() then 'expired' else s.outcome end as outcome",
  ].join(', '),
)

/**
 * The newest signals with a value, as a condition and an order that the index of just this column
 * gives. With plain equality the planner may walk through all signals by time instead, which ends
 * soon where the value is common, and never where it is rare.
 */
function newestOf(column: Sql, namespace: string, value: Sql): Sql {
  return sql`s.namespace = ${namespace} and ${column} >= ${value} and ${column} <= ${value}
    order by ${column} desc, s.received_at desc, s.id desc`
}

/** Reads them, each once: by correlation id, by topic, and those kept for the flow. */
export async function readNearSignals(scope: Scope, query: NearQuery): Promise<NearSignal[]> {
  const { namespace, flow_id } = query
  const found = await read<NearRow>(
    scope,
    namespace,
    sql`
      select c.* from unnest(${query.correlation_ids}::text[]) as q(correlation_id)
      cross join lateral (
        select ${nearColumns} from signals s
        where ${newestOf(raw('s.correlation_id'), namespace, raw('q.correlation_id'))}
        limit ${query.per_correlation}) c
      union
      select t.* from unnest(${query.topics}::text[]) as q(topic)
      cross join lateral (
        select ${nearColumns} from signals s
        where ${newestOf(raw('s.topic'), namespace, raw('q.topic'))}
        limit ${query.per_topic}) t
      union
      (select ${nearColumns} from signals s
        where s.flow_id = ${flow_id} and s.namespace = ${namespace} and s.outcome = 'buffered'
        order by s.received_at desc, s.id desc
        limit ${query.for_flow})`,
  )
  return found.filter((row) => row.flow_id === flow_id || query.tells(row)).map(nearSignalOf)
}

function nearSignalOf({ owner_session_key: _, controllers: __, ...row }: NearRow): NearSignal {
  const { kind, topic, correlation_id, name, wait_id, ...rest } = row
  switch (kind) {
    case 'external_event': {
      const target = { kind, topic: topic ?? '', correlation_id: correlation_id ?? '' }
      return { target, ...rest }
    }
    case 'manual':
      return { target: { kind, signal: name ?? '' }, ...rest }
    case 'link':
      return { target: { kind, wait_id: wait_id ?? '' }, ...rest }
  }
}

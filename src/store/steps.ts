// Steps as rows: what a batch locks and writes of them, and reads for callers.

import type { AttemptRecord, StepDefaults, StepRecord, StepStatus } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { type ArrayColumn, arrayRows } from './arrays.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { join, raw, type Sql, sql } from './sql.ts'
import type { Within } from './wall.ts'

const columns = [
  ['id', 'uuid'],
  ['shard', 'smallint'],
  ['namespace', 'text'],
  ['flow_id', 'uuid'],
  ['controller_id', 'text'],
  ['run_id', 'text'],
  ['runtime', 'text'],
  ['task', 'text'],
  ['status', 'text'],
  ['input', 'jsonb'],
  ['result', 'jsonb'],
  ['error', 'jsonb'],
  ['child_session_key', 'text'],
  ['attempt', 'integer'],
  ['max_attempts', 'integer'],
  ['priority', 'integer'],
  ['run_at', 'timestamptz'],
  ['lease_until', 'timestamptz'],
  ['worker_id', 'text'],
  ['observed_at', 'timestamptz'],
  ['created_at', 'timestamptz'],
  ['updated_at', 'timestamptz'],
  ['ready', 'boolean'],
  ['rank', 'timestamptz'],
  ['wake_at', 'timestamptz'],
  ['on_dead', 'text'],
  ['retry', 'jsonb'],
  ['timeouts', 'jsonb'],
  ['scheduled_at', 'timestamptz'],
  ['started_at', 'timestamptz'],
  ['claims', 'integer'],
  ['interruptions', 'integer'],
  ['lease_token', 'uuid'],
  ['lease_ms', 'integer'],
  ['pushed', 'boolean'],
  ['cancel_requested', 'boolean'],
  ['progress', 'jsonb'],
  ['checkpoint', 'jsonb'],
  ['signal', 'jsonb'],
  ['settled_token', 'uuid'],
  ['settled_hash', 'text'],
  ['traceparent', 'text'],
] as const satisfies readonly (ArrayColumn & readonly [keyof StepRecord, string])[]

export const stepColumns: readonly string[] = columns.map(([name]) => name)
const names = raw(stepColumns.join(', '))
/** All columns of table alias `s`. */
export const columnsOfS = raw(stepColumns.map((name) => `s.${name}`).join(', '))
/** What never changes in a step once it is there. */
const fixed: readonly string[] = [
  'id',
  'shard',
  'namespace',
  'flow_id',
  'controller_id',
  'run_id',
  'runtime',
  'input',
  'created_at',
  'traceparent',
]
/** What is left out of a parameter is null, or false: the server need not read what is not there. */
const given = (alias: string, [name, type]: (typeof columns)[number]) =>
  type === 'boolean' ? `${alias}.${name} is true` : `${alias}.${name}`
const givenOfS = raw(columns.map((column) => given('s', column)).join(', '))
const mutable = columns.filter(([name]) => !fixed.includes(name))
const changes = raw(mutable.map((column) => `${column[0]} = ${given('c', column)}`).join(', '))

const newSteps = arrayRows(columns)
const changedSteps = arrayRows([['id', 'uuid'], ['shard', 'smallint'], ...mutable])

/** A step by its run, or by its id. */
export type StepRef = { flow_id: string } & ({ run_id: string } | { step_id: string })

/**
 * Locks steps, by run and by id, in the order of their ids. Meant to run after the flows were locked:
 * only then is it the truth that one is not there. Claims, heartbeats and rescues hold the lock of a
 * step without that of its flow, for the time of a statement.
 */
export async function lockSteps(runner: Runner, refs: readonly StepRef[]): Promise<StepRecord[]> {
  const runs = refs.filter((ref) => 'run_id' in ref)
  const ids = refs.flatMap((ref) => ('step_id' in ref ? [ref.step_id] : []))
  const ofRuns =
    runs.length === 0
      ? raw('')
      : sql` || array(
          select r.id from json_to_recordset(${JSON.stringify(runs)}::json) as k(flow_id uuid, run_id text)
          cross join lateral (
            select o.id from flow_steps o
            where o.flow_id = k.flow_id and o.run_id = k.run_id
            order by o.shard limit 1) r)`
  return rows<StepRecord>(
    runner,
    sql`
      select ${columnsOfS} from flow_steps s
      where s.id = any(${ids}::uuid[]${ofRuns})
      order by s.id
      for no key update`,
  )
}

/** Locks the managed steps of flows that are not settled, in the order of their ids. */
export async function lockOpenSteps(
  runner: Runner,
  flowIds: readonly string[],
): Promise<StepRecord[]> {
  return rows<StepRecord>(
    runner,
    sql`
      select ${columnsOfS} from flow_steps s
      where s.flow_id = any(${flowIds}::uuid[]) and s.runtime = 'managed'
        and s.status in ('pending', 'running')
      order by s.id
      for no key update`,
  )
}

/**
 * Inserts steps. One of a flow that did not come in is left out; a run that is there already stays as it
 * is, which the lock of its flow keeps from happening.
 */
export async function insertSteps(runner: Runner, steps: readonly StepRecord[]): Promise<void> {
  await rows(
    runner,
    sql`
      insert into flow_steps (${names})
      select ${givenOfS} from ${newSteps.of(steps)} as s(${names})
      where exists (select 1 from flows f where f.id = s.flow_id)
      on conflict (flow_id, run_id, shard) do nothing`,
  )
}

/** Saves what may change in steps that are locked. */
export async function updateSteps(runner: Runner, steps: readonly StepRecord[]): Promise<void> {
  await rows(
    runner,
    sql`
      update flow_steps s set ${changes}
      from ${changedSteps.of(steps)} as c(${raw(changedSteps.names)})
      where s.id = c.id and s.shard = c.shard`,
  )
}

/** Inserts attempts that ended. */
export async function insertAttempts(
  runner: Runner,
  attempts: readonly AttemptRecord[],
): Promise<void> {
  await rows(
    runner,
    sql`
      insert into step_attempts (step_id, flow_id, claim, attempt, shard, started_at, ended_at, outcome, worker_id, error)
      select step_id, flow_id, claim, attempt, shard, started_at, ended_at, outcome, worker_id, error
      from json_to_recordset(${JSON.stringify(attempts)}::json) as a(
        step_id uuid, flow_id uuid, claim integer, attempt integer, shard smallint,
        started_at timestamptz, ended_at timestamptz, outcome text, worker_id text, error jsonb)
      on conflict do nothing`,
  )
}

/**
 * Cancels what is open of flows that have ended. Who runs such a step keeps the token: a heartbeat tells
 * of the end, and a report is answered and does not count.
 */
export async function closeSteps(
  runner: Runner,
  flowIds: readonly string[],
  at: Timestamp,
): Promise<void> {
  await rows(
    runner,
    sql`
      with open as materialized (
        select s.id, s.shard, s.status = 'running' as running from flow_steps s
        where s.flow_id = any(${flowIds}::uuid[]) and s.runtime = 'managed'
          and s.status in ('pending', 'running')
        order by s.id
        for no key update)
      update flow_steps s set
        status = 'cancelled', lease_token = case when o.running then s.lease_token end,
        cancel_requested = o.running, wake_at = null, ready = false, updated_at = ${at}
      from open o where s.id = o.id and s.shard = o.shard`,
  )
}

/** Lets the held steps of flows that have started become claimable, each at its time. */
export async function startSteps(
  runner: Runner,
  flowIds: readonly string[],
  at: Timestamp,
): Promise<void> {
  await rows(
    runner,
    sql`
      with held as materialized (
        select s.id, s.shard from flow_steps s
        where s.flow_id = any(${flowIds}::uuid[]) and s.runtime = 'managed'
          and s.status = 'pending' and s.scheduled_at is null
        order by s.id
        for no key update)
      update flow_steps s set
        run_at = greatest(s.run_at, ${at}::timestamptz),
        scheduled_at = greatest(s.run_at, ${at}::timestamptz),
        -- Never past the last time that the wire can tell.
        rank = least(timestamptz '9999-12-31 23:59:59.999Z',
          greatest(s.run_at, ${at}::timestamptz) + s.priority * interval '1 second'),
        -- The sweeper makes it ready, and looks at its time-outs.
        wake_at = greatest(s.run_at, ${at}::timestamptz), updated_at = ${at}
      from held h where s.id = h.id and s.shard = h.shard`,
  )
}

/** Controllers by namespace and id, or by the flow that they have. */
export interface DefaultsQuery {
  controllers: { namespace: string; id: string }[]
  flow_ids: string[]
}

/** What the controllers of a batch say of their steps; those that say nothing are left out. */
export async function readDefaults(
  runner: Runner,
  { controllers, flow_ids }: DefaultsQuery,
): Promise<(StepDefaults & { namespace: string; id: string })[]> {
  return rows(
    runner,
    sql`
      select c.namespace, c.id, c.retry, c.on_dead
      from json_to_recordset(${JSON.stringify(controllers)}::json) as k(namespace text, id text)
      join controllers c on c.namespace = k.namespace and c.id = k.id
      union
      select c.namespace, c.id, c.retry, c.on_dead
      from flows f join controllers c on c.namespace = f.namespace and c.id = f.controller_id
      where f.id = any(${flow_ids}::uuid[])`,
  )
}

/** Reads one step of a flow for a caller. */
export async function readStep(
  scope: Scope,
  within: Within,
  flowId: string,
  runId: string,
): Promise<StepRecord | undefined> {
  const [step] = await read<StepRecord>(
    scope,
    within,
    sql`
      select ${columnsOfS} from flow_steps s
      where s.flow_id = ${flowId} and s.run_id = ${runId}`,
  )
  return step
}

/** Reads one step by its id. */
export async function readStepById(
  scope: Scope,
  within: Within,
  id: string,
): Promise<StepRecord | undefined> {
  const [step] = await read<StepRecord>(
    scope,
    within,
    sql`select ${columnsOfS} from flow_steps s where s.id = ${id}`,
  )
  return step
}

/** The attempts of a step that did not settle it, oldest first. */
export async function readAttempts(
  scope: Scope,
  within: Within,
  stepId: string,
): Promise<AttemptRecord[]> {
  return read<AttemptRecord>(
    scope,
    within,
    sql`
      select a.step_id, a.flow_id, a.claim, a.attempt, a.shard, a.started_at, a.ended_at, a.outcome,
        a.worker_id, a.error
      from step_attempts a where a.step_id = ${stepId}
      order by a.claim`,
  )
}

interface Place {
  created_at: Timestamp
  id: string
}

/** Steps of a flow, oldest first. */
export async function listSteps(
  scope: Scope,
  query: { namespace: string; flow_id: string; after?: Place; limit: number },
): Promise<StepRecord[]> {
  const after =
    query.after === undefined
      ? raw('')
      : sql` and (s.created_at, s.id) > (${query.after.created_at}::timestamptz, ${query.after.id}::uuid)`
  return read<StepRecord>(
    scope,
    query.namespace,
    sql`
      select ${columnsOfS} from flow_steps s
      where s.flow_id = ${query.flow_id}${after}
      order by s.created_at, s.id
      limit ${query.limit}`,
  )
}

export interface StepQuery {
  namespace: string
  /** The only owner, and the only controllers, whose steps the caller sees. */
  sight: { owner?: string; controllers?: readonly string[] }
  status?: readonly StepStatus[]
  task?: string
  controller_id?: string
  flow_id?: string
  before?: Place
  limit: number
}

/** Steps of a namespace, newest first. */
export async function findSteps(scope: Scope, query: StepQuery): Promise<StepRecord[]> {
  const where: Sql[] = [sql`s.namespace = ${query.namespace}`]
  const { status, before, sight } = query
  if (sight.controllers !== undefined) {
    where.push(sql`s.controller_id = any(${sight.controllers}::text[])`)
  }
  if (sight.owner !== undefined) {
    where.push(sql`exists (
      select 1 from flows f
      where f.id = s.flow_id and f.shard = s.shard and f.owner_session_key = ${sight.owner})`)
  }
  // Said literally, so that the index of the dead serves.
  if (status?.length === 1 && status[0] === 'failed') where.push(sql`s.status = 'failed'`)
  else if (status !== undefined) where.push(sql`s.status = any(${status}::text[])`)
  if (query.task !== undefined) where.push(sql`s.task = ${query.task}`)
  if (query.controller_id !== undefined) where.push(sql`s.controller_id = ${query.controller_id}`)
  if (query.flow_id !== undefined) where.push(sql`s.flow_id = ${query.flow_id}`)
  if (before !== undefined) {
    where.push(sql`(s.created_at, s.id) < (${before.created_at}::timestamptz, ${before.id}::uuid)`)
  }
  return read<StepRecord>(
    scope,
    query.namespace,
    sql`
      select ${columnsOfS} from flow_steps s
      where ${join(where, ' and ')}
      order by s.created_at desc, s.id desc
      limit ${query.limit}`,
  )
}

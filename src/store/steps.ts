// Steps as rows: what a batch locks and writes of them.

import type { AttemptRecord, StepDefaults, StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { type ArrayColumn, arrayRows } from './arrays.ts'
import { type Runner, rows } from './db.ts'
import { raw, sql } from './sql.ts'

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

/** What a controller says of its steps. */
export type ControllerSteps = StepDefaults & {
  namespace: string
  id: string
  /** Whether they are pushed to it, and if so, which tasks: all when null. */
  pushes: boolean
  tasks: string[] | null
}

/** What the controllers of a batch say of their steps; those that say nothing are left out. */
export async function readDefaults(
  runner: Runner,
  { controllers, flow_ids }: DefaultsQuery,
): Promise<ControllerSteps[]> {
  const said = raw(
    'c.namespace, c.id, c.retry, c.on_dead, c.url is not null and c.enabled as pushes, c.tasks',
  )
  return rows(
    runner,
    sql`
      select ${said}
      from json_to_recordset(${JSON.stringify(controllers)}::json) as k(namespace text, id text)
      join controllers c on c.namespace = k.namespace and c.id = k.id
      union
      select ${said}
      from flows f join controllers c on c.namespace = f.namespace and c.id = f.controller_id
      where f.id = any(${flow_ids}::uuid[])`,
  )
}

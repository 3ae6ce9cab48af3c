// Steps as rows.

import type { StepRecord } from '../domain/step.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { raw, sql } from './sql.ts'

const columns = [
  ['id', 'uuid'],
  ['shard', 'smallint'],
  ['flow_id', 'uuid'],
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
] as const

export const stepColumns: readonly string[] = columns.map(([name]) => name)
const names = raw(stepColumns.join(', '))
const namesOfS = raw(stepColumns.map((name) => `s.${name}`).join(', '))
const types = raw(columns.map(([name, type]) => `${name} ${type}`).join(', '))

/** Reads steps by flow and run. Meant to run after the flows were locked: only then is it the truth. */
export async function findSteps(
  runner: Runner,
  runs: readonly { flow_id: string; run_id: string }[],
): Promise<StepRecord[]> {
  return rows<StepRecord>(
    runner,
    sql`
      select ${namesOfS}
      from json_to_recordset(${JSON.stringify(runs)}::json) as k(flow_id uuid, run_id text)
      join flow_steps s on s.flow_id = k.flow_id and s.run_id = k.run_id`,
  )
}

/** Reads one step for a caller. */
export async function readStep(
  scope: Scope,
  flowId: string,
  runId: string,
): Promise<StepRecord | undefined> {
  const [step] = await read<StepRecord>(
    scope,
    sql`
      select ${namesOfS} from flow_steps s
      where s.flow_id = ${flowId} and s.run_id = ${runId}`,
  )
  return step
}

/** Inserts steps, or overwrites what may change in those that are there. */
export async function saveSteps(runner: Runner, steps: readonly StepRecord[]): Promise<void> {
  await rows(
    runner,
    sql`
      insert into flow_steps (${names})
      select ${names} from json_to_recordset(${JSON.stringify(steps)}::json) as s(${types})
      on conflict (flow_id, run_id, shard) do update set
        task = excluded.task, status = excluded.status, result = excluded.result,
        error = excluded.error, child_session_key = excluded.child_session_key,
        attempt = excluded.attempt, run_at = excluded.run_at, lease_until = excluded.lease_until,
        worker_id = excluded.worker_id, observed_at = excluded.observed_at,
        updated_at = excluded.updated_at`,
  )
}

/** Steps of a flow, oldest first. */
export async function listSteps(
  scope: Scope,
  query: { flow_id: string; after?: { created_at: string; id: string }; limit: number },
): Promise<StepRecord[]> {
  const after =
    query.after === undefined
      ? raw('')
      : sql` and (s.created_at, s.id) > (${query.after.created_at}::timestamptz, ${query.after.id}::uuid)`
  return read<StepRecord>(
    scope,
    sql`
      select ${namesOfS} from flow_steps s
      where s.flow_id = ${query.flow_id}${after}
      order by s.created_at, s.id
      limit ${query.limit}`,
  )
}

// Steps, read for callers: single ones, their attempts, and lists.

import type { AttemptRecord, StepRecord, StepStatus } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { read, type Scope } from './db.ts'
import { join, raw, type Sql, sql } from './sql.ts'
import { columnsOfS } from './steps.ts'
import type { Within } from './wall.ts'

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

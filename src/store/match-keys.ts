// What present waits can be found by, as rows.

import type { Instant } from '../domain/signal.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { type Sql, sql } from './sql.ts'

export interface MatchKeyRow {
  namespace: string
  topic: string
  correlation_id: string
  flow_id: string
  wait_id: string
  flow_shard: number
  shard: number
  since: Instant
}

export type MatchKeyRef = Omit<MatchKeyRow, 'flow_shard' | 'since'>

/** A wait that a signal could end, as it was when it was looked up. */
export type Waiter = Omit<MatchKeyRow, 'flow_shard' | 'shard'>

/** The longest waiting under a match key, after a place when one is given. */
export interface WaiterQuery {
  namespace: string
  topic: string
  correlation_id: string
  limit: number
  after: { since: Instant; wait_id: string } | null
}

/** Rows of match keys by queries, as `w`: the oldest waits first, in each. */
function waiting(queries: readonly WaiterQuery[]): Sql {
  const parameters = queries.map(({ after, ...query }) => ({
    ...query,
    // Not by `coalesce` over there, which no index would serve: see `ahead`.
    after_since: after?.since ?? '-infinity',
    after_wait: after?.wait_id ?? '00000000-0000-0000-0000-000000000000',
  }))
  return sql`
    json_to_recordset(${JSON.stringify(parameters)}::json) as q(
      namespace text, topic text, correlation_id text, "limit" integer,
      after_since timestamptz, after_wait uuid)
    cross join lateral (
      select m.* from match_keys m
      where m.namespace = q.namespace and m.topic = q.topic
        and m.correlation_id = q.correlation_id
        and (m.since, m.wait_id) > (q.after_since, q.after_wait)
      order by m.since, m.wait_id
      limit q.limit) w`
}

/** Flows of the longest waiting, as an array for `any`. */
export function waitingFlows(queries: readonly WaiterQuery[]): Sql {
  return sql`array(select w.flow_id from ${waiting(queries)})`
}

/**
 * Finds waits by match key. To be called under the locks of these: then none can be added, and one
 * that ends meanwhile is found out under the lock of its flow.
 */
export async function findWaiters(
  runner: Runner,
  queries: readonly WaiterQuery[],
): Promise<Waiter[]> {
  return rows<Waiter>(
    runner,
    sql`
      select w.namespace, w.topic, w.correlation_id, w.flow_id, w.wait_id,
        to_char(w.since at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as since
      from ${waiting(queries)}
      order by w.since, w.wait_id`,
  )
}

export async function openMatchKeys(runner: Runner, keys: readonly MatchKeyRow[]): Promise<void> {
  await rows(
    runner,
    sql`
      insert into match_keys (namespace, topic, correlation_id, flow_id, wait_id, flow_shard, shard, since)
      select namespace, topic, correlation_id, flow_id, wait_id, flow_shard, shard, since
      from json_to_recordset(${JSON.stringify(keys)}::json) as k(
        namespace text, topic text, correlation_id text, flow_id uuid, wait_id uuid,
        flow_shard smallint, shard smallint, since timestamptz)`,
  )
}

export async function closeMatchKeys(runner: Runner, keys: readonly MatchKeyRef[]): Promise<void> {
  await rows(
    runner,
    sql`
      delete from match_keys m
      using json_to_recordset(${JSON.stringify(keys)}::json) as k(
        namespace text, topic text, correlation_id text, flow_id uuid, wait_id uuid, shard smallint)
      where m.namespace = k.namespace and m.topic = k.topic
        and m.correlation_id = k.correlation_id and m.flow_id = k.flow_id
        and m.wait_id = k.wait_id and m.shard = k.shard`,
  )
}

/** The waits that a signal of this topic and correlation could end, the longest first. */
export async function findMatches(
  scope: Scope,
  query: { namespace: string; topic: string; correlation_id: string; limit: number },
): Promise<{ flow_id: string; wait_id: string }[]> {
  return read<{ flow_id: string; wait_id: string }>(
    scope,
    query.namespace,
    sql`
      select flow_id, wait_id from match_keys
      where namespace = ${query.namespace} and topic = ${query.topic}
        and correlation_id = ${query.correlation_id}
      order by since, wait_id
      limit ${query.limit}`,
  )
}

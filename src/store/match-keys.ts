// What present waits can be found by, as rows.

import { type Runner, read, rows, type Scope } from './db.ts'
import { sql } from './sql.ts'

export interface MatchKeyRow {
  namespace: string
  topic: string
  correlation_id: string
  flow_id: string
  wait_id: string
  flow_shard: number
  shard: number
  since: string
}

export type MatchKeyRef = Omit<MatchKeyRow, 'flow_shard' | 'since'>

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
    sql`
      select flow_id, wait_id from match_keys
      where namespace = ${query.namespace} and topic = ${query.topic}
        and correlation_id = ${query.correlation_id}
      order by since, wait_id
      limit ${query.limit}`,
  )
}

// Flows in lists.

import type { FlowRecord, FlowStatus } from '../domain/flow.ts'
import type { Timestamp } from '../domain/time.ts'
import type { WaitKind } from '../domain/wait.ts'
import { read, type Scope } from './db.ts'
import { allOfF } from './flows.ts'
import { join, raw, type Sql, sql } from './sql.ts'

export interface FlowQuery {
  namespace: string
  /** The only owner, and the only controllers, whose flows the caller sees. */
  seen_owner?: string
  seen_controllers?: readonly string[]
  status?: readonly FlowStatus[]
  owner_session_key?: string
  controller_id?: string
  key?: string
  labels?: Record<string, string>
  wait_kind?: WaitKind
  wait_topic?: string
  wait_correlation_id?: string
  created_after?: Timestamp
  created_before?: Timestamp
  held?: boolean
  descending: boolean
  /** The last flow of the page before. */
  after?: { created_at: Timestamp; id: string }
  limit: number
}

/** Lists flows by creation time, then id. */
export async function listFlows(scope: Scope, query: FlowQuery): Promise<FlowRecord[]> {
  const where: Sql[] = [sql`f.namespace = ${query.namespace}`]
  if (query.seen_owner !== undefined) where.push(sql`f.owner_session_key = ${query.seen_owner}`)
  if (query.seen_controllers !== undefined) {
    where.push(sql`f.controller_id = any(${query.seen_controllers}::text[])`)
  }
  const one = query.status?.length === 1 ? query.status[0] : undefined
  // A single status as an equality lets the index give the order.
  if (one !== undefined) where.push(sql`f.status = ${one}`)
  else if (query.status !== undefined) where.push(sql`f.status = any(${query.status}::text[])`)
  for (const column of ['owner_session_key', 'controller_id', 'key'] as const) {
    const value = query[column]
    if (value !== undefined) where.push(sql`f.${raw(column)} = ${value}`)
  }
  if (query.labels !== undefined && Object.keys(query.labels).length > 0) {
    where.push(sql`f.labels <> '{}' and f.labels @> ${JSON.stringify(query.labels)}::jsonb`)
  }
  if (query.wait_kind !== undefined) where.push(sql`f.wait->>'kind' = ${query.wait_kind}`)
  const matching: Sql[] = []
  if (query.wait_topic !== undefined) matching.push(sql`m.topic = ${query.wait_topic}`)
  if (query.wait_correlation_id !== undefined) {
    matching.push(sql`m.correlation_id = ${query.wait_correlation_id}`)
  }
  if (matching.length > 0) {
    where.push(sql`f.id in (
      select m.flow_id from match_keys m
      where m.namespace = ${query.namespace} and ${join(matching, ' and ')})`)
  }
  if (query.created_after !== undefined) {
    where.push(sql`f.created_at > ${query.created_after}::timestamptz`)
  }
  if (query.created_before !== undefined) {
    where.push(sql`f.created_at < ${query.created_before}::timestamptz`)
  }
  if (query.held === true) where.push(sql`f.hold is not null`)
  if (query.held === false) where.push(sql`f.hold is null`)
  if (query.after !== undefined) {
    const { created_at, id } = query.after
    where.push(
      sql`(f.created_at, f.id) ${raw(query.descending ? '<' : '>')} (${created_at}::timestamptz, ${id}::uuid)`,
    )
  }
  const direction = raw(query.descending ? 'desc' : 'asc')
  return read<FlowRecord>(
    scope,
    query.namespace,
    sql`
      select ${allOfF} from flows f
      where ${join(where, ' and ')}
      order by f.created_at ${direction}, f.id ${direction}
      limit ${query.limit}`,
  )
}

// The ledger of deliveries: lists, one with its attempts, and once more.

import type { DeliveryStatus } from '../domain/hook.ts'
import type { JsonObject } from '../domain/json.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope, writerOf } from './db.ts'
import { join, raw, sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** A delivery as it is listed: without its body and its attempts. */
export interface DeliverySummary {
  id: string
  hook_id: string
  flow_id: string | null
  revision: number | null
  type: string
  status: DeliveryStatus
  /** Attempts made. */
  attempt: number
  next_attempt_at: Timestamp | null
  created_at: Timestamp
  settled_at: Timestamp | null
}

export interface DeliveryAttempt {
  attempt: number
  at: Timestamp
  status_code: number | null
  latency_ms: number
  error: string | null
  response: string | null
}

export interface DeliveryDetail extends DeliverySummary {
  /** What is sent. */
  body: JsonObject
  /** Oldest first. */
  attempts: DeliveryAttempt[]
}

export const deliveryColumns = [
  'id',
  'shard',
  'namespace',
  'hook_id',
  'flow_id',
  'lane',
  'revision',
  'type',
  'status',
  'attempt',
  'attempts_before',
  'depth',
  'ordered',
  'next_attempt_at',
  'lease_token',
  'created_at',
  'settled_at',
  'traceparent',
  'body',
] as const

export const attemptColumns = [
  'delivery_id',
  'attempt',
  'shard',
  'at',
  'status_code',
  'latency_ms',
  'error',
  'response',
] as const

const summary = raw(
  'id, hook_id, flow_id, revision, type, status, attempt, next_attempt_at, created_at, settled_at',
)

/** Deliveries of a hook, newest first. */
export async function listDeliveries(
  scope: Scope,
  query: {
    namespace: string
    hook_id: string
    status?: DeliveryStatus
    /** The id of the last one of the page before. */
    before?: string
    limit: number
  },
): Promise<DeliverySummary[]> {
  const { status, before } = query
  return read<DeliverySummary>(
    scope,
    query.namespace,
    sql`
      select ${summary} from deliveries
      where ${join(
        [
          sql`hook_id = ${query.hook_id}::uuid and namespace = ${query.namespace}`,
          ...(status === undefined ? [] : [sql`status = ${status}`]),
          ...(before === undefined ? [] : [sql`id < ${before}::uuid`]),
        ],
        ' and ',
      )}
      order by id desc
      limit ${query.limit}`,
  )
}

export async function readDelivery(
  scope: Scope,
  namespace: string,
  id: string,
): Promise<DeliveryDetail | undefined> {
  const [delivery] = await read<Omit<DeliveryDetail, 'attempts'> & { shard: number }>(
    scope,
    namespace,
    sql`
      select ${summary}, shard, body from deliveries where id = ${id} and namespace = ${namespace}`,
  )
  if (delivery === undefined) return undefined
  const { shard, ...shown } = delivery
  const attempts = await read<DeliveryAttempt>(
    scope,
    namespace,
    sql`
      select attempt, at, status_code, latency_ms, error, response from delivery_attempts
      where delivery_id = ${id} and shard = ${shard}::smallint
      order by attempt`,
  )
  return { ...shown, attempts }
}

/** A delivery by which somebody tries out a hook: due at once. */
export async function insertTestDelivery(
  runner: Runner,
  delivery: {
    id: string
    shard: number
    namespace: string
    hook_id: string
    flow_id: string | null
    lane: string
    type: string
    depth: number
  },
): Promise<DeliverySummary> {
  const [made] = await rows<DeliverySummary>(
    runner,
    sql`
      insert into deliveries (id, shard, namespace, hook_id, lane, type, depth, ordered, status,
        created_at, next_attempt_at, body)
      select ${delivery.id}, ${delivery.shard}::smallint, ${delivery.namespace},
        ${delivery.hook_id}::uuid, ${delivery.lane}::uuid, ${delivery.type}::text,
        ${delivery.depth}::smallint, false, 'pending', t.now, t.now,
        json_build_object('type', ${delivery.type}::text,
          'timestamp', to_char(t.now at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
          'data', json_build_object('hook_id', ${delivery.hook_id}::uuid,
            'namespace', ${delivery.namespace}::text, 'flow_id', ${delivery.flow_id}::uuid))
      from (select date_trunc('milliseconds', now()) as now) t
      returning ${summary}`,
  )
  if (made === undefined) throw new Error('an inserted delivery was not answered')
  return made
}

/**
 * Has a delivery sent once more, under its id, with all attempts anew; one that is pending, at once.
 * One that is under way is left alone.
 */
export async function redeliverOne(runner: Runner, namespace: string, id: string): Promise<void> {
  await rows(
    runner,
    sql`
      update deliveries set status = 'pending', attempts_before = attempt, settled_at = null,
        next_attempt_at = date_trunc('milliseconds', now())
      where id = ${id} and namespace = ${namespace} and lease_token is null
      returning id`,
  )
}

/**
 * The same for what a hook was told in a span of time and is not pending, the oldest first and at most
 * `limit`, so many a second. Answers how many.
 */
export async function redeliverRange(
  runner: Runner,
  range: {
    namespace: string
    hook_id: string
    statuses: readonly DeliveryStatus[]
    created_after?: Timestamp
    created_before?: Timestamp
    limit: number
    per_second: number
  },
): Promise<number> {
  const { created_after: after, created_before: before } = range
  const again = await rows<{ id: string }>(
    runner,
    sql`
      with chosen as materialized (
        select id, shard from deliveries
        where ${join(
          [
            sql`hook_id = ${range.hook_id}::uuid and namespace = ${range.namespace}`,
            sql`status = any(${range.statuses}::text[])`,
            ...(after === undefined ? [] : [sql`created_at > ${after}::timestamptz`]),
            ...(before === undefined ? [] : [sql`created_at < ${before}::timestamptz`]),
          ],
          ' and ',
        )}
        order by id
        limit ${range.limit}
        for no key update skip locked),
      paced as (
        select id, shard, (row_number() over (order by id) - 1) / ${range.per_second} as second
        from chosen)
      update deliveries d set status = 'pending', attempts_before = attempt, settled_at = null,
        next_attempt_at = date_trunc('milliseconds', now()) + p.second * interval '1 second'
      from paced p where d.id = p.id and d.shard = p.shard
      returning d.id`,
  )
  return again.length
}

/** Deletes deliveries that came to this end longer ago than the retention, at most `limit`; answers how many went. */
export async function deleteOldDeliveries(
  scope: Scope,
  status: 'delivered' | 'failed',
  retention: number,
  limit: number,
): Promise<number> {
  const gone = await rows<{ id: string }>(
    writerOf(scope, everywhere),
    sql`
      with old as materialized (
        select id, shard from deliveries
        where status = ${status} and settled_at is not null
          and settled_at <= now() - ${retention}::bigint * interval '1 millisecond'
        order by settled_at
        limit ${limit}
        for update skip locked)
      delete from deliveries d using old
      where d.id = old.id and d.shard = old.shard
      returning d.id`,
  )
  return gone.length
}

// Signals in a batch: what it locks and reads of them, and how it saves them.

import type { SignalRecord } from '../domain/signal.ts'
import { type Runner, rows } from './db.ts'
import { rowOf, type SignalRow, signalColumns, signalOf } from './signal-rows.ts'
import { sql } from './sql.ts'

/**
 * Locks texts for this transaction, in their order. Without `block`, those that another transaction
 * holds are left out of the answer. Match keys, for waits and signals alike, and senders' ids: to be
 * followed by look-ups in statements of their own, which see what committed before the lock was had.
 */
export async function lockTexts(
  runner: Runner,
  texts: readonly string[],
  block: boolean,
): Promise<Set<string>> {
  if (block) {
    await rows(
      runner,
      sql`select pg_advisory_xact_lock(hashtextextended(text, 11)) from unnest(${texts}::text[]) as text`,
    )
    return new Set(texts)
  }
  const locked = await rows<{ text: string; locked: boolean }>(
    runner,
    sql`
      select text, pg_try_advisory_xact_lock(hashtextextended(text, 11)) as locked
      from unnest(${texts}::text[]) as text`,
  )
  return new Set(locked.flatMap((row) => (row.locked ? [row.text] : [])))
}

/** What a new wait could take: kept signals for anybody or for its flow, by key or by name. */
export type KeptQuery = { limit: number; flow_id: string } & (
  | { namespace: string; topic: string; correlation_id: string }
  /** A null name takes any. */
  | { name: string | null }
)

/**
 * Locks kept signals, the oldest of each query. To be called under the locks of the match keys and
 * flows concerned. Whether one is still kept is judged by the time of this statement, after those
 * locks: as of the transaction's start, one that expired while they were waited for would stand
 * before the next. A row that another transaction holds (to redeliver it) is waited for: left out, it
 * would lie unread before a wait.
 */
export async function lockKept(
  runner: Runner,
  queries: readonly KeptQuery[],
): Promise<SignalRecord[]> {
  const keyed = queries.filter((query) => 'topic' in query)
  const named = queries.filter((query) => 'name' in query)
  const found = await rows<SignalRow>(
    runner,
    sql`
      with k as materialized (
        select kept.id
        from json_to_recordset(${JSON.stringify(keyed)}::json) as q(
          "limit" integer, flow_id uuid, namespace text, topic text, correlation_id text)
        cross join lateral (
          select s.id from signals s
          where s.namespace = q.namespace and s.topic = q.topic
            and s.correlation_id = q.correlation_id and s.outcome = 'buffered'
            and (s.flow_id is null or s.flow_id = q.flow_id)
            -- The flow is only looked up for signals that do not reach every flow.
            and (s.owner_session_key is null or s.owner_session_key = (
              select f.owner_session_key from flows f where f.id = q.flow_id))
            and (s.controllers is null or (
              select f.controller_id from flows f where f.id = q.flow_id) = any(s.controllers))
            and s.expires_at > statement_timestamp()
          order by s.received_at, s.id
          limit q.limit) kept),
      n as materialized (
        select kept.id
        from json_to_recordset(${JSON.stringify(named)}::json) as q(
          "limit" integer, flow_id uuid, name text)
        cross join lateral (
          select s.id from signals s
          where s.flow_id = q.flow_id and s.outcome = 'buffered' and s.kind = 'manual'
            and (q.name is null or s.name = q.name) and s.expires_at > statement_timestamp()
          order by s.received_at, s.id
          limit q.limit) kept)
      select ${signalColumns} from signals s
      where s.id = any(array(select id from k) || array(select id from n))
      order by s.id
      for no key update`,
  )
  // Not asked of the server: with the outcome beside the id, it would read all that is kept.
  return found.filter(({ outcome }) => outcome === 'buffered').map(signalOf)
}

/** Locks signals by id, in that order. */
export async function lockSignals(runner: Runner, ids: readonly string[]): Promise<SignalRecord[]> {
  const found = await rows<SignalRow>(
    runner,
    sql`
      select ${signalColumns} from signals s
      where s.id = any(${ids}::uuid[])
      order by s.id
      for no key update`,
  )
  return found.map(signalOf)
}

/** A sender's own id, in the scope in which it is unique. */
export type SenderRef = { source: string; sender_id: string } & (
  | { namespace: string; correlation_id: string }
  | { flow_id: string }
)

/**
 * Signals by their senders' ids. To be called under the locks of these. Looked up one by one: as a
 * plain join, a table without statistics would have all its senders read for each batch; and in the
 * order that only the unique index has, lest all of a correlation be read for one of its senders.
 */
export async function findBySender(
  runner: Runner,
  refs: readonly SenderRef[],
): Promise<SignalRecord[]> {
  const correlated = refs.filter((ref) => 'correlation_id' in ref)
  const ofFlows = refs.filter((ref) => 'flow_id' in ref)
  const found = await rows<SignalRow>(
    runner,
    sql`
      select ${signalColumns}
      from json_to_recordset(${JSON.stringify(correlated)}::json) as q(
        source text, sender_id text, namespace text, correlation_id text)
      cross join lateral (
        select * from signals o
        where o.namespace = q.namespace and o.correlation_id = q.correlation_id
          and o.source = q.source and o.sender_id = q.sender_id
        order by o.shard
        limit 1) s
      union all
      select ${signalColumns}
      from json_to_recordset(${JSON.stringify(ofFlows)}::json) as q(
        source text, sender_id text, flow_id uuid)
      cross join lateral (
        select * from signals o
        where o.flow_id = q.flow_id and o.source = q.source
          and o.sender_id = q.sender_id and o.correlation_id is null
        order by o.shard
        limit 1) s`,
  )
  return found.map(signalOf)
}

/** Where kept signals are counted: under a match key, or the named ones of a flow. */
export type KeptCountQuery =
  | { text: string; namespace: string; topic: string; correlation_id: string }
  | { text: string; flow_id: string }

/**
 * How many signals are kept, by the texts of the queries; counts no further than `bound`. In the order
 * that only the right indexes have: a plan made while the table was empty would take any other.
 */
export async function countKept(
  runner: Runner,
  queries: readonly KeptCountQuery[],
  bound: number,
): Promise<Map<string, number>> {
  const keyed = queries.filter((query) => 'topic' in query)
  const named = queries.filter((query) => 'flow_id' in query)
  const found = await rows<{ text: string; count: number }>(
    runner,
    sql`
      select q.text, (
        select count(*)::integer from (
          select 1 from signals s
          where s.namespace = q.namespace and s.topic = q.topic
            and s.correlation_id = q.correlation_id and s.outcome = 'buffered'
          order by s.received_at, s.id
          limit ${bound}) kept) as count
      from json_to_recordset(${JSON.stringify(keyed)}::json) as q(
        text text, namespace text, topic text, correlation_id text)
      union all
      select q.text, (
        select count(*)::integer from (
          select 1 from signals s
          where s.flow_id = q.flow_id and s.outcome = 'buffered' and s.kind = 'manual'
          order by s.received_at, s.id
          limit ${bound}) kept)
      from json_to_recordset(${JSON.stringify(named)}::json) as q(text text, flow_id uuid)`,
  )
  return new Map(found.map(({ text, count }) => [text, count]))
}

/** Inserts signals. One that is for a flow which did not come in is left out with it. */
export async function insertSignals(
  runner: Runner,
  signals: readonly SignalRecord[],
): Promise<void> {
  await rows(
    runner,
    sql`
      insert into signals (id, shard, namespace, kind, topic, correlation_id, name, flow_id, wait_id,
        source, sender_id, actor, owner_session_key, controllers, payload, deliver, outcome,
        deliveries, delivered_count, received_at, expires_at, traceparent, waking, wake_before,
        woken_since, woken_wait)
      select s.id, s.shard, s.namespace, s.kind, s.topic, s.correlation_id, s.name, s.flow_id,
        s.wait_id, s.source, s.sender_id, s.actor, s.owner_session_key, s.controllers,
        s.payload::json, s.deliver, s.outcome, s.deliveries, s.delivered_count, s.received_at,
        s.expires_at, s.traceparent, s.waking,
        s.wake_before, s.woken_since, s.woken_wait
      from json_to_recordset(${JSON.stringify(signals.map(rowOf))}::json) as s(
        id uuid, shard smallint, namespace text, kind text, topic text, correlation_id text,
        name text, flow_id uuid, wait_id uuid, source text, sender_id text, actor text,
        owner_session_key text, controllers text[], payload text, deliver text, outcome text,
        deliveries jsonb, delivered_count integer,
        received_at timestamptz, expires_at timestamptz, traceparent text, waking boolean,
        wake_before timestamptz, woken_since timestamptz, woken_wait uuid)
      where s.flow_id is null or exists (select 1 from flows f where f.id = s.flow_id)`,
  )
}

/** Saves what became of signals that were locked. */
export async function updateSignals(
  runner: Runner,
  signals: readonly SignalRecord[],
): Promise<void> {
  const changes = signals.map(rowOf).map((row) => ({
    id: row.id,
    shard: row.shard,
    outcome: row.outcome,
    deliveries: row.deliveries,
    delivered_count: row.delivered_count,
    waking: row.waking,
    wake_before: row.wake_before,
    woken_since: row.woken_since,
    woken_wait: row.woken_wait,
  }))
  await rows(
    runner,
    sql`
      update signals s set
        outcome = c.outcome, deliveries = c.deliveries, delivered_count = c.delivered_count,
        waking = c.waking, wake_before = c.wake_before, woken_since = c.woken_since, woken_wait = c.woken_wait
      from json_to_recordset(${JSON.stringify(changes)}::json) as c(
        id uuid, shard smallint, outcome text, deliveries jsonb, delivered_count integer,
        waking boolean, wake_before timestamptz, woken_since timestamptz, woken_wait uuid)
      where s.id = c.id and s.shard = c.shard`,
  )
}

// Signals as rows: what a batch locks and reads of them, and how it saves them.

import type { Instant, SignalDelivery, SignalRecord } from '../domain/signal.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { SignalTarget } from '../domain/wait.ts'
import { type Runner, rows } from './db.ts'
import { raw, sql } from './sql.ts'

/** A row as the server sends it: times with microseconds and payloads as text. */
export interface SignalRow {
  id: string
  shard: number
  namespace: string
  kind: SignalTarget['kind']
  topic: string | null
  correlation_id: string | null
  name: string | null
  flow_id: string | null
  wait_id: string | null
  source: string
  sender_id: string | null
  actor: string
  payload: string | null
  deliver: SignalRecord['deliver']
  outcome: SignalRecord['outcome']
  deliveries: SignalDelivery[]
  delivered_count: number
  received_at: Instant
  expires_at: Timestamp | null
  traceparent: Traceparent | null
  waking: boolean
  wake_before: Instant | null
  woken_since: Instant | null
  woken_wait: string | null
}

const instant = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** The columns of table alias `s` as a `SignalRow`. */
export const signalColumns = raw(
  [
    's.id, s.shard, s.namespace, s.kind, s.topic, s.correlation_id, s.name, s.flow_id, s.wait_id',
    // As text: SQL null is no payload, and the text null is one.
    's.source, s.sender_id, s.actor, s.payload::text as payload, s.deliver, s.outcome',
    `s.deliveries, s.delivered_count, ${instant('s.received_at')} as received_at, s.expires_at, s.traceparent`,
    `s.waking, ${instant('s.wake_before')} as wake_before, ${instant('s.woken_since')} as woken_since, s.woken_wait`,
  ].join(', '),
)

export function signalOf(row: SignalRow): SignalRecord {
  const { woken_since: since, woken_wait: wait_id } = row
  return {
    id: row.id,
    shard: row.shard,
    namespace: row.namespace,
    target: targetOf(row),
    flow_id: row.flow_id,
    source: row.source,
    sender_id: row.sender_id,
    actor: row.actor,
    ...(row.payload !== null && { payload: JSON.parse(row.payload) }),
    deliver: row.deliver,
    outcome: row.outcome,
    deliveries: row.deliveries,
    delivered_count: row.delivered_count,
    received_at: row.received_at,
    expires_at: row.expires_at,
    traceparent: row.traceparent,
    waking:
      row.waking && row.wake_before !== null
        ? {
            before: row.wake_before,
            after: since === null || wait_id === null ? null : { since, wait_id },
          }
        : null,
  }
}

function targetOf({ kind, topic, correlation_id, name, wait_id }: SignalRow): SignalTarget {
  switch (kind) {
    case 'external_event':
      return { kind, topic: topic ?? '', correlation_id: correlation_id ?? '' }
    case 'manual':
      return { kind, signal: name ?? '' }
    case 'link':
      return { kind, wait_id: wait_id ?? '' }
  }
}

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

/** A record as the columns that its insert takes. */
function rowOf(signal: SignalRecord): Omit<SignalRow, 'payload'> & { payload?: string } {
  const { target, waking } = signal
  return {
    id: signal.id,
    shard: signal.shard,
    namespace: signal.namespace,
    kind: target.kind,
    topic: target.kind === 'external_event' ? target.topic : null,
    correlation_id: target.kind === 'external_event' ? target.correlation_id : null,
    name: target.kind === 'manual' ? target.signal : null,
    flow_id: signal.flow_id,
    wait_id: target.kind === 'link' ? target.wait_id : null,
    source: signal.source,
    sender_id: signal.sender_id,
    actor: signal.actor,
    ...(signal.payload !== undefined && { payload: JSON.stringify(signal.payload) }),
    deliver: signal.deliver,
    outcome: signal.outcome,
    deliveries: signal.deliveries,
    delivered_count: signal.delivered_count,
    received_at: signal.received_at,
    expires_at: signal.expires_at,
    traceparent: signal.traceparent,
    waking: waking !== null,
    wake_before: waking?.before ?? null,
    woken_since: waking?.after?.since ?? null,
    woken_wait: waking?.after?.wait_id ?? null,
  }
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
        source, sender_id, actor, payload, deliver, outcome, deliveries, delivered_count,
        received_at, expires_at, traceparent, waking, wake_before, woken_since, woken_wait)
      select s.id, s.shard, s.namespace, s.kind, s.topic, s.correlation_id, s.name, s.flow_id,
        s.wait_id, s.source, s.sender_id, s.actor, s.payload::json, s.deliver, s.outcome,
        s.deliveries, s.delivered_count, s.received_at, s.expires_at, s.traceparent, s.waking,
        s.wake_before, s.woken_since, s.woken_wait
      from json_to_recordset(${JSON.stringify(signals.map(rowOf))}::json) as s(
        id uuid, shard smallint, namespace text, kind text, topic text, correlation_id text,
        name text, flow_id uuid, wait_id uuid, source text, sender_id text, actor text,
        payload text, deliver text, outcome text, deliveries jsonb, delivered_count integer,
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

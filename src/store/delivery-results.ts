// What became of attempts: the ledger, when it is tried again, and what hooks make of it.

import type { Timestamp } from '../domain/time.ts'
import { inTransaction, type Runner, rows, type Scope } from './db.ts'
import { sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** What came of one attempt. */
export interface AttemptResult {
  id: string
  shard: number
  lease_token: string
  hook_id: string
  outcome: 'delivered' | 'retry' | 'failed'
  /** Until the next attempt, in milliseconds; null unless `outcome` is `retry`. */
  delay: number | null
  status_code: number | null
  latency_ms: number
  error: string | null
  response: string | null
  /** Where it was sent: what a receiver said there is not said of another address. */
  url: string
  /** Whether the receiver wants no more of it. */
  gone: boolean
}

export interface DisabledHook {
  id: string
  namespace: string
  lane: string
  url: string
  reason: string
}

/** What a recording did. */
export interface Recorded {
  /** Ids of deliveries whose lease still held. The others are somebody else's by now. */
  recorded: Set<string>
  disabled: DisabledHook[]
}

interface RecordedRow {
  id: string
  hook_id: string
  flow_id: string | null
  ordered: boolean
  status: string
}

/**
 * Records results that came in together. The lease is the fence: a result whose lease was lost changes
 * nothing.
 *
 * @param patience how long a hook may go without success before it is disabled, in milliseconds.
 */
export function recordResults(
  scope: Scope,
  results: readonly AttemptResult[],
  patience: number,
  now: Timestamp | null,
): Promise<Recorded> {
  return inTransaction(scope, everywhere, async (runner) => {
    const done = await settle(runner, results, now)
    const recorded = new Set(done.map(({ id }) => id))
    const followed = done.filter(
      ({ ordered, flow_id, status }) => ordered && flow_id !== null && status !== 'pending',
    )
    if (followed.length > 0) await bringForward(runner, followed, now)
    const held = results.filter(({ id }) => recorded.has(id))
    const succeeded = new Set(
      held.flatMap(({ outcome, hook_id }) => (outcome === 'delivered' ? [hook_id] : [])),
    )
    if (succeeded.size > 0) await noteSuccess(runner, [...succeeded].sort(), now)
    const failures = held.filter(({ hook_id }) => !succeeded.has(hook_id))
    const disabled = failures.length > 0 ? await noteFailure(runner, failures, patience, now) : []
    return { recorded, disabled }
  })
}

const timeOf = (now: Timestamp | null) =>
  sql`date_trunc('milliseconds', coalesce(${now}::timestamptz, clock_timestamp()))`

async function settle(
  runner: Runner,
  results: readonly AttemptResult[],
  now: Timestamp | null,
): Promise<RecordedRow[]> {
  return rows<RecordedRow>(
    runner,
    sql`
      with t as materialized (select ${timeOf(now)} as now),
      r as (
        select * from json_to_recordset(${JSON.stringify(results)}::json) as r(
          id uuid, shard smallint, lease_token uuid, outcome text, delay bigint, status_code integer,
          latency_ms integer, error text, response text)),
      u as (
        update deliveries d set attempt = d.attempt + 1, lease_token = null,
          status = case r.outcome when 'retry' then 'pending' else r.outcome end,
          next_attempt_at = case r.outcome
            when 'retry' then t.now + r.delay * interval '1 millisecond' end,
          settled_at = case r.outcome when 'retry' then null else t.now end
        from r, t
        where d.id = r.id and d.shard = r.shard and d.lease_token = r.lease_token
        returning d.id, d.shard, d.hook_id, d.flow_id, d.ordered, d.status, d.attempt,
          t.now - r.latency_ms * interval '1 millisecond' as at, r.status_code, r.latency_ms, r.error,
          r.response),
      a as (
        insert into delivery_attempts (delivery_id, attempt, shard, at, status_code, latency_ms, error,
          response)
        select id, attempt, shard, at, status_code, latency_ms, error, response from u)
      select id, hook_id, flow_id, ordered, status from u`,
  )
}

/** The next of an ordered flow is due now that the one before it is through. */
async function bringForward(
  runner: Runner,
  settled: readonly { hook_id: string; flow_id: string | null }[],
  now: Timestamp | null,
): Promise<void> {
  await rows(
    runner,
    sql`
      with next as materialized (
        select n.id from json_to_recordset(${JSON.stringify(settled)}::json) as s(
          hook_id uuid, flow_id uuid)
        cross join lateral (
          select x.id from deliveries x
          where x.hook_id = s.hook_id and x.flow_id = s.flow_id and x.status = 'pending' and x.ordered
          order by x.revision limit 1) n)
      update deliveries d set next_attempt_at = least(d.next_attempt_at, ${timeOf(now)})
      where d.id = any(array(select id from next)) and d.status = 'pending' and d.lease_token is null
        and d.attempt = d.attempts_before`,
  )
}

/** A second's truth is enough, so that a busy hook is not written with each delivery. */
async function noteSuccess(
  runner: Runner,
  ids: readonly string[],
  now: Timestamp | null,
): Promise<void> {
  await rows(
    runner,
    sql`
      with h as materialized (
        select id, shard from hooks
        where id = any(${ids}::uuid[]) and (first_failure_at is not null or last_success_at is null
          or last_success_at <= ${timeOf(now)} - interval '1 second')
        order by id
        for no key update)
      update hooks set last_success_at = ${timeOf(now)}, first_failure_at = null
      from h where hooks.id = h.id and hooks.shard = h.shard`,
  )
}

async function noteFailure(
  runner: Runner,
  failures: readonly AttemptResult[],
  patience: number,
  now: Timestamp | null,
): Promise<DisabledHook[]> {
  const byHook = new Map<string, { id: string; url: string; gone: boolean }>()
  for (const { hook_id: id, url, gone } of failures) {
    byHook.set(id, { id, url, gone: gone || byHook.get(id)?.gone === true })
  }
  const given = [...byHook.values()]
  const found = await rows<DisabledHook & { enabled: boolean }>(
    runner,
    sql`
      with f as materialized (
        select h.id, h.shard, f.gone or h.first_failure_at <= ${timeOf(now)}
            - ${patience}::bigint * interval '1 millisecond' as over,
          case when f.gone then 'the receiver answered 410 Gone'
            else 'no attempt has succeeded for days' end as reason
        from json_to_recordset(${JSON.stringify(given)}::json) as f(id uuid, url text, gone boolean)
        join hooks h on h.id = f.id and h.url = f.url
        where h.enabled and (f.gone or h.first_failure_at is null or h.first_failure_at <= ${timeOf(now)}
          - ${patience}::bigint * interval '1 millisecond')
        order by h.id
        for no key update of h)
      update hooks h set first_failure_at = coalesce(h.first_failure_at, ${timeOf(now)}),
        enabled = f.over is not true,
        disabled_at = case when f.over then ${timeOf(now)} end,
        disabled_reason = case when f.over then f.reason end
      from f
      where h.id = f.id and h.shard = f.shard
      returning h.id, h.namespace, h.lane, h.url, h.enabled, h.disabled_reason as reason`,
  )
  return found.flatMap(({ enabled, ...hook }) => (enabled ? [] : [hook]))
}

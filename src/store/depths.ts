// How much waits in the database: counted up to a bound, estimated past it. No read here grows with what
// is stored, so that an operator can look every few seconds however much that is.

import type { FlowStatus } from '../domain/flow.ts'
import { readerOf, rows, type Scope } from './db.ts'
import { listLanes } from './delivery-queue.ts'
import { raw, type Sql, sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** Past this many rows counts are estimates: from the planner's statistics, as fresh as autovacuum keeps them. */
export const countBound = 10_000

export interface Depths {
  flows: Record<FlowStatus, number>
  /** Flows that time should have changed by now. */
  flows_due: number
  /** How late the oldest of them is, in seconds; 0 when there is none. */
  flows_due_oldest: number
  steps: {
    ready: number
    delayed: number
    running: number
    dead: number
  }
  /** How long the oldest of those that were counted has been ready, in seconds. */
  steps_ready_oldest: number
  /** Steps that time should have changed by now: leases that ended, delays that are over. */
  steps_due: number
  steps_due_oldest: number
  deliveries_pending: number
  /** How late the oldest delivery is that nobody is sending, in seconds. */
  deliveries_oldest: number
  signals_kept: number
  /** Rows by table, as the planner estimates them. */
  rows: Record<CountedTable, number>
}

const countedTables = [
  'flows',
  'flow_events',
  'flow_steps',
  'signals',
  'match_keys',
  'deliveries',
  'idempotency_keys',
] as const
export type CountedTable = (typeof countedTables)[number]

/** Reads them one after the other: at no time more than one connection is taken from callers. */
export async function readDepths(scope: Scope): Promise<Depths> {
  const estimates = await readEstimates(scope)
  const flows = await readFlowCounts(scope, estimates.get('flows') ?? 0)
  const due = await readDue(scope, 'flows')
  const ready = await readReady(scope)
  const stepsDue = await readDue(scope, 'flow_steps')
  const timed = await readTimedSteps(scope)
  const dead = await countBounded(
    scope,
    sql`select runtime = 'managed' as counts from flow_steps where status = 'failed'`,
  )
  const kept = await countBounded(
    scope,
    sql`select true as counts from signals where outcome = 'buffered'`,
  )
  const pending = await countBounded(
    scope,
    sql`select true as counts from deliveries where status = 'pending'`,
  )
  const lanes = await listLanes(scope, null)
  const past = (count: number, index: string) =>
    count <= countBound ? count : Math.max(count, estimates.get(index) ?? 0)
  const running = Math.min(timed.running, countBound)
  return {
    flows,
    flows_due: due.count,
    flows_due_oldest: due.oldest,
    steps: {
      ready: past(ready.count, 'flow_steps_ready'),
      running,
      delayed:
        timed.count <= countBound
          ? timed.delayed
          : Math.max(timed.delayed, past(timed.count, 'flow_steps_due') - running),
      dead: past(dead, 'flow_steps_dead'),
    },
    steps_ready_oldest: ready.oldest,
    steps_due: stepsDue.count,
    steps_due_oldest: stepsDue.oldest,
    deliveries_pending: past(pending, 'deliveries_due'),
    deliveries_oldest: Math.max(0, ...lanes.map(({ in_ms }) => -in_ms / 1000)),
    signals_kept: past(kept, 'signals_expiry'),
    rows: Object.fromEntries(
      countedTables.map((table) => [table, estimates.get(table) ?? 0]),
    ) as Depths['rows'],
  }
}

/** Entries of partial indexes: each tells how many rows are as its condition says. */
const countedIndexes = [
  'flow_steps_ready',
  'flow_steps_due',
  'flow_steps_dead',
  'deliveries_due',
  'signals_expiry',
] as const

/** By table and index. What was never analysed counts as empty. */
async function readEstimates(scope: Scope): Promise<Map<string, number>> {
  const names = [...countedTables, ...countedIndexes]
  const found = await rows<{ name: string; rows: number }>(
    readerOf(scope, everywhere),
    sql`
      select c.relname as name, greatest(c.reltuples, 0)::float8 as rows
      from pg_class c
      where c.oid = any(select to_regclass(n) from unnest(${names}::text[]) as n)`,
  )
  return new Map(found.map(({ name, rows }) => [name, Math.round(rows)]))
}

/** Exact as long as there are few flows; else how they are spread in the planner's sample. */
async function readFlowCounts(scope: Scope, estimated: number): Promise<Depths['flows']> {
  const counts = { created: 0, running: 0, waiting: 0, finished: 0, failed: 0, cancelled: 0 }
  const seen = await rows<{ status: FlowStatus; count: number }>(
    readerOf(scope, everywhere),
    sql`
      select one.status, count(*)::integer as count
      from (select f.status from flows f limit ${countBound + 1}) one
      group by one.status`,
  )
  const total = seen.reduce((sum, { count }) => sum + count, 0)
  if (total <= countBound) {
    for (const { status, count } of seen) counts[status] = count
    return counts
  }
  const spread = await rows<{ status: FlowStatus; share: number }>(
    readerOf(scope, everywhere),
    sql`
      select u.status, u.share::float8 as share
      from pg_stats s
      cross join lateral unnest(s.most_common_vals::text::text[], s.most_common_freqs) as u(status, share)
      where s.schemaname = any(current_schemas(false)) and s.tablename = 'flows'
        and s.attname = 'status' and not s.inherited`,
  )
  const all = Math.max(estimated, total)
  // Before the first analysis the flows that were just counted stand for the others.
  const shares =
    spread.length > 0 ? spread : seen.map(({ status, count }) => ({ status, share: count / total }))
  for (const { status, share } of shares) counts[status] = Math.round(share * all)
  return counts
}

interface Backlog {
  count: number
  oldest: number
}

/** What is due, from its earliest entry on. */
async function readDue(scope: Scope, table: 'flows' | 'flow_steps'): Promise<Backlog> {
  return readBacklog(
    scope,
    sql`
      select d.wake_at as since from ${raw(table)} d
      where d.wake_at <= now()
      order by d.wake_at, d.id`,
  )
}

async function readReady(scope: Scope): Promise<Backlog> {
  return readBacklog(scope, sql`select s.run_at as since from flow_steps s where s.ready`)
}

async function readBacklog(scope: Scope, what: Sql): Promise<Backlog> {
  const [found] = await rows<Backlog>(
    readerOf(scope, everywhere),
    sql`
      select count(*)::integer as count,
        greatest(0, coalesce(extract(epoch from clock_timestamp() - min(one.since)), 0))::float8 as oldest
      from (${what} limit ${countBound + 1}) one`,
  )
  return found ?? { count: 0, oldest: 0 }
}

/**
 * Steps that time will change: those that run, and those that are not to run yet. The soonest come first:
 * leases end within moments, so that the bound is left to what runs.
 */
async function readTimedSteps(
  scope: Scope,
): Promise<{ count: number; running: number; delayed: number }> {
  const [found] = await rows<{ count: number; running: number; delayed: number }>(
    readerOf(scope, everywhere),
    sql`
      select count(*)::integer as count,
        count(*) filter (where one.status = 'running')::integer as running,
        count(*) filter (where one.status = 'pending' and not one.ready)::integer as delayed
      from (
        select s.status, s.ready from flow_steps s
        where s.wake_at is not null
        order by s.wake_at, s.id
        limit ${countBound + 1}) one`,
  )
  return found ?? { count: 0, running: 0, delayed: 0 }
}

/** @param what rows with whether each counts; past the bound none is looked at. */
async function countBounded(scope: Scope, what: Sql): Promise<number> {
  const [found] = await rows<{ count: number }>(
    readerOf(scope, everywhere),
    sql`
      select count(*) filter (where one.counts)::integer as count
      from (${what} limit ${countBound + 1}) one`,
  )
  return found?.count ?? 0
}

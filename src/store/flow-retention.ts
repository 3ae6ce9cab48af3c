// Flows that have served their time: found, the longest ended first, and deleted with all that hangs on them.

import type { Timestamp } from '../domain/time.ts'
import { inTransaction, type Runner, read, rows, type Scope, writerOf } from './db.ts'
import { raw, type Sql, sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** Flows without a time of their own (`default`), and those with one: each kind has its index. */
export type RetentionKind = 'default' | 'own'

/** The place of a flow in the order in which they are deleted. */
export interface RetentionPlace {
  /** When its time was over; for `default`, when it ended. */
  at: Timestamp
  id: string
}

export interface OldFlowsQuery {
  kind: RetentionKind
  /** How long flows without a time of their own are kept, in milliseconds. */
  retention: number
  /** Where the pass has come to: what could not be deleted is not looked at again in one pass. */
  after: RetentionPlace | null
  limit: number
}

/** When a flow's time is over, in the words of its index: a timestamp in UTC. */
const ownEnd = raw(`((f.closed_at at time zone 'UTC') + f.retain_ms * interval '1 millisecond')`)
const isClosed = raw('f.closed_at is not null')

/** Flows whose time is over, and nothing else: open ones and those on hold are in neither index. */
function old({ kind, retention, after }: Omit<OldFlowsQuery, 'limit'>): { where: Sql; order: Sql } {
  if (kind === 'default') {
    const behind =
      after === null
        ? raw('')
        : sql` and (f.closed_at, f.id) > (${after.at}::timestamptz, ${after.id}::uuid)`
    return {
      where: sql`${isClosed} and f.retain_ms is null and f.hold is null
        and f.closed_at <= now() - ${retention}::bigint * interval '1 millisecond'${behind}`,
      order: raw('f.closed_at, f.id'),
    }
  }
  const behind =
    after === null
      ? raw('')
      : sql` and (${ownEnd}, f.id) > (${after.at}::timestamptz at time zone 'UTC', ${after.id}::uuid)`
  return {
    where: sql`${isClosed} and f.retain_ms is not null and f.hold is null
      and ${ownEnd} <= now() at time zone 'UTC'${behind}`,
    order: sql`${ownEnd}, f.id`,
  }
}

const placeAt = (kind: RetentionKind) =>
  kind === 'default' ? raw('f.closed_at') : sql`${ownEnd} at time zone 'UTC'`

/** Nobody waits for the retention, and it waits for nobody. */
const lockTimeout = raw(`set local lock_timeout = '250ms'`)

/**
 * Takes or renews the work for so many milliseconds: one process does it at a time, or the load of it
 * would grow with the processes. False when another has it.
 */
async function claim(runner: Runner, token: string, ms: number): Promise<boolean> {
  const mine = await rows(
    runner,
    sql`
      with free as materialized (
        select name from sweepers
        where name = 'flows' and (lease_token is null or lease_token = ${token}::uuid
          or leased_until < now())
        for no key update skip locked)
      update sweepers s set lease_token = ${token}::uuid,
        leased_until = now() + ${ms} * interval '1 ms'
      from free where s.name = free.name
      returning s.name`,
  )
  return mine.length > 0
}

/**
 * Gives the work back, so that another process need not wait for the end of the lease.
 *
 * @param heldBack what a pass over everything had to leave; null when it did not come to its end.
 */
export async function releaseRetention(
  scope: Scope,
  token: string,
  heldBack: number | null,
): Promise<void> {
  await rows(
    writerOf(scope, everywhere),
    sql`
      update sweepers set lease_token = null, leased_until = null,
        held_back = coalesce(${heldBack}::bigint, held_back),
        last_pass_at = case when ${heldBack}::bigint is null then last_pass_at else now() end
      where name = 'flows' and lease_token = ${token}::uuid`,
  )
}

/** Locks flows whose time is over, the longest over first; those that are locked elsewhere are left out. */
export async function lockOldFlows(
  runner: Runner,
  query: OldFlowsQuery,
): Promise<RetentionPlace[]> {
  const { where, order } = old(query)
  return rows<RetentionPlace>(
    runner,
    sql`
      select f.id, ${placeAt(query.kind)} as at from flows f
      where ${where}
      order by ${order}
      limit ${query.limit}
      for update skip locked`,
  )
}

export interface DeletedFlows {
  /** Flows that were looked at; fewer than the limit: there are no more for now. */
  scanned: number
  deleted: number
  /** Flows of which something is still to be told: events to a publisher, deliveries to a hook. */
  held_back: number
  /** The last one that was looked at. */
  last: RetentionPlace | null
}

/**
 * Deletes flows whose time is over, with everything that hangs on them, in one short transaction.
 * Flows that are locked are left for later; one that was reopened, relabelled or put on hold in the
 * meantime is judged by what it is now, because the lock reads it anew. Null when another process
 * has the work.
 */
export async function deleteOldFlows(
  scope: Scope,
  query: OldFlowsQuery & { token: string; lease: number },
): Promise<DeletedFlows | null> {
  return inTransaction(scope, everywhere, async (runner) => {
    await rows(runner, lockTimeout)
    if (!(await claim(runner, query.token, query.lease))) return null
    const found = await lockOldFlows(runner, query)
    const ids = await tellable(
      runner,
      found.map(({ id }) => id),
    )
    if (ids.length > 0) await deleteFlows(runner, ids)
    return {
      scanned: found.length,
      deleted: ids.length,
      held_back: found.length - ids.length,
      last: found.at(-1) ?? null,
    }
  })
}

/**
 * Those flows of which everything has been told. In a statement of its own, after the lock: what the
 * last change of a flow queued must be seen. Events under a transaction that this server has not come
 * to are of another one, which a dump was made of, and no publisher waits for them.
 */
async function tellable(runner: Runner, ids: readonly string[]): Promise<string[]> {
  if (ids.length === 0) return []
  const free = await rows<{ id: string }>(
    runner,
    sql`
      select f.id from flows f
      where f.id = any(${ids}::uuid[])
        and not exists (
          select 1 from publishers p
          where f.last_xid >= p.xid and f.last_xid < pg_snapshot_xmax(pg_current_snapshot()))
        and not exists (
          select 1 from deliveries d where d.flow_id = f.id and d.status = 'pending')
      order by f.id`,
  )
  return free.map(({ id }) => id)
}

/** Every table with rows of a flow, in the order of locks; a test holds the list against the catalogue. */
export const tablesOfFlows = [
  'step_attempts',
  'flow_steps',
  'flow_memos',
  'resume_links',
  'match_keys',
  'signals',
  'deliveries',
  'hooks',
  'flow_events',
] as const

/**
 * Match keys are not deleted: a flow that has ended waits for nothing, and they are not kept by flow.
 * The flows go last, so that what refers to them is gone by then.
 */
async function deleteFlows(runner: Runner, ids: readonly string[]): Promise<void> {
  const tables = tablesOfFlows.filter((table) => table !== 'match_keys')
  await Promise.all([
    ...tables.map((table) =>
      rows(runner, sql`delete from ${raw(table)} where flow_id = any(${ids}::uuid[])`),
    ),
    rows(runner, sql`delete from flows where id = any(${ids}::uuid[])`),
    rows(
      runner,
      sql`
        update sweepers set deleted_total = deleted_total + ${ids.length}::integer, last_deleted_at = now()
        where name = 'flows'`,
    ),
  ])
}

/** A flow that is to be deleted. */
export interface OldFlow {
  id: string
  controller_id: string
  status: string
  closed_at: Timestamp
  retain_ms: number | null
  /** When its time was, or will be, over. */
  delete_after: Timestamp
}

/** Flows that are looked through for those of one namespace, at most. */
const lookedThrough = 5_000

/** The next flows to be deleted, whether or not their time is over yet, as one statement's rows. */
function nextDeletions(retention: number | null, limit: number): Sql {
  const columns = raw('f.id, f.namespace, f.controller_id, f.status, f.closed_at, f.retain_ms')
  const own = sql`
    select ${columns}, ${ownEnd} at time zone 'UTC' as delete_after from flows f
    where ${isClosed} and f.retain_ms is not null and f.hold is null
    order by ${ownEnd}, f.id limit ${limit}`
  if (retention === null) return own
  return sql`(${own}) union all (
    select ${columns},
      f.closed_at + ${retention}::bigint * interval '1 millisecond' as delete_after
    from flows f
    where ${isClosed} and f.retain_ms is null and f.hold is null
    order by f.closed_at, f.id limit ${limit})`
}

/**
 * The next flows of a namespace to be deleted, as far as they are among the next of all. `retention`
 * null: those without a time of their own are kept for ever.
 */
export async function listNextDeletions(
  scope: Scope,
  query: { namespace: string; retention: number | null; limit: number },
): Promise<OldFlow[]> {
  return read<OldFlow>(
    scope,
    query.namespace,
    sql`
      select id, controller_id, status, closed_at, retain_ms, delete_after
      from (${nextDeletions(query.retention, lookedThrough)}) n
      where namespace = ${query.namespace}
      order by delete_after, id limit ${query.limit}`,
  )
}

/** How the retention stands. Counts go no further than `most`. */
export interface RetentionStatus {
  /** Flows past their time, those that have one of their own among them. */
  due: number
  held: number
  next_deletion_at: Timestamp | null
  /** When the flow ended that would be deleted first. */
  oldest_closed_at: Timestamp | null
  deleted_total: number
  last_deleted_at: Timestamp | null
  last_pass_at: Timestamp | null
  held_back: number
  running: boolean
}

export async function readRetentionStatus(
  scope: Scope,
  retention: number | null,
  most: number,
): Promise<RetentionStatus> {
  const dueOf = (kind: RetentionKind) => sql`(
    select count(*)::integer from (
      select 1 from flows f where ${old({ kind, retention: retention ?? 0, after: null }).where}
      limit ${most}) t)`
  const [status] = await read<RetentionStatus>(
    scope,
    everywhere,
    sql`
      select ${retention === null ? raw('0') : dueOf('default')} + ${dueOf('own')} as due,
        (select count(*)::integer from (
          select 1 from flows f where f.hold is not null limit ${most}) t) as held,
        n.delete_after as next_deletion_at, n.closed_at as oldest_closed_at, s.deleted_total,
        s.last_deleted_at, s.last_pass_at, s.held_back,
        coalesce(s.leased_until > now(), false) as running
      from sweepers s left join lateral (
        select * from (${nextDeletions(retention, 1)}) n order by delete_after, id limit 1) n on true
      where s.name = 'flows'`,
  )
  if (status === undefined) throw new Error('the sweeper of flows has no row')
  return status
}

// Signals, read for callers and swept: lists, single ones, what expires and what has served its time.

import type { Instant, SignalOutcome, SignalRecord } from '../domain/signal.ts'
import { inTransaction, type Runner, read, readerOf, rows, type Scope, writerOf } from './db.ts'
import { type SignalRow, signalColumns, signalOf } from './signal-rows.ts'
import { join, raw, type Sql, sql } from './sql.ts'
import { everywhere, type Within } from './wall.ts'

/** A fate as a caller sees it: one whose time is over has expired, whether or not that is written down yet. */
function asSeen(row: SignalRow & { late: boolean }): SignalRecord {
  const signal = signalOf(row)
  return row.late ? { ...signal, outcome: 'expired' } : signal
}

const late = sql`(s.outcome = 'buffered' and s.expires_at <= now()) as late`

export async function readSignal(
  scope: Scope,
  within: Within,
  id: string,
): Promise<SignalRecord | undefined> {
  const found = await read<SignalRow & { late: boolean }>(
    scope,
    within,
    sql`select ${signalColumns}, ${late} from signals s where s.id = ${id}`,
  )
  return found.map(asSeen)[0]
}

export interface SignalQuery {
  namespace: string
  /** The only owner, and the only controllers, whose flows the caller sees. */
  sight: { owner?: string; controllers?: readonly string[] }
  outcome?: readonly SignalOutcome[]
  topic?: string
  correlation_id?: string
  flow_id?: string
  /** The last signal of the page before. */
  before?: { received_at: Instant; id: string }
  limit: number
}

const outcomes: Record<SignalOutcome, Sql> = {
  buffered: sql`(s.outcome = 'buffered' and s.expires_at > now())`,
  delivered: sql`s.outcome = 'delivered'`,
  expired: sql`(s.outcome = 'expired' or (s.outcome = 'buffered' and s.expires_at <= now()))`,
}

/**
 * Lists signals, newest first.
 *
 * What it filters by is a range of one value and leads the order: by an equality the planner would
 * rather read all signals by time, past a million others to a rare one.
 */
export async function listSignals(scope: Scope, query: SignalQuery): Promise<SignalRecord[]> {
  const where: Sql[] = [sql`s.namespace = ${query.namespace}`]
  const order: Sql[] = []
  const { owner, controllers } = query.sight
  if (owner !== undefined) {
    where.push(sql`s.owner_session_key >= ${owner} and s.owner_session_key <= ${owner}`)
    order.push(raw('s.owner_session_key desc'))
  }
  if (controllers !== undefined) where.push(sql`s.controllers <@ ${controllers}::text[]`)
  for (const column of ['flow_id', 'correlation_id', 'topic'] as const) {
    const value = query[column]
    if (value === undefined) continue
    const name = raw(`s.${column}`)
    where.push(sql`${name} >= ${value} and ${name} <= ${value}`)
    order.push(sql`${name} desc`)
  }
  if (query.outcome !== undefined) {
    const any = query.outcome.map((outcome) => outcomes[outcome])
    where.push(sql`(${join(any, ' or ')})`)
  }
  if (query.before !== undefined) {
    const { received_at, id } = query.before
    where.push(sql`(s.received_at, s.id) < (${received_at}::timestamptz, ${id}::uuid)`)
  }
  const found = await read<SignalRow & { late: boolean }>(
    scope,
    query.namespace,
    sql`
      select ${signalColumns}, ${late} from signals s
      where ${join(where, ' and ')}
      order by ${join([...order, raw('s.received_at desc'), raw('s.id desc')], ', ')}
      limit ${query.limit}`,
  )
  return found.map(asSeen)
}

/** Signals that have more waits to wake, the oldest first. */
export async function listWaking(scope: Scope, limit: number): Promise<SignalRecord[]> {
  const found = await rows<SignalRow>(
    readerOf(scope, everywhere),
    sql`select ${signalColumns} from signals s where s.waking order by s.received_at, s.id limit ${limit}`,
  )
  return found.map(signalOf)
}

/**
 * Expiry is written down this much later, in milliseconds: longer than any statement runs, so that
 * what a wait has found kept does not expire while it is being locked.
 */
const expirySlack = 10_000

/** Writes down that kept signals have expired, at most `limit`; answers how many. */
export async function expireSignals(scope: Scope, limit: number): Promise<number> {
  const late = await rows<{ id: string }>(
    writerOf(scope, everywhere),
    sql`
      with late as materialized (
        select id, shard from signals
        where outcome = 'buffered'
          and expires_at <= now() - ${expirySlack} * interval '1 millisecond'
        order by expires_at
        limit ${limit}
        for no key update skip locked)
      update signals s set outcome = 'expired' from late
      where s.id = late.id and s.shard = late.shard
      returning s.id`,
  )
  return late.length
}

/** Deletes delivered and expired signals that came long ago, at most `limit`; answers how many. */
export async function deleteOldSignals(
  scope: Scope,
  olderThanMs: number,
  limit: number,
): Promise<number> {
  return inTransaction(scope, everywhere, async (runner) => {
    // The index by age has summaries of blocks, which only a bitmap can use.
    await rows(runner, sql`set local enable_bitmapscan = on`)
    return deleteOld(runner, olderThanMs, limit)
  })
}

async function deleteOld(runner: Runner, olderThanMs: number, limit: number): Promise<number> {
  const gone = await rows<{ id: string }>(
    runner,
    sql`
      with old as materialized (
        select id, shard from signals
        where received_at < now() - ${olderThanMs} * interval '1 millisecond'
          and outcome <> 'buffered' and not waking
          and (expires_at is null or expires_at < now() - ${olderThanMs} * interval '1 millisecond')
        limit ${limit}
        for update skip locked)
      delete from signals s using old
      where s.id = old.id and s.shard = old.shard
      returning s.id`,
  )
  return gone.length
}

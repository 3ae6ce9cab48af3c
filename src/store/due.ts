// Flows that are due, as rows: finding and locking them.

import type { DecidedFlow } from '../domain/command.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, rows } from './db.ts'
import { controlOfF } from './flows.ts'
import { ahead, sql } from './sql.ts'

/** What the tick may take. */
export interface DueQuery {
  /** The time to compare with; the database's now when null. */
  now: Timestamp | null
  /** The low-water mark: nothing due before it is looked at, which keeps dead index entries out. */
  from: Timestamp | null
  limit: number
  /** Flows that failed lately and are left alone for now. */
  except: readonly string[]
}

/**
 * Locks flows that are due, the longest due first; those locked elsewhere are skipped. The limit
 * stands in a materialized CTE: a nested loop around a subquery would take more rows than it says.
 */
export async function lockDue(runner: Runner, due: DueQuery): Promise<DecidedFlow[]> {
  return rows<DecidedFlow>(
    runner,
    sql`
      with due as materialized (
        select ${controlOfF} from flows f
        where f.wake_at <= ${ahead(sql`coalesce(${due.now}::timestamptz, now())`)}
          and f.wake_at >= ${due.from ?? '-infinity'}::timestamptz
          and f.id <> all(${due.except}::uuid[])
        order by f.wake_at, f.id
        limit ${due.limit}
        for no key update skip locked)
      select * from due`,
  )
}

/** The database's time, and how long it is until the next flow is due: null when none is, negative when late. */
export interface NextDue {
  now: Timestamp
  in_ms: number | null
}

/** Looks at the earliest due time: one index entry, however many flows wait. */
export async function readNextDue(
  runner: Runner,
  query: { from: Timestamp | null; except: readonly string[] },
): Promise<NextDue> {
  const [next] = await rows<NextDue>(
    runner,
    sql`
      select date_trunc('milliseconds', clock_timestamp()) as now, (
        select extract(epoch from f.wake_at - clock_timestamp())::float8 * 1000
        from flows f
        where f.wake_at >= ${query.from ?? '-infinity'}::timestamptz
          and f.id <> all(${query.except}::uuid[])
        order by f.wake_at, f.id
        limit 1) as in_ms`,
  )
  if (next === undefined) throw new Error('the clock statement answered no row')
  return next
}

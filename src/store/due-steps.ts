// Steps that time alone changes, as rows: delays that are over, leases and time-outs.

import type { StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, rows } from './db.ts'
import { sql } from './sql.ts'
import { columnsOfS } from './steps.ts'

/** What a sweep may take. */
export interface DueStepsQuery {
  /** The time to compare with; the database's now when null. */
  now: Timestamp | null
  /** The low-water mark: nothing due before it is looked at, which keeps dead index entries out. */
  from: Timestamp | null
  limit: number
}

/** Where a step that became ready can be claimed. */
export interface ReadyGroup {
  namespace: string
  controller_id: string
  task: string
}

/**
 * Makes steps ready whose delay is over, the longest due first, and answers where they are. One that
 * has a time-out which is over as well is left to `lockDueSteps`.
 */
export async function promoteSteps(runner: Runner, query: DueStepsQuery): Promise<ReadyGroup[]> {
  return rows<ReadyGroup>(
    runner,
    sql`
      with clock as materialized (
        select coalesce(${query.now}::timestamptz, date_trunc('milliseconds', now())) as now),
      due as materialized (
        select s.id, s.shard from flow_steps s
        where s.wake_at <= (select now from clock)
          and s.wake_at >= ${query.from ?? '-infinity'}::timestamptz
          and s.status = 'pending' and not s.ready and s.run_at <= (select now from clock)
          and coalesce(s.scheduled_at + (s.timeouts->>'schedule_to_close')::float8 * interval '1 ms',
            'infinity') > (select now from clock)
        order by s.wake_at, s.id
        limit ${query.limit}
        for no key update skip locked)
      update flow_steps s set
        ready = true, rank = s.run_at + s.priority * interval '1 second', updated_at = clock.now,
        wake_at = least(
          s.run_at + (s.timeouts->>'schedule_to_start')::float8 * interval '1 ms',
          s.scheduled_at + (s.timeouts->>'schedule_to_close')::float8 * interval '1 ms')
      from due d, clock
      where s.id = d.id and s.shard = d.shard
      returning s.namespace, s.controller_id, s.task`,
  )
}

/**
 * Locks steps with a lease or a time-out that is over, the longest due first; those locked elsewhere
 * are skipped. The limit stands in a materialized CTE: a nested loop around a subquery would take more
 * rows than it says.
 */
export async function lockDueSteps(
  runner: Runner,
  query: DueStepsQuery,
): Promise<{ now: Timestamp; steps: StepRecord[] }> {
  const found = await rows<StepRecord & { swept_at: Timestamp }>(
    runner,
    sql`
      with clock as materialized (
        select coalesce(${query.now}::timestamptz, date_trunc('milliseconds', now())) as now),
      due as materialized (
        select ${columnsOfS} from flow_steps s
        where s.wake_at <= (select now from clock)
          and s.wake_at >= ${query.from ?? '-infinity'}::timestamptz
        order by s.wake_at, s.id
        limit ${query.limit}
        for no key update skip locked)
      select due.*, clock.now as swept_at from due, clock`,
  )
  return {
    now: found[0]?.swept_at ?? query.now ?? '',
    steps: found.map(({ swept_at: _, ...step }) => step),
  }
}

/** The database's time, and how long it is until the next step is due: null when none is, negative when late. */
export async function readNextDueStep(
  runner: Runner,
  from: Timestamp | null,
): Promise<{ now: Timestamp; in_ms: number | null }> {
  const [next] = await rows<{ now: Timestamp; in_ms: number | null }>(
    runner,
    sql`
      select date_trunc('milliseconds', clock_timestamp()) as now, (
        select extract(epoch from s.wake_at - clock_timestamp())::float8 * 1000
        from flow_steps s
        where s.wake_at >= ${from ?? '-infinity'}::timestamptz
        order by s.wake_at, s.id
        limit 1) as in_ms`,
  )
  if (next === undefined) throw new Error('the clock statement answered no row')
  return next
}

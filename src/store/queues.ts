// How many steps of each controller and task there are to run, run, and are dead: for operators.

import type { Timestamp } from '../domain/time.ts'
import { read, type Scope } from './db.ts'
import { sql } from './sql.ts'

/** Steps of one task of one controller. */
interface QueueKey {
  controller_id: string
  task: string
}

export interface ReadyQueue extends QueueKey {
  ready: number
  /** Since when the step can be run that would be claimed next. */
  ready_since: Timestamp
}

/**
 * What can be claimed now: jumps from one controller and task to the next in the index of the claims,
 * and counts each no further than `most`. At most `groups` of them.
 */
export async function readReadyQueues(
  scope: Scope,
  { namespace, most, groups }: { namespace: string; most: number; groups: number },
): Promise<ReadyQueue[]> {
  return read<ReadyQueue>(
    scope,
    namespace,
    sql`
      with recursive g as (
        (select s.controller_id, s.task, 1 as n from flow_steps s
          where s.ready and s.namespace = ${namespace}
          order by s.controller_id, s.task limit 1)
        union all
        select x.controller_id, x.task, g.n + 1 from g cross join lateral (
          select s.controller_id, s.task from flow_steps s
          where s.ready and s.namespace = ${namespace}
            and (s.controller_id, s.task) > (g.controller_id, g.task)
          order by s.controller_id, s.task limit 1) x
        where g.n < ${groups})
      select g.controller_id, g.task, c.ready, h.run_at as ready_since
      from g
      cross join lateral (
        select count(*)::integer as ready from (
          select 1 from flow_steps s
          where s.ready and s.namespace = ${namespace} and s.controller_id = g.controller_id
            and s.task = g.task
          limit ${most}) t) c
      cross join lateral (
        select s.run_at from flow_steps s
        where s.ready and s.namespace = ${namespace} and s.controller_id = g.controller_id
          and s.task = g.task
        order by s.rank, s.id limit 1) h`,
  )
}

export interface OtherSteps extends QueueKey {
  running: number
  delayed: number
  dead: number
  /** Of those that run, the one that was claimed first. */
  running_since: Timestamp | null
}

/**
 * Steps that run or are delayed, those that are due the soonest first, and dead ones, the oldest first:
 * of all namespaces `most` of either are looked at. Says whether there were more.
 */
export async function readOtherSteps(
  scope: Scope,
  { namespace, most }: { namespace: string; most: number },
): Promise<{ groups: OtherSteps[]; capped: boolean }> {
  const found = await read<OtherSteps & { all: number }>(
    scope,
    namespace,
    sql`
      with due as materialized (
        select s.namespace, s.controller_id, s.task, s.status, s.ready, s.started_at
        from flow_steps s where s.wake_at is not null
        order by s.wake_at, s.id limit ${most}),
      dead as materialized (
        select s.namespace, s.controller_id, s.task, s.runtime
        from flow_steps s where s.status = 'failed' and s.namespace = ${namespace}
        order by s.created_at, s.id limit ${most}),
      t as (
        select controller_id, task, (status = 'running')::integer as running,
          (status = 'pending' and not ready)::integer as delayed, 0 as dead,
          case when status = 'running' then started_at end as since
        from due where namespace = ${namespace}
        union all
        select controller_id, task, 0, 0, 1, null from dead where runtime = 'managed')
      select controller_id, task, sum(running)::integer as running,
        sum(delayed)::integer as delayed, sum(dead)::integer as dead, min(since) as running_since,
        greatest((select count(*) from due), (select count(*) from dead))::integer as all
      from t group by controller_id, task`,
  )
  return {
    groups: found.map(({ all: _, ...group }) => group),
    capped: found.some(({ all }) => all >= most),
  }
}

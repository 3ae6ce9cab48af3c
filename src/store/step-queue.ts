// The queue of managed steps: claims, heartbeats and releases. They touch steps alone, never a flow.

import type { JsonObject } from '../domain/json.ts'
import type { StepRecord } from '../domain/step.ts'
import { type Runner, rows } from './db.ts'
import { raw, type Sql, sql } from './sql.ts'
import { columnsOfS } from './steps.ts'

/** Which steps a claim looks for. */
export interface ClaimFilter {
  namespace: string
  /** Any when null. */
  controllers: readonly string[] | null
  tasks: readonly string[] | null
  /** Those that are pushed to their controller, or those that are not. */
  pushed: boolean
}

/** One step to be claimed, and for whom. */
export interface ClaimSlot {
  worker_id: string
  lease_ms: number
}

/** What a worker is told of the flow of a step. */
export interface ClaimedFlow {
  goal: string
  state: JsonObject
  labels: Record<string, string>
}

export type ClaimedStep = StepRecord & { flow: ClaimedFlow }

/** Groups, which are the tasks of the controllers, that one claim looks at. */
const groupsAtOnce = 64
/** Candidates more than wanted: another process may just take some of them. */
const spareCandidates = 16

/** A place in the circle of groups, to begin behind. */
export interface GroupPlace {
  controller_id: string
  task: string
}

export interface ClaimQuery extends ClaimFilter {
  slots: readonly ClaimSlot[]
  /** Look at the groups behind this one; from the first when null. */
  after: GroupPlace | null
  /** Controllers that were served lately, the longest ago first: those that were not come before them. */
  served: readonly string[]
}

export interface Claimed {
  steps: (ClaimedStep & { slot: number })[]
  /** The last group that was looked at, when there may be more behind it. */
  more: GroupPlace | null
  /** How many others are ready, those included that another process is just claiming; null when not all were seen. */
  left: number | null
}

/**
 * Groups with something ready, each found by one jump in the index: the cost grows with the groups,
 * not with the steps.
 */
function groups({ namespace, controllers, tasks, after }: ClaimQuery): Sql {
  const from = after ?? { controller_id: '', task: '' }
  if (controllers !== null && tasks !== null) {
    return sql`
      select c.controller_id, t.task
      from unnest(${controllers}::text[]) as c(controller_id), unnest(${tasks}::text[]) as t(task)`
  }
  if (controllers !== null) {
    return sql`
      select g.controller_id, g.task
      from unnest(${controllers}::text[]) as c(controller_id)
      cross join lateral (
        with recursive jump (task, n) as (
          (select s.task, 1 from flow_steps s
            where s.namespace = ${namespace} and s.ready and s.controller_id = c.controller_id
            order by s.task limit 1)
          union all
          select next.task, j.n + 1 from jump j
          cross join lateral (
            select s.task from flow_steps s
            where s.namespace = ${namespace} and s.ready and s.controller_id = c.controller_id
              and s.task > j.task
            order by s.task limit 1) next
          where j.n < ${groupsAtOnce})
        select c.controller_id, task from jump) g`
  }
  if (tasks !== null) {
    // Jumps from controller to controller; whether one has these tasks is looked up for each.
    return sql`
      select c.controller_id, t.task
      from (
        with recursive jump (controller_id, n) as (
          (select s.controller_id, 1 from flow_steps s
            where s.namespace = ${namespace} and s.ready and s.controller_id > ${from.controller_id}
            order by s.controller_id limit 1)
          union all
          select next.controller_id, j.n + 1 from jump j
          cross join lateral (
            select s.controller_id from flow_steps s
            where s.namespace = ${namespace} and s.ready and s.controller_id > j.controller_id
            order by s.controller_id limit 1) next
          where j.n < ${groupsAtOnce})
        select controller_id from jump) c, unnest(${tasks}::text[]) as t(task)`
  }
  return sql`
    select jumped.controller_id, jumped.task
    from (
      with recursive jump (controller_id, task, n) as (
        (select s.controller_id, s.task, 1 from flow_steps s
          where s.namespace = ${namespace} and s.ready
            and (s.controller_id, s.task) > (${from.controller_id}, ${from.task})
          order by s.controller_id, s.task limit 1)
        union all
        select next.controller_id, next.task, j.n + 1 from jump j
        cross join lateral (
          select s.controller_id, s.task from flow_steps s
          where s.namespace = ${namespace} and s.ready
            and (s.controller_id, s.task) > (j.controller_id, j.task)
          order by s.controller_id, s.task limit 1) next
        where j.n < ${groupsAtOnce})
      select controller_id, task from jump) jumped`
}

/**
 * When time alone changes a running step of alias `s`: the end of its lease, or a time-out. `at` is
 * when the attempt began.
 */
export function runningWake(lease: Sql, started: Sql): Sql {
  return sql`least(${lease},
    ${started} + (s.timeouts->>'start_to_close')::float8 * interval '1 ms',
    s.scheduled_at + (s.timeouts->>'schedule_to_close')::float8 * interval '1 ms')`
}

/**
 * Claims steps that are ready, one for each slot at most: by turns from each controller, from each the
 * first in rank. Steps that another process is just claiming are passed over.
 *
 * The limit stands in a materialized CTE: in a subquery, a nested loop would take more rows than it says.
 */
export async function claimSteps(runner: Runner, query: ClaimQuery): Promise<Claimed> {
  const { namespace, slots, pushed, served } = query
  const wanted = slots.length
  const lease = raw("least(v.lease_ms, (s.timeouts->>'heartbeat')::integer)")
  const found = await rows<ClaimRow>(
    runner,
    sql`
      with jumped as materialized (${groups(query)}),
      edge as (
        select count(*)::integer as n,
          (select controller_id from jumped order by controller_id desc, task desc limit 1) as last_controller,
          (select task from jumped order by controller_id desc, task desc limit 1) as last_task
        from jumped),
      g as materialized (
        select j.controller_id, j.task, o.n as served
        from jumped j left join unnest(${served}::text[]) with ordinality as o(id, n)
          on o.id = j.controller_id
        where ${raw(pushed ? '' : 'not ')}exists (
          select 1 from controllers c
          where c.namespace = ${namespace} and c.id = j.controller_id and c.url is not null
            and c.enabled and (c.tasks is null or j.task = any(c.tasks)))),
      candidates as materialized (
        select c.id, g.served, c.rank,
          row_number() over (partition by g.controller_id order by c.rank, c.id) as turn
        from g cross join lateral (
          select s.id, s.rank from flow_steps s
          where s.namespace = ${namespace} and s.controller_id = g.controller_id
            and s.task = g.task and s.ready
          order by s.rank, s.id
          limit ${wanted + spareCandidates}) c
        order by turn, g.served nulls first, c.rank, c.id
        limit ${wanted + spareCandidates}),
      taken as materialized (
        select s.id, s.shard, c.turn, c.served, c.rank
        from candidates c join flow_steps s on s.id = c.id
        -- Not plainly "ready": the index of ready steps, which seem to be few, would be read instead of
        -- the primary key, and each candidate held against all of it.
        where coalesce(s.ready, false)
        order by c.turn, c.served nulls first, c.rank, c.id
        limit ${wanted}
        for no key update of s skip locked),
      given as (
        -- By subscript: joined, each step would be held against each slot.
        select t.id, t.shard, t.n, (${slots.map(({ worker_id }) => worker_id)}::text[])[t.n] as worker_id,
          (${slots.map(({ lease_ms }) => lease_ms)}::integer[])[t.n] as lease_ms
        from (
          select id, shard,
            row_number() over (order by turn, served nulls first, rank, id)::integer as n
          from taken) t),
      clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as now),
      claimed as (
        update flow_steps s set
          status = 'running', ready = false, attempt = s.attempt + 1, claims = s.claims + 1,
          lease_token = gen_random_uuid(), worker_id = v.worker_id, pushed = ${pushed},
          lease_ms = ${lease}, lease_until = clock.now + ${lease} * interval '1 ms',
          started_at = clock.now, updated_at = clock.now, progress = null,
          wake_at = ${runningWake(sql`clock.now + ${lease} * interval '1 ms'`, raw('clock.now'))}
        from given v, clock
        where s.id = v.id and s.shard = v.shard
        returning s.*, v.n as slot)
      select e.n as edge_groups, e.last_controller, e.last_task, s.slot - 1 as slot,
        (select count(*)::integer from candidates) as candidates,
        ${columnsOfS}, f.goal as flow_goal, f.state as flow_state, f.labels as flow_labels
      from edge e
      left join claimed s on true
      left join flows f on f.id = s.flow_id and f.shard = s.shard
      order by s.slot`,
  )
  const steps = found.filter(isClaim).map(claimedStepOf)
  const [edge] = found
  // Controllers that are named are looked at all together, whatever came before.
  const cut = query.controllers === null && edge !== undefined && edge.edge_groups >= groupsAtOnce
  const whole = !cut && (query.after === null || query.controllers !== null)
  const candidates = edge?.candidates ?? 0
  return {
    steps,
    left: whole && candidates < wanted + spareCandidates ? candidates - steps.length : null,
    more:
      cut && edge.last_controller !== null && edge.last_task !== null
        ? { controller_id: edge.last_controller, task: edge.last_task }
        : null,
  }
}

interface Edge {
  edge_groups: number
  candidates: number
  last_controller: string | null
  last_task: string | null
}

type ClaimedRow = Edge &
  StepRecord & {
    slot: number
    flow_goal: string
    flow_state: JsonObject
    flow_labels: Record<string, string>
  }

/** The edge stands in every row, and alone when nothing was claimed. */
type ClaimRow = ClaimedRow | (Edge & { slot: null })

function isClaim(row: ClaimRow): row is ClaimedRow {
  return row.slot !== null
}

/** The row itself becomes the step: to copy some fifty members costs as much as to read them. */
function claimedStepOf(row: ClaimedRow): ClaimedStep & { slot: number } {
  const { flow_goal: goal, flow_state: state, flow_labels: labels } = row
  return Object.assign(row, { flow: { goal, state, labels } })
}

// Steps that are pushed to their controller's endpoint, as rows: claims within the endpoint's limit, steps
// that it goes on with by itself, and what it has to be told of a cancel.

import { type PushedController, pushWorker } from '../domain/controller.ts'
import type { SigningSecret } from '../domain/signing-secret.ts'
import type { Timestamp } from '../domain/time.ts'
import { type ControllerReading, tryLockPushed } from './controllers.ts'
import { inTransaction, type Runner, rows, type Scope } from './db.ts'
import { raw, sql } from './sql.ts'
import { type ClaimedStep, claimSteps, runningWake } from './step-queue.ts'

/** A controller that is pushed to, and whether it has steps that could be. */
export interface PushTarget {
  namespace: string
  id: string
  url: string
  tasks: string[] | null
  ready: boolean
}

/**
 * All controllers that are pushed to. One probe of an index for each: the limits keep the planner from
 * reading all steps that are ready at once.
 */
export async function listPushTargets(runner: Runner): Promise<PushTarget[]> {
  return rows<PushTarget>(
    runner,
    sql`
      select c.namespace, c.id, c.url, c.tasks, coalesce(whole.ready, part.ready, false) as ready
      from controllers c
      left join lateral (
        select true as ready from flow_steps s
        where c.tasks is null and s.namespace = c.namespace and s.controller_id = c.id and s.ready
        limit 1) whole on true
      left join lateral (
        select true as ready from unnest(c.tasks) as t(task) cross join lateral (
          select 1 from flow_steps s
          where s.namespace = c.namespace and s.controller_id = c.id and s.task = t.task and s.ready
          limit 1) one
        limit 1) part on true
      where c.enabled and c.url is not null`,
  )
}

export interface PushClaim {
  controller: ControllerReading<PushedController>
  steps: ClaimedStep[]
  /** Whether there may be more to claim: at once, or when another one has ended. */
  more: 'no' | 'now' | 'later'
}

/** How many steps run at the endpoint of a controller, counted up to a bound. */
export async function countPushed(
  runner: Runner,
  { namespace, id }: { namespace: string; id: string },
  bound: number,
): Promise<number> {
  const [count] = await rows<{ running: number }>(
    runner,
    sql`
      select count(*)::integer as running from (
        select 1 from flow_steps s
        where s.namespace = ${namespace} and s.controller_id = ${id} and s.pushed
          and s.status = 'running'
        limit ${bound}) one`,
  )
  return count?.running ?? 0
}

/**
 * Claims steps of a controller to be pushed: as many as there is room for here, and as its limit leaves
 * over all processes. The lock on its row keeps two of them from counting at once.
 *
 * @param room steps at most.
 * @param margin how long a lease outlives its request, in milliseconds.
 * @returns null when the controller is locked elsewhere, or is not pushed to any more.
 */
export async function claimPushedSteps(
  scope: Scope,
  { namespace, id }: { namespace: string; id: string },
  room: number,
  margin: number,
): Promise<PushClaim | null> {
  return inTransaction(scope, namespace, async (runner) => {
    const controller = await tryLockPushed(runner, namespace, id)
    if (controller === undefined) return null
    const { max_concurrency, timeout_ms, tasks } = controller
    // After the lock, in a statement of its own: it must see what the holder before has claimed.
    const running = await countPushed(runner, { namespace, id }, max_concurrency)
    const free = Math.min(room, max_concurrency - running)
    if (free <= 0) return { controller, steps: [], more: 'later' }
    const slot = { worker_id: pushWorker(id), lease_ms: timeout_ms + margin }
    const { steps } = await claimSteps(runner, {
      namespace,
      controllers: [id],
      tasks,
      pushed: true,
      slots: Array.from({ length: free }, () => slot),
      after: null,
      served: [],
    })
    return {
      controller,
      steps: steps.map(({ slot: _, ...step }) => step),
      more: steps.length < free ? 'no' : free < room ? 'later' : 'now',
    }
  })
}

/**
 * Leaves a running step to whoever has its token: the lease runs anew, in another length. Answers
 * whether the token still counts.
 */
export async function handOverStep(
  runner: Runner,
  given: { namespace: string; step_id: string; token: string; lease_ms: number },
): Promise<boolean> {
  const lease = sql`least(${given.lease_ms}::integer, (s.timeouts->>'heartbeat')::integer)`
  const renewed = await rows<{ id: string }>(
    runner,
    sql`
      with held as materialized (
        select s.id, s.shard from flow_steps s
        where s.id = ${given.step_id} and s.namespace = ${given.namespace}
          and s.status = 'running' and s.lease_token = ${given.token}
        for no key update),
      clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as now)
      update flow_steps s set
        lease_ms = ${lease}, lease_until = clock.now + ${lease} * interval '1 ms',
        wake_at = ${runningWake(sql`clock.now + ${lease} * interval '1 ms'`, raw('s.started_at'))},
        updated_at = clock.now
      from held h, clock
      where s.id = h.id and s.shard = h.shard
      returning s.id`,
  )
  return renewed.length > 0
}

/** What an endpoint has to be told: the flow of a step that it runs is to end, or has ended. */
export interface CancelNotice {
  step_id: string
  shard: number
  /** The claim under which it runs there. */
  claims: number
  namespace: string
  controller_id: string
  flow_id: string
  run_id: string
  reason: string | null
  url: string
  secrets: SigningSecret[]
  now: Timestamp
}

/** What makes a step of alias `s` one whose endpoint has to be told, as the index of these says it. */
const untold = raw(
  's.pushed and s.cancel_requested and s.lease_token is not null and s.cancel_told is distinct from s.claims',
)

/**
 * Takes notices that are not sent yet, one for each controller: a receiver that hangs holds up its own
 * alone. They are the taker's for a while; then anybody takes them again, until they are told. When the
 * lease of a step is over that has ended, nobody is left who would listen: such a one is given up.
 *
 * @param without controllers that are left out.
 * @param lease in milliseconds.
 * @returns `taken` tells how many were taken, those that were given up among them.
 */
export async function takeCancelNotices(
  runner: Runner,
  query: { without: { namespace: string; id: string }[]; limit: number; lease: number },
): Promise<{ notices: CancelNotice[]; taken: number }> {
  const found = await rows<CancelNotice & { live: boolean }>(
    runner,
    sql`
      with clock as materialized (select date_trunc('milliseconds', clock_timestamp()) as now),
      resting as materialized (
        select * from json_to_recordset(${JSON.stringify(query.without)}::json) as r(
          namespace text, id text)),
      first as materialized (
        select n.id from controllers c cross join lateral (
          select s.id from flow_steps s
          where ${untold} and s.namespace = c.namespace and s.controller_id = c.id
            and (s.cancel_telling_until is null
              or s.cancel_telling_until <= (select now from clock))
          order by s.id limit 1) n
        where c.enabled and c.url is not null
          and not exists (select 1 from resting r where r.namespace = c.namespace and r.id = c.id)
        limit ${query.limit}),
      taken as materialized (
        select s.id, s.shard, s.status = 'running' or s.lease_until > (select now from clock) as live
        from first n join flow_steps s on s.id = n.id
        where ${untold} and (s.cancel_telling_until is null
          or s.cancel_telling_until <= (select now from clock))
        order by s.id
        for no key update of s skip locked),
      told as (
        update flow_steps s set
          cancel_told = case when t.live then s.cancel_told else s.claims end,
          cancel_telling_until =
            case when t.live then clock.now + ${query.lease}::integer * interval '1 ms' end
        from taken t, clock
        where s.id = t.id and s.shard = t.shard
        returning s.id, s.shard, s.claims, s.namespace, s.controller_id, s.flow_id, s.run_id,
          t.live, clock.now as now)
      select s.id as step_id, s.shard, s.claims, s.namespace, s.controller_id, s.flow_id, s.run_id,
        f.cancel_reason as reason, c.url, c.secrets, s.now, s.live
      from told s
      join controllers c on c.namespace = s.namespace and c.id = s.controller_id
      join flows f on f.id = s.flow_id and f.shard = s.shard`,
  )
  return {
    notices: found.flatMap(({ live, ...notice }) => (live ? [notice] : [])),
    taken: found.length,
  }
}

/** Notes that an endpoint knows of a cancel. */
export async function markCancelTold(
  runner: Runner,
  { step_id, claims }: Pick<CancelNotice, 'step_id' | 'claims'>,
): Promise<void> {
  await rows(
    runner,
    sql`
      update flow_steps s set cancel_told = ${claims}, cancel_telling_until = null
      where s.id = ${step_id} and s.claims = ${claims}`,
  )
}

/** Lets a notice be taken again in so many milliseconds. */
export async function putOffCancelNotice(
  runner: Runner,
  { step_id, claims }: Pick<CancelNotice, 'step_id' | 'claims'>,
  delay: number,
): Promise<void> {
  await rows(
    runner,
    sql`
      update flow_steps s
      set cancel_telling_until = clock_timestamp() + ${delay}::integer * interval '1 ms'
      where s.id = ${step_id} and s.claims = ${claims}`,
  )
}

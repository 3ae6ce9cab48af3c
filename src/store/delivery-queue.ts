// Deliveries on their way: queued with the event that causes them, claimed for a time, and recorded with
// what became of them.

import type { EventKind } from '../domain/event.ts'
import type { FlowStatus } from '../domain/flow.ts'
import type { SigningSecret } from '../domain/signing-secret.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Traceparent } from '../domain/trace.ts'
import { type Runner, readerOf, rows, type Scope, writerOf } from './db.ts'
import { ahead, type Sql, sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** An event that hooks may want. */
export interface HookEvent {
  flow_id: string
  shard: number
  revision: number
  kind: EventKind
  /** The flow's, after it. */
  status: FlowStatus
  actor: string
  at: Timestamp
  /** How many deliveries led to it, one after the other, with those that it causes. */
  depth: number
  /** Whether the flow has hooks of its own. */
  hooked: boolean
  traceparent?: Traceparent
}

const wireTime = (column: Sql) =>
  sql`to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

/** A duration as `formatDuration` writes it: each part only when there is some of it. */
const retainAsText = sql`case when f.retain_ms is not null then 'P'
  || coalesce(nullif(f.retain_ms / 86400000, 0) || 'D', '')
  || case when f.retain_ms % 86400000 = 0 then '' else 'T'
    || coalesce(nullif(f.retain_ms % 86400000 / 3600000, 0) || 'H', '')
    || coalesce(nullif(f.retain_ms % 3600000 / 60000, 0) || 'M', '')
    || coalesce(nullif(trim_scale(f.retain_ms % 60000 / 1000.0), 0) || 'S', '') end end`

/** A flow as the wire shows it. */
const flowAsJson = sql`json_build_object('id', f.id, 'namespace', f.namespace, 'key', f.key,
  'controller_id', f.controller_id, 'goal', f.goal, 'owner_session_key', f.owner_session_key,
  'requester_origin', f.requester_origin, 'mode', f.mode, 'current_step', f.current_step,
  'state', f.state, 'status', f.status, 'wait', f.wait, 'cancel_requested', f.cancel_requested,
  'labels', f.labels, 'retain', ${retainAsText}, 'hold', f.hold, 'revision', f.revision, 'created_at', ${wireTime(sql`f.created_at`)},
  'updated_at', ${wireTime(sql`f.updated_at`)}, 'closed_at', ${wireTime(sql`f.closed_at`)})`

const thin = sql`'flow_id', e.flow_id, 'revision', e.revision, 'kind', e.kind,
  'namespace', f.namespace, 'controller_id', f.controller_id, 'key', f.key, 'status', e.status,
  'actor', e.actor, 'at', e.at`

/** Looked at by its key alone, and only for those who want it. */
const eventPayload = sql`(select v.payload from flow_events v
  where v.flow_id = e.flow_id and v.revision = e.revision and v.shard = e.shard)`

/**
 * A UUIDv7 on the flow's shard, as `makeId` makes them. Its counter is the revision, so that deliveries
 * of one flow sort in the order of its events within a millisecond too.
 */
const deliveryId = sql`encode(
  substring(int8send(floor(extract(epoch from now()) * 1000)::bigint) from 3)
  || set_byte(set_byte(set_byte(substring(uuid_send(gen_random_uuid()) from 7),
    0, 112 | ((e.revision >> 8) & 15)), 1, e.revision & 255),
    9, get_byte(uuid_send(f.id), 15) & 63), 'hex')::uuid`

/**
 * Queues what the hooks want of events, in the transaction of these and after their flows were saved.
 * Answers how many deliveries there are. A flow that did not come in is not found, so nothing is told
 * of it.
 */
export async function queueDeliveries(
  runner: Runner,
  events: readonly HookEvent[],
): Promise<number> {
  const [queued] = await rows<{ count: number }>(
    runner,
    sql`
      with q as (
        insert into deliveries (id, shard, hook_id, flow_id, lane, revision, depth, ordered, namespace,
          type, status, created_at, next_attempt_at, traceparent, body)
        select ${deliveryId}, f.shard, h.id, f.id, h.lane, e.revision, e.depth, h.ordered, f.namespace,
          'flow.' || e.kind, 'pending', date_trunc('milliseconds', now()),
          date_trunc('milliseconds', now()), e.traceparent,
          json_build_object('type', 'flow.' || e.kind, 'timestamp', e.at, 'data',
            case h.payload
              when 'full' then json_build_object(${thin}, 'payload', ${eventPayload}, 'flow', ${flowAsJson})
              else json_build_object(${thin}) end)
        from json_to_recordset(${JSON.stringify(events)}::json) as e(
          flow_id uuid, shard smallint, revision integer, kind text, status text, actor text, at text,
          depth smallint, hooked boolean, traceparent text)
        join flows f on f.id = e.flow_id and f.shard = e.shard
        cross join lateral (
          select n.id, n.lane, n.ordered, n.payload, n.kinds from hooks n
          where n.namespace = f.namespace and n.flow_id is null and n.enabled
            and (n.controller_id is null or n.controller_id = f.controller_id)
            and (n.labels is null or f.labels @> n.labels)
          union all
          select o.id, o.lane, o.ordered, o.payload, o.kinds from hooks o
          where e.hooked and o.flow_id = f.id and o.enabled
            and (o.controller_id is null or o.controller_id = f.controller_id)
            and (o.labels is null or f.labels @> o.labels)) h
        where h.kinds is null or e.kind = any(h.kinds)
        on conflict do nothing
        returning 1)
      select count(*)::integer as count from q`,
  )
  return queued?.count ?? 0
}

/** A lane with something to send, and when its earliest is due, in milliseconds from now; past ones below 0. */
export interface LaneHead {
  lane: string
  in_ms: number
}

/**
 * The lanes that have pending deliveries. Costs two look-ups for each, however many deliveries wait
 * in it: a receiver that is dead for days slows nobody else.
 */
export async function listLanes(scope: Scope, now: Timestamp | null): Promise<LaneHead[]> {
  return rows<LaneHead>(
    readerOf(scope, everywhere),
    sql`
      with recursive lanes(lane) as (
        (select d.lane from deliveries d where d.status = 'pending' order by d.lane limit 1)
        union all
        select (
          select d.lane from deliveries d
          where d.status = 'pending' and d.lane > l.lane order by d.lane limit 1)
        from lanes l where l.lane is not null)
      select l.lane,
        (extract(epoch from h.next_attempt_at - coalesce(${now}::timestamptz, clock_timestamp())) * 1000)::float8
          as in_ms
      from lanes l
      cross join lateral (
        select d.next_attempt_at from deliveries d
        where d.status = 'pending' and d.lane = l.lane
        order by d.next_attempt_at, d.id limit 1) h
      where l.lane is not null`,
  )
}

/** A delivery that is to be sent now, and by nobody else as long as its lease lasts. */
export interface ClaimedDelivery {
  id: string
  shard: number
  lease_token: string
  lane: string
  hook_id: string
  /** Attempts made since it was last asked for. */
  attempts: number
  depth: number
  type: string
  flow_id: string | null
  /** The trace of the change that it tells of. */
  traceparent: Traceparent | null
  /** What to send, as JSON. */
  body: string
  url: string
  secrets: SigningSecret[]
  /** The database's time of the claim. */
  now: Timestamp
}

/** What a claim found: to be sent, and how many others were put off or given up. */
export interface Claim {
  deliveries: ClaimedDelivery[]
  /** Not yet: the one before it is still on its way. */
  put_off: number
  /** Hooks that are gone or disabled while deliveries wait for them. */
  dead: { hook_id: string; lane: string }[]
}

type ClaimRow = ClaimedDelivery & { fate: 'ready' | 'blocked' | 'dead' }

/**
 * Claims what is due in some lanes, so many of each. While a delivery is under way it is due again when
 * its lease ends, so that nothing is lost with the process that had it.
 *
 * An ordered one whose predecessor is pending is put off until that is tried again; the end of the
 * predecessor brings it forward. One whose hook is gone or disabled has failed.
 */
export async function claimDeliveries(
  runner: Runner,
  claim: {
    lanes: readonly { lane: string; slots: number }[]
    token: string
    /** Milliseconds. */
    lease: number
    now: Timestamp | null
  },
): Promise<Claim> {
  const { lanes, token, now } = claim
  const time = sql`coalesce(${now}::timestamptz, now())`
  const found = await rows<ClaimRow>(
    runner,
    sql`
      with due as materialized (
        select d.* from unnest(${lanes.map(({ lane }) => lane)}::uuid[],
          ${lanes.map(({ slots }) => slots)}::integer[]) as w(lane, slots)
        cross join lateral (
          select x.id, x.shard, x.hook_id, x.flow_id, x.revision, x.ordered from deliveries x
          where x.status = 'pending' and x.lane = w.lane and x.next_attempt_at <= ${ahead(time)}
          order by x.next_attempt_at, x.id
          limit w.slots
          for no key update skip locked) d),
      judged as materialized (
        select d.id, d.shard, h.url, h.secrets, p.next_attempt_at as before_at,
          case when h.enabled is not true then 'dead' when p.id is not null then 'blocked'
            else 'ready' end as fate
        from due d
        left join lateral (
          select * from hooks o where o.id = d.hook_id limit 1) h on true
        left join lateral (
          select b.id, b.next_attempt_at from deliveries b
          where d.ordered and b.hook_id = d.hook_id and b.flow_id = d.flow_id
            and b.revision < d.revision and b.status = 'pending' and b.ordered
          order by b.revision limit 1) p on true)
      update deliveries d set
        status = case j.fate when 'dead' then 'failed' else 'pending' end,
        settled_at = case j.fate when 'dead' then date_trunc('milliseconds', ${time}) end,
        lease_token = case j.fate when 'ready' then ${token}::uuid end,
        next_attempt_at = case j.fate
          when 'ready' then ${time} + ${claim.lease}::bigint * interval '1 millisecond'
          when 'blocked' then greatest(j.before_at, ${time} + interval '1 second') end
      from judged j where d.id = j.id and d.shard = j.shard
      returning j.fate, d.id, d.shard, d.lease_token, d.lane, d.hook_id,
        d.attempt - d.attempts_before as attempts, d.depth, d.type, d.flow_id, d.traceparent,
        d.body::text as body,
        j.url, j.secrets, ${time} as now`,
  )
  const dead = found.filter(({ fate }) => fate === 'dead')
  return {
    deliveries: found.filter(({ fate }) => fate === 'ready'),
    put_off: found.filter(({ fate }) => fate === 'blocked').length,
    dead: dead.map(({ hook_id, lane }) => ({ hook_id, lane })),
  }
}

/** Gives up what waits for a hook that is gone or disabled, at most `limit`; answers how many. */
export async function failPending(
  scope: Scope,
  hook: { hook_id: string; lane: string },
  limit: number,
): Promise<number> {
  const failed = await rows<{ id: string }>(
    writerOf(scope, everywhere),
    sql`
      with dead as materialized (
        select d.id from deliveries d
        where d.status = 'pending' and d.lane = ${hook.lane} and d.hook_id = ${hook.hook_id}
          and d.lease_token is null
          and not exists (select 1 from hooks h where h.id = ${hook.hook_id} and h.enabled)
        limit ${limit}
        for no key update skip locked)
      update deliveries d set status = 'failed', next_attempt_at = null,
        settled_at = date_trunc('milliseconds', now())
      where d.id = any(array(select id from dead))
      returning d.id`,
  )
  return failed.length
}

/** Gives back what was claimed and not sent: it is due at once, and no attempt was made. */
export async function releaseDeliveries(
  scope: Scope,
  leases: readonly { id: string; shard: number; lease_token: string }[],
): Promise<void> {
  await rows(
    writerOf(scope, everywhere),
    sql`
      update deliveries d set lease_token = null, next_attempt_at = date_trunc('milliseconds', now())
      from json_to_recordset(${JSON.stringify(leases)}::json) as l(
        id uuid, shard smallint, lease_token uuid)
      where d.id = l.id and d.shard = l.shard and d.lease_token = l.lease_token`,
  )
}

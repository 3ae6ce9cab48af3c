// Publishers of audit events as rows: how far each has come and who does its work; and the feed that
// they publish, over all namespaces.

import type { FlowEvent } from '../domain/event.ts'
import { type Runner, readerOf, rows, type Scope, writerOf } from './db.ts'
import { clusterName, type FeedPosition } from './events.ts'
import { raw, sql } from './sql.ts'
import { everywhere, nowhere } from './wall.ts'

/** Before all events of a transaction. */
const noFlow = '00000000-0000-0000-0000-000000000000'

/**
 * Makes the row of a publisher that has none. It begins with the transactions that are open now or
 * come later: a first start publishes no history. So does the first one in another cluster, where
 * the position of before would hide what is new.
 */
export async function ensurePublisher(scope: Scope, name: string): Promise<void> {
  const cluster = await clusterName(scope)
  await rows(
    writerOf(scope, nowhere),
    sql`
      insert into publishers as p (name, xid, flow_id, revision, cluster)
      values (${name}, pg_snapshot_xmin(pg_current_snapshot()), ${noFlow}, -1, ${cluster})
      on conflict (name) do update set xid = excluded.xid, flow_id = excluded.flow_id,
        revision = excluded.revision, cluster = excluded.cluster
      where p.cluster <> excluded.cluster`,
  )
}

/** Takes or renews the lease for `ms` milliseconds; answers the position, or null when another has it. */
export async function claimPublisher(
  runner: Runner,
  { name, token, ms }: { name: string; token: string; ms: number },
): Promise<FeedPosition | null> {
  const [found] = await rows<FeedPosition>(
    runner,
    sql`
      update publishers set lease_token = ${token}, leased_until = now() + ${ms} * interval '1 ms'
      where name = ${name}
        and (lease_token is null or lease_token = ${token} or leased_until < now())
      returning xid::text as xid, flow_id, revision`,
  )
  return found ?? null
}

/** Moves the position and renews the lease; false when the lease was taken over meanwhile. */
export async function advancePublisher(
  runner: Runner,
  {
    name,
    token,
    ms,
    position,
  }: { name: string; token: string; ms: number; position: FeedPosition },
): Promise<boolean> {
  const found = await rows<{ name: string }>(
    runner,
    sql`
      update publishers set xid = ${position.xid}::xid8, flow_id = ${position.flow_id},
        revision = ${position.revision}, leased_until = now() + ${ms} * interval '1 ms'
      where name = ${name} and lease_token = ${token}
      returning name`,
  )
  return found.length > 0
}

/** Gives the lease back, so that another process need not wait for its end. */
export async function releasePublisher(
  runner: Runner,
  { name, token }: { name: string; token: string },
): Promise<void> {
  await rows(
    runner,
    sql`
      update publishers set lease_token = null, leased_until = null
      where name = ${name} and lease_token = ${token}`,
  )
}

/** An audit event with its place. */
export type PublishedEvent = FlowEvent & { namespace: string; xid: string }

/**
 * Events of all namespaces after a position, in commit order, of transactions below the oldest open
 * one. Each namespace is found, and read, by its own part of the index of the feed: the cost grows
 * with the namespaces, not with the log.
 */
export async function listPublished(
  scope: Scope,
  { after, limit }: { after: FeedPosition; limit: number },
): Promise<PublishedEvent[]> {
  const shown = raw('flow_id, revision, namespace, kind, payload, actor, at')
  return rows<PublishedEvent>(
    readerOf(scope, everywhere),
    sql`
      with recursive spaces (name) as (
        (select namespace from flow_events order by namespace limit 1)
        union all
        select (
          select f.namespace from flow_events f
          where f.namespace > spaces.name order by f.namespace limit 1)
        from spaces where spaces.name is not null)
      select ${shown}, written_by::text as xid
      from spaces cross join lateral (
        select ${shown}, f.xid as written_by from flow_events f
        where f.namespace = spaces.name
          and f.xid < pg_snapshot_xmin(pg_current_snapshot())
          and (f.xid, f.flow_id, f.revision)
            > (${after.xid}::xid8, ${after.flow_id}::uuid, ${after.revision}::integer)
        order by f.xid, f.flow_id, f.revision
        limit ${limit}) as e
      order by written_by, flow_id, revision
      limit ${limit}`,
  )
}

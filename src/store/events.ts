// Audit events as rows. They are inserted with the change they tell of, and only read here.

import { closingKinds, type EventKind, type FlowEvent } from '../domain/event.ts'
import { arrayRows } from './arrays.ts'
import { read, readerOf, rows, type Scope } from './db.ts'
import { errorCode, toFlowError } from './errors.ts'
import { join, raw, type Sql, sql } from './sql.ts'
import { nowhere, type Within } from './wall.ts'

export interface EventRow extends FlowEvent {
  shard: number
  namespace: string
  /** The transaction under which the feed shows it: that of its flow's last event when this is later. */
  xid: string
}

const columns = [
  ['flow_id', 'uuid'],
  ['revision', 'integer'],
  ['shard', 'smallint'],
  ['at', 'timestamptz'],
  ['namespace', 'text'],
  ['kind', 'text'],
  ['actor', 'text'],
  ['payload', 'jsonb'],
  ['xid', 'xid8'],
] as const

const given = arrayRows(columns)

/** Fragments for the statements that write a change and its events at once. */
export const eventColumns = {
  names: raw(given.names),
  namesOfE: raw(columns.map(([name]) => `e.${name}`).join(', ')),
}

/** Events as a table of alias `e`, for the same. */
export function eventTable(events: readonly EventRow[]): Sql {
  return sql`${given.of(events)} as e(${eventColumns.names})`
}

const shown = raw('flow_id, revision, kind, payload, actor, at')

/** Events of one flow after a revision, oldest first. */
export async function listEvents(
  scope: Scope,
  query: {
    namespace: string
    flow_id: string
    kinds?: readonly EventKind[]
    after: number
    limit: number
  },
): Promise<FlowEvent[]> {
  return read<FlowEvent>(
    scope,
    query.namespace,
    sql`
      select ${shown} from flow_events
      where flow_id = ${query.flow_id} and revision > ${query.after}${ofKinds(query.kinds)}
      order by revision
      limit ${query.limit}`,
  )
}

/** A place in the feed: everything up to and with this event has been seen. */
export interface FeedPosition {
  xid: string
  flow_id: string
  revision: number
}

/**
 * Events of a namespace after a position. Only those of transactions below the oldest open one are
 * shown: above it, one that commits later could still come to stand before one already read.
 */
export async function listFeed(
  scope: Scope,
  query: {
    namespace: string
    kinds?: readonly EventKind[]
    after: FeedPosition | null
    limit: number
  },
): Promise<(FlowEvent & { xid: string })[]> {
  const after = query.after
  const from =
    after === null
      ? raw('')
      : sql` and (xid, flow_id, revision) > (${after.xid}::xid8, ${after.flow_id}::uuid, ${after.revision}::integer)`
  return read<FlowEvent & { xid: string }>(
    scope,
    query.namespace,
    sql`
      select ${shown}, xid::text as xid from flow_events
      where namespace = ${query.namespace}
        and xid < pg_snapshot_xmin(pg_current_snapshot())${from}${ofKinds(query.kinds)}
      order by ${join([raw('flow_events.xid'), raw('flow_id'), raw('revision')], ', ')}
      limit ${query.limit}`,
  )
}

/** What stands behind a revision, of one flow among many. */
export interface EventsRequest {
  namespace: string
  flow_id: string
  after: number
}

/** An event on its way to those who follow its flow; nothing is streamed after a `final` one. */
export interface FollowedEvent extends FlowEvent {
  final: boolean
}

/** Events of many flows, each after a revision of its own, at most `limit` of each, oldest first. */
export async function listEventsAfter(
  scope: Scope,
  requests: readonly EventsRequest[],
  limit: number,
): Promise<FollowedEvent[][]> {
  const found = await read<FollowedEvent & { n: number }>(
    scope,
    requests.map(({ namespace }) => namespace),
    sql`
      select q.n::integer as n, e.*
      from unnest(${requests.map(({ flow_id }) => flow_id)}::uuid[],
        ${requests.map(({ after }) => after)}::integer[]) with ordinality as q(flow_id, after, n)
      cross join lateral (
        select ${shown}, kind = any(${closingKinds}::text[]) and not exists (
          select 1 from flow_events r
          where r.flow_id = q.flow_id and r.revision > flow_events.revision
            and r.kind = 'reopened') as final
        from flow_events
        where flow_id = q.flow_id and revision > q.after
        order by revision
        limit ${limit}) e
      order by q.n, e.revision`,
  )
  const lists: FollowedEvent[][] = requests.map(() => [])
  for (const { n, ...event } of found) lists[n - 1]?.push(event)
  return lists
}

/** The revision at which a flow that is closed was closed; null when it never was. */
export async function closingRevision(
  scope: Scope,
  within: Within,
  flowId: string,
): Promise<number | null> {
  const [row] = await read<{ revision: number }>(
    scope,
    within,
    sql`
      select revision from flow_events
      where flow_id = ${flowId} and kind = any(${closingKinds}::text[])
      order by revision desc
      limit 1`,
  )
  return row?.revision ?? null
}

const nobody = '00000000-0000-0000-0000-000000000000'

/** The place before all events of a transaction and of those after it: it names no flow. */
export function before(xid: string): FeedPosition {
  return { xid, flow_id: nobody, revision: 0 }
}

/** The place before all events. */
export const feedStart: FeedPosition = before('0')

/** Whether one place of the feed lies behind another. */
export function isBehind(one: FeedPosition, other: FeedPosition): boolean {
  if (one.xid !== other.xid) return BigInt(one.xid) > BigInt(other.xid)
  if (one.flow_id !== other.flow_id) return one.flow_id > other.flow_id
  return one.revision > other.revision
}

/**
 * The place up to which the feed can be read now. Whatever commits later stands behind it, also when
 * its transaction is open already.
 */
export async function feedHorizon(scope: Scope): Promise<FeedPosition> {
  const [row] = await read<{ xid: string }>(
    scope,
    nowhere,
    sql`select pg_snapshot_xmin(pg_current_snapshot())::text as xid`,
  )
  return before(row?.xid ?? '0')
}

export type FeedEvent = FlowEvent & { xid: string }

/** A piece of the feed, and the place up to which it is complete. */
export interface FeedPiece {
  events: FeedEvent[]
  position: FeedPosition
  /** Whether there may be more before the horizon. */
  full: boolean
}

/**
 * Events of a namespace between two places; without `until`, up to the horizon. The horizon comes
 * from the same snapshot as the events, so that none can fall between two pieces.
 */
export async function readFeed(
  scope: Scope,
  query: {
    namespace: string
    kinds: readonly EventKind[] | null
    after: FeedPosition
    until?: FeedPosition
    limit: number
  },
): Promise<FeedPiece> {
  const { after, until, limit, kinds } = query
  const to =
    until === undefined
      ? raw('')
      : sql` and (xid, flow_id, revision) <= (${until.xid}::xid8, ${until.flow_id}::uuid, ${until.revision}::integer)`
  const found = await read<(FeedEvent | Record<keyof FeedEvent, null>) & { horizon: string }>(
    scope,
    query.namespace,
    sql`
      with h as materialized (select pg_snapshot_xmin(pg_current_snapshot()) as horizon)
      select h.horizon::text as horizon, e.*
      from h left join lateral (
        select ${shown}, xid::text as xid from flow_events
        where namespace = ${query.namespace} and xid < h.horizon
          and (xid, flow_id, revision) > (${after.xid}::xid8, ${after.flow_id}::uuid, ${after.revision}::integer)${to}${ofKinds(kinds ?? undefined)}
        order by flow_events.xid, flow_id, revision
        limit ${limit}) e on true`,
  )
  const events = found.flatMap(({ horizon: _, ...event }) => (event.xid === null ? [] : [event]))
  const last = events.at(-1)
  const full = events.length === limit
  if (full && last !== undefined) return { events, position: placeOf(last), full }
  const horizon = until ?? before(found[0]?.horizon ?? '0')
  return { events, position: isBehind(after, horizon) ? after : horizon, full }
}

function placeOf({ xid, flow_id, revision }: FeedPosition): FeedPosition {
  return { xid, flow_id, revision }
}

/**
 * Names the cluster whose transaction ids order the feed: they begin anew in another one, also when
 * it was loaded with the same events. Null when the server does not say.
 */
export async function clusterName(scope: Scope): Promise<string | null> {
  try {
    const [row] = await rows<{ name: string }>(
      readerOf(scope, nowhere),
      sql`select system_identifier::text as name from pg_control_system()`,
    )
    return row?.name ?? null
  } catch (error) {
    // Not permitted, or not a PostgreSQL of the usual kind.
    if (['42501', '42883', '0A000'].includes(errorCode(error) ?? '')) return null
    throw toFlowError(error)
  }
}

function ofKinds(kinds: readonly EventKind[] | undefined): Sql {
  return kinds === undefined ? raw('') : sql` and kind = any(${kinds}::text[])`
}

// Audit events as rows. They are inserted with the change they tell of, and only read here.

import type { EventKind, FlowEvent } from '../domain/event.ts'
import { read, type Scope } from './db.ts'
import { join, raw, type Sql, sql } from './sql.ts'

export interface EventRow extends FlowEvent {
  shard: number
  namespace: string
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
] as const

/** Fragments for the statements that write a change and its events at once. */
export const eventColumns = {
  names: raw(columns.map(([name]) => name).join(', ')),
  namesOfE: raw(columns.map(([name]) => `e.${name}`).join(', ')),
  types: raw(columns.map(([name, type]) => `${name} ${type}`).join(', ')),
}

const shown = raw('flow_id, revision, kind, payload, actor, at')

/** Events of one flow after a revision, oldest first. */
export async function listEvents(
  scope: Scope,
  query: { flow_id: string; kinds?: readonly EventKind[]; after: number; limit: number },
): Promise<FlowEvent[]> {
  return read<FlowEvent>(
    scope,
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
    sql`
      select ${shown}, xid::text as xid from flow_events
      where namespace = ${query.namespace}
        and xid < pg_snapshot_xmin(pg_current_snapshot())${from}${ofKinds(query.kinds)}
      order by ${join([raw('flow_events.xid'), raw('flow_id'), raw('revision')], ', ')}
      limit ${query.limit}`,
  )
}

function ofKinds(kinds: readonly EventKind[] | undefined): Sql {
  return kinds === undefined ? raw('') : sql` and kind = any(${kinds}::text[])`
}

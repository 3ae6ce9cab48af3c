// Flows as rows: locking, saving, reading and listing them.

import type { DecidedFlow } from '../domain/command.ts'
import type { FlowRecord, FlowStatus } from '../domain/flow.ts'
import type { JsonObject, StatePatch } from '../domain/json.ts'
import { type ArrayColumn, arrayRows } from './arrays.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { type EventRow, eventColumns, eventTable } from './events.ts'
import { type WaiterQuery, waitingFlows } from './match-keys.ts'
import { raw, type Sql, sql } from './sql.ts'
import { everywhere, type Within } from './wall.ts'

/** Columns of a flow without its state; the same names as the members of `FlowControl`. */
export const controlColumns = [
  'id',
  'shard',
  'namespace',
  'key',
  'controller_id',
  'goal',
  'owner_session_key',
  'requester_origin',
  'mode',
  'current_step',
  'status',
  'wait',
  'cancel_requested',
  'cancel_reason',
  'labels',
  'retain_ms',
  'hold',
  'revision',
  'wake_at',
  'last_xid',
  'hooked',
  'traceparent',
  'state_bytes',
  'open_steps',
  'created_at',
  'updated_at',
  'closed_at',
] as const

const columnsOf = (alias: string) =>
  raw(controlColumns.map((name) => `${alias}.${name}`).join(', '))
/** The same of table alias `f`, as a fragment. */
export const controlOfF = columnsOf('f')
export const allOfF = sql`${controlOfF}, f.state`

/** A flow to lock. */
export interface FlowLock {
  id: string
  /** Whether the state must be read too. */
  state: boolean
}

type LockedRow = Omit<DecidedFlow, 'state'> & { state: JsonObject | null }

function decided({ state, ...flow }: LockedRow): DecidedFlow {
  return state === null ? flow : { ...flow, state }
}

/** Which flows to lock: named ones, and those that only the database knows. */
export interface FlowLocks {
  flows: readonly FlowLock[]
  /** The flows that wait longest under these match keys. */
  waiters: readonly WaiterQuery[]
  /** The open flows that hold these business keys. */
  holders: readonly KeyRef[]
  /** A larger state, in bytes, is read in any case: something might not fit into it. */
  state_room: number
  /** Wait for flows that are locked elsewhere, instead of leaving them out. */
  block: boolean
}

/**
 * Locks flows in the order of their ids and reads them. A flow that another transaction has locked
 * is left out, unless `block` says to wait for it.
 *
 * Looked up by id alone, so that only the primary key serves: with the namespace beside it, a table
 * without statistics would have every entry of the namespace read in another index. Whose flow it is
 * must be judged by what comes back.
 */
export async function lockFlows(runner: Runner, locks: FlowLocks): Promise<DecidedFlow[]> {
  const { flows, waiters, holders, block } = locks
  const ids = flows.map(({ id }) => id)
  const whole = flows.filter(({ state }) => state).map(({ id }) => id)
  const found = await rows<LockedRow>(
    runner,
    sql`
      select ${controlOfF},
        case when f.id = any(${whole}::uuid[]) or f.state_bytes > ${locks.state_room}
          or f.wait->>'kind' = 'all' then f.state end as state
      from flows f
      where f.id = any(${ids}::uuid[]${waiters.length > 0 ? sql` || ${waitingFlows(waiters)}` : raw('')}${
        holders.length > 0 ? sql` || array(select f.id from ${openByKey(holders)})` : raw('')
      })
      order by f.id
      for no key update ${raw(block ? '' : 'skip locked')}`,
  )
  return found.map(decided)
}

/**
 * The namespaces, by id, of those flows that exist. The shard is asked for because only the primary
 * key has it beside the id: an index with both id and namespace would be read from end to end.
 */
export async function namespacesOf(
  runner: Runner,
  ids: readonly string[],
): Promise<Map<string, string>> {
  const found = await rows<{ id: string; namespace: string }>(
    runner,
    sql`select f.id, f.shard, f.namespace from flows f where f.id = any(${ids}::uuid[])`,
  )
  return new Map(found.map(({ id, namespace }) => [id, namespace]))
}

/** A change of one flow: its control columns as they are to be, and what becomes of its state. */
export interface FlowUpdate {
  flow: DecidedFlow
  /** Merged in SQL when the state itself is not known. */
  patch: StatePatch | null
}

const changingColumns = [
  ['revision', 'integer'],
  ['status', 'text'],
  ['wait', 'jsonb'],
  ['wake_at', 'timestamptz'],
  ['current_step', 'text'],
  ['cancel_requested', 'boolean'],
  ['cancel_reason', 'text'],
  ['labels', 'jsonb'],
  ['last_xid', 'xid8'],
  ['updated_at', 'timestamptz'],
  ['closed_at', 'timestamptz'],
  ['state_bytes', 'integer'],
  ['open_steps', 'integer'],
  ['traceparent', 'text'],
  ['retain_ms', 'bigint'],
  ['hold', 'jsonb'],
] as const satisfies readonly ArrayColumn[]

const newFlowColumns = [
  ['id', 'uuid'],
  ['shard', 'smallint'],
  ['namespace', 'text'],
  ['key', 'text'],
  ['controller_id', 'text'],
  ['goal', 'text'],
  ['owner_session_key', 'text'],
  ['requester_origin', 'text'],
  ['mode', 'text'],
  ['created_at', 'timestamptz'],
  ['hooked', 'boolean'],
  ...changingColumns,
  ['state', 'jsonb'],
] as const satisfies readonly ArrayColumn[]

const newFlows = arrayRows(newFlowColumns)
const newFlowValues = raw(
  newFlowColumns
    .map(([name, type]) => (type === 'boolean' ? `c.${name} is true` : `c.${name}`))
    .join(', '),
)

const flowChanges = arrayRows(
  [['id', 'uuid'], ['shard', 'smallint'], ...changingColumns],
  // Whether the state is known to the caller, and what becomes of it: `state` itself, or a change of it.
  [
    ['known', 'boolean'],
    ['state', 'jsonb'],
    ['patch', 'jsonb'],
    ['unset', 'jsonb'],
  ],
)

/**
 * Saves changes of locked flows and their events in one statement. Answers the states, by id, of the
 * flows whose state the caller does not know.
 */
export async function updateFlows(
  runner: Runner,
  updates: readonly FlowUpdate[],
  events: readonly EventRow[],
): Promise<Map<string, JsonObject>> {
  const flows = updates.map(({ flow }) => flow)
  const states = updates.map(({ flow: { state }, patch }) => {
    const known = state !== undefined
    if (patch === null) return { known }
    return known ? { known, state } : { known, patch: patch.merge, unset: patch.unset }
  })
  const saved = await rows<{ id: string; state: JsonObject | null }>(
    runner,
    sql`
      with c as (
        select * from ${flowChanges.of(flows, states)} as c(${raw(flowChanges.names)})),
      u as (
        update flows f set
          revision = c.revision, status = c.status, wait = c.wait, wake_at = c.wake_at,
          current_step = c.current_step, cancel_requested = c.cancel_requested is true,
          cancel_reason = c.cancel_reason, labels = c.labels, last_xid = c.last_xid, updated_at = c.updated_at,
          closed_at = c.closed_at, state_bytes = c.state_bytes,
          open_steps = c.open_steps, traceparent = c.traceparent,
          retain_ms = c.retain_ms, hold = c.hold,
          state = case
            when c.state is not null then c.state
            when c.patch is not null then (f.state || c.patch)
              - array(select jsonb_array_elements_text(c.unset))
            else f.state end
        from c where f.id = c.id and f.shard = c.shard
        returning f.id, case when c.known then null else f.state end as state),
      e as (
        insert into flow_events (${eventColumns.names})
        select ${eventColumns.names} from ${eventTable(events)})
      select id, state from u`,
  )
  const after = new Map<string, JsonObject>()
  for (const { id, state } of saved) if (state !== null) after.set(id, state)
  return after
}

/**
 * Inserts new flows with their events. A flow whose key an open flow has taken meanwhile is left
 * out, with everything that hangs on it: the answer names those that came in.
 */
export async function insertFlows(
  runner: Runner,
  flows: readonly FlowRecord[],
  events: readonly EventRow[],
): Promise<Set<string>> {
  const inserted = await rows<{ id: string }>(
    runner,
    sql`
      with n as (
        insert into flows (${raw(newFlows.names)})
        select ${newFlowValues} from ${newFlows.of(flows)} as c(${raw(newFlows.names)})
        on conflict do nothing
        returning id),
      e as (
        insert into flow_events (${eventColumns.names})
        select ${eventColumns.namesOfE} from ${eventTable(events)}
        -- Said so that it is hashed: as a join, each event would be held against each flow.
        where (e.flow_id in (select n.id from n)) is true)
      select id from n`,
  )
  return new Set(inserted.map((row) => row.id))
}

/**
 * The open flows that hold business keys. Not locked: an insert has the last word. Looked up key by
 * key: as a plain join, a table without statistics would have all its keys read for each batch.
 */
export async function openFlowsByKey(
  runner: Runner,
  keys: readonly KeyRef[],
): Promise<FlowRecord[]> {
  return rows<FlowRecord>(runner, sql`select ${allOfF} from ${openByKey(keys)}`)
}

/** A business key, in the scope in which it is unique. */
export interface KeyRef {
  namespace: string
  key: string
  shard: number
}

function openByKey(keys: readonly KeyRef[]): Sql {
  return sql`
    json_to_recordset(${JSON.stringify(keys)}::json) as k(namespace text, key text, shard smallint)
    cross join lateral (
      select * from flows o
      where o.namespace = k.namespace and o.key = k.key and o.shard = k.shard
        and o.closed_at is null
      limit 1) f`
}

/** Flows by id, in any order; absent ones are left out. */
export async function readFlows(
  scope: Scope,
  within: Within,
  ids: readonly string[],
): Promise<FlowRecord[]> {
  return read<FlowRecord>(
    scope,
    within,
    sql`select ${allOfF} from flows f where f.id = any(${ids}::uuid[])`,
  )
}

/** The present revision and status of flows of whomever, without reading anything large: for those that watch. */
export async function readRevisions(
  scope: Scope,
  ids: readonly string[],
): Promise<{ id: string; revision: number; status: FlowStatus }[]> {
  return read(
    scope,
    everywhere,
    sql`select id, revision, status from flows where id = any(${ids}::uuid[])`,
  )
}

/** Whose a flow is. */
export interface FlowOwner {
  id: string
  namespace: string
  owner_session_key: string
  controller_id: string
}

/** Whose these flows are. Those that do not exist are left out. */
export async function readOwners(
  scope: Scope,
  within: Within,
  ids: readonly string[],
): Promise<FlowOwner[]> {
  return read<FlowOwner>(
    scope,
    within,
    sql`
      select id, namespace, owner_session_key, controller_id from flows
      where id = any(${ids}::uuid[])`,
  )
}

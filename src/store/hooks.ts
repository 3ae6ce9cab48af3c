// Hooks as rows: who is told of which events.

import type { HookDefinition, HookRecord } from '../domain/hook.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { join, raw, type Sql, sql } from './sql.ts'

export const hookColumns = [
  'id',
  'shard',
  'namespace',
  'flow_id',
  'lane',
  'url',
  'kinds',
  'controller_id',
  'labels',
  'payload',
  'ordered',
  'description',
  'enabled',
  'disabled_reason',
  'disabled_at',
  'secrets',
  'last_success_at',
  'first_failure_at',
  'created_at',
  'updated_at',
] as const

const names = raw(hookColumns.join(', '))

/** A hook as it is made; the dates are the database's. */
export interface NewHookRow extends HookDefinition {
  id: string
  shard: number
  namespace: string
  flow_id: string | null
  lane: string
  secret: string
}

/** Truncated as everywhere: a time of the future would not be this hook's yet. */
const nowInMillis = sql`date_trunc('milliseconds', now())`
const nowAsText = sql`to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`

function values(hooks: readonly NewHookRow[], from: Sql): Sql {
  return sql`
    insert into hooks (id, shard, namespace, flow_id, lane, url, kinds, controller_id, labels, payload,
      ordered, description, secrets, created_at, updated_at)
    select h.id, h.shard, h.namespace, h.flow_id, h.lane, h.url, h.kinds, h.controller_id, h.labels,
      h.payload, h.ordered, h.description,
      jsonb_build_array(jsonb_build_object(
        'secret', h.secret, 'created_at', ${nowAsText}, 'expires_at', null)),
      ${nowInMillis}, ${nowInMillis}
    from json_to_recordset(${JSON.stringify(hooks)}::json) as h(
      id uuid, shard smallint, namespace text, flow_id uuid, lane uuid, url text, kinds text[],
      controller_id text, labels jsonb, payload text, ordered boolean, description text, secret text)
    ${from}`
}

/** Inserts a hook. */
export async function insertHook(runner: Runner, hook: NewHookRow): Promise<HookRecord> {
  const [made] = await rows<HookRecord>(runner, sql`${values([hook], raw(''))} returning ${names}`)
  if (made === undefined) throw new Error('an inserted hook was not answered')
  return made
}

/** Inserts hooks of new flows. Those of a flow that did not come in are left out. */
export async function insertFlowHooks(runner: Runner, hooks: readonly NewHookRow[]): Promise<void> {
  await rows(runner, values(hooks, sql`join flows f on f.id = h.flow_id and f.shard = h.shard`))
}

/** Says that a flow has hooks; answers whether there is such a flow. */
export async function markHooked(
  runner: Runner,
  flow: { id: string; shard: number; namespace: string },
): Promise<boolean> {
  const marked = await rows<{ id: string }>(
    runner,
    sql`
      update flows f set hooked = true
      where f.id = ${flow.id} and f.shard = ${flow.shard}::smallint and f.namespace = ${flow.namespace}
      returning f.id`,
  )
  return marked.length > 0
}

/** How many hooks a flow has, or without one the namespace for all its flows; counted no further than `bound`. */
export async function countHooks(
  runner: Runner,
  query: { namespace: string; flow_id: string | null; bound: number },
): Promise<number> {
  const of =
    query.flow_id === null
      ? sql`flow_id is null and namespace = ${query.namespace}`
      : sql`flow_id = ${query.flow_id}::uuid`
  const [row] = await rows<{ count: number }>(
    runner,
    sql`
      select count(*)::integer as count from (
        select 1 from hooks where ${of} limit ${query.bound}) h`,
  )
  return row?.count ?? 0
}

export async function readHook(
  scope: Scope,
  namespace: string,
  id: string,
): Promise<HookRecord | undefined> {
  const [hook] = await read<HookRecord>(
    scope,
    namespace,
    sql`select ${names} from hooks where id = ${id} and namespace = ${namespace}`,
  )
  return hook
}

/** Reads a hook and locks it for this transaction, with the database's time. */
export async function lockHook(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<(HookRecord & { now: Timestamp }) | undefined> {
  const [hook] = await rows<HookRecord & { now: Timestamp }>(
    runner,
    sql`
      select ${names}, ${nowInMillis} as now from hooks
      where id = ${id} and namespace = ${namespace}
      for update`,
  )
  return hook
}

/** Hooks of a flow, or without one those of the namespace for all its flows, newest first. */
export async function listHooks(
  scope: Scope,
  query: {
    namespace: string
    flow_id?: string
    enabled?: boolean
    before?: { created_at: Timestamp; id: string }
    limit: number
  },
): Promise<HookRecord[]> {
  const { flow_id, enabled, before } = query
  return read<HookRecord>(
    scope,
    query.namespace,
    sql`
      select ${names} from hooks
      where ${join(
        [
          sql`namespace = ${query.namespace}`,
          flow_id === undefined ? sql`flow_id is null` : sql`flow_id = ${flow_id}::uuid`,
          ...(enabled === undefined ? [] : [sql`enabled = ${enabled}`]),
          ...(before === undefined
            ? []
            : [sql`(created_at, id) < (${before.created_at}::timestamptz, ${before.id}::uuid)`]),
        ],
        ' and ',
      )}
      order by created_at desc, id desc
      limit ${query.limit}`,
  )
}

/** Saves what can be changed of a locked hook. */
export async function updateHook(runner: Runner, hook: HookRecord): Promise<HookRecord> {
  const [updated] = await rows<HookRecord>(
    runner,
    sql`
      update hooks set url = ${hook.url}, lane = ${hook.lane}::uuid, kinds = ${hook.kinds}::text[],
        controller_id = ${hook.controller_id},
        labels = ${hook.labels === null ? null : JSON.stringify(hook.labels)}::jsonb,
        payload = ${hook.payload}, ordered = ${hook.ordered}, description = ${hook.description},
        enabled = ${hook.enabled}, disabled_reason = ${hook.disabled_reason},
        disabled_at = ${hook.disabled_at}::timestamptz,
        first_failure_at = ${hook.first_failure_at}::timestamptz,
        secrets = ${JSON.stringify(hook.secrets)}::jsonb, updated_at = ${nowInMillis}
      where id = ${hook.id} and shard = ${hook.shard}::smallint
      returning ${names}`,
  )
  if (updated === undefined) throw new Error('a locked hook is gone')
  return updated
}

/** Answers whether there was one. Its deliveries stay, and those that are pending fail. */
export async function deleteHook(runner: Runner, namespace: string, id: string): Promise<boolean> {
  const gone = await rows<{ id: string }>(
    runner,
    sql`delete from hooks where id = ${id} and namespace = ${namespace} returning id`,
  )
  return gone.length > 0
}

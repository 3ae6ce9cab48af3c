// Bindings and their keys as rows.

import type { BindingKeyRecord, BindingRecord, Bounds } from '../domain/binding.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope, writerOf } from './db.ts'
import { join, raw, type Sql, sql } from './sql.ts'
import { everywhere, type Within } from './wall.ts'

const bindingColumns = [
  'id',
  'namespace',
  'name',
  'owner_session_key',
  'requester_origin',
  'actions',
  'controllers',
  'timer_max_horizon_ms',
  'rate',
  'created_at',
  'updated_at',
  'expires_at',
] as const
const names = raw(bindingColumns.join(', '))
const namesOfB = raw(bindingColumns.map((name) => `b.${name}`).join(', '))

const keyNames = raw(
  'id, binding_id, parent_id, name, narrowed, created_at, expires_at, last_used_at',
)
const now = sql`date_trunc('milliseconds', now())`

/** What callers say of a binding; the dates are the database's. */
export type BindingRow = Omit<BindingRecord, 'created_at' | 'updated_at'>

/** Inserts a binding; nothing when its namespace has one of that name. */
export async function insertBinding(
  runner: Runner,
  row: BindingRow,
): Promise<BindingRecord | undefined> {
  const [made] = await rows<BindingRecord>(
    runner,
    sql`
      insert into bindings (${names})
      values (${row.id}, ${row.namespace}, ${row.name}, ${row.owner_session_key},
        ${row.requester_origin}, ${row.actions}::text[], ${row.controllers}::text[],
        ${row.timer_max_horizon_ms}::bigint, ${row.rate && JSON.stringify(row.rate)}::jsonb,
        ${now}, ${now}, ${row.expires_at}::timestamptz)
      on conflict (namespace, name) do nothing
      returning ${names}`,
  )
  return made
}

/** Which bindings a caller can know of: those of its namespace, or all. */
export interface BindingSight {
  /** Null: all. */
  namespace: string | null
}

/** The same for the database to keep to. */
export function bindingsWithin({ namespace }: BindingSight): Within {
  return namespace ?? everywhere
}

function seen({ namespace }: BindingSight): Sql {
  return namespace === null ? raw('true') : sql`namespace = ${namespace}`
}

export async function readBinding(
  scope: Scope,
  sight: BindingSight,
  id: string,
): Promise<BindingRecord | undefined> {
  const [binding] = await read<BindingRecord>(
    scope,
    bindingsWithin(sight),
    sql`select ${names} from bindings where id = ${id} and ${seen(sight)}`,
  )
  return binding
}

/** Reads a binding and locks it for this transaction. */
export async function lockBinding(
  runner: Runner,
  sight: BindingSight,
  id: string,
): Promise<BindingRecord | undefined> {
  const [binding] = await rows<BindingRecord>(
    runner,
    sql`select ${names} from bindings where id = ${id} and ${seen(sight)} for update`,
  )
  return binding
}

export async function updateBinding(runner: Runner, row: BindingRow): Promise<BindingRecord> {
  const [updated] = await rows<BindingRecord>(
    runner,
    sql`
      update bindings set owner_session_key = ${row.owner_session_key},
        requester_origin = ${row.requester_origin}, actions = ${row.actions}::text[],
        controllers = ${row.controllers}::text[],
        timer_max_horizon_ms = ${row.timer_max_horizon_ms}::bigint,
        rate = ${row.rate && JSON.stringify(row.rate)}::jsonb,
        expires_at = ${row.expires_at}::timestamptz, updated_at = ${now}
      where id = ${row.id}
      returning ${names}`,
  )
  if (updated === undefined) throw new Error('a locked binding is gone')
  return updated
}

/** Answers whether there was one. Its keys go with it. */
export async function deleteBinding(
  runner: Runner,
  sight: BindingSight,
  id: string,
): Promise<boolean> {
  const gone = await rows(
    runner,
    sql`delete from bindings where id = ${id} and ${seen(sight)} returning id`,
  )
  return gone.length > 0
}

interface Place {
  created_at: Timestamp
  id: string
}

/** Bindings, newest first. */
export async function listBindings(
  scope: Scope,
  query: BindingSight & { before?: Place; limit: number },
): Promise<BindingRecord[]> {
  const where: Sql[] = [seen(query)]
  if (query.before !== undefined) {
    const { created_at, id } = query.before
    where.push(sql`(created_at, id) < (${created_at}::timestamptz, ${id}::uuid)`)
  }
  return read<BindingRecord>(
    scope,
    bindingsWithin(query),
    sql`
      select ${names} from bindings where ${join(where, ' and ')}
      order by created_at desc, id desc
      limit ${query.limit}`,
  )
}

/** The keys of a binding, oldest first. */
export async function listKeys(runner: Runner, bindingId: string): Promise<BindingKeyRecord[]> {
  return rows<BindingKeyRecord>(
    runner,
    sql`select ${keyNames} from binding_keys where binding_id = ${bindingId} order by created_at, id`,
  )
}

export interface NewKeyRow {
  id: string
  binding_id: string
  parent_id: string | null
  name: string | null
  hash: Buffer
  narrowed: Partial<Bounds> | null
  /** From now, in milliseconds; null: it does not expire. */
  expires_in: number | null
}

export async function insertKey(runner: Runner, row: NewKeyRow): Promise<BindingKeyRecord> {
  const [made] = await rows<BindingKeyRecord>(
    runner,
    sql`
      insert into binding_keys (id, binding_id, parent_id, name, hash, narrowed, created_at, expires_at)
      values (${row.id}, ${row.binding_id}, ${row.parent_id}::uuid, ${row.name}, ${row.hash}::bytea,
        ${row.narrowed && JSON.stringify(row.narrowed)}::jsonb, ${now},
        ${now} + ${row.expires_in}::float8 * interval '1 ms')
      returning ${keyNames}`,
  )
  if (made === undefined) throw new Error('an inserted key was not answered')
  return made
}

/** Answers whether there was one. Those that were minted from it go with it. */
export async function deleteKey(runner: Runner, bindingId: string, id: string): Promise<boolean> {
  const gone = await rows(
    runner,
    sql`delete from binding_keys where id = ${id} and binding_id = ${bindingId} returning id`,
  )
  return gone.length > 0
}

/** Keys that work, of those that are the binding's own or those that were minted. */
export async function countLiveKeys(
  runner: Runner,
  bindingId: string,
  minted: boolean,
): Promise<number> {
  const [row] = await rows<{ count: number }>(
    runner,
    sql`
      select count(*)::integer as count from binding_keys
      where binding_id = ${bindingId} and (parent_id is not null) = ${minted}
        and (expires_at is null or expires_at > now())`,
  )
  return row?.count ?? 0
}

/** Removes keys that expired before now, of one binding. */
export async function deleteExpiredKeys(runner: Runner, bindingId: string): Promise<void> {
  await rows(
    runner,
    sql`delete from binding_keys where binding_id = ${bindingId} and expires_at < now()`,
  )
}

/** A key with its binding, as it is needed to know a caller. */
export type KnownKey = BindingRecord & {
  key_id: string
  hash: Buffer
  narrowed: Partial<Bounds> | null
  /** Milliseconds until the key or its binding expires; null: never. */
  expires_in: number | null
}

/** Reads a key that has not expired, with its binding. */
export async function readKeys(scope: Scope, ids: readonly string[]): Promise<KnownKey[]> {
  return read<KnownKey>(
    scope,
    // Whose it is, is what is asked.
    everywhere,
    sql`
      select ${namesOfB}, k.id as key_id, k.hash, k.narrowed,
        (extract(epoch from least(k.expires_at, b.expires_at) - clock_timestamp()) * 1000)::float8
          as expires_in
      from binding_keys k join bindings b on b.id = k.binding_id
      where k.id = any(${ids}::uuid[]) and (k.expires_at is null or k.expires_at > now())
        and (b.expires_at is null or b.expires_at > now())`,
  )
}

/** Notes that keys were used, to the second in which this is told. */
export async function touchKeys(scope: Scope, ids: readonly string[]): Promise<void> {
  await rows(
    writerOf(scope, everywhere),
    sql`update binding_keys set last_used_at = ${now} where id = any(${ids}::uuid[])`,
  )
}

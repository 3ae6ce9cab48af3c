// Sources of inbound webhooks as rows.

import type { SourceRecord } from '../domain/source.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { raw, sql } from './sql.ts'

export const sourceColumns = [
  'namespace',
  'id',
  'verify',
  'secrets',
  'map',
  'ttl_ms',
  'deliver',
  'created_at',
  'updated_at',
] as const

const names = raw(sourceColumns.join(', '))

/** A source, with the database's time at which it was read. */
export type SourceReading = SourceRecord & { now: Timestamp }

/** Reads one for a caller. */
export async function readSource(
  scope: Scope,
  namespace: string,
  id: string,
): Promise<SourceReading | undefined> {
  const [source] = await read<SourceReading>(
    scope,
    namespace,
    sql`
      select ${names}, clock_timestamp() as now from sources
      where namespace = ${namespace} and id = ${id}`,
  )
  return source
}

/** Sources of a namespace, newest first. */
export async function listSources(
  scope: Scope,
  query: { namespace: string; before?: { created_at: Timestamp; id: string }; limit: number },
): Promise<SourceRecord[]> {
  const before =
    query.before === undefined
      ? raw('')
      : sql` and (created_at, id) < (${query.before.created_at}::timestamptz, ${query.before.id}::text)`
  return read<SourceRecord>(
    scope,
    query.namespace,
    sql`
      select ${names} from sources
      where namespace = ${query.namespace}${before}
      order by created_at desc, id desc
      limit ${query.limit}`,
  )
}

/** What callers say of a source; the dates are the database's. */
export type SourceRow = Omit<SourceRecord, 'created_at' | 'updated_at'>

/** Inserts a source; nothing when there is one with its id. */
export async function insertSource(
  runner: Runner,
  row: SourceRow,
): Promise<SourceRecord | undefined> {
  const [inserted] = await rows<SourceRecord>(
    runner,
    sql`
      insert into sources (${names})
      values (${row.namespace}, ${row.id}, ${JSON.stringify(row.verify)}::jsonb,
        ${row.secrets}::text[], ${JSON.stringify(row.map)}::jsonb, ${row.ttl_ms}::bigint,
        ${row.deliver}, date_trunc('milliseconds', now()), date_trunc('milliseconds', now()))
      on conflict (namespace, id) do nothing
      returning ${names}`,
  )
  return inserted
}

/** Reads a source and locks it for this transaction. */
export async function lockSource(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<SourceRecord | undefined> {
  const [source] = await rows<SourceRecord>(
    runner,
    sql`
      select ${names} from sources
      where namespace = ${namespace} and id = ${id}
      for update`,
  )
  return source
}

export async function updateSource(runner: Runner, row: SourceRow): Promise<SourceRecord> {
  const [updated] = await rows<SourceRecord>(
    runner,
    sql`
      update sources set verify = ${JSON.stringify(row.verify)}::jsonb,
        secrets = ${row.secrets}::text[], map = ${JSON.stringify(row.map)}::jsonb,
        ttl_ms = ${row.ttl_ms}::bigint, deliver = ${row.deliver},
        updated_at = date_trunc('milliseconds', now())
      where namespace = ${row.namespace} and id = ${row.id}
      returning ${names}`,
  )
  if (updated === undefined) throw new Error('a locked source is gone')
  return updated
}

/** Answers whether there was one. */
export async function deleteSource(
  runner: Runner,
  namespace: string,
  id: string,
): Promise<boolean> {
  const gone = await rows<{ id: string }>(
    runner,
    sql`delete from sources where namespace = ${namespace} and id = ${id} returning id`,
  )
  return gone.length > 0
}

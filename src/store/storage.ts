// How much room the tables take: by the server's own books, so that asking costs the same at any size.

import type { Timestamp } from '../domain/time.ts'
import { read, type Scope } from './db.ts'
import { sql } from './sql.ts'
import { nowhere } from './wall.ts'

export interface TableSize {
  name: string
  /** An estimate, as of the last autovacuum and the writes since. */
  rows: number
  /** Deleted and replaced ones that no vacuum has freed yet. */
  dead_rows: number
  /** With what is stored out of line. */
  table_bytes: number
  index_bytes: number
  last_autovacuum_at: Timestamp | null
}

/** The tables of the service, the largest first. */
export async function readTableSizes(scope: Scope): Promise<TableSize[]> {
  return read<TableSize>(
    scope,
    nowhere,
    sql`
      select c.relname::text as name,
        case when coalesce(s.n_live_tup, 0) > 0 then s.n_live_tup
          else greatest(c.reltuples, 0)::bigint end as rows,
        coalesce(s.n_dead_tup, 0) as dead_rows, z.table_bytes, z.index_bytes,
        s.last_autovacuum as last_autovacuum_at
      from pg_class c
      left join pg_stat_all_tables s on s.relid = c.oid
      cross join lateral (
        select pg_table_size(c.oid) as table_bytes, pg_indexes_size(c.oid) as index_bytes) z
      where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
      order by z.table_bytes + z.index_bytes desc, c.relname`,
  )
}

/** Everything that lies in the database, what is not the service's own among it. */
export async function readDatabaseBytes(scope: Scope): Promise<number> {
  const [size] = await read<{ bytes: number }>(
    scope,
    nowhere,
    sql`select pg_database_size(current_database()) as bytes`,
  )
  return size?.bytes ?? 0
}

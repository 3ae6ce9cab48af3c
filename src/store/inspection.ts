// Facts about a database that a look from outside finds: how the server is set, who we are in it, what state the schema is in.

import { readdir } from 'node:fs/promises'
import pg from 'pg'

export interface DatabaseFacts {
  version: string
  /** Which database of which server it is, whatever the way to it. */
  identity: string
  database: string
  role: string
  encoding: string
  in_recovery: boolean
  schema: string | null
  can_create: boolean
  /** Whether row level security holds for our role. */
  walled: boolean
  /** The server's clock, in milliseconds since 1970; when on `performance.now` it showed that; how long the question took. */
  clock: { at: number; measured: number; took: number }
  settings: Readonly<Record<string, string>>
  connections: { limit: number; limited_by: 'server' | 'role' | 'database'; others: number }
  collation_changed: boolean
  schema_state: SchemaState
  /** Transactions that have been open for longer than asked, the oldest first. */
  old_transactions: { pid: number | null; name: string; seconds: number; state: string }[]
  /** Replication slots that nobody reads and that hold back the log or old rows. */
  idle_slots: string[]
}

export interface SchemaState {
  /** Migrations of this release that the database lacks. */
  pending: string[]
  /** Those that it has and this release does not know. */
  unknown: string[]
  /** Tables of ours on which the role lacks a right that serving takes. */
  denied: string[]
  /** Tables that lose their rows in a crash. */
  unlogged: string[]
  without_autovacuum: string[]
  invalid_indexes: string[]
}

/** Settings that matter, as this session sees them. */
const settingNames = [
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'autovacuum',
  'track_counts',
  'default_transaction_read_only',
  'statement_timeout',
  'idle_session_timeout',
  'transaction_timeout',
  'client_encoding',
]

/** The major version that we need. */
export const oldestVersion = 15

interface Source {
  connectionString: string
  migrationsDir: string
  /** How long a transaction may be open, in seconds. */
  oldTransaction: number
}

/** Looks at it, unless it is too old to be looked at. Throws what stands in the way of a connection. */
export async function inspectDatabase(
  source: Source,
): Promise<DatabaseFacts | { too_old: string }> {
  return visit(source.connectionString, async (client) => {
    const { rows: versions } = await client.query<{ version: string; number: number }>(
      "select current_setting('server_version') as version, current_setting('server_version_num')::int as number",
    )
    const { version = '', number = 0 } = versions[0] ?? {}
    if (number < oldestVersion * 10_000) return { too_old: version }
    const clock = await readClock(client)
    const { rows } = await client.query<{
      identity: string
      database: string
      role: string
      encoding: string
      in_recovery: boolean
      schema: string | null
      can_create: boolean
      walled: boolean
      collation_changed: boolean
    }>(`
      select (select system_identifier from pg_control_system())::text || '/' || d.oid::text as identity,
             d.datname as database, current_user as role,
             pg_encoding_to_char(d.encoding) as encoding,
             pg_is_in_recovery() as in_recovery,
             current_schema() as schema,
             coalesce(has_schema_privilege(current_schema(), 'create'), false) as can_create,
             coalesce(row_security_active(to_regclass('flows')), false) as walled,
             coalesce(d.datcollversion <> pg_database_collation_actual_version(d.oid), false) as collation_changed
        from pg_database d where d.datname = current_database()`)
    const found = rows[0]
    if (found === undefined) throw new Error('the server does not know its own database')
    return {
      ...found,
      version,
      clock,
      settings: await readSettings(client),
      connections: await readConnections(client),
      schema_state: await readSchema(client, found.schema, source.migrationsDir),
      old_transactions: await readOldTransactions(client, source.oldTransaction),
      idle_slots: await readIdleSlots(client),
    }
  })
}

async function visit<Value>(
  connectionString: string,
  work: (client: pg.Client) => Promise<Value>,
): Promise<Value> {
  const client = new pg.Client({
    connectionString,
    application_name: 'taskflow/doctor',
    connectionTimeoutMillis: 5_000,
    query_timeout: 10_000,
  })
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    await client.end().catch(() => {})
  }
}

/** The best of a few: the shortest question says the most exact time. */
async function readClock(client: pg.Client): Promise<DatabaseFacts['clock']> {
  let best = { at: 0, measured: 0, took: Number.POSITIVE_INFINITY }
  for (let i = 0; i < 3; i++) {
    const began = performance.now()
    const { rows } = await client.query<{ ms: string }>(
      'select (extract(epoch from clock_timestamp()) * 1000)::text as ms',
    )
    const took = performance.now() - began
    // The server looked at its clock in the middle of it, as far as one can tell.
    if (took < best.took) best = { at: Number(rows[0]?.ms), measured: began + took / 2, took }
  }
  return best
}

async function readSettings(client: pg.Client): Promise<Record<string, string>> {
  const { rows } = await client.query<{ name: string; value: string }>(
    'select name, current_setting(name) as value from pg_settings where name = any($1)',
    [settingNames],
  )
  return Object.fromEntries(rows.map(({ name, value }) => [name, value]))
}

async function readConnections(client: pg.Client): Promise<DatabaseFacts['connections']> {
  const { rows } = await client.query<{
    server: number
    role: number
    database: number
    others: number
  }>(`
    select current_setting('max_connections')::int
             - current_setting('superuser_reserved_connections')::int as server,
           r.rolconnlimit as role, d.datconnlimit as database,
           (select count(*)::int from pg_stat_activity a
             where a.backend_type = 'client backend' and a.application_name not like 'taskflow%') as others
      from pg_roles r, pg_database d
     where r.rolname = current_user and d.datname = current_database()`)
  const { server = 0, role = -1, database = -1, others = 0 } = rows[0] ?? {}
  const limits = [
    { limit: server, limited_by: 'server' },
    { limit: role === -1 ? server : role, limited_by: 'role' },
    { limit: database === -1 ? server : database, limited_by: 'database' },
  ] as const
  const least = limits.reduce((a, b) => (b.limit < a.limit ? b : a))
  return { ...least, others }
}

async function readSchema(
  client: pg.Client,
  schema: string | null,
  migrationsDir: string,
): Promise<SchemaState> {
  const files = await readdir(migrationsDir)
  const known = files
    .filter((file) => file.endsWith('.sql'))
    .map((file) => file.slice(0, -'.sql'.length))
    .toSorted()
  const none = { denied: [], unlogged: [], without_autovacuum: [], invalid_indexes: [] }
  if (schema === null) return { pending: known, unknown: [], ...none }
  const ledger = `${client.escapeIdentifier(schema)}.schema_migrations`
  const readable = await client.query<{ there: boolean; may: boolean }>(
    `select to_regclass($1) is not null as there,
            coalesce(has_table_privilege(to_regclass($1), 'select'), false) as may`,
    [ledger],
  )
  if (readable.rows[0]?.there !== true) return { pending: known, unknown: [], ...none }
  if (!readable.rows[0].may) {
    return { pending: [], unknown: [], ...none, denied: ['schema_migrations'] }
  }
  const { rows } = await client.query<{ name: string }>(`select name from ${ledger} order by id`)
  const applied = rows.map(({ name }) => name)
  return {
    pending: known.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !known.includes(name)),
    ...(await readTables(client, schema)),
  }
}

async function readTables(
  client: pg.Client,
  schema: string,
): Promise<Pick<SchemaState, 'denied' | 'unlogged' | 'without_autovacuum' | 'invalid_indexes'>> {
  const { rows } = await client.query<{
    name: string
    denied: boolean
    unlogged: boolean
    no_vacuum: boolean
    invalid: string[] | null
  }>(
    `select c.relname as name,
            not (has_table_privilege(c.oid, 'select') and has_table_privilege(c.oid, 'insert')) as denied,
            c.relpersistence = 'u' as unlogged,
            coalesce(c.reloptions && array['autovacuum_enabled=false', 'autovacuum_enabled=off'], false) as no_vacuum,
            (select array_agg(i.indexrelid::regclass::text) from pg_index i
              where i.indrelid = c.oid and not i.indisvalid) as invalid
       from pg_class c
      where c.relnamespace = (select oid from pg_namespace where nspname = $1)
        and c.relkind in ('r', 'p') and c.relname <> 'schema_migrations'
      order by c.relname`,
    [schema],
  )
  const named = (test: (row: (typeof rows)[number]) => boolean) =>
    rows.filter(test).map(({ name }) => name)
  return {
    denied: named(({ denied }) => denied),
    unlogged: named(({ unlogged }) => unlogged),
    without_autovacuum: named(({ no_vacuum }) => no_vacuum),
    invalid_indexes: rows.flatMap(({ invalid }) => invalid ?? []),
  }
}

async function readOldTransactions(
  client: pg.Client,
  seconds: number,
): Promise<DatabaseFacts['old_transactions']> {
  const { rows } = await client.query<{
    pid: number | null
    name: string
    seconds: number
    state: string
  }>(
    `select pid, coalesce(nullif(application_name, ''), usename, 'no name') as name,
            extract(epoch from now() - xact_start)::float8 as seconds, coalesce(state, 'unknown') as state
       from pg_stat_activity
      where xact_start < now() - make_interval(secs => $1) and backend_type = 'client backend'
        and pid <> pg_backend_pid()
      union all
     select null, gid, extract(epoch from now() - prepared)::float8, 'prepared'
       from pg_prepared_xacts where prepared < now() - make_interval(secs => $1)
      order by 3 desc limit 10`,
    [seconds],
  )
  return rows
}

async function readIdleSlots(client: pg.Client): Promise<string[]> {
  const { rows } = await client.query<{ slot_name: string }>(
    'select slot_name from pg_replication_slots where not active and (restart_lsn is not null or xmin is not null)',
  )
  return rows.map(({ slot_name }) => slot_name)
}

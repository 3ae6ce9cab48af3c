// Brings the database's schema to the state that this release's migration files describe, once, however many processes start.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'

/** A database that cannot be brought up to date. The message is written for the operator and names the repair. */
export class MigrationError extends Error {
  override readonly name = 'MigrationError'
}

const TABLE = 'schema_migrations'
const MIN_VERSION = 15
/** The key that node-pg-migrate's own command takes as well, so that the two exclude each other. */
const LOCK_KEY = '7241865325823964'
const LOCK_POLL_MS = 100
const LOCK_WAIT_MS = 120_000
/** DDL that waits for a lock makes everyone behind it wait as well: give up soon, let them pass, try again. */
const DDL_LOCK_TIMEOUT = '3s'
const DDL_TRIES = 20
const NAME = /^\d{4}_[a-z0-9_-]+\.sql$/

interface Source {
  connectionString: string
  /** A directory of `0001_name.sql` files, each with an `-- Up Migration` and a `-- Down Migration` section. */
  migrationsDir: string
}

/**
 * Applies what is missing (`up`, in order, `count` at most, by default all of it) or takes back
 * (`down`, the last first, by default one), each migration in a transaction of its own that also
 * records it in `schema_migrations`. With nothing to do it costs one connection and two queries.
 *
 * Safe in any number of processes at once: one works, the others wait for it (`lockWaitMs`, two
 * minutes unless given) and then find the work done. The connection must reach PostgreSQL itself or a
 * pooler in session mode: a pooler in transaction mode breaks session locks.
 *
 * @returns the names of the migrations that this call ran, without `.sql`.
 * @throws MigrationError when the server is older than PostgreSQL 15, the files and the table
 * disagree, a migration fails (it is rolled back; those before it stay), or the wait is over.
 */
export async function migrate(
  options: Source & {
    direction?: 'up' | 'down'
    count?: number
    log?: (line: string) => void
    lockWaitMs?: number
  },
): Promise<{ applied: string[] }> {
  const { migrationsDir, direction = 'up', log = () => {} } = options
  const count = options.count ?? (direction === 'up' ? Number.POSITIVE_INFINITY : 1)
  return connected(options.connectionString, async (client) => {
    const schema = await inspect(client)
    const names = await readNames(migrationsDir)
    const remaining = async () => {
      const done = await readApplied(client, schema)
      const list = direction === 'up' ? missing(names, done) : done.toReversed()
      return list.slice(0, count)
    }
    if ((await remaining()).length === 0) return { applied: [] }

    // Before the lock: a faulty release shall not hold up a good one.
    await checkSections(migrationsDir, names)
    await lock(client, options.lockWaitMs ?? LOCK_WAIT_MS, log)
    // What a migration of ours has to say to the operator begins with a capital; the server's own words do not.
    client.on('notice', ({ message = '' }) => {
      if (/^[A-Z]/.test(message)) log(message)
    })
    await client.query(
      `set lock_timeout = '${DDL_LOCK_TIMEOUT}'; set statement_timeout = 0; set idle_in_transaction_session_timeout = 0`,
    )
    const applied: string[] = []
    for (const name of await remaining()) {
      const began = performance.now()
      await runOne(client, { migrationsDir, schema, direction, name, log })
      applied.push(name)
      log(`migration ${name}: ${direction}, ${Math.round(performance.now() - began)} ms`)
    }
    return { applied }
  })
}

/**
 * The migrations that the database still lacks, in order. Empty when it is up to date, also when
 * it is ahead of this release (a newer one runs beside it).
 *
 * @throws MigrationError like `migrate`.
 */
export async function pendingMigrations(options: Source): Promise<string[]> {
  const names = await readNames(options.migrationsDir)
  return connected(options.connectionString, async (client) => {
    const schema = await inspect(client)
    return missing(names, await readApplied(client, schema))
  })
}

async function connected<T>(connectionString: string, work: (client: pg.Client) => Promise<T>) {
  const client = new pg.Client({
    connectionString,
    application_name: 'taskflow/migrate',
    connectionTimeoutMillis: 10_000,
    keepAlive: true,
  })
  // A connection that breaks between queries would otherwise end the process; the next query tells.
  client.on('error', () => {})
  await client.connect()
  try {
    return await work(client)
  } finally {
    // Ends the session, and with it the lock.
    await client.end().catch(() => {})
  }
}

/** Refuses a server that is too old, and finds the schema that unqualified names are created in. */
async function inspect(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ version: string; number: number; schema: string | null }>(
    "select current_setting('server_version') as version, current_setting('server_version_num')::int as number, current_schema() as schema",
  )
  const found = rows[0]
  if (found === undefined || found.number < MIN_VERSION * 10_000) {
    throw new MigrationError(
      `The database runs PostgreSQL ${found?.version}, and Taskflow needs ${MIN_VERSION} or newer. Upgrade the server, point DATABASE_URL to a newer one, or unset it to use the embedded Postgres.`,
    )
  }
  if (found.schema === null) {
    throw new MigrationError(
      'No schema on the search_path of this database user exists. Create one (create schema taskflow) or correct the search_path in DATABASE_URL.',
    )
  }
  return found.schema
}

async function readNames(migrationsDir: string): Promise<string[]> {
  const files = await readdir(migrationsDir).catch((error) => {
    throw new MigrationError(
      `The migrations in ${migrationsDir} cannot be read (${error.code}). They belong beside the program: install the release again.`,
    )
  })
  const names = files.filter((file) => file.endsWith('.sql')).toSorted()
  const odd = names.find((name) => !NAME.test(name))
  if (odd !== undefined) {
    throw new MigrationError(
      `${join(migrationsDir, odd)} is no name for a migration: write four digits, an underscore and a name in lower case, as in 0007_hooks.sql.`,
    )
  }
  const twin = names.find((name, i) => name.slice(0, 4) === names[i + 1]?.slice(0, 4))
  if (twin !== undefined) {
    throw new MigrationError(
      `Two migrations in ${migrationsDir} have the number ${twin.slice(0, 4)}: give the one that is not released yet the next free number.`,
    )
  }
  return names.map((name) => name.slice(0, -'.sql'.length))
}

/** node-pg-migrate takes a file without a heading for an up section, so a typo in one would go unnoticed. */
async function checkSections(migrationsDir: string, names: string[]): Promise<void> {
  for (const name of names) {
    const sql = await readFile(join(migrationsDir, `${name}.sql`), 'utf8')
    for (const heading of ['-- Up Migration', '-- Down Migration']) {
      if (sql.split(/\r?\n/).filter((line) => line.trim() === heading).length === 1) continue
      throw new MigrationError(
        `${join(migrationsDir, name)}.sql needs exactly one line '${heading}', with the SQL of that direction below it.`,
      )
    }
  }
}

/** What the table says has been applied, oldest first. */
async function readApplied(client: pg.Client, schema: string): Promise<string[]> {
  const table = `${client.escapeIdentifier(schema)}.${TABLE}`
  try {
    const { rows } = await client.query<{ name: string }>(`select name from ${table} order by id`)
    return rows.map((row) => row.name)
  } catch (error) {
    if (error instanceof pg.DatabaseError && error.code === '42P01') return []
    throw error
  }
}

function missing(names: string[], done: string[]): string[] {
  const newest = done.toSorted().at(-1) ?? ''
  const list = names.filter((name) => !done.includes(name))
  const late = list.find((name) => name < newest)
  if (late !== undefined) {
    throw new MigrationError(
      `Migration ${late} is not applied, but ${newest}, which comes after it, is. Migrations run in order: give ${late} the next free number, or migrate down to below it first.`,
    )
  }
  return list
}

/**
 * Polled, and never inside a transaction: a session that waits *in* `pg_advisory_lock` holds a
 * snapshot, and a `create index concurrently` of the one that works waits for all of those: a deadlock.
 * On the connection that works, so that the lock cannot outlive it or be lost before it.
 */
async function lock(client: pg.Client, waitMs: number, log: (line: string) => void): Promise<void> {
  const deadline = Date.now() + waitMs
  for (let waited = false; ; waited = true) {
    const { rows } = await client.query<{ ok: boolean }>(
      `select pg_try_advisory_lock(${LOCK_KEY}) as ok`,
    )
    if (rows[0]?.ok) return
    if (!waited) log('waiting for another process that is migrating this database')
    if (Date.now() > deadline) {
      throw new MigrationError(
        `Another process has been migrating this database for more than ${waitMs / 1000} s: ${await describeHolder(client)}. Wait for it to end, or end it with select pg_terminate_backend(<pid>), and start again.`,
      )
    }
    await sleep(LOCK_POLL_MS * (0.5 + Math.random()))
  }
}

async function describeHolder(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ pid: number; name: string; address: string; age: string }>(
    `select a.pid, a.application_name as name, coalesce(host(a.client_addr), 'a local socket') as address,
            date_trunc('second', now() - a.backend_start)::text as age
       from pg_locks l join pg_stat_activity a using (pid)
      where l.locktype = 'advisory' and l.granted and l.objsubid = 1
        and l.database = (select oid from pg_database where datname = current_database())
        and (l.classid::bigint << 32) | l.objid::bigint = ${LOCK_KEY}`,
  )
  const holder = rows[0]
  if (holder === undefined) return 'it has just let go'
  return `the session with pid ${holder.pid} (${holder.name || 'no name'} from ${holder.address}, ${holder.age} old)`
}

async function runOne(
  client: pg.Client,
  job: {
    migrationsDir: string
    schema: string
    direction: 'up' | 'down'
    name: string
    log: (line: string) => void
  },
): Promise<void> {
  // Not loaded by a start that finds nothing to do: it brings a TypeScript loader and a glob along.
  const { runner } = await import('node-pg-migrate')
  for (let attempt = 1; ; attempt += 1) {
    const said: string[] = []
    try {
      await runner({
        dbClient: client,
        dir: job.migrationsDir,
        ignorePattern: '(?!.*\\.sql$).*',
        migrationsTable: TABLE,
        migrationsSchema: job.schema,
        direction: job.direction,
        count: 1,
        noLock: true,
        logger: { info: () => {}, warn: () => {}, error: (line) => said.push(String(line)) },
      })
      return
    } catch (error) {
      await client.query('rollback').catch(() => {})
      const code = error instanceof pg.DatabaseError ? error.code : undefined
      // 55P03 lock_not_available, 40P01 deadlock_detected: traffic was in the way, nothing is wrong.
      if ((code === '55P03' || code === '40P01') && attempt < DDL_TRIES) {
        job.log(`migration ${job.name}: busy tables, attempt ${attempt} of ${DDL_TRIES}`)
        await sleep(Math.min(1_000, 100 * attempt) * (0.5 + Math.random()))
        continue
      }
      const hint =
        code === '55P03'
          ? ' Other sessions hold its tables: look for long transactions in pg_stat_activity.'
          : ''
      throw new MigrationError(
        `Migration ${job.name} (${job.direction}) failed and was rolled back: ${error instanceof Error ? error.message : error}${code === undefined ? '' : ` (${code})`}.${hint}${said.length > 0 ? `\n${said.join('\n')}` : ''}`,
        { cause: error },
      )
    }
  }
}

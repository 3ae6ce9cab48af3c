// The doctor on databases: real servers with one thing wrong each, which it names with its repair; and none on a sound one.

import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import type { EmbeddedPostgres } from '../../src/store/embedded.ts'
import { startEmbedded } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import { examine, expectOnly, findingsOf, openFolder, startServer } from '../support/doctor.ts'
import { startPooler } from '../support/pgbouncer.ts'
import { withDatabase } from '../support/postgres.ts'
import { freePort } from '../support/service.ts'
import { asOwner } from '../support/service-role.ts'

const checkout = join(import.meta.dirname, '../..')

/** A sound server with a TCP port, which most tests make a database on. */
let server: EmbeddedPostgres
let dataDir: string
beforeAll(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'taskflow-doctor-'))
  await chmod(dataDir, 0o755)
  const port = await freePort()
  server = await startEmbedded({ dataDir, checkoutDir: checkout, port })
  await asOwner(server.url, `create role guest login password 'guest'`)
  await migrateTo(server.url)
})
afterAll(async () => {
  await server.stop()
  await rm(dataDir, { recursive: true, force: true })
})

async function migrateTo(connectionString: string): Promise<void> {
  await migrate({ connectionString, migrationsDir: join(checkout, 'migrations') })
}

let made = 0

/** A database of the test's own, migrated unless told otherwise. */
async function makeDatabase(options = '', migrated = true): Promise<string> {
  const name = `sick_${++made}`
  await asOwner(server.url, `create database ${name} template template0 ${options}`)
  const url = withDatabase(server.url, name)
  if (migrated) await migrateTo(url)
  onTestFinished(() => asOwner(server.url, `drop database if exists ${name} with (force)`))
  return url
}

/** The same database over TCP as the role without rights. */
function asGuest(url: string): string {
  const { pathname } = new URL(url)
  return `postgres://guest:guest@127.0.0.1:${server.connection.port}${pathname}`
}

describe('a sound database', () => {
  it('has no finding, over the socket and over TCP, empty or migrated', async () => {
    for (const url of [server.url, await makeDatabase('', false), await makeDatabase()]) {
      const { healthy, checks } = await examine({ DATABASE_URL: url })
      expect(checks.flatMap(({ findings }) => findings)).toEqual([])
      expect(healthy).toBe(true)
      expect(checks.map(({ name }) => name)).toEqual([
        'node',
        'settings',
        'port',
        'database',
        'connection',
      ])
    }
  })

  it('has no finding for a role that only serves', async () => {
    const url = await makeDatabase()
    await asOwner(
      url,
      'grant select, insert, update, delete on all tables in schema public to guest',
    )
    const { checks } = await examine({ DATABASE_URL: asGuest(url) })
    expect(checks.flatMap(({ findings }) => findings)).toEqual([])
  })

  it('is looked at while the service that has it runs', async () => {
    const { healthy, checks } = await examine({ TASKFLOW_DATA_DIR: dataDir })
    expect(checks.flatMap(({ findings }) => findings)).toEqual([])
    expect(healthy).toBe(true)
    const { seen } = checks.find(({ name }) => name === 'database') ?? {}
    expect(seen).toContain('PostgreSQL 18')
    expect(seen).toContain('not held to row level security')
  })
})

describe('no way in', () => {
  it('because nothing listens', async () => {
    const url = `postgres://u:geheim@127.0.0.1:${await freePort()}/x`
    const finding = await expectOnly('database_unreachable', 'start', { DATABASE_URL: url })
    expect(JSON.stringify(finding)).not.toContain('geheim')
  })

  it('because the host has no address', async () => {
    const url = 'postgres://u:geheim@db.taskflow.invalid/x'
    await expectOnly('database_host_unknown', 'host name', { DATABASE_URL: url })
  })

  it('because the password is wrong', async () => {
    const url = asGuest(server.url).replace('guest:guest', 'guest:geheim')
    const finding = await expectOnly('database_login_refused', '%-encoded', { DATABASE_URL: url })
    expect(JSON.stringify(finding)).not.toContain('geheim')
  })

  it('because the database does not exist', async () => {
    const url = withDatabase(server.url, 'nowhere')
    await expectOnly('database_missing', 'create database', { DATABASE_URL: url })
  })
})

describe('a database', () => {
  it('in another encoding', async () => {
    const url = await makeDatabase(`encoding 'SQL_ASCII' locale 'C'`)
    await expectOnly('encoding', "encoding 'UTF8'", { DATABASE_URL: url })
  })

  it('without a schema to use', async () => {
    const url = await makeDatabase('', false)
    await asOwner(url, 'drop schema public')
    await expectOnly('no_schema', 'create schema', { DATABASE_URL: url })
  })

  it('that the role may not create tables in', async () => {
    const url = await makeDatabase('', false)
    await expectOnly('cannot_migrate', 'grant create', { DATABASE_URL: asGuest(url) })
  })

  it('that is behind, with MIGRATE_ON_START=false', async () => {
    const url = await makeDatabase('', false)
    const env = { DATABASE_URL: url, MIGRATE_ON_START: 'false' }
    await expectOnly('schema_behind', 'taskflow migrate', env)
    await migrateTo(url)
    expect(findingsOf(await examine(env))).toEqual([])
  })

  it('that is ahead of this release', async () => {
    const url = await makeDatabase()
    await asOwner(url, `insert into schema_migrations (name, run_on) values ('9999_future', now())`)
    const finding = await expectOnly('schema_ahead', 'newer release', { DATABASE_URL: url })
    expect(finding.what).toContain('9999_future')
  })

  it('on which the role has no rights', async () => {
    const url = await makeDatabase()
    await asOwner(url, 'grant select on schema_migrations to guest')
    const finding = await expectOnly('denied', /^grant select/, { DATABASE_URL: asGuest(url) })
    expect(finding.what).toContain('flows')
  })

  it('with a table that a crash empties', async () => {
    const url = await makeDatabase()
    await asOwner(url, 'alter table idempotency_keys set unlogged')
    await expectOnly('unlogged_table', 'alter table idempotency_keys set logged', {
      DATABASE_URL: url,
    })
  })

  it('with an index that was not finished', async () => {
    const url = await makeDatabase()
    await asOwner(
      url,
      `update pg_index set indisvalid = false where indexrelid = 'flows_pkey'::regclass`,
    )
    await expectOnly('invalid_index', 'reindex index concurrently flows_pkey', {
      DATABASE_URL: url,
    })
  })

  it('with a table that is never vacuumed', async () => {
    const url = await makeDatabase()
    await asOwner(url, 'alter table flows set (autovacuum_enabled = false)')
    await expectOnly('autovacuum_off_for_table', 'reset', { DATABASE_URL: url })
  })

  it('whose texts sort differently since the system was upgraded', async () => {
    const url = await makeDatabase()
    await asOwner(
      url,
      `update pg_database set datcollversion = 'old' where datname = current_database()`,
    )
    await expectOnly('collation_changed', 'reindex database', { DATABASE_URL: url })
  })

  it('that gives the role too few connections', async () => {
    const url = await makeDatabase()
    await asOwner(
      url,
      'grant select, insert, update, delete on all tables in schema public to guest',
    )
    await asOwner(server.url, 'alter role guest connection limit 4')
    onTestFinished(() => asOwner(server.url, 'alter role guest connection limit -1'))
    const finding = await expectOnly('connections', 'alter role guest connection limit', {
      DATABASE_URL: asGuest(url),
    })
    expect(finding.why).toContain('4')
  })

  it.each([
    ['default_transaction_read_only', 'on', 'read_only_role'],
    ['statement_timeout', '30s', 'statement_timeout'],
    ['idle_session_timeout', '1min', 'idle_session_timeout'],
    ['synchronous_commit', 'off', 'synchronous_commit_off'],
  ])('whose role has %s = %s', async (name, value, code) => {
    const url = await makeDatabase()
    const database = new URL(url).pathname.slice(1)
    await asOwner(url, `alter role taskflow in database ${database} set ${name} = '${value}'`)
    await expectOnly(code, name, { DATABASE_URL: url })
  })

  it('with a transaction that was left open', async () => {
    const url = await makeDatabase()
    const client = new pg.Client({ connectionString: url, application_name: 'forgetful' })
    await client.connect()
    onTestFinished(() => client.end())
    await client.query('begin')
    await client.query('select 1')
    const env = { DATABASE_URL: url }
    const finding = await expectOnly('old_transaction', /pg_terminate_backend\(\d+\)/, env, {
      oldTransaction: 0,
    })
    expect(finding.what).toContain('forgetful')
    await client.query('commit')
    expect(findingsOf(await examine(env, { oldTransaction: 0 }))).toEqual([])
  })

  it('with a replication slot that nobody reads', async () => {
    const url = await makeDatabase()
    await asOwner(server.url, `select pg_create_physical_replication_slot('left_over', true)`)
    onTestFinished(() => asOwner(server.url, `select pg_drop_replication_slot('left_over')`))
    await expectOnly('idle_slot', "pg_drop_replication_slot('left_over')", { DATABASE_URL: url })
  })

  it('with another clock than this machine', async () => {
    const late = () => Date.now() - 90_000
    const finding = await expectOnly(
      'clock_skew',
      'timedatectl',
      { DATABASE_URL: server.url },
      {
        now: late,
      },
    )
    expect(finding.what).toMatch(/ (89|90|91)\.\d s behind/)
  })

  it('that is not the one of DATABASE_URL_DIRECT', async () => {
    const [one, other] = [await makeDatabase(), await makeDatabase()]
    await expectOnly('two_databases', 'the same', { DATABASE_URL: one, DATABASE_URL_DIRECT: other })
  })
})

describe('a server', () => {
  it.each([
    ['fsync', 'off', 'fsync_off', 'alter system set fsync = on'],
    ['full_page_writes', 'off', 'full_page_writes_off', 'full_page_writes = on'],
    ['autovacuum', 'off', 'autovacuum_off', 'autovacuum = on'],
    ['max_connections', '12', 'connections', 'max_connections'],
  ])('with %s = %s', async (name, value, code, repair) => {
    const { url } = await startServer({ [name]: value, max_wal_senders: '2' })
    await expectOnly(code, repair, { DATABASE_URL: url })
  })

  it('that is a standby', async () => {
    const folder = await openFolder()
    const primary = await startServer({}, folder)
    await migrateTo(primary.url)
    await primary.stop()
    await writeFile(join(folder, 'postgres', 'standby.signal'), '')
    const standby = await startServer({}, folder)
    const codes = findingsOf(await examine({ DATABASE_URL: standby.url })).map(({ code }) => code)
    expect(codes).toContain('standby')
  })
})

describe('a pooler', () => {
  it('in transaction mode is found out by what it breaks, and is well with DATABASE_URL_DIRECT past it', async () => {
    const direct = asGuest(await makeDatabase())
    const pooler = await startPooler(direct, { ignore_startup_parameters: 'options' })
    onTestFinished(() => pooler.stop())
    const findings = findingsOf(await examine({ DATABASE_URL: pooler.url }))
    const codes = findings.map(({ code }) => code)
    expect(codes).toContain('listen_deaf')
    expect(codes).toContain('prepared_statements')
    expect(findings.find(({ code }) => code === 'listen_deaf')?.repair).toContain(
      'DATABASE_URL_DIRECT',
    )
    const past = { DATABASE_URL: pooler.url, DATABASE_URL_DIRECT: direct }
    expect(findingsOf(await examine(past)).map(({ code }) => code)).not.toContain('listen_deaf')
  })

  it('that refuses our settings is named', async () => {
    const direct = asGuest(await makeDatabase())
    const pooler = await startPooler(direct)
    onTestFinished(() => pooler.stop())
    const env = { DATABASE_URL: pooler.url, DATABASE_URL_DIRECT: direct }
    const codes = findingsOf(await examine(env)).map(({ code }) => code)
    expect(codes).toContain('settings_refused')
  })

  it('in session mode that ignores our settings has no finding once the role has them', async () => {
    const url = await makeDatabase()
    await asOwner(
      url,
      'grant select, insert, update, delete on all tables in schema public to guest',
    )
    const timeouts = 'statement_timeout,lock_timeout,idle_in_transaction_session_timeout'
    const pooler = await startPooler(asGuest(url), {
      pool_mode: 'session',
      ignore_startup_parameters: `options,${timeouts}`,
      default_pool_size: '30',
    })
    onTestFinished(() => pooler.stop())
    const env = { DATABASE_URL: pooler.url }
    await expectOnly('settings_dropped', 'for the role', env)
    await asOwner(server.url, 'alter role guest set enable_seqscan = off')
    onTestFinished(() => asOwner(server.url, 'alter role guest reset enable_seqscan'))
    await pooler.reconnect()
    expect(findingsOf(await examine(env))).toEqual([])
  })
})

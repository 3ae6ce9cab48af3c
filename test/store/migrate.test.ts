// Migrations run once, in order, in both directions, and from any number of processes at the same time.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { MigrationError, migrate, pendingMigrations } from '../../src/store/migrate.ts'
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let database: TestDatabase
let migrationsDir: string
const clients: pg.Client[] = []

beforeEach(async () => {
  database = await createEmptyDatabase()
  migrationsDir = await mkdtemp(join(tmpdir(), 'taskflow-migrations-'))
  await write('0001_apples.sql', 'create table apples (id int primary key);', 'drop table apples;')
  await write(
    '0002_pears.sql',
    'create table pears (id int);\ninsert into pears values (1);',
    'drop table pears;',
  )
})

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.end()))
  await database.drop()
  await rm(migrationsDir, { recursive: true })
})

function write(name: string, up: string, down: string) {
  return writeFile(
    join(migrationsDir, name),
    `-- Up Migration\n${up}\n\n-- Down Migration\n${down}\n`,
  )
}

async function session(): Promise<pg.Client> {
  const client = new pg.Client(database.url)
  await client.connect()
  clients.push(client)
  return client
}

async function searchPath(value: string): Promise<void> {
  const client = await session()
  const name = new URL(database.url).pathname.slice(1)
  await client.query(`alter database ${name} set search_path = ${value}`)
}

async function tables(): Promise<string[]> {
  const client = await session()
  const { rows } = await client.query(
    "select table_name from information_schema.tables where table_schema = 'public' order by 1",
  )
  return rows.map((row) => row.table_name)
}

const source = () => ({ connectionString: database.url, migrationsDir })

test('up, down, up', async () => {
  expect(await pendingMigrations(source())).toEqual(['0001_apples', '0002_pears'])
  expect(await migrate(source())).toEqual({ applied: ['0001_apples', '0002_pears'] })
  expect(await tables()).toEqual(['apples', 'pears', 'schema_migrations'])
  expect(await pendingMigrations(source())).toEqual([])

  expect(await migrate({ ...source(), direction: 'down' })).toEqual({ applied: ['0002_pears'] })
  expect(await tables()).toEqual(['apples', 'schema_migrations'])
  const all = Number.POSITIVE_INFINITY
  expect(await migrate({ ...source(), direction: 'down', count: all })).toEqual({
    applied: ['0001_apples'],
  })
  expect(await tables()).toEqual(['schema_migrations'])

  expect(await migrate({ ...source(), count: 1 })).toEqual({ applied: ['0001_apples'] })
  expect(await migrate(source())).toEqual({ applied: ['0002_pears'] })
})

test('a start that finds nothing to do is quick', async () => {
  await migrate(source())
  const times: number[] = []
  for (let i = 0; i < 5; i += 1) {
    const began = performance.now()
    expect(await migrate(source())).toEqual({ applied: [] })
    times.push(performance.now() - began)
  }
  expect(Math.min(...times)).toBeLessThan(50)
})

test('eight at once: each migration runs once, nobody fails', async () => {
  await write(
    '0003_slow.sql',
    'select pg_sleep(0.3); create table slow (id int);',
    'drop table slow;',
  )
  const results = await Promise.all(Array.from({ length: 8 }, () => migrate(source())))
  expect(results.flatMap((result) => result.applied).toSorted()).toEqual([
    '0001_apples',
    '0002_pears',
    '0003_slow',
  ])
  const client = await session()
  expect((await client.query('select count(*)::int as n from schema_migrations')).rows[0].n).toBe(3)
  expect((await client.query('select count(*)::int as n from pears')).rows[0].n).toBe(1)
})

test('those who wait hold no snapshot, so an index can be built concurrently meanwhile', async () => {
  await migrate({ ...source(), count: 1 })
  const holder = await session()
  await holder.query('select pg_advisory_lock(7241865325823964)')
  const waiting = [migrate(source()), migrate(source())]
  await expect
    .poll(async () => {
      const { rows } = await holder.query(
        "select count(*)::int as n from pg_stat_activity where application_name = 'taskflow/migrate' and datname = current_database()",
      )
      return rows[0].n
    })
    .toBe(2)
  await holder.query('create index concurrently apples_id on apples (id)')
  await holder.query('select pg_advisory_unlock_all()')
  const applied = (await Promise.all(waiting)).flatMap((result) => result.applied)
  expect(applied).toEqual(['0002_pears'])
})

test('the wait for another process is bounded, and tells who holds the lock', async () => {
  const holder = await session()
  const { rows } = await holder.query(
    'select pg_backend_pid() as pid, pg_advisory_lock(7241865325823964)',
  )
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  await expect(migrate({ ...source(), lockWaitMs: 200, log })).rejects.toThrow(
    new RegExp(`session with pid ${rows[0].pid} .*pg_terminate_backend`),
  )
  expect(lines).toEqual(['waiting for another process that is migrating this database'])
})

test('a failing migration is rolled back whole, those before it stay, and the error shows the place', async () => {
  await write(
    '0003_bad.sql',
    'create table plums (id int);\ninsert into plums values (oops);',
    'drop table plums;',
  )
  const failure = await migrate(source()).catch((error) => error)
  expect(failure).toBeInstanceOf(MigrationError)
  expect(failure.message).toMatch(
    /Migration 0003_bad \(up\) failed and was rolled back: .*oops.*\(42703\)/,
  )
  expect(failure.message).toContain('^^^^')
  expect(await tables()).toEqual(['apples', 'pears', 'schema_migrations'])
  expect(await pendingMigrations(source())).toEqual(['0003_bad'])
})

test('a busy table is waited for in short turns, so that traffic behind the DDL gets through', async () => {
  await migrate({ ...source(), count: 1 })
  await write(
    '0002_pears.sql',
    "set local lock_timeout = '50ms';\nalter table apples add weight int;",
    'select 1;',
  )
  const reader = await session()
  await reader.query('begin; select * from apples')
  const lines: string[] = []
  const running = migrate({ ...source(), log: (line) => lines.push(line) })
  await expect.poll(() => lines.length).toBeGreaterThan(0)
  await reader.query('commit')
  expect(await running).toEqual({ applied: ['0002_pears'] })
  expect(lines[0]).toBe('migration 0002_pears: busy tables, attempt 1 of 20')
})

test('a migration that slipped in below an applied one is refused', async () => {
  await migrate(source())
  await rm(join(migrationsDir, '0001_apples.sql'))
  await write('0001_figs.sql', 'select 1;', 'select 1;')
  await expect(migrate(source())).rejects.toThrow(
    /0001_figs is not applied, but 0002_pears.*next free number/,
  )
  await expect(pendingMigrations(source())).rejects.toThrow(MigrationError)
})

test('a database ahead of the release is left alone', async () => {
  await migrate(source())
  await rm(join(migrationsDir, '0002_pears.sql'))
  expect(await pendingMigrations(source())).toEqual([])
  expect(await migrate(source())).toEqual({ applied: [] })
})

test.each([
  ['0003-dash.sql', '-- Up Migration\n-- Down Migration\n', 'four digits, an underscore'],
  ['0002_twin.sql', '-- Up Migration\n-- Down Migration\n', 'have the number 0002'],
  ['0003_half.sql', '-- Up Migration\nselect 1;\n', "exactly one line '-- Down Migration'"],
  [
    '0003_typo.sql',
    '-- Upp Migration\nselect 1;\n-- Down Migration\n',
    "exactly one line '-- Up Migration'",
  ],
])('a faulty file is refused before anything runs: %s', async (name, sql, message) => {
  await writeFile(join(migrationsDir, name), sql)
  await expect(migrate(source())).rejects.toThrow(message)
  expect(await tables()).toEqual([])
})

test('a missing directory is told', async () => {
  const gone = { ...source(), migrationsDir: join(migrationsDir, 'gone') }
  await expect(migrate(gone)).rejects.toThrow(/gone cannot be read \(ENOENT\)/)
})

test('files that are no SQL are no migrations', async () => {
  await writeFile(join(migrationsDir, 'README.md'), 'words')
  expect((await migrate(source())).applied).toEqual(['0001_apples', '0002_pears'])
})

test('the schema that the connection prefers gets the tables and the record of them', async () => {
  const client = await session()
  await client.query('create schema "Own Place"')
  await searchPath('"Own Place"')
  expect((await migrate(source())).applied).toHaveLength(2)
  expect(await pendingMigrations(source())).toEqual([])
  const { rows } = await client.query(
    "select count(*)::int as n from information_schema.tables where table_schema = 'Own Place'",
  )
  expect(rows[0].n).toBe(3)
})

test('a search_path that names no schema is told', async () => {
  await searchPath('nowhere')
  await expect(migrate(source())).rejects.toThrow(/No schema on the search_path.*create schema/)
})

test('a server older than 15 is refused', async () => {
  const client = await session()
  await client.query(`
    create schema old;
    create function old.current_setting(name text) returns text language sql as
      $$ select case name when 'server_version' then '14.9' else '140009' end $$`)
  await searchPath('old, pg_catalog')
  await expect(migrate(source())).rejects.toThrow(/runs PostgreSQL 14\.9, and Taskflow needs 15/)
  await expect(pendingMigrations(source())).rejects.toThrow(MigrationError)
})

test('the template that test files get a copy of is migrated', async () => {
  const copy = await createTestDatabase()
  const dir = join(import.meta.dirname, '../../migrations')
  expect(await pendingMigrations({ connectionString: copy.url, migrationsDir: dir })).toEqual([])
  await copy.drop()
})

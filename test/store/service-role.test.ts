// The role that migrations make for the service: once for a server, however many databases it has, and where they may.

import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type EmbeddedPostgres, startEmbedded } from '../../src/store/embedded.ts'
import { migrate } from '../../src/store/migrate.ts'
import { withDatabase } from '../support/postgres.ts'

const checkout = join(import.meta.dirname, '../..')
const migrationsDir = join(checkout, 'migrations')

/** A server of its own: roles belong to the whole of it, and this one must have none at first. */
let server: EmbeddedPostgres
let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'taskflow-role-'))
  await chmod(folder, 0o755)
  server = await startEmbedded({
    dataDir: folder,
    checkoutDir: checkout,
    settings: { fsync: 'off' },
  })
}, 60_000)
afterAll(async () => {
  await server?.stop()
  await rm(folder, { recursive: true, force: true })
})

async function ask<Row extends pg.QueryResultRow>(url: string, text: string): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    return (await client.query<Row>(text)).rows
  } finally {
    await client.end()
  }
}

async function newDatabase(name: string, owner = 'taskflow'): Promise<string> {
  await ask(server.url, `create database ${name} owner ${owner}`)
  return withDatabase(server.url, name)
}

const roles = () =>
  ask<{ login: boolean; mighty: boolean }>(
    server.url,
    `select rolcanlogin as login, rolbypassrls or rolsuper or rolcreaterole or rolcreatedb as mighty
     from pg_roles where rolname = 'taskflow_service'`,
  )

/** Tables that the role may read, and those that it may change. */
async function granted(url: string): Promise<{ reads: number; updates: number; usage: boolean }> {
  const [found] = await ask<{ reads: number; updates: number; usage: boolean }>(
    url,
    `select count(*) filter (where has_table_privilege('taskflow_service', c.oid, 'select'))::int as reads,
       count(*) filter (where has_table_privilege('taskflow_service', c.oid, 'update'))::int as updates,
       has_schema_privilege('taskflow_service', 'public', 'usage') as usage
     from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'r'`,
  )
  if (found === undefined) throw new Error('no answer')
  return found
}

it('is not made by a role that may make none, and nothing fails', async () => {
  await ask(server.url, 'create role plain login')
  const url = new URL(await newDatabase('plain', 'plain'))
  url.username = 'plain'
  const lines: string[] = []
  const log = (line: string) => lines.push(line)
  await migrate({ connectionString: url.href, migrationsDir, log })
  expect(await roles()).toEqual([])
  expect(lines.join('\n')).toContain('The role taskflow_service was not made')
  // The wall is there all the same.
  const [flows] = await ask(url.href, `select relrowsecurity from pg_class where relname = 'flows'`)
  expect(flows).toEqual({ relrowsecurity: true })
}, 60_000)

it('is made once by databases that are migrated at once, with its grants in each', async () => {
  const names = ['one', 'two', 'three', 'four', 'five']
  const urls = await Promise.all(names.map((name) => newDatabase(name)))
  await Promise.all(urls.map((connectionString) => migrate({ connectionString, migrationsDir })))
  expect(await roles()).toEqual([{ login: false, mighty: false }])
  for (const url of urls) {
    // All tables, and all but the log of events and the books of the migrations.
    expect(await granted(url)).toEqual({ reads: 20, updates: 18, usage: true })
  }
}, 120_000)

it('keeps what it has in other databases when one is migrated down, and gets it back', async () => {
  const [one, two] = [withDatabase(server.url, 'one'), withDatabase(server.url, 'two')]
  await migrate({ connectionString: one, migrationsDir, direction: 'down' })
  expect(await granted(one)).toMatchObject({ reads: 0, updates: 0 })
  expect(await granted(two)).toMatchObject({ reads: 20, updates: 18 })
  expect(await roles()).toHaveLength(1)
  await migrate({ connectionString: one, migrationsDir })
  expect(await granted(one)).toEqual({ reads: 20, updates: 18, usage: true })
}, 60_000)

it('is granted what later migrations make', async () => {
  const url = withDatabase(server.url, 'one')
  await ask(url, 'create table later (id integer)')
  expect(await granted(url)).toMatchObject({ reads: 21, updates: 19 })
}, 60_000)

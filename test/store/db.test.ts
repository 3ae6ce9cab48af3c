// What comes back from the server: timestamps in the service's form, int8 as exact numbers, under any settings of the database.

import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, openDatabase, readerOf, rows } from '../../src/store/db.ts'
import { sql } from '../../src/store/sql.ts'
import { timestampFromServer } from '../../src/store/values.ts'
import { nowhere } from '../../src/store/wall.ts'
import { caller, createFlow, openEngine, openSession, until } from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let database: Database

function open(url: string): Database {
  return openDatabase({
    connectionString: url,
    writers: 1,
    readers: 1,
    applicationName: 'test-db',
    onError: () => {},
  })
}

beforeAll(async () => {
  place = await createTestDatabase()
  database = open(place.url)
})

afterAll(async () => {
  await database.close()
  await place.drop()
})

test.each([
  ['2026-04-23 15:00:00+00', '2026-04-23T15:00:00.000Z'],
  ['2026-04-23 15:00:00.1+00', '2026-04-23T15:00:00.100Z'],
  ['2026-04-23 15:00:00.12+00', '2026-04-23T15:00:00.120Z'],
  ['2026-04-23 15:00:00.123+00', '2026-04-23T15:00:00.123Z'],
  ['2026-04-23 15:00:00.123999+00', '2026-04-23T15:00:00.123Z'],
  ['2026-04-23 15:00:00.000001+00', '2026-04-23T15:00:00.000Z'],
  ['2026-04-23 20:30:00.5+05:30', '2026-04-23T15:00:00.500Z'],
  ['2026-04-23 08:00:00-07', '2026-04-23T15:00:00.000Z'],
  ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000Z'],
  ['9999-12-31 23:59:59.999+00', '9999-12-31T23:59:59.999Z'],
])('%s is %s', (text, expected) => {
  expect(timestampFromServer(text)).toBe(expected)
})

test('every millisecond comes back as it was sent', async () => {
  const instants = fc.sample(
    fc.date({
      min: new Date('0001-01-01T00:00:00.000Z'),
      max: new Date('9999-12-31T23:59:59.999Z'),
      noInvalidDate: true,
    }),
    500,
  )
  const sent = instants.map((date) => date.toISOString())
  const got = await rows<{ at: string }>(
    readerOf(database.scope, nowhere),
    sql`select at from unnest(${sent}::timestamptz[]) with ordinality as t(at, n) order by n`,
  )
  expect(got.map(({ at }) => at)).toEqual(sent)
})

test('int8 is a number, and refused where a number is not exact', async () => {
  const read = (text: string) =>
    rows<{ n: number }>(readerOf(database.scope, nowhere), sql`select ${text}::text::int8 as n`)
  expect(await read('9007199254740991')).toEqual([{ n: 9_007_199_254_740_991 }])
  expect(await read('-10')).toEqual([{ n: -10 }])
  await expect(read('9007199254740993')).rejects.toThrow('past 2^53')
})

test.each([
  ['timezone', "'Asia/Kolkata'"],
  ['timezone', "'America/St_Johns'"],
  ['datestyle', "'SQL, DMY'"],
  ['datestyle', "'German'"],
  ['default_transaction_isolation', "'repeatable read'"],
  ['intervalstyle', "'iso_8601'"],
  ['extra_float_digits', '0'],
])('a database with %s = %s gives the same answers', async (name, value) => {
  const own = await createTestDatabase()
  const session = await openSession(own.url)
  const engine = openEngine(own.url)
  try {
    const dbname = new URL(own.url).pathname.slice(1)
    await session.query(`alter database ${dbname} set ${name} = ${value}`)
    const flow = await createFlow(engine, { state: { n: 0.1 } })
    expect(flow.created_at).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    expect(Math.abs(Date.parse(flow.created_at) - Date.now())).toBeLessThan(60_000)
    const wait = { kind: 'timer', after: 3_600_000 } as const
    await engine.flows.change(caller, flow.id, { type: 'wait', wait_id: flow.id, wait })
    const read = await engine.flows.get(caller, flow.id)
    expect(read.created_at).toBe(flow.created_at)
    expect(Date.parse(read.wake_at ?? '') - Date.parse(read.updated_at)).toBe(3_600_000)
    await Promise.all(
      [1, 2, 3].map((n) =>
        engine.flows.change(caller, flow.id, { type: 'update_state', patch: { n } }),
      ),
    )
  } finally {
    await engine.close()
    await session.end()
    await own.drop()
  }
})

test('an idle connection that fails is told of without the connection itself', async () => {
  const told: Error[] = []
  const own = openDatabase({
    connectionString: place.url,
    writers: 1,
    readers: 1,
    applicationName: 'test-idle',
    onError: (error) => told.push(error),
  })
  const session = await openSession(place.url)
  await own.probe()
  await session.query(
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'test-idle/%'",
  )
  await until('both are told of', () => told.length >= 2)
  expect(told.map(({ message }) => message)).toContain(
    'terminating connection due to administrator command',
  )
  for (const error of told) expect(Object.keys(error)).not.toContain('client')
  await session.end()
  await own.close()
})

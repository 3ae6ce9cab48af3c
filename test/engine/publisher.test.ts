// Publishers: everything goes out in commit order and at least once, one process works at a time, and another takes over.

import { afterEach, beforeEach, expect, test } from 'vitest'
import type { PublishedEvent, Publisher, PublisherOptions } from '../../src/engine/publisher.ts'
import type { Scope } from '../../src/store/db.ts'
import { listPublished } from '../../src/store/publishers.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
} from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engine: TestEngine
let session: Session
let publishers: Publisher[]

beforeEach(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  session = await openSession(place.url)
  publishers = []
})

afterEach(async () => {
  await Promise.all(publishers.map((one) => one.stop()))
  await session.end()
  await engine.close()
  await place.drop()
})

const keyOf = ({ flow_id, revision }: { flow_id: string; revision: number }) =>
  `${flow_id}:${revision}`

/** A running publisher that has its position, and what it has published. */
async function begin(
  more: Partial<PublisherOptions> = {},
  on: TestEngine = engine,
): Promise<{ publisher: Publisher; seen: PublishedEvent[] }> {
  const seen: PublishedEvent[] = []
  const publisher = on.publisher({
    name: 'test',
    publish: async (events) => {
      seen.push(...events)
    },
    ...more,
  })
  publishers.push(publisher)
  publisher.start()
  await until('the publisher has a row', async () => (await rowOf()) !== undefined)
  return { publisher, seen }
}

interface Row {
  flow_id: string
  revision: number
  lease_token: string | null
}

async function rowOf(): Promise<Row | undefined> {
  const { rows } = await session.query<Row>('select flow_id, revision, lease_token from publishers')
  return rows[0]
}

const logOf = async () =>
  (
    await session.query<{ flow_id: string; revision: number }>(
      'select flow_id, revision from flow_events order by xid, flow_id, revision',
    )
  ).rows.map(keyOf)

test('a first start publishes from now on, all namespaces in commit order, each event once', async () => {
  await createFlow(engine)
  const before = await logOf()
  await until('old transactions are over', async () => {
    const { rows } = await session.query<{ over: boolean }>(
      'select pg_snapshot_xmin(pg_current_snapshot()) > max(flow_events.xid) as over from flow_events',
    )
    return rows[0]?.over === true
  })
  const { seen } = await begin({ batchSize: 3 })
  for (const namespace of ['b', 'default', 'a', 'default', 'c']) {
    await createFlow(engine, {}, { ...caller, namespace })
  }
  const expected = (await logOf()).filter((key) => !before.includes(key))
  expect(expected).toHaveLength(10)
  await until('all of it is published', () => seen.length >= 10)
  expect(seen.map(keyOf)).toEqual(expected)
  expect(new Set(seen.map(({ namespace }) => namespace))).toEqual(
    new Set(['a', 'b', 'c', 'default']),
  )
  expect(Object.keys(seen[0] ?? {}).sort()).toEqual(
    ['actor', 'at', 'flow_id', 'kind', 'namespace', 'payload', 'revision', 'xid'].sort(),
  )
})

test('what commits late is not skipped', async () => {
  const { seen } = await begin()
  const slow = await openSession(place.url)
  await slow.query('begin')
  await slow.query(
    `insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
     values ($1, 0, 60, now(), 'default', 'created', 'slow', '{}')`,
    [samples.id(1)],
  )
  await createFlow(engine, { start: false }, { ...caller, actor: 'fast' })
  await slow.query('commit')
  await slow.end()
  await until('both are published', () => seen.length >= 2)
  expect(seen.map(({ actor }) => actor)).toEqual(['slow', 'fast'])
})

test('a batch that fails comes again, and the position stays before it', async () => {
  const tries: string[][] = []
  await begin({
    publish: async (events) => {
      tries.push(events.map(keyOf))
      if (tries.length < 3) throw new Error('the receiver is away')
    },
  })
  await createFlow(engine, { start: false })
  await until('it is published', () => tries.length >= 3)
  const log = await logOf()
  expect(tries.slice(0, 3)).toEqual([log, log, log])
  await until('it has moved on', async () => (await rowOf())?.revision === 0)
  expect(engine.notices.map(({ type }) => type)).toContain('loop_failed')
})

test('one of two works; the other takes over when the first is silent, and the first moves nothing', async () => {
  let silent: (() => void) | null = null
  const first = await begin({
    lease: 300,
    publish: (events) =>
      new Promise((resolve) => {
        first.seen.push(...events)
        silent = resolve
      }),
  })
  await until('the first has the lease', async () => (await rowOf())?.lease_token !== null)
  const other = openEngine(place.url)
  const second = await begin({ lease: 300 }, other)
  await createFlow(engine, { start: false })
  await until('the first is in the middle of it', () => silent !== null)
  await until('the second has published it too', () => second.seen.length === 1)
  expect(second.seen.map(keyOf)).toEqual(first.seen.map(keyOf))
  await createFlow(engine, { start: false })
  await until('the second has gone on', async () => {
    const flowId = second.seen[1]?.flow_id
    return flowId !== undefined && (await rowOf())?.flow_id === flowId
  })
  const row = await session.query('select xid::text, flow_id, lease_token from publishers')
  const resume = silent as (() => void) | null
  resume?.()
  await first.publisher.stop()
  const after = await session.query('select xid::text, flow_id, lease_token from publishers')
  expect(after.rows).toEqual(row.rows)
  await second.publisher.stop()
  await other.close()
})

test('a stop frees the work at once', async () => {
  const first = await begin({ lease: 60_000 })
  await until('the first has the lease', async () => (await rowOf())?.lease_token !== null)
  await first.publisher.stop()
  const second = await begin({ lease: 60_000 })
  await createFlow(engine, { start: false })
  await until('the second publishes', () => second.seen.length === 1)
  expect(first.seen).toEqual([])
})

test('a position of another cluster is void: it begins with now', async () => {
  const first = await begin()
  await until('it has the lease', async () => (await rowOf())?.lease_token !== null)
  await first.publisher.stop()
  await session.query("update publishers set cluster = 'of old', xid = '18446744073709551615'")
  const second = await begin()
  await until('the second has the lease', async () => (await rowOf())?.lease_token !== null)
  await createFlow(engine, { start: false })
  await until('it publishes', () => second.seen.length === 1)
})

test('the position is found by the index, however long the log is', async () => {
  await session.query(`
    insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload, xid)
    select gen_random_uuid(), 0, 60, now(), 'n' || n % 3, 'created', 'a', '{}', '5'
    from generate_series(1, 30000) n`)
  await session.query('vacuum analyze flow_events')
  let sent = { text: '', values: [] as unknown[] }
  const spy = {
    query: async (config: { text: string; values: unknown[] }) => {
      sent = config
      return { rows: [] }
    },
  }
  const reader = spy as unknown as Scope['reader']
  const after = { xid: '6', flow_id: samples.id(1), revision: 0 }
  await listPublished({ ...engine.database.scope, reader }, { after, limit: 100 })
  const client = await engine.database.scope.reader.connect()
  const { rows } = await client.query<{ 'QUERY PLAN': string }>({
    text: `explain (analyze, buffers, timing off) ${sent.text}`,
    values: sent.values,
  })
  client.release()
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n')
  expect(plan).not.toContain('Seq Scan on flow_events')
  const pages = Number(/shared hit=(\d+)/.exec(plan)?.[1])
  expect(pages, plan).toBeLessThan(60)
})

// The feed over all flows: in commit order, nothing that commits late is skipped, and flows of other namespaces do not exist.

import { afterEach, beforeEach, expect, test } from 'vitest'
import { type FeedPosition, listFeed } from '../../src/store/events.ts'
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

beforeEach(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  session = await openSession(place.url)
})

afterEach(async () => {
  await session.end()
  await engine.close()
  await place.drop()
})

const insert = `insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
  values ($1, 0, 60, now(), 'default', 'created', 'slow', '{}')`

type Read = (after: FeedPosition | null) => Promise<(FeedPosition & { actor: string })[]>

const right: Read = (after) =>
  listFeed(engine.database.scope, { namespace: 'default', after, limit: 100 })

/** As one would write it: by transaction, without regard to those that are still open. */
const naive: Read = async (after) => {
  const { rows } = await session.query<FeedPosition & { actor: string }>(
    `select flow_id, revision, actor, xid::text as xid from flow_events
     where $1::xid8 is null or (xid, flow_id, revision) > ($1::xid8, $2::uuid, $3::integer)
     order by flow_events.xid, flow_id, revision`,
    [after?.xid ?? null, after?.flow_id ?? null, after?.revision ?? null],
  )
  return rows
}

/** Reads while an older transaction is open and again when it has committed; answers who was seen. */
async function readAround(read: Read): Promise<{ during: string[]; afterwards: string[] }> {
  const slow = await openSession(place.url)
  await slow.query('begin')
  await slow.query(insert, [samples.id(1)])
  await createFlow(engine, { start: false }, { ...caller, actor: 'fast' })
  const during = await read(null)
  await slow.query('commit')
  await slow.end()
  const last = during.at(-1) ?? null
  const afterwards: string[] = []
  // The sessions of other tests hold back the feed for a moment too.
  await until('the feed has caught up', async () => {
    const { rows } = await session.query<{ idle: boolean }>(
      'select pg_snapshot_xmin(pg_current_snapshot()) > max(flow_events.xid) as idle from flow_events',
    )
    return rows[0]?.idle === true
  })
  for (const { actor } of await read(last)) afterwards.push(actor)
  return { during: during.map(({ actor }) => actor), afterwards }
}

test('later commits are withheld while an older transaction is open, and nothing is skipped', async () => {
  expect(await readAround(right)).toEqual({ during: [], afterwards: ['slow', 'fast'] })
})

test('the check finds a feed that skips', async () => {
  expect(await readAround(naive)).toEqual({ during: ['fast'], afterwards: [] })
})

test('pages, positions and kinds, in commit order', async () => {
  const flows = []
  for (let n = 0; n < 5; n++) flows.push(await createFlow(engine))
  const other = { namespace: 'other', actor: 'stranger' }
  await createFlow(engine, {}, other)
  const seen: string[] = []
  let cursor: string | undefined
  let position: string | null = null
  await until('all of it has come', async () => {
    const page = await engine.events.feed(caller, position === null ? {} : { after: position }, {
      limit: 3,
      ...(cursor !== undefined && { cursor }),
    })
    for (const { flow_id, revision } of page.items) seen.push(`${flow_id} ${revision}`)
    cursor = undefined
    position = page.position
    return seen.length === 10
  })
  expect(seen).toEqual(flows.flatMap(({ id }) => [`${id} 0`, `${id} 1`]))
  const started = await engine.events.feed(caller, { kind: ['started'] }, { limit: 100 })
  expect(started.items.map(({ flow_id }) => flow_id)).toEqual(flows.map(({ id }) => id))
  const strange = await engine.events.feed(other, {}, { limit: 100 })
  expect(strange.items.map(({ actor }) => actor)).toEqual(['stranger', 'stranger'])
})

test('a cursor walks through everything once', async () => {
  for (let n = 0; n < 4; n++) await createFlow(engine)
  await until('all of it can be seen', async () => {
    return (await engine.events.feed(caller, {}, { limit: 100 })).items.length === 8
  })
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page = await engine.events.feed(
      caller,
      {},
      { limit: 3, ...(cursor !== null && { cursor }) },
    )
    for (const { flow_id, revision } of page.items) seen.push(`${flow_id} ${revision}`)
    cursor = page.next_cursor
  } while (cursor !== null)
  expect(seen).toHaveLength(8)
  expect(new Set(seen).size).toBe(8)
})

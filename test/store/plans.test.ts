// Query plans: the statements that run all the time never read all flows, at no size and with no statistics, and limits hold.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { DecidedFlow } from '../../src/domain/command.ts'
import { createFlow as bear } from '../../src/domain/create.ts'
import type { Database, Runner } from '../../src/store/db.ts'
import { lockDue, readNextDue } from '../../src/store/due.ts'
import {
  type FlowLocks,
  lockFlows,
  namespacesOf,
  openFlowsByKey,
  updateFlows,
} from '../../src/store/flows.ts'
import type { Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { type Prepared, prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
let database: Database
let session: Session

beforeAll(async () => {
  place = await openStore({ writers: 2, readers: 2 })
  database = place.database
  session = place.session
})

afterAll(() => place?.close())

/** 10,000 flows: a tenth due, a tenth waiting for later, most done or not timed. */
const fill = `
  insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at, wake_at,
    namespace, key, status, mode, current_step, controller_id, owner_session_key, requester_origin,
    goal, labels, wait, state)
  select gen_random_uuid(), 1, 2, 60, now(), now(), case when n % 10 > 5 then now() end,
    case n % 10 when 0 then now() - n * interval '1 second'
      when 1 then now() + interval '1 hour' + n * interval '1 second' end,
    'default', 'key-' || gen_random_uuid(),
    case when n % 10 < 2 then 'waiting' when n % 10 > 5 then 'finished' else 'running' end,
    'managed', 'init', 'c', 'o', 'r', 'g', '{}',
    case when n % 10 < 2 then '{"kind":"timer"}'::jsonb end, '{}'
  from generate_series(1, 10000) as n`

/**
 * The parts of a plan that read all flows: without an index, through all of one, or by the id as the
 * last column of another index than the primary key, which reads all entries of its first.
 */
function wholeScans(plan: string): string[] {
  return plan.split('->').filter((node) => {
    if (!/Scan.* on flows/.test(node) || /Bitmap Heap Scan/.test(node)) return false
    if (!/Index Cond/.test(node)) return true
    return /\bid = /.test(node) && !/(using|on) flows_pkey/.test(node)
  })
}

const flow: DecidedFlow = samples.flowIn('running')
const born = bear(samples.place, samples.newFlow, samples.start, samples.limits)
const locks: FlowLocks = {
  flows: [{ id: samples.id(1), state: true }],
  waiters: [],
  holders: [],
  state_room: 1_000,
  block: false,
}
const events = born.events.map((event) => ({ ...event, shard: 60, namespace: 'default', xid: '1' }))
const due = { now: null, from: null, limit: 500, except: [] }

const statements: [string, 'writer' | 'reader', (runner: Runner) => Promise<unknown>][] = [
  ['the tick', 'writer', (runner) => lockDue(runner, due)],
  [
    'the tick with a mark and a time',
    'writer',
    (runner) =>
      lockDue(runner, {
        ...due,
        now: samples.later(0),
        from: samples.later(-1),
        except: [flow.id],
      }),
  ],
  ['the look at the next due time', 'reader', (runner) => readNextDue(runner, due)],
  ['the lock of a batch', 'writer', (runner) => lockFlows(runner, locks)],
  ['the blocking lock', 'writer', (runner) => lockFlows(runner, { ...locks, block: true })],
  [
    'the look for flows locked elsewhere',
    'writer',
    (runner) =>
      namespacesOf(
        runner,
        locks.flows.map(({ id }) => id),
      ),
  ],
  [
    'the look for keys',
    'writer',
    (runner) => openFlowsByKey(runner, [{ namespace: 'default', key: 'key-1', shard: 60 }]),
  ],
  [
    'the save of a batch',
    'writer',
    (runner) => updateFlows(runner, [{ flow, patch: { merge: { a: 1 }, unset: [] } }], events),
  ],
]

/** How a table is when a connection plans for the first time. */
const beginnings: Record<string, () => Promise<void>> = {
  'a new table': async () => {
    await session.query('truncate flows cascade')
  },
  'an analyzed table of 60': async () => {
    await session.query('truncate flows cascade')
    await session.query(fill.replace('10000', '60'))
    await session.query('vacuum analyze flows')
  },
  'an analyzed table of 10,000': async () => {
    await session.query('truncate flows cascade')
    await session.query(fill)
    await session.query('vacuum analyze flows')
  },
}

describe.each(Object.keys(beginnings))('%s that grows by 10,000', (beginning) => {
  test.each(['generic', 'custom'] as const)(
    '%s plans read no more than they need',
    async (mode) => {
      await beginnings[beginning]?.()
      const clients = {
        writer: await database.scope.writer.connect(),
        reader: await database.scope.reader.connect(),
      }
      const planned: [string, Prepared][] = []
      for (const [n, [name, role, call]] of statements.entries()) {
        planned.push([name, await prepare(clients[role], mode, `explained_${n}`, call)])
      }
      // Planned before, and kept while the table grows.
      await session.query(fill)
      for (const [name, statement] of planned) {
        const plan = await statement.explain()
        expect.soft(wholeScans(plan), `${name}\n${plan}`).toEqual([])
      }
      clients.writer.release(true)
      clients.reader.release(true)
    },
  )
})

test.each([
  `select id from flows where status <> 'none'`,
  `select id from flows where goal <> 'none'`,
])('the check finds what is wrong with %s', async (text) => {
  await session.query('truncate flows cascade')
  const client = await database.scope.writer.connect()
  const scan = (runner: Runner) => runner.query({ name: '', text, values: [] })
  const { explain } = await prepare(client, 'generic', 'planted', scan)
  const plan = await explain()
  client.release(true)
  expect(wholeScans(plan)).toHaveLength(1)
})

test('the check finds an id that is looked up behind a namespace', () => {
  const plan = `Nested Loop
    -> Index Scan using flows_by_controller on flows f
         Index Cond: ((namespace = i.namespace) AND (id = i.id))`
  expect(wholeScans(plan)).toHaveLength(1)
})

test('a tick takes and locks as many as its limit, under any plan', async () => {
  await session.query('truncate flows cascade')
  await session.query(fill)
  const client = await database.scope.writer.connect()
  try {
    for (const setting of ['on', 'off']) {
      await client.query(`set enable_indexscan = ${setting}`)
      await client.query('begin')
      const taken = await lockDue(client, { ...due, limit: 5 })
      expect(taken).toHaveLength(5)
      const wakes = taken.map(({ wake_at }) => wake_at)
      expect(wakes, 'the longest due first').toEqual([...wakes].sort())
      const { rows } = await session.query<{ free: number }>(`
        select count(*)::integer as free
        from (select id from flows for no key update skip locked) as f`)
      expect(rows[0]?.free, 'rows that nobody has locked').toBe(9_995)
      await client.query('rollback')
    }
  } finally {
    client.release()
  }
})

test('the tick leaves out what is before the mark, what rests, and what is not due', async () => {
  const { rows } = await session.query<{ id: string; mark: Date; now: Date }>(`
    select id, wake_at as mark, now() as now from flows
    where wake_at < now() order by wake_at offset 499 limit 1`)
  const [middle] = rows
  if (middle === undefined) throw new Error('nothing is due')
  const client = await database.scope.writer.connect()
  try {
    const from = middle.mark.toISOString()
    await client.query('begin')
    const all = { ...due, limit: 10_000, now: middle.now.toISOString() }
    const half = await lockDue(client, { ...all, from })
    expect(half).toHaveLength(501)
    expect(await lockDue(client, { ...all, from, except: [middle.id] })).toHaveLength(500)
    expect(await lockDue(client, all)).toHaveLength(1_000)
    expect(await lockDue(client, { ...all, now: from })).toHaveLength(500)
    await client.query('rollback')
  } finally {
    client.release()
  }
})

test('batches lock in the order of their ids, whatever order they come in', async () => {
  const { rows } = await session.query<{ id: string }>('select id from flows limit 200')
  const shuffled = rows.map(({ id }) => ({ id, state: false }))
  const client = await database.scope.writer.connect()
  await client.query('begin')
  const ids = (await lockFlows(client, { ...locks, flows: shuffled, block: true })).map(
    ({ id }) => id,
  )
  await client.query('rollback')
  client.release()
  expect(ids).toHaveLength(200)
  expect(ids).toEqual([...ids].sort())
})

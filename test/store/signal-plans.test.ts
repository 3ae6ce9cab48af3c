// Matching is flat: what a wait or a signal looks up touches the same few pages among a thousand rows as among many, whatever the statistics were when it was planned.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { SignalRecord } from '../../src/domain/signal.ts'
import type { Database, Runner } from '../../src/store/db.ts'
import { lockFlows } from '../../src/store/flows.ts'
import {
  closeMatchKeys,
  findWaiters,
  type MatchKeyRow,
  openMatchKeys,
} from '../../src/store/match-keys.ts'
import {
  countKept,
  findBySender,
  insertSignals,
  lockKept,
  lockSignals,
  updateSignals,
} from '../../src/store/signals.ts'
import type { Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { type Prepared, prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

/** Rows of each table: TEST_PLAN_ROWS=1000000 takes it to the size that is promised. */
const many = Number(process.env['TEST_PLAN_ROWS'] ?? 20_000)
const few = 1_000
/** Deeper trees, and pages that an update has split: nothing that grows with the rows. */
const slack = 16

let place: StorePlace
let database: Database
let session: Session

beforeAll(async () => {
  place = await openStore({ writers: 2, readers: 1 })
  database = place.database
  session = place.session
})

afterAll(() => place?.close())

/** Flows that wait, and signals that are kept: half of all share a topic, many others a correlation. */
async function fill(from: number, to: number): Promise<void> {
  await session.query(`
    with made as (
      insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
        mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, wait,
        state)
      select gen_random_uuid(), 2, 2, 60, now(), now(), 'default', 'waiting', 'managed', 'init', 'c',
        'o', 'r', 'g', '{}', '{"kind":"external_event"}', '{}'
      from generate_series(${from}, ${to - 1}) returning id),
    numbered as (select id, row_number() over () + ${from} as n from made)
    insert into match_keys (flow_id, wait_id, flow_shard, shard, since, namespace, topic,
      correlation_id)
    select id, gen_random_uuid(), 60, 60, now(), 'default',
      case when n % 2 = 0 then 'topic' else 'topic-' || n end,
      case when n % 20 = 1 then 'order-42' else 'order-' || n + 1000000 end
    from numbered`)
  await session.query(`
    insert into signals (id, received_at, expires_at, flow_id, delivered_count, shard, namespace, kind,
      outcome, deliver, topic, correlation_id, name, sender_id, actor)
    select gen_random_uuid(), now(), now() + interval '1 day',
      case when n % 3 = 0 then gen_random_uuid() end, case when n % 5 = 0 then 1 else 0 end, 60,
      'default', case when n % 3 = 0 then 'manual' else 'external_event' end,
      case when n % 5 = 0 then 'delivered' else 'buffered' end, 'one',
      case when n % 3 > 0 then case when n % 2 = 0 then 'topic' else 'topic-' || n end end,
      case when n % 3 > 0 then
        case when n % 20 = 1 then 'order-42' else 'order-' || n + 1000000 end end,
      case when n % 3 = 0 then 'go' end, 'sender-' || n, 'tester'
    from generate_series(${from}, ${to - 1}) as n`)
}

const key = { namespace: 'default', topic: 'topic', correlation_id: 'order-42' }
const flow_id = samples.id(1)
const now = samples.start
const query = { ...key, limit: 5, after: null }
const place42: MatchKeyRow = {
  ...key,
  flow_id,
  wait_id: samples.waitId,
  flow_shard: 60,
  shard: 60,
  since: now,
}
const signal: SignalRecord = {
  id: samples.id(3),
  shard: 60,
  namespace: 'default',
  target: { kind: 'external_event', topic: 'topic', correlation_id: 'order-42' },
  flow_id: null,
  source: '',
  sender_id: 's',
  actor: 'tester',
  deliver: 'one',
  outcome: 'buffered',
  deliveries: [],
  delivered_count: 0,
  received_at: now,
  expires_at: now,
  traceparent: null,
  waking: null,
}
const locks = { flows: [], waiters: [query], holders: [], state_room: 1_000, block: false }

const statements: [string, (runner: Runner) => Promise<unknown>][] = [
  ['the look for waits', (runner) => findWaiters(runner, [query])],
  [
    'the look for waits behind a place',
    (runner) => findWaiters(runner, [{ ...query, after: { since: now, wait_id: samples.waitId } }]),
  ],
  ['the lock of flows that wait', (runner) => lockFlows(runner, locks)],
  ['kept signals by key', (runner) => lockKept(runner, [{ ...key, flow_id, limit: 1 }])],
  ['kept signals by name', (runner) => lockKept(runner, [{ name: null, flow_id, limit: 1 }])],
  ['the lock of signals', (runner) => lockSignals(runner, [signal.id])],
  [
    'senders by correlation',
    (runner) =>
      findBySender(runner, [
        { source: '', sender_id: 's', namespace: 'default', correlation_id: 'order-42' },
      ]),
  ],
  ['senders by flow', (runner) => findBySender(runner, [{ source: '', sender_id: 's', flow_id }])],
  ['the count of kept ones', (runner) => countKept(runner, [{ text: 'x', ...key }], 1_000)],
  ['the count of named ones', (runner) => countKept(runner, [{ text: 'x', flow_id }], 1_000)],
  ['a new signal', (runner) => insertSignals(runner, [signal])],
  ['the save of a signal', (runner) => updateSignals(runner, [signal])],
  ['a new match key', (runner) => openMatchKeys(runner, [place42])],
  ['the end of a match key', (runner) => closeMatchKeys(runner, [place42])],
]

beforeEach(() => session.query('truncate flows, signals, match_keys cascade'))

describe.each([
  ['a new database', null],
  ['a small one that was analyzed', 60],
] as const)('planned for %s', (_, present) => {
  test(`the same pages among ${few} and among ${many}`, async () => {
    if (present !== null) {
      await fill(0, present)
      await session.query('vacuum analyze flows, signals, match_keys')
    }
    const client = await database.scope.writer.connect()
    const prepared: [string, Prepared][] = []
    for (const [n, [name, call]] of statements.entries()) {
      prepared.push([name, await prepare(client, 'generic', `flat_${n}`, call)])
    }
    await fill(100, few)
    const before = new Map<string, number>()
    for (const [name, statement] of prepared) before.set(name, await statement.pages())
    await fill(few, many)
    for (const [name, statement] of prepared) {
      const pages = await statement.pages()
      const told = `${name}: ${before.get(name)} pages, then ${pages}\n${await statement.explain()}`
      expect.soft(pages, told).toBeLessThanOrEqual((before.get(name) ?? 0) + slack)
    }
    client.release(true)
  }, 3_600_000)
})

test('the check finds a look-up that grows', async () => {
  const client = await database.scope.writer.connect()
  const scan = await prepare(client, 'generic', 'planted', (runner) =>
    runner.query({ name: '', text: `select 1 from signals where actor = 'nobody'`, values: [] }),
  )
  await fill(0, few)
  const before = await scan.pages()
  await fill(few, many)
  const after = await scan.pages()
  client.release(true)
  expect(after).toBeGreaterThan(before + slack)
})

// Deliveries are flat: what a batch and the dispatcher look up touches the same few pages among a thousand
// rows as among many, whatever the statistics were when it was planned; and a lane's limit holds.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Database, Runner, Scope } from '../../src/store/db.ts'
import { listDeliveries } from '../../src/store/deliveries.ts'
import {
  claimDeliveries,
  failPending,
  type HookEvent,
  listLanes,
  queueDeliveries,
} from '../../src/store/delivery-queue.ts'
import { type AttemptResult, recordResults } from '../../src/store/delivery-results.ts'
import { countHooks, insertFlowHooks } from '../../src/store/hooks.ts'
import type { Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { type Prepared, prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

const many = Number(process.env['TEST_PLAN_ROWS'] ?? 20_000)
const few = 1_000
/** Deeper trees, and pages that an update has split: nothing that grows with the rows. */
const slack = 20

let place: StorePlace
let database: Database
let session: Session

beforeAll(async () => {
  place = await openStore({ writers: 2, readers: 1 })
  database = place.database
  session = place.session
})

afterAll(() => place?.close())

/** The id of something with a number, as SQL and as text. */
const numbered = (n: string) => `('00000000-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`
const nth = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

const lanes = 10
const flowId = nth(100)
const hookId = nth(3)

/** Flows with events, each with a hook of its own, and deliveries of ten lanes: most are through. */
async function fill(from: number, to: number): Promise<void> {
  const series = `generate_series(${from}, ${to - 1}) as n`
  await session.query(`
    insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
      mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state)
    select ${numbered('n')}, 2, 2, 60, now(), now(), 'default', 'running', 'managed', 'init', 'c',
      'o', 'r', 'g', '{}', '{}' from ${series}`)
  await session.query(`
    insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
    select ${numbered('n')}, 2, 60, now(), 'default', 'started', 'tester', '{}' from ${series}`)
  await session.query(`
    insert into hooks (id, flow_id, lane, shard, ordered, created_at, updated_at, namespace, url,
      payload, secrets)
    select ${numbered(`n + 500000`)}, ${numbered('n')}, ${numbered(`n % ${lanes}`)}, 60, false, now(),
      now(), 'default', 'https://a.example/', 'thin', '[]' from ${series}`)
  await session.query(`
    insert into deliveries (id, hook_id, flow_id, lane, revision, shard, depth, ordered, created_at,
      next_attempt_at, settled_at, namespace, type, status, body, lease_token)
    select ${numbered('n')}, ${numbered(`n % ${lanes}`)}, ${numbered('n')}, ${numbered(`n % ${lanes}`)}, 1,
      60, 1, n % 2 = 0, now(), case when n % 3 = 0 then now() - n * interval '1 second' end,
      case when n % 3 > 0 then now() end, 'default', 'flow.started',
      case when n % 3 = 0 then 'pending' else 'delivered' end, '{}', null from ${series}`)
}

/** The few hooks of the namespace. */
async function fillHooks(): Promise<void> {
  await session.query(`
    insert into hooks (id, lane, shard, ordered, enabled, disabled_at, created_at, updated_at, namespace,
      url, payload, secrets, kinds)
    select ${numbered('n')}, ${numbered('n')}, 60, false, n <> 3, case when n = 3 then now() end, now(),
      now(), 'default', 'https://a.example/', 'full', '[]',
      case when n > 0 then array['finished'] end from generate_series(0, ${lanes - 1}) as n`)
}

const event: HookEvent = {
  flow_id: flowId,
  shard: 60,
  revision: 2,
  kind: 'started',
  status: 'running',
  actor: 'tester',
  at: samples.start,
  depth: 1,
  hooked: true,
}
const claim = {
  lanes: [0, 1, 2].map((n) => ({ lane: nth(n), slots: 4 })),
  token: nth(900_000),
  lease: 25_000,
  now: null,
}
const result: AttemptResult = {
  id: nth(102),
  shard: 60,
  lease_token: nth(900_000),
  hook_id: hookId,
  outcome: 'delivered',
  delay: null,
  status_code: 200,
  latency_ms: 5,
  error: null,
  response: 'ok',
  url: 'https://a.example/',
  gone: false,
}

/** A scope whose connections only take down what they are sent. */
function spying(answer: object[]) {
  const sent: { name: string; text: string; values: unknown[] }[] = []
  const query = async (config: { name: string; text: string; values: unknown[] }) => {
    if (config.values.length > 0 || config.text.includes('select')) sent.push(config)
    return { rows: answer }
  }
  const pool = { query, connect: async () => ({ query, release: () => {} }) }
  const wall = { stands: false }
  return { sent, scope: { shards: 'all', writer: pool, reader: pool, wall } as unknown as Scope }
}

/** What a function of a scope sends, as functions of a runner. */
async function statementsOf(
  name: string,
  call: (scope: Scope) => Promise<unknown>,
  answer: object[] = [],
): Promise<[string, (runner: Runner) => Promise<unknown>][]> {
  const { sent, scope } = spying(answer)
  await call(scope)
  return sent.map((config, i) => [`${name} ${i + 1}`, (runner) => runner.query(config)])
}

async function statements(): Promise<[string, (runner: Runner) => Promise<unknown>][]> {
  const other = { ...result, id: nth(103), hook_id: nth(4), outcome: 'retry' as const, delay: 5 }
  const recorded = [
    { ...result, flow_id: flowId, ordered: true, status: 'delivered' },
    { ...other, flow_id: nth(103), ordered: true, status: 'pending' },
  ]
  const recording = await statementsOf(
    'a record of results',
    (scope) => recordResults(scope, [result, other], 1_000, null),
    recorded,
  )
  if (recording.length !== 4) throw new Error(`${recording.length} statements record results`)
  return [
    ['the queue', (runner) => queueDeliveries(runner, [event])],
    ['a claim', (runner) => claimDeliveries(runner, { ...claim, lanes: claim.lanes.slice(0, 1) })],
    ...recording,
    ...(await statementsOf('the lanes', (scope) => listLanes(scope, null))),
    ...(await statementsOf('a hook that is gone', (scope) =>
      failPending(scope, { hook_id: hookId, lane: nth(3) }, 2),
    )),
    ...(await statementsOf('a list', (scope) =>
      listDeliveries(scope, { namespace: 'default', hook_id: hookId, limit: 5 }),
    )),
    [
      'the count of a flow’s hooks',
      (runner) => countHooks(runner, { namespace: 'default', flow_id: flowId, bound: 16 }),
    ],
    ['hooks of a flow that did not come in', (runner) => insertFlowHooks(runner, [])],
    [
      'the look for hooks',
      (runner) =>
        runner.query({
          name: '',
          text: 'select exists (select 1 from hooks where flow_id is null and enabled) as hooks',
          values: [],
        }),
    ],
  ]
}

beforeEach(() => session.query('truncate flows, flow_events, hooks, deliveries cascade'))

describe.each([
  ['a new database', null],
  ['a small one that was analyzed', 60],
] as const)('planned for %s', (_, present) => {
  test(`the same pages among ${few} and among ${many}`, async () => {
    await fillHooks()
    if (present !== null) {
      await fill(10, 10 + present)
      await session.query('vacuum analyze flows, flow_events, hooks, deliveries')
    }
    const client = await database.scope.writer.connect()
    const prepared: [string, Prepared][] = []
    for (const [n, [name, call]] of (await statements()).entries()) {
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

test('a claim takes so many of each lane, the longest due first, and locks no others', async () => {
  await fillHooks()
  await fill(100, few)
  await session.query('vacuum analyze deliveries')
  const client = await database.scope.writer.connect()
  try {
    for (const setting of ['on', 'off']) {
      await client.query(`set enable_indexscan = ${setting}`)
      await client.query('begin')
      const { deliveries } = await claimDeliveries(client, claim)
      const ofLane = (n: number) => deliveries.filter(({ lane }) => lane === nth(n))
      expect([0, 1, 2, 3].map((n) => ofLane(n).length)).toEqual([4, 4, 4, 0])
      const { rows } = await session.query<{ free: number }>(`
        select count(*)::integer as free
        from (select id from deliveries where status = 'pending' for update skip locked) as d`)
      expect(rows[0]?.free).toBe(300 - 12)
      await client.query('rollback')
    }
  } finally {
    client.release()
  }
})

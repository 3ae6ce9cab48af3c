// What is asked for again and again about endpoints is flat: the same few pages among a thousand steps as
// among many, whatever the statistics were when it was planned.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Database, type Runner, writerOf } from '../../src/store/db.ts'
import {
  countPushed,
  handOverStep,
  listPushTargets,
  markCancelTold,
  takeCancelNotices,
} from '../../src/store/pushed-steps.ts'
import { everywhere } from '../../src/store/wall.ts'
import type { Session } from '../support/engine.ts'
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

const numbered = (n: string) => `('00000000-0000-7000-8000-' || lpad((${n})::text, 12, '0'))::uuid`
const nth = (n: number) => `00000000-0000-7000-8000-${String(n).padStart(12, '0')}`

/** One flow, and controllers: two that are pushed to, one of them a task alone. */
async function fillControllers(): Promise<void> {
  await session.query(`
    insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
      mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state)
    values (${numbered('0')}, 2, 2, 60, now(), now(), 'default', 'running', 'managed', 'init', 'c-0',
      'o', 'r', 'g', '{}', '{}')`)
  await session.query(`
    insert into controllers (namespace, id, url, tasks, timeout_ms, max_concurrency, created_at, updated_at)
    values ('default', 'c-1', 'https://a.example/', null, 1000, 10, now(), now()),
      ('default', 'c-2', 'https://b.example/', '{a,b}', 1000, 10, now(), now())`)
}

/** Steps of five controllers: ready, at endpoints, settled; of the cancelled ones a few are to be told. */
async function fill(from: number, to: number): Promise<void> {
  await session.query(`
    insert into flow_steps (id, flow_id, shard, attempt, max_attempts, priority, created_at, updated_at,
      run_id, runtime, task, status, namespace, controller_id, ready, rank, pushed, cancel_requested,
      cancel_told, claims, lease_token, lease_until, lease_ms)
    select ${numbered('n')}, ${numbered('0')}, 60, 1, 3, 1000, now(), now(), n::text, 'managed', 'a',
      case n % 4 when 0 then 'pending' when 1 then 'running' when 2 then 'cancelled' else 'succeeded' end,
      'default', 'c-' || n % 5, n % 4 = 0, now(), n % 4 in (1, 2), n % 4 = 2 or n % 1000 = 1,
      case when n % 4 = 2 then 1 end, 1, case when n % 4 in (1, 2) then gen_random_uuid() end,
      now() + interval '1 hour', 60000
    from generate_series(${from}, ${to - 1}) as n`)
}

const place_ = { namespace: 'default', id: 'c-1' }
const statements: [string, (runner: Runner) => Promise<unknown>][] = [
  ['the look at all endpoints', listPushTargets],
  ['the count of an endpoint', (runner) => countPushed(runner, place_, 10)],
  [
    'the notices of cancels',
    (runner) =>
      takeCancelNotices(runner, {
        without: [{ namespace: 'default', id: 'c-2' }],
        limit: 16,
        lease: 15_000,
      }),
  ],
  ['a notice that was taken', (runner) => markCancelTold(runner, { step_id: nth(101), claims: 1 })],
  [
    'a step that is handed over',
    (runner) =>
      handOverStep(runner, {
        namespace: 'default',
        step_id: nth(101),
        token: nth(1),
        lease_ms: 60_000,
      }),
  ],
]

beforeEach(() => session.query('truncate flows, flow_steps, controllers cascade'))

describe.each([
  ['a new database', null],
  ['a small one that was analyzed', 60],
] as const)('planned for %s', (_, present) => {
  test(`the same pages among ${few} and among ${many}`, async () => {
    await fillControllers()
    if (present !== null) {
      await fill(1, 1 + present)
      await session.query('vacuum analyze flows, flow_steps, controllers')
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

test('notices are taken one for each controller, and not twice', async () => {
  await fillControllers()
  // Of controllers 0 to 4 in turn; only 1 and 2 have endpoints.
  await fill(100, 130)
  await session.query(`update flow_steps set cancel_requested = true where status = 'running'`)
  const writer = writerOf(database.scope, everywhere)
  const query = { without: [], limit: 16, lease: 15_000 }
  const first = await takeCancelNotices(writer, query)
  expect(first.notices.map(({ controller_id }) => controller_id).sort()).toEqual(['c-1', 'c-2'])
  const second = await takeCancelNotices(writer, query)
  const ids = [...first.notices, ...second.notices].map(({ step_id }) => step_id)
  expect(new Set(ids).size).toBe(ids.length)
  expect(
    (await takeCancelNotices(writer, { ...query, without: [place_] })).notices,
  ).not.toContainEqual(expect.objectContaining({ controller_id: 'c-1' }))
})

test('a notice for a step that has ended is given up with its lease', async () => {
  await fillControllers()
  await fill(101, 103)
  await session.query(`
    update flow_steps set status = 'cancelled', controller_id = 'c-1', pushed = true,
      cancel_requested = true, cancel_told = null, lease_token = gen_random_uuid(),
      lease_until = now() - interval '1 second'`)
  const query = { without: [], limit: 16, lease: 15_000 }
  for (const taken of [1, 1, 0]) {
    expect(await takeCancelNotices(writerOf(database.scope, everywhere), query)).toEqual({
      notices: [],
      taken,
    })
  }
})

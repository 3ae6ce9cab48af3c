// How much waits: exact as long as that is little, and by the planner's statistics when it is much.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { countBound, readDepths } from '../../src/store/depths.ts'
import type { Session } from '../support/engine.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
let session: Session

beforeAll(async () => {
  place = await openStore()
  session = place.session
})
afterAll(() => place?.close())
beforeEach(async () => {
  await session.query('truncate flows, flow_steps, signals, deliveries cascade')
})

const depths = () => readDepths(place.database.scope)

const flows = (count: number, status: string, due: string | null = null) =>
  session.query(
    `insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at, wake_at,
       namespace, status, mode, current_step, controller_id, owner_session_key, requester_origin, goal,
       labels, wait, state)
     select gen_random_uuid(), 0, 2, 1, now(), now(), case when $2 = 'finished' then now() end,
       now() + $3::interval, 'ns-' || n % 3, $2, 'managed', 'init', 'c', 'o', 'r', 'g', '{}',
       case when $2 = 'waiting' then '{"kind": "timer"}'::jsonb end, '{}'
     from generate_series(1, $1::integer) n`,
    [count, status, due],
  )

const steps = (count: number, columns: Record<string, string>) =>
  session.query(
    `insert into flow_steps (id, flow_id, attempt, max_attempts, priority, shard, created_at, updated_at,
       namespace, controller_id, run_id, runtime, task, ${Object.keys(columns).join(', ')})
     select gen_random_uuid(), (select id from flows limit 1), 0, 3, 1000, 1, now(), now(), 'default', 'c',
       gen_random_uuid(), 'managed', 't', ${Object.values(columns).join(', ')}
     from generate_series(1, ${count}) n`,
  )

describe('a little', () => {
  test('nothing is nothing', async () => {
    expect(await depths()).toMatchObject({
      flows: { created: 0, running: 0, waiting: 0, finished: 0, failed: 0, cancelled: 0 },
      flows_due: 0,
      flows_due_oldest: 0,
      steps: { ready: 0, delayed: 0, running: 0, dead: 0 },
      steps_ready_oldest: 0,
      steps_due: 0,
      deliveries_pending: 0,
      deliveries_oldest: 0,
      signals_kept: 0,
    })
  })

  test('flows are counted over all namespaces, and what is due among them', async () => {
    await flows(7, 'running')
    await flows(4, 'waiting', '1 hour')
    await flows(2, 'waiting', '-90 seconds')
    await flows(3, 'finished')
    const found = await depths()
    expect(found.flows).toMatchObject({ running: 7, waiting: 6, finished: 3, failed: 0 })
    expect(found.flows_due).toBe(2)
    expect(found.flows_due_oldest).toBeGreaterThanOrEqual(90)
    expect(found.flows_due_oldest).toBeLessThan(120)
  })

  test('steps by what they wait for', async () => {
    await flows(1, 'running')
    const rank = "now() + interval '1000 seconds'"
    await steps(3, { status: `'pending'`, ready: 'true', rank, run_at: "now() - interval '30 s'" })
    await steps(2, { status: `'pending'`, wake_at: "now() + interval '1 hour'" })
    const lease = { lease_token: 'gen_random_uuid()', lease_until: 'now()' }
    await steps(4, { status: `'running'`, ...lease, wake_at: "now() + interval '20 s'" })
    await steps(1, { status: `'running'`, ...lease, wake_at: "now() - interval '5 s'" })
    await steps(6, { status: `'failed'` })
    await steps(2, { status: `'succeeded'` })
    await session.query(`update flow_steps set runtime = 'mirrored' where id in (
      select id from flow_steps where status = 'failed' limit 1)`)
    const found = await depths()
    expect(found.steps).toEqual({ ready: 3, delayed: 2, running: 5, dead: 5 })
    expect(found.steps_ready_oldest).toBeGreaterThanOrEqual(30)
    expect(found.steps_due).toBe(1)
    expect(found.steps_due_oldest).toBeGreaterThanOrEqual(5)
  })

  test('kept signals and pending deliveries; one that is sent or put off is not late', async () => {
    await session.query(`
      insert into signals (id, shard, namespace, kind, outcome, deliver, topic, correlation_id, actor,
        received_at, expires_at, delivered_count)
      select gen_random_uuid(), 1, 'default', 'external_event',
        case when n <= 3 then 'buffered' else 'expired' end, 'one', 't', 'c', 'a', now(),
        now() + interval '1 day', 0
      from generate_series(1, 5) n`)
    const delivery = (lane: number, status: string, due: string) =>
      session.query(`
        insert into deliveries (id, hook_id, lane, shard, depth, ordered, created_at, next_attempt_at,
          settled_at, namespace, type, status, body)
        values (gen_random_uuid(), gen_random_uuid(), '00000000-0000-0000-0000-00000000000${lane}', 1, 0,
          false, now(), ${due}, ${status === 'pending' ? 'null' : 'now()'}, 'default', 't', '${status}',
          '{}')`)
    await delivery(1, 'pending', "now() + interval '1 hour'")
    await delivery(1, 'delivered', 'null')
    expect(await depths()).toMatchObject({ signals_kept: 3, deliveries_pending: 1 })
    expect((await depths()).deliveries_oldest).toBe(0)
    await delivery(2, 'pending', "now() - interval '40 s'")
    const found = await depths()
    expect(found.deliveries_pending).toBe(2)
    expect(found.deliveries_oldest).toBeGreaterThanOrEqual(40)
  })
})

test('much is estimated, and no read goes past the bound', async () => {
  await flows(2 * countBound, 'finished')
  await flows(2 * countBound, 'waiting', '-1 minute')
  const rank = 'now()'
  await steps(3 * countBound, { status: `'pending'`, ready: 'true', rank, run_at: 'now()' })
  await steps(2 * countBound, { status: `'pending'`, wake_at: "now() + interval '1 hour'" })
  await session.query('vacuum (analyze) flows, flow_steps')
  const found = await depths()
  expect(found.flows.waiting / (2 * countBound)).toBeCloseTo(1, 1)
  expect(found.flows.finished / (2 * countBound)).toBeCloseTo(1, 1)
  expect(found.flows_due).toBe(countBound + 1)
  // The planner's count of a sample.
  expect(found.steps.ready / (3 * countBound)).toBeCloseTo(1, 1)
  expect(found.steps.delayed / (2 * countBound)).toBeCloseTo(1, 1)
  expect(found.rows.flows / (4 * countBound)).toBeCloseTo(1, 1)
})

test('much that was never analysed is spread as what was looked at', async () => {
  await session.query('alter table flows set (autovacuum_enabled = false)')
  await session.query('delete from pg_statistic where starelid = $1::regclass', ['flows'])
  await flows(3 * countBound, 'running')
  const { flows: found } = await depths()
  expect(found.running).toBeGreaterThan(countBound)
  expect(found.waiting).toBe(0)
})

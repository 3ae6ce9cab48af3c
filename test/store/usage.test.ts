// What a namespace uses: exact as long as it is little, estimated from a sample past it, and read in little pieces.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { readUsage, type Usage } from '../../src/store/usage.ts'
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
  await session.query('truncate flows, flow_steps, flow_memos, signals, hooks cascade')
})

const limits = {
  open_flows: 50_000,
  open_steps: 50_000,
  kept_signals: 50_000,
  hooks: 50_000,
  bytes: 1_000_000,
}
const usage = (namespace = 'mine', limited: Usage = limits) =>
  readUsage(place.database.scope, namespace, limited)

const flows = (count: number, namespace = 'mine', status = 'running') =>
  session.query(
    `insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at, namespace,
       status, mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels,
       state, open_steps, hooked)
     select gen_random_uuid(), 0, 100, 1, now(), now(), case when $3 = 'finished' then now() end, $2,
       $3, 'managed', 'init', 'c', 'o', 'r', 'g', '{}', '{}', 2, true
     from generate_series(1, $1::integer) n`,
    [count, namespace, status],
  )
/** One for each flow. The text is that long, with a header of four bytes or one. */
const steps = (column: string, bytes: number) =>
  session.query(
    `insert into flow_steps (id, flow_id, attempt, max_attempts, priority, shard, created_at, updated_at,
       namespace, controller_id, run_id, runtime, task, status, ${column})
     select gen_random_uuid(), f.id, 0, 3, 1000, 1, now(), now(), f.namespace, 'c',
       gen_random_uuid(), 'mirrored', 't', 'succeeded', to_jsonb(repeat('x', $1)) from flows f`,
    [bytes],
  )
const memos = (bytes: number) =>
  session.query(
    `insert into flow_memos (flow_id, shard, created_at, updated_at, key, value)
     select f.id, 1, now(), now(), 'k', to_json(repeat('x', $1)) from flows f`,
    [bytes],
  )
const signals = (count: number, bytes: number, outcome = 'buffered') =>
  session.query(
    `insert into signals (id, received_at, expires_at, shard, namespace, kind, outcome, deliver, topic,
       correlation_id, actor, delivered_count, payload)
     select gen_random_uuid(), now(), now() + interval '1 day', 1, 'mine', 'external_event', $3, 'one',
       't', 'c' || n, 'a', case when $3 = 'delivered' then 1 else 0 end, to_json(repeat('x', $2))
     from generate_series(1, $1::integer) n`,
    [count, bytes, outcome],
  )
/** One for each flow, or some for all of them. */
const hooks = (from: string) =>
  session.query(
    `insert into hooks (id, flow_id, lane, shard, ordered, created_at, updated_at, namespace, url,
       payload, secrets)
     select gen_random_uuid(), f.id, gen_random_uuid(), 1, false, now(), now(), 'mine',
       'https://example.com', 'thin', '[]' from ${from}`,
  )

describe('a little', () => {
  test('is counted one by one: what is open or kept, of this namespace', async () => {
    await flows(3)
    await flows(2, 'mine', 'finished')
    await flows(4, 'other')
    await steps('input', 1_000)
    await steps('result', 500)
    await memos(200)
    await signals(5, 50)
    await signals(7, 50, 'delivered')
    await hooks('flows f')
    await hooks('(select null::uuid as id from generate_series(1, 2)) f')
    const { bytes, ...counts } = await usage()
    expect(counts).toEqual({ open_flows: 3, open_steps: 6, kept_signals: 5, hooks: 5 })
    const exact = 3 * (100 + 1_000 + 500 + 200) + 5 * 50
    // A few bytes of headers, quotes and lengths for each value.
    expect(bytes).toBeGreaterThan(exact)
    expect(bytes).toBeLessThan(exact + 16 * 14)
    expect(await usage('nobody')).toEqual({
      open_flows: 0,
      open_steps: 0,
      kept_signals: 0,
      hooks: 0,
      bytes: 0,
    })
  })

  test('is not counted where it is not limited, and no further than its limit', async () => {
    await flows(5)
    await signals(5, 50)
    await hooks('(select null::uuid as id from generate_series(1, 5)) f')
    const none = { open_flows: 0, open_steps: 0, kept_signals: 0, hooks: 0, bytes: 0 }
    expect(await usage('mine', none)).toMatchObject({ kept_signals: 0, hooks: 0, bytes: 0 })
    const few = { ...none, open_flows: 2, kept_signals: 2, hooks: 2 }
    expect(await usage('mine', few)).toMatchObject({ open_flows: 3, kept_signals: 3, hooks: 3 })
  })
})

describe('much', () => {
  test('is estimated from a sample', async () => {
    await flows(15_000)
    await steps('result', 400)
    await steps('input', 400)
    await memos(100)
    await signals(12_000, 50)
    await hooks('flows f')
    await session.query('analyze')
    const { bytes, ...counts } = await usage()
    expect(counts).toEqual({
      open_flows: 15_000,
      open_steps: 30_000,
      kept_signals: 12_000,
      hooks: 15_000,
    })
    const exact = 15_000 * (100 + 800 + 100) + 12_000 * 50
    expect(bytes).toBeGreaterThan(exact)
    expect(bytes).toBeLessThan(1.05 * exact)
  })

  test('of one flow does not take the sample of all the others', async () => {
    await flows(1)
    await session.query(
      `insert into flow_memos (flow_id, shard, created_at, updated_at, key, value)
       select f.id, 1, now(), now(), 'k' || n, to_json(repeat('x', 100))
       from flows f, generate_series(1, 3000) n`,
    )
    await flows(2)
    const { bytes } = await usage()
    expect(bytes).toBeGreaterThan(1_000 * 100)
    expect(bytes).toBeLessThan(1_000 * 120)
  })
})

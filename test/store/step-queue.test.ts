// Claims end: those that name what they want look at all of it at once, the others go around in a circle.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { writerOf } from '../../src/store/db.ts'
import { claimSteps } from '../../src/store/step-queue.ts'
import { everywhere } from '../../src/store/wall.ts'
import { prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
beforeAll(async () => {
  place = await openStore({ writers: 1 })
})
afterAll(() => place?.close())

const names = (what: string, count: number) => Array.from({ length: count }, (_, i) => what + i)
const look = (controllers: string[] | null, tasks: string[] | null) =>
  claimSteps(writerOf(place.database.scope, everywhere), {
    namespace: 'default',
    controllers,
    tasks,
    pushed: false,
    slots: [{ worker_id: 'w', lease_ms: 30_000 }],
    after: null,
    served: [],
  })

test('a claim that names more groups than a look has leaves none for another', async () => {
  expect(await look(names('c', 20), names('t', 20))).toEqual({ steps: [], more: null, left: 0 })
  expect(await look(names('c', 70), null)).toEqual({ steps: [], more: null, left: 0 })
  expect(await look(null, names('t', 70))).toEqual({ steps: [], more: null, left: 0 })
})

test('a claim of many holds no step against another, also when few were ready by the statistics', async () => {
  const { database, session } = place
  const many = 200
  const nth = "('00000000-0000-7000-8000-' || lpad(n::text, 12, '0'))::uuid"
  const fill = (from: number, to: number, ready: boolean) =>
    session.query(`
      with f as (
        insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
          mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state)
        select ${nth}, 2, 2, 60, now(), now(), 'default', 'running', 'managed', 'init', 'c',
          'o', 'r', 'g', '{}', '{}'
        from generate_series(${from}, ${to - 1}) as n)
      insert into flow_steps (id, flow_id, shard, attempt, max_attempts, priority, created_at, updated_at,
        run_id, runtime, task, status, namespace, controller_id, ready, rank)
      select ${nth}, ${nth}, 60, 0, 3, 1000, now(), now(), 'r', 'managed', 't',
        '${ready ? 'pending' : 'cancelled'}', 'default', 'c', ${ready}, now()
      from generate_series(${from}, ${to - 1}) as n`)
  await fill(0, 2_000, false)
  await fill(2_000, 2_001, true)
  await session.query('vacuum analyze flows, flow_steps')
  const client = await database.scope.writer.connect()
  try {
    const claim = await prepare(client, 'generic', 'claim', (runner) =>
      claimSteps(runner, {
        namespace: 'default',
        controllers: null,
        tasks: ['t'],
        pushed: false,
        slots: Array.from({ length: many }, () => ({ worker_id: 'w', lease_ms: 30_000 })),
        after: null,
        served: [],
      }),
    )
    await fill(2_001, 2_001 + many, true)
    expect(await claim.mismatches()).toBeLessThan(many)
  } finally {
    client.release(true)
  }
})

test('a claim says how many it left, as far as it has seen all of them', async () => {
  const { session } = place
  await session.query("update flow_steps set ready = false, status = 'cancelled'")
  const ready = (count: number) =>
    session.query(
      `update flow_steps set ready = true, status = 'pending'
       where id in (select id from flow_steps order by id limit $1)`,
      [count],
    )
  await ready(3)
  expect(await look(null, ['t'])).toMatchObject({ steps: [{ task: 't' }], left: 2 })
  expect(await look(['c'], null)).toMatchObject({ steps: [{ task: 't' }], left: 1 })
  expect(await look(null, null)).toMatchObject({ steps: [{ task: 't' }], left: 0 })
  expect(await look(null, null)).toMatchObject({ steps: [], left: 0 })
  await ready(16)
  expect(await look(null, null)).toMatchObject({ steps: [{ task: 't' }], left: 15 })
  await ready(17)
  expect(await look(null, null)).toMatchObject({ steps: [{ task: 't' }], left: null })
})

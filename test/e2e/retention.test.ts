// The built service is killed with -9 in the middle of deletions, again and again: each flow is there with all of its rows, or gone with all of them.

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { shardTokens } from '../../src/domain/shard.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { orphans } from '../support/retention.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

let database: TestDatabase
let client: pg.Client
let service: ServiceProcess | undefined

beforeAll(async () => {
  database = await createTestDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
})

afterAll(async () => {
  await service?.kill('SIGKILL')
  await client?.end()
  await database?.drop()
})

const count = 6_000
const keptEvery = 10

/** Closed flows of long ago, each with three events, a step and a memo; every tenth is on hold. */
const fill = `
  with made as materialized (
    select i, gen_random_uuid() as id, ($2::smallint[])[i % 64 + 1] as shard
    from generate_series(1, $1::integer) as i),
  f as (
    insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at, namespace,
      status, mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels,
      state, hold)
    select id, 2, 2, shard, now(), now(), now() - interval '100 days', 'default', 'finished',
      'managed', 'init', 'c', 'o', 'r', 'g', '{}', '{}',
      case when i % $3 = 0 then '{"reason": null, "since": "2026-01-01T00:00:00.000Z", "by": "t"}'::jsonb end
    from made returning id, shard),
  e as (
    insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
    select f.id, k.revision, f.shard, now(), 'default', k.kind, 't', '{}'
    from f, (values (0, 'created'), (1, 'started'), (2, 'finished')) as k(revision, kind)),
  s as (
    insert into flow_steps (id, flow_id, attempt, max_attempts, priority, shard, created_at,
      updated_at, run_id, runtime, task, status, namespace, controller_id)
    select gen_random_uuid(), f.id, 0, 1, 1000, f.shard, now(), now(), 'r', 'mirrored', 't',
      'succeeded', 'default', 'c' from f)
  insert into flow_memos (flow_id, shard, created_at, updated_at, key, value)
  select f.id, f.shard, now(), now(), 'm', '1' from f`

async function left(): Promise<{ flows: number; whole: number }> {
  const { rows } = await client.query<{ flows: number; whole: number }>(`
    select count(*)::integer as flows, (count(*) filter (where
      (select count(*) from flow_events e where e.flow_id = f.id) = 3
      and (select count(*) from flow_steps s where s.flow_id = f.id) = 1
      and (select count(*) from flow_memos m where m.flow_id = f.id) = 1))::integer as whole
    from flows f`)
  return rows[0] as { flows: number; whole: number }
}

it('leaves no half of a flow behind, and goes on after each restart', async () => {
  await client.query(fill, [count, shardTokens, keptEvery])
  const env = { DATABASE_URL: database.url, PORT: String(await freePort()), LOG_LEVEL: 'debug' }
  let before = count
  let kills = 0
  while (kills < 4) {
    service = await startService(env)
    await until(async () => (await left()).flows < before, 20_000, 'some flows are gone')
    await sleep(Math.random() * 60)
    await service.kill('SIGKILL')
    kills++
    const { flows, whole } = await left()
    expect(whole).toBe(flows)
    expect(await orphans(client)).toEqual([])
    before = flows
    // Whoever was killed had the work: another takes it over when nothing is heard of it for long.
    await client.query(`update sweepers set leased_until = now() - interval '1 second'
      where leased_until is not null`)
    if (flows === count / keptEvery) break
  }
  // Killed in the middle, not before it or after it.
  expect(before).toBeLessThan(count)
  expect(kills).toBeGreaterThan(1)
  service = await startService(env)
  await until(async () => (await left()).flows === count / keptEvery, 60_000, 'the rest is gone')
  expect(await orphans(client)).toEqual([])
  interface Report {
    retention: { due: number; held: number; deleted_total: number }
  }
  const { body } = await send<Report>(service.base, 'GET', '/engine/storage')
  expect(body.retention).toMatchObject({ due: 0, held: count / keptEvery })
  expect(body.retention.deleted_total).toBe(count - count / keptEvery)
}, 120_000)

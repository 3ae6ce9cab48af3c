// Flows that ended long ago, with rows in every table that can have some, and what must be true of a database after deletions.

import type pg from 'pg'
import type { FlowRecord } from '../../src/domain/flow.ts'
import { caller, createFlow, type TestEngine } from './engine.ts'

/** Tables whose rows name a flow, by the catalogue. */
export async function tablesNamingFlows(session: pg.ClientBase): Promise<string[]> {
  const { rows } = await session.query<{ name: string }>(`
    select c.relname::text as name from pg_attribute a join pg_class c on c.oid = a.attrelid
    where a.attname = 'flow_id' and c.relkind in ('r', 'p')
      and c.relnamespace = 'public'::regnamespace
    order by 1`)
  return rows.map(({ name }) => name)
}

/** Rows that name a flow which is not there, and rows of deliveries and steps that hang on nothing. */
export async function orphans(session: pg.ClientBase): Promise<string[]> {
  const found: string[] = []
  // The position of a publisher is no row of a flow: it names the last event that was told.
  const tables = (await tablesNamingFlows(session)).filter((name) => name !== 'publishers')
  for (const table of tables) {
    const { rows } = await session.query<{ count: number }>(
      `select count(*)::integer as count from ${table} t
       where t.flow_id is not null and not exists (select 1 from flows f where f.id = t.flow_id)`,
    )
    if ((rows[0]?.count ?? 0) > 0) found.push(`${table}: ${rows[0]?.count}`)
  }
  const { rows } = await session.query<{ count: number }>(
    `select count(*)::integer as count from delivery_attempts a
     where not exists (select 1 from deliveries d where d.id = a.delivery_id)`,
  )
  if ((rows[0]?.count ?? 0) > 0) found.push(`delivery_attempts: ${rows[0]?.count}`)
  return found
}

/** How many rows each table has. */
export async function rowCounts(session: pg.ClientBase): Promise<Record<string, number>> {
  const counts: Record<string, number> = {}
  for (const table of [...(await tablesNamingFlows(session)), 'flows', 'delivery_attempts']) {
    const { rows } = await session.query<{ count: number }>(
      `select count(*)::integer as count from ${table}`,
    )
    counts[table] = rows[0]?.count ?? 0
  }
  return counts
}

/** Moves the end of flows into the past. */
export async function age(
  session: pg.ClientBase,
  ids: readonly string[],
  days: number,
): Promise<void> {
  await session.query(
    `update flows set closed_at = closed_at - $2 * interval '1 day' where id = any($1::uuid[])`,
    [ids, days],
  )
}

/**
 * A flow that has failed with rows in every table: an attempt that ended, steps, a memo, a link, a named
 * signal, a hook of its own with a delivery and an attempt of that, and events.
 */
export async function fullFlow(engine: TestEngine, session: pg.ClientBase): Promise<FlowRecord> {
  const flow = await createFlow(engine)
  const { id, shard } = flow
  await engine.steps.observe(caller, id, {
    run_id: 'seen',
    task: 'look',
    status: 'running',
  })
  await engine.memos.put(caller, id, { key: 'memo', value: 1, onlyNew: false })
  const signal = { target: { kind: 'manual', signal: 'approved' }, flow_id: id } as const
  await engine.signals.send(caller, { ...signal, ttl: 60_000 })
  await session.query(
    `insert into step_attempts (step_id, flow_id, claim, attempt, shard, started_at, ended_at, outcome)
     select id, flow_id, 1, 1, shard, now(), now(), 'error' from flow_steps where flow_id = $1`,
    [id],
  )
  await session.query(
    `insert into resume_links (token_hash, flow_id, wait_id, revision, shard, created_at, namespace)
     values (sha256(uuid_send($1::uuid)), $1::uuid, gen_random_uuid(), 1, $2, now(), 'default')`,
    [id, shard],
  )
  await session.query(
    `with h as (
       insert into hooks (id, flow_id, lane, shard, ordered, created_at, updated_at, namespace, url,
         payload, secrets)
       values (gen_random_uuid(), $1, gen_random_uuid(), $2, false, now(), now(), 'default',
         'https://example.com', 'thin', '[]') returning *),
     d as (
       insert into deliveries (id, hook_id, flow_id, lane, revision, shard, depth, ordered, created_at,
         settled_at, namespace, type, status, body)
       select gen_random_uuid(), h.id, h.flow_id, h.lane, 1, h.shard, 1, false, now(), now(),
         'default', 'flow.started', 'delivered', '{}' from h returning *)
     insert into delivery_attempts (delivery_id, attempt, latency_ms, shard, at)
     select id, 1, 5, shard, now() from d`,
    [id, shard],
  )
  const { flow: failed } = await engine.flows.change(caller, id, { type: 'fail', reason: 'over' })
  return failed
}

// The schema as it is: keys that end with the shard, columns that are those of the records, and an audit log that nothing changes.

import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createFlow as bear } from '../../src/domain/create.ts'
import { decide } from '../../src/domain/decide.ts'
import { shardTokens } from '../../src/domain/shard.ts'
import { controllerColumns } from '../../src/store/controllers.ts'
import { attemptColumns, deliveryColumns } from '../../src/store/deliveries.ts'
import { controlColumns } from '../../src/store/flows.ts'
import { hookColumns } from '../../src/store/hooks.ts'
import { messageColumns } from '../../src/store/inbound.ts'
import { sourceColumns } from '../../src/store/sources.ts'
import { stepColumns } from '../../src/store/steps.ts'
import { caller, createFlow, openEngine, openSession, type Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
})

afterAll(async () => {
  await session.end()
  await place.drop()
})

async function columnsOf(table: string): Promise<string[]> {
  const { rows } = await session.query<{ column_name: string }>(
    `select column_name from information_schema.columns
     where table_schema = 'public' and table_name = $1 order by 1`,
    [table],
  )
  return rows.map((row) => row.column_name)
}

/** Unique indexes and foreign keys of sharded tables that could not live on a shard. */
async function shardFaults(): Promise<string[]> {
  const { rows } = await session.query<{ name: string; columns: string[] }>(`
    select c.relname as name, array(
      select a.attname::text from unnest(i.indkey::smallint[]) with ordinality as k(attnum, n)
      join pg_attribute a on a.attrelid = i.indrelid and a.attnum = k.attnum
      order by k.n) as columns
    from pg_index i
    join pg_class c on c.oid = i.indexrelid
    join pg_class t on t.oid = i.indrelid
    join pg_namespace s on s.oid = t.relnamespace and s.nspname = 'public'
    where i.indisunique and exists (
      select 1 from pg_attribute a where a.attrelid = t.oid and a.attname = 'shard')
    union all
    select conname, array(
      select a.attname::text from unnest(conkey) with ordinality as k(attnum, n)
      join pg_attribute a on a.attrelid = conrelid and a.attnum = k.attnum
      order by k.n)
    from pg_constraint c
    where contype = 'f' and connamespace = 'public'::regnamespace and exists (
      select 1 from pg_attribute a where a.attrelid = c.conrelid and a.attname = 'shard')`)
  return rows.filter(({ columns }) => columns.at(-1) !== 'shard').map(({ name }) => name)
}

describe('shards', () => {
  test('every table that grows with flows has the column', async () => {
    const { rows } = await session.query<{ table_name: string }>(`
      select table_name from information_schema.columns
      where table_schema = 'public' and column_name = 'shard'
        and data_type = 'smallint' and is_nullable = 'NO'
      order by 1`)
    expect(rows.map((row) => row.table_name)).toEqual([
      'deliveries',
      'delivery_attempts',
      'flow_events',
      'flow_memos',
      'flow_steps',
      'flows',
      'hooks',
      'idempotency_keys',
      'inbound_messages',
      'match_keys',
      'resume_links',
      'signals',
      'step_attempts',
    ])
  })

  test('every primary key, unique index and foreign key of them ends with it', async () => {
    expect(await shardFaults()).toEqual([])
  })

  test('the check finds a key without it', async () => {
    await session.query('begin')
    await session.query('create unique index planted on flows (namespace, key)')
    await session.query(
      'create table planted_table (shard smallint, id uuid, primary key (shard, id))',
    )
    expect((await shardFaults()).sort()).toEqual(['planted', 'planted_table_pkey'])
    await session.query('rollback')
  })

  test('nothing in the schema depends on one server: no triggers, no sequences, no rules', async () => {
    const { rows } = await session.query<{ name: string }>(`
      select tgname as name from pg_trigger t join pg_class c on c.oid = t.tgrelid
      where not tgisinternal and c.relnamespace = 'public'::regnamespace
      union all
      select c.relname from pg_class c
      where c.relkind = 'S' and c.relnamespace = 'public'::regnamespace
        and not exists (
          select 1 from pg_depend d join pg_class t on t.oid = d.refobjid
          where d.objid = c.oid and t.relname like '%migrations%')
      union all
      select rulename from pg_rules where schemaname = 'public'`)
    expect(rows).toEqual([])
  })

  test('token k is the smallest smallint that hashes into the k-th of 64 ranges', async () => {
    const { rows } = await session.query<{ token: number }>(`
      select min(n)::integer as token
      from generate_series(0, 2000) as n
      group by (hashint2(n::smallint)::bigint + 2147483648) / (4294967296 / 64)
      order by (hashint2(n::smallint)::bigint + 2147483648) / (4294967296 / 64)`)
    expect(rows.map((row) => row.token)).toEqual(shardTokens)
  })
})

describe('columns', () => {
  test('of flows are those of the record', async () => {
    const { flow } = bear(samples.place, samples.newFlow, samples.start, samples.limits)
    const columns = await columnsOf('flows')
    expect([...controlColumns, 'state'].sort()).toEqual(columns)
    expect(Object.keys(flow).sort()).toEqual(columns)
  })

  test('of steps are those of the record', async () => {
    const observation = { run_id: 'r', task: 't', status: 'running' } as const
    const { step } = decide(
      samples.flowIn('running'),
      { type: 'observe', step_id: samples.id(9), observation, known: null },
      'tester',
      samples.start,
      samples.limits,
    )
    // Those of the notices of cancels are no part of a step.
    const own = ['cancel_told', 'cancel_telling_until']
    const columns = (await columnsOf('flow_steps')).filter((name) => !own.includes(name))
    expect([...stepColumns].sort()).toEqual(columns)
    expect(Object.keys(step ?? {}).sort()).toEqual(columns)
  })

  test('of sources and their messages are those of the records', async () => {
    expect([...sourceColumns].sort()).toEqual(await columnsOf('sources'))
    expect([...controllerColumns].sort()).toEqual(await columnsOf('controllers'))
    expect([...messageColumns].sort()).toEqual(await columnsOf('inbound_messages'))
  })

  test('of hooks and their deliveries are those of the records', async () => {
    expect([...hookColumns].sort()).toEqual(await columnsOf('hooks'))
    expect([...deliveryColumns].sort()).toEqual(await columnsOf('deliveries'))
    expect([...attemptColumns].sort()).toEqual(await columnsOf('delivery_attempts'))
  })

  test('of events are those of the record, its place, and the transaction', async () => {
    const { events } = bear(samples.place, samples.newFlow, samples.start, samples.limits)
    const members = Object.keys(events[0] ?? {})
    expect([...members, 'namespace', 'shard', 'xid'].sort()).toEqual(await columnsOf('flow_events'))
  })
})

describe('the audit log', () => {
  const changing =
    /\b(update|delete\s+from|truncate(\s+table)?|merge\s+into)\s+(only\s+)?(public\.)?"?flow_events/i

  test('no statement of the service changes or deletes an event', async () => {
    const root = join(import.meta.dirname, '../../src')
    const files = (await readdir(root, { recursive: true })).filter((name) => name.endsWith('.ts'))
    expect(files.length).toBeGreaterThan(20)
    let mentions = 0
    for (const file of files) {
      const text = await readFile(join(root, file), 'utf8')
      expect(text, file).not.toMatch(changing)
      if (text.includes('flow_events')) mentions++
    }
    expect(mentions).toBeGreaterThan(0)
  })

  test.each([
    'update flow_events set actor = $1',
    'delete from flow_events where at < now()',
    'DELETE  FROM public.flow_events',
    'truncate flow_events',
    'update only flow_events e set',
  ])('the check finds: %s', (text) => {
    expect(text).toMatch(changing)
  })

  test('everything the engine does works where the database forbids both', async () => {
    await session.query(`
      create function refuse() returns trigger language plpgsql as
        $$ begin raise exception 'the log is append-only'; end $$;
      create trigger refuse before update or delete or truncate on flow_events
        execute function refuse()`)
    const engine = openEngine(place.url)
    const change = (id: string, command: Parameters<typeof engine.flows.change>[2]) =>
      engine.flows.change(caller, id, command)
    const [a, b, c, d] = await Promise.all([1, 2, 3, 4].map(() => createFlow(engine)))
    if (!a || !b || !c || !d) throw new Error('no flows')
    await change(a.id, { type: 'wait', wait_id: a.id, wait: { kind: 'timer', after: 0 } })
    await engine.waitEngine.tick()
    const observation = { run_id: 'r', task: 't', status: 'running' } as const
    await engine.steps.observe(caller, a.id, observation)
    await change(a.id, { type: 'update_labels', labels: { x: 'y' } })
    await change(a.id, { type: 'finish', final_state: { done: true } })
    await change(b.id, { type: 'wait', wait_id: b.id, wait: { kind: 'manual' } })
    await change(b.id, { type: 'request_cancel' })
    await engine.waitEngine.tick()
    await change(c.id, { type: 'fail', reason: 'r' })
    await change(d.id, { type: 'cancel' })
    const { flows } = await checkInvariants(session)
    expect(flows.map((flow) => flow.status).sort()).toEqual([
      'cancelled',
      'cancelled',
      'failed',
      'finished',
    ])
    await engine.close()
    await expect(session.query('delete from flow_events')).rejects.toThrow('append-only')
  })
})

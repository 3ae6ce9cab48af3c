// The look-ups behind an explanation are bounded: they read as little among many signals as among few.

import type pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Database, Scope } from '../../src/store/db.ts'
import { type NearQuery, readNearSignals } from '../../src/store/explain.ts'
import type { Session } from '../support/engine.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
let database: Database
let session: Session

const flowId = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'
const query: NearQuery = {
  namespace: 'default',
  flow_id: flowId,
  correlation_ids: ['order-7', 'order-7 ', 'ORDER-7'],
  topics: ['payment.settled'],
  per_correlation: 10,
  per_topic: 200,
  for_flow: 20,
  tells: () => true,
}

beforeAll(async () => {
  place = await openStore({ writers: 1, readers: 1 })
  database = place.database
  session = place.session
})
afterAll(() => place?.close())

/** Signals of one topic, a thousand for each correlation id, every hundredth for the flow. */
const fill = (from: number, to: number) => `
  insert into signals (id, received_at, expires_at, shard, namespace, kind, outcome, deliver, topic,
    correlation_id, actor, flow_id)
  select gen_random_uuid(), now() - n * interval '1 second', now() + interval '1 day', 1, 'default',
    'external_event', 'buffered', 'one', 'payment.settled', 'order-' || n % (1 + ${to} / 1000), 'test',
    case when n % 100 = 0 then '${flowId}'::uuid end
  from generate_series(${from}, ${to}) as n`

async function planOf(mode: 'generic' | 'custom', asked = query): Promise<string> {
  const sent: { text: string; values: unknown[] }[] = []
  const reader = {
    query: async (config: { text: string; values: unknown[] }) => {
      sent.push(config)
      return { rows: [] }
    },
  }
  await readNearSignals({ reader, wall: { stands: false } } as unknown as Scope, asked)
  const [statement] = sent
  if (statement === undefined) throw new Error('nothing was sent')
  const client: pg.PoolClient = await database.scope.reader.connect()
  try {
    await client.query(`set plan_cache_mode = force_${mode}_plan`)
    await client.query(`prepare near_${mode} as ${statement.text}`)
    const values = statement.values.map(literal).join(', ')
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(
      `explain (analyze, buffers, timing off, summary off) execute near_${mode}(${values})`,
    )
    await client.query(`deallocate near_${mode}`)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  } finally {
    client.release()
  }
}

function literal(value: unknown): string {
  if (Array.isArray(value)) return `array[${value.map(literal).join(',')}]`
  return typeof value === 'number' ? String(value) : `'${String(value)}'`
}

/** Pages of the whole statement: its topmost line of buffers counts all below it. */
function pagesOf(plan: string): number {
  const [, hit = '0', , read = '0'] =
    /Buffers: shared(?: hit=(\d+))?( read=(\d+))?/.exec(plan) ?? []
  return Number(hit) + Number(read)
}

test.each(['generic', 'custom'] as const)(
  '%s plans read a bounded number of pages',
  async (mode) => {
    await session.query('truncate signals')
    await session.query(fill(1, 2_000))
    await session.query('vacuum analyze signals')
    expect(pagesOf(await planOf(mode)), 'the figure can be read').toBeGreaterThan(10)
    await session.query(fill(2_001, 60_000))
    await session.query('vacuum analyze signals')
    // At most 250 signals, and the entries of three indexes that lead to them.
    for (const topic of ['payment.settled', 'nobody.sent.it']) {
      const plan = await planOf(mode, { ...query, topics: [topic] })
      expect(pagesOf(plan), plan).toBeLessThan(600)
      expect(
        plan
          .split('->')
          .filter((node) => /Scan/.test(node) && !/Cond/.test(node) && /on signals/.test(node)),
      ).toEqual([])
      for (const index of ['signals_by_topic', 'signals_by_correlation', 'signals_kept_for_flow']) {
        expect(plan).toContain(index)
      }
    }
    const { rows } = await session.query<{ pages: number }>(
      `select relpages as pages from pg_class where relname = 'signals'`,
    )
    expect(rows[0]?.pages, 'there is more to read').toBeGreaterThan(600)
  },
)

test('each signal comes once, the newest of each kind', async () => {
  await session.query('truncate signals')
  await session.query(fill(1, 3_000))
  const found = await readNearSignals(database.scope, { ...query, per_topic: 50 })
  expect(new Set(found.map(({ id }) => id)).size).toBe(found.length)
  expect(found.length).toBeLessThanOrEqual(10 + 50 + 20)
  const times = found.map(({ received_at }) => received_at).sort()
  expect(times.length).toBeGreaterThan(50)
  expect(await readNearSignals(database.scope, { ...query, namespace: 'foreign' })).toEqual([])
})

// Raw messages as rows: a list reads no more than its page, whatever else is stored, and a message written twice is one.

import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Database, type Scope, writerOf } from '../../src/store/db.ts'
import {
  deleteOldMessages,
  type InboundMessageRow,
  insertInboundMessages,
  listMessages,
  readMessage,
} from '../../src/store/inbound.ts'
import { everywhere } from '../../src/store/wall.ts'
import type { Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
let database: Database
let session: Session

beforeAll(async () => {
  place = await openStore({ writers: 2, readers: 2 })
  database = place.database
  session = place.session
})

afterAll(() => place?.close())

const row: InboundMessageRow = {
  id: samples.id(1),
  shard: 60,
  namespace: 'default',
  source: 'twice',
  headers: { 'x-b': '1', 'x-a': 'é "quoted" \\' },
  body: Buffer.from([0, 255, 10, 34]),
  received_at: '2026-04-23T15:00:00.123Z',
  outcome: 'unmapped',
  reason: 'topic: The body has no /type.',
  signal_id: null,
}

test('a message comes back as it was written, and a second time gets its new fate alone', async () => {
  const key = { namespace: 'default', source: 'twice', id: row.id }
  await insertInboundMessages(writerOf(database.scope, everywhere), [row])
  expect(await readMessage(database.scope, key)).toEqual({ ...row, body_bytes: 4 })
  const signal_id = samples.id(2)
  await insertInboundMessages(writerOf(database.scope, everywhere), [
    { ...row, received_at: null, outcome: 'accepted', reason: null, signal_id },
  ])
  const after = await readMessage(database.scope, key)
  expect(after).toEqual({ ...row, outcome: 'accepted', reason: null, signal_id, body_bytes: 4 })
  for (const other of [{ namespace: 'other' }, { source: 'other' }, { id: samples.id(3) }]) {
    expect(await readMessage(database.scope, { ...key, ...other })).toBeUndefined()
  }
})

test('lists and the sweep read what they answer, by an index', async () => {
  await session.query(`
    insert into inbound_messages (id, shard, received_at, namespace, source, outcome, reason, headers, body)
    select gen_random_uuid(), 60, now() - n * interval '1 second', 'default', 'busy',
      case when n % 1000 = 0 then 'unmapped' else 'accepted' end,
      case when n % 1000 = 0 then 'r' end, '{}', ''
    from generate_series(1, 20000) as n`)
  await session.query('analyze inbound_messages')
  const query = { namespace: 'default', source: 'busy', limit: 5 }
  const list = (scope: Scope) => listMessages(scope, query)
  const unmapped = (scope: Scope) => listMessages(scope, { ...query, outcome: 'unmapped' })
  const sweep = (scope: Scope) => deleteOldMessages(scope, 19_995_000, 100)
  for (const [read, index] of [
    [list, 'inbound_messages_by_source'],
    [unmapped, 'inbound_messages_not_accepted'],
    [sweep, 'inbound_messages_by_age'],
  ] as const) {
    const plan = await planOf(read)
    expect(plan).toMatch(new RegExp(`using ${index} `))
    expect(plan).not.toContain('Sort')
    const scans = plan.split('->').filter((node) => /Scan.* on inbound_messages/.test(node))
    expect(scans.filter((node) => !node.includes('Index Cond'))).toEqual([])
  }
  expect((await unmapped(database.scope)).map(({ outcome }) => outcome)).toEqual(
    Array(5).fill('unmapped'),
  )
})

/** The generic plan of the one statement that a function sends. */
async function planOf(call: (scope: Scope) => Promise<unknown>): Promise<string> {
  const sent: { text: string; values: unknown[] }[] = []
  const spy = {
    query: async (config: { text: string; values: unknown[] }) => {
      sent.push(config)
      return { rows: [] }
    },
  }
  const { scope } = database
  await call({ ...scope, reader: spy as never, writer: spy as never })
  const [statement] = sent
  if (statement === undefined || sent.length !== 1) throw new Error(`${sent.length} statements`)
  const values = statement.values.map((value) => `'${String(value)}'`).join(', ')
  // As connections of the service are set.
  const settings = 'enable_seqscan enable_hashjoin enable_mergejoin'.split(' ')
  for (const setting of settings) await session.query(`set ${setting} = off`)
  await session.query('set plan_cache_mode = force_generic_plan')
  await session.query(`prepare planned as ${statement.text}`)
  const { rows } = await session.query<{ 'QUERY PLAN': string }>(
    `explain execute planned(${values})`,
  )
  await session.query('deallocate planned')
  return rows.map((line) => line['QUERY PLAN']).join('\n')
}

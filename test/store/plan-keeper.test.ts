// Plans that were made while a table was empty are made anew as it grows, on every connection and before it is used again.

import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SignalRecord } from '../../src/domain/signal.ts'
import type { Database } from '../../src/store/db.ts'
import { createPlanKeeper } from '../../src/store/plans.ts'
import { updateSignals } from '../../src/store/signals.ts'
import type { Session } from '../support/engine.ts'
import * as samples from '../support/flow-samples.ts'
import { prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

let place: StorePlace
let database: Database
let session: Session

beforeAll(async () => {
  place = await openStore({ writers: 1, readers: 1 })
  database = place.database
  session = place.session
})

afterAll(() => place?.close())

const signal: SignalRecord = {
  id: samples.id(3),
  shard: 60,
  namespace: 'default',
  target: { kind: 'external_event', topic: 'topic', correlation_id: 'order-42' },
  flow_id: null,
  source: '',
  sender_id: null,
  actor: 'tester',
  deliver: 'one',
  outcome: 'buffered',
  deliveries: [],
  delivered_count: 0,
  received_at: samples.start,
  expires_at: samples.start,
  traceparent: null,
  waking: null,
}

async function keep(from: number, to: number): Promise<void> {
  await session.query(`
    insert into signals (id, received_at, expires_at, shard, namespace, kind, outcome, deliver, topic,
      correlation_id, actor)
    select gen_random_uuid(), now(), now() + interval '1 day', 60, 'default', 'external_event',
      'buffered', 'one', 'topic', 'order-' || n, 'tester'
    from generate_series(${from}, ${to}) as n`)
}

test('a plan for an empty table does not outlive its growth', async () => {
  await session.query('vacuum analyze signals')
  const keeper = createPlanKeeper(database.scope)
  expect(await keeper.look()).toBe(true)
  const first = await database.scope.writer.connect()
  const save = await prepare(first, 'generic', 'kept', (runner) => updateSignals(runner, [signal]))
  first.release()
  await keep(1, 5_000)
  // Why there is a keeper: each save reads all there is.
  const before = await save.pages()
  expect(before).toBeGreaterThan(100)

  expect(await keeper.look()).toBe(true)
  const again = await database.scope.writer.connect()
  expect(again).toBe(first)
  expect(await save.pages()).toBeLessThan(20)
  again.release()
})

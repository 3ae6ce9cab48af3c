// Query plans of the retention and of what operators ask: they read what they answer, not all flows, with statistics and without.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Runner, Scope } from '../../src/store/db.ts'
import {
  listNextDeletions,
  lockOldFlows,
  type RetentionKind,
  readRetentionStatus,
} from '../../src/store/flow-retention.ts'
import { prepare } from '../support/plans.ts'
import { openStore, type StorePlace } from '../support/store.ts'

const day = 86_400_000
const rowsInAll = 20_000

let place: StorePlace
beforeAll(async () => {
  place = await openStore()
})
afterAll(() => place?.close())

/** A third open, the others closed over the last 100 days, a tenth of these with a time of their own. */
const fill = `
  insert into flows (id, revision, state_bytes, shard, created_at, updated_at, closed_at, retain_ms,
    namespace, status, mode, current_step, controller_id, owner_session_key, requester_origin, goal,
    labels, state)
  select gen_random_uuid(), 1, 2, 60, now(), now(),
    case when n % 3 > 0 then now() - n * interval '100 days' / ${rowsInAll} end,
    case when n % 10 = 0 then 30 * 86400000::bigint end,
    'default', case when n % 3 > 0 then 'finished' else 'running' end,
    'managed', 'init', 'c', 'o', 'r', 'g', '{}', '{}'
  from generate_series(1, ${rowsInAll}) as n`

const lock = (kind: RetentionKind, after: string | null) => (runner: Runner) =>
  lockOldFlows(runner, {
    kind,
    retention: 90 * day,
    after: after === null ? null : { at: after, id: '00000000-0000-7000-8000-000000000000' },
    limit: 20,
  })
const asScope = (runner: Runner) =>
  ({ reader: runner, wall: { stands: false } }) as unknown as Scope

describe.each(['before statistics', 'after'] as const)('%s', (when) => {
  beforeAll(async () => {
    if (when === 'before statistics') {
      await place.session.query('alter table flows set (autovacuum_enabled = off)')
      await place.session.query(fill)
    } else {
      await place.session.query('vacuum analyze flows')
    }
    // As the pools of the service have it.
    await place.session.query('set enable_seqscan = off')
  })

  test.each<[string, RetentionKind, string | null]>([
    ['without a time of their own', 'default', null],
    ['the same behind a place', 'default', '2020-01-01T00:00:00.000Z'],
    ['with a time of their own', 'own', null],
    ['the same behind a place', 'own', '2020-01-01T00:00:00.000Z'],
  ])('a batch of flows %s reads the batch', async (_, kind, after) => {
    const index = kind === 'default' ? 'flows_closed ' : 'flows_closed_own'
    const name = `lock_${kind}_${after === null ? 'first' : 'next'}_${when.slice(0, 5)}`
    await place.session.query('set enable_bitmapscan = off')
    const prepared = await prepare(place.session, 'generic', name, lock(kind, after))
    await place.session.query('reset enable_bitmapscan')
    expect(await prepared.explain()).toContain(`using ${index}`)
    // Each row is on a page of its own, is locked there, and the index has a few more.
    expect(await prepared.pages()).toBeLessThan(20 * 6)
  })

  test('the status counts no further than it says', async () => {
    const prepared = await prepare(
      place.session,
      'custom',
      `status_${when.slice(0, 5)}`,
      (runner) => readRetentionStatus(asScope(runner), 90 * day, 100),
    )
    expect(await prepared.explain()).toMatch(/using flows_closed /)
    expect(await prepared.pages()).toBeLessThan(400)
  })

  test('the preview is in the order of the indexes', async () => {
    const prepared = await prepare(place.session, 'custom', `next_${when.slice(0, 5)}`, (runner) =>
      listNextDeletions(asScope(runner), { namespace: 'default', retention: 90 * day, limit: 5 }),
    )
    expect(await prepared.explain()).toMatch(/flows_closed_own/)
  })
})

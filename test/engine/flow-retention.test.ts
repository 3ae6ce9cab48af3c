// The retention on a real database: what goes, what stays, and that nothing of a flow is left behind.

import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FlowRecord, FlowStatus } from '../../src/domain/flow.ts'
import { nextPause, nextSize } from '../../src/engine/flow-retention.ts'
import {
  deleteOldFlows,
  type RetentionKind,
  type RetentionPlace,
  releaseRetention,
  tablesOfFlows,
} from '../../src/store/flow-retention.ts'
import { ensurePublisher } from '../../src/store/publishers.ts'
import {
  caller,
  codeOf,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { age, fullFlow, orphans, rowCounts, tablesNamingFlows } from '../support/retention.ts'

const day = 86_400_000
const retention = 90 * day

let place: TestDatabase
let engine: TestEngine
let session: Session
const token = randomUUID()

beforeEach(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  session = await openSession(place.url)
})

afterEach(async () => {
  await engine.close()
  await session.end()
  await place.drop()
})

/** One pass over everything; answers how many went and how many had to stay. */
async function sweep(
  options: { retention?: number; limit?: number; kinds?: RetentionKind[] } = {},
): Promise<{ deleted: number; held_back: number }> {
  const { limit = 7, kinds = ['default', 'own'] } = options
  const total = { deleted: 0, held_back: 0 }
  for (const kind of kinds) {
    let after: RetentionPlace | null = null
    for (;;) {
      const done = await deleteOldFlows(engine.database.scope, {
        kind,
        retention: options.retention ?? retention,
        after,
        limit,
        token,
        lease: 60_000,
      })
      if (done === null) throw new Error('another process has the work')
      total.deleted += done.deleted
      total.held_back += done.held_back
      if (done.scanned < limit) break
      after = done.last
    }
  }
  return total
}

const endings = { finished: 'finish', failed: 'fail', cancelled: 'cancel' } as const

/** A flow in a status. */
async function flowIn(status: FlowStatus, retain_ms?: number): Promise<FlowRecord> {
  const more = retain_ms === undefined ? {} : { retain_ms }
  const flow = await createFlow(engine, { start: status !== 'created', ...more })
  if (status === 'created' || status === 'running') return flow
  const command =
    status === 'waiting'
      ? { type: 'wait' as const, wait_id: randomUUID(), wait: { kind: 'manual' as const } }
      : status === 'failed'
        ? { type: 'fail' as const, reason: 'over' }
        : { type: endings[status] as 'finish' | 'cancel' }
  return (await engine.flows.change(caller, flow.id, command)).flow
}

const hold = (id: string, reason: string | null = 'case 4711') =>
  engine.flows.change(caller, id, { type: 'update_retention', hold: { reason } })

/** A publisher that has come so far, whatever transactions there are in other databases of the server. */
async function publishedUpTo(flow: FlowRecord | undefined): Promise<void> {
  await ensurePublisher(engine.database.scope, 'events')
  await session.query(
    `update publishers p set xid = (f.last_xid::text::bigint + 1)::text::xid8 from flows f
     where f.id = $1`,
    [flow?.id],
  )
}

async function present(): Promise<string[]> {
  const { rows } = await session.query<{ id: string }>('select id from flows order by id')
  return rows.map(({ id }) => id)
}

describe('what goes', () => {
  test('the list of tables with rows of flows is that of the catalogue', async () => {
    const named = await tablesNamingFlows(session)
    expect(named.filter((name) => name !== 'publishers')).toEqual([...tablesOfFlows].sort())
  })

  test('a flow goes with every row of it in every table, and its neighbour keeps all of its own', async () => {
    const old = await fullFlow(engine, session)
    const kept = await fullFlow(engine, session)
    const before = await rowCounts(session)
    for (const [table, count] of Object.entries(before)) {
      if (!['publishers', 'match_keys'].includes(table))
        expect([table, count % 2]).toEqual([table, 0])
    }
    for (const table of tablesOfFlows) {
      if (table !== 'match_keys') expect([table, before[table]]).not.toEqual([table, 0])
    }
    await age(session, [old.id], 91)
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
    const after = await rowCounts(session)
    for (const [table, count] of Object.entries(before)) {
      expect([table, after[table]]).toEqual([table, count / 2])
    }
    expect(await orphans(session)).toEqual([])
    expect(await codeOf(engine.flows.get(caller, old.id))).toBe('not_found')
    expect((await engine.flows.get(caller, kept.id)).status).toBe('failed')
  })

  test('the search for orphans finds one in each table', async () => {
    const flow = await fullFlow(engine, session)
    await session.query('set session_replication_role = replica')
    await session.query('delete from flows where id = $1', [flow.id])
    const found = (await orphans(session)).map((one) => one.split(':')[0])
    expect(found.sort()).toEqual([...tablesOfFlows].filter((name) => name !== 'match_keys').sort())
  })

  test('never one that is open or on hold, and each other one exactly when its time is over', async () => {
    const cases = fc.array(
      fc.record({
        status: fc.constantFrom<FlowStatus>(
          ...(['created', 'running', 'waiting', 'finished', 'failed', 'cancelled'] as const),
        ),
        retain: fc.constantFrom(undefined, 1, 30, 400),
        held: fc.boolean(),
        days: fc.constantFrom(0, 2, 31, 91, 401),
      }),
      { minLength: 20, maxLength: 40 },
    )
    let gone = 0
    let stayed = 0
    await fc.assert(
      fc.asyncProperty(cases, fc.integer({ min: 1, max: 9 }), async (given, limit) => {
        await session.query('truncate flows, flow_events cascade')
        const expected: string[] = []
        for (const { status, retain, held, days } of given) {
          const flow = await flowIn(status, retain === undefined ? undefined : retain * day)
          if (held) await hold(flow.id)
          await age(session, [flow.id], days)
          const closed = endings[status as keyof typeof endings] !== undefined
          if (closed && !held && days >= (retain ?? 90)) gone++
          else expected.push(flow.id)
        }
        stayed += expected.length
        await sweep({ limit })
        expect(await present()).toEqual(expected.sort())
        expect(await orphans(session)).toEqual([])
      }),
      { numRuns: 6 },
    )
    // Not vacuous.
    expect(gone).toBeGreaterThan(5)
    expect(stayed).toBeGreaterThan(20)
  }, 60_000)

  test('off keeps all but those with a time of their own', async () => {
    const plain = await flowIn('finished')
    const own = await flowIn('finished', day)
    await age(session, [plain.id, own.id], 5_000)
    const loose = openEngine(place.url, { retention: { flows: null, min: day, max: 2 * day } })
    loose.start()
    await until('the flow with its own time is gone', async () => (await present()).length === 1)
    expect(await present()).toEqual([plain.id])
    await loose.close()
  })
})

describe('what has to stay for now', () => {
  test('a flow of which a publisher has not published all', async () => {
    const told = await flowIn('finished')
    await publishedUpTo(told)
    const untold = await flowIn('finished')
    await age(session, [told.id, untold.id], 100)
    expect(await sweep({ limit: 1 })).toEqual({ deleted: 1, held_back: 1 })
    expect(await present()).toEqual([untold.id])
    await session.query(`update publishers set xid = pg_snapshot_xmax(pg_current_snapshot())`)
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
  })

  test('not one whose events are of another server: no publisher ever comes to them', async () => {
    await ensurePublisher(engine.database.scope, 'events')
    const flow = await flowIn('finished')
    await session.query(`update flows set last_xid = '9000000000'`)
    await age(session, [flow.id], 100)
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
  })

  test('a flow with a delivery that is still to be sent', async () => {
    const flow = await fullFlow(engine, session)
    await session.query(
      `update deliveries set status = 'pending', settled_at = null, next_attempt_at = now()`,
    )
    await age(session, [flow.id], 100)
    expect(await sweep()).toEqual({ deleted: 0, held_back: 1 })
    expect(await orphans(session)).toEqual([])
    await session.query(
      `update deliveries set status = 'failed', settled_at = now(), next_attempt_at = null`,
    )
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
  })

  test('those that cannot go do not stand in the way of those behind them', async () => {
    const flows = [] as FlowRecord[]
    for (let i = 0; i < 12; i++) flows.push(await flowIn('finished'))
    await publishedUpTo(flows.at(-1))
    // Earlier than all others, and never published.
    const stuck = [await flowIn('finished'), await flowIn('finished'), await flowIn('finished')]
    await age(
      session,
      flows.map(({ id }) => id),
      100,
    )
    await age(
      session,
      stuck.map(({ id }) => id),
      200,
    )
    expect(await sweep({ limit: 2 })).toEqual({ deleted: 12, held_back: 3 })
  })
})

describe('beside other work', () => {
  test('a flow that is locked is left for later, without waiting for it', async () => {
    const busy = await flowIn('finished')
    const idle = await flowIn('finished')
    await age(session, [busy.id, idle.id], 100)
    await session.query('begin')
    await session.query('select 1 from flows where id = $1 for no key update', [busy.id])
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
    await session.query('commit')
    expect(await present()).toEqual([busy.id])
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
  })

  test('another process has the work until it gives it back, or is not heard of any more', async () => {
    const other = randomUUID()
    const scope = engine.database.scope
    const one = { kind: 'default', retention, after: null, limit: 5, lease: 60_000 } as const
    expect(await deleteOldFlows(scope, { ...one, token: other })).toMatchObject({ scanned: 0 })
    expect(await deleteOldFlows(scope, { ...one, token })).toBeNull()
    await releaseRetention(scope, other, 0)
    expect(await deleteOldFlows(scope, { ...one, token })).not.toBeNull()
    await session.query(`update sweepers set leased_until = now() - interval '1 second'`)
    expect(await deleteOldFlows(scope, { ...one, token: other })).not.toBeNull()
  })

  test('holds, reopenings, labels and deletions of the same flows make one history', async () => {
    // Everything that has ended is too old at once.
    const others = [1, 2].map(() => openEngine(place.url))
    const all = [engine, ...others]
    const answered = new Map<string, 'held' | 'open'>()
    const flows: { id: string; step_id: string }[] = []
    for (let i = 0; i < 60; i++) {
      const steps = [{ task: 'work', run_id: 'r', retry: { max_attempts: 1 } }]
      const { flow } = await engine.flows.create(caller, {
        ...{ controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' },
        steps,
      })
      const [step] = (await engine.steps.list(caller, flow.id, { limit: 1 })).items
      await engine.flows.change(caller, flow.id, { type: 'fail', reason: 'over' })
      flows.push({ id: flow.id, step_id: step?.id ?? '' })
    }
    const act = async ({ id, step_id }: { id: string; step_id: string }, n: number) => {
      const by = all[n % all.length] as TestEngine
      const kind = n % 3
      try {
        if (kind === 0) {
          await by.flows.change(caller, id, { type: 'update_labels', labels: { n: String(n) } })
        } else if (kind === 1) {
          await by.steps.reopen(caller, id, step_id)
          answered.set(id, 'open')
        } else {
          await by.flows.change(caller, id, { type: 'update_retention', hold: { reason: null } })
          answered.set(id, 'held')
        }
      } catch (error) {
        if (!(error instanceof Error && 'code' in error)) throw error
        expect(['not_found', 'unavailable']).toContain(error.code)
      }
    }
    const work = flows.map((flow, n) => act(flow, n))
    const sweeping = (async () => {
      let total = 0
      for (let i = 0; i < 40; i++) total += (await sweep({ retention: 0, limit: 3 })).deleted
      return total
    })()
    await Promise.all(work)
    const deleted = await sweeping
    const left = await present()
    for (const [id, what] of answered) expect([what, left.includes(id)]).toEqual([what, true])
    expect(left.length).toBe(flows.length - deleted)
    expect(deleted).toBeGreaterThan(0)
    expect(await orphans(session)).toEqual([])
    await checkInvariants(session)
    await Promise.all(others.map((other) => other.close()))
  })

  test('a repeat with its key is answered as the first time after the flow has gone, and no other request is', async () => {
    const idempotency = { key: 'create-1', fingerprint: 'f' }
    const input = { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' }
    const { flow } = await engine.flows.create(caller, { ...input, start: true }, { idempotency })
    const finish = { key: 'finish-1', fingerprint: 'f' }
    const ended = { type: 'finish' } as const
    await engine.flows.change(caller, flow.id, ended, { idempotency: finish })
    await age(session, [flow.id], 100)
    expect(await sweep()).toEqual({ deleted: 1, held_back: 0 })
    const again = await engine.flows.create(caller, { ...input, start: true }, { idempotency })
    expect(again).toMatchObject({ replayed: true, flow: { id: flow.id, revision: 1 } })
    const repeat = await engine.flows.change(caller, flow.id, ended, { idempotency: finish })
    expect(repeat).toMatchObject({ replayed: true, flow: { status: 'finished' } })
    expect(await codeOf(engine.flows.change(caller, flow.id, ended))).toBe('not_found')
    expect(await present()).toEqual([])
  })

  test('the feed goes on over the hole, from a place inside it too', async () => {
    const flows = [await flowIn('finished'), await flowIn('finished'), await flowIn('finished')]
    const feed = (after?: string) =>
      engine.events.feed(caller, after === undefined ? {} : { after }, { limit: after ? 50 : 4 })
    // It may trail transactions in other databases of the server.
    await until('all is in the feed', async () => {
      const { items } = await engine.events.feed(caller, {}, { limit: 50 })
      return items.length === 9
    })
    const first = await feed()
    expect(first.items.at(-1)?.flow_id).toBe(flows[1]?.id)
    await age(session, [flows[1]?.id ?? ''], 100)
    await sweep()
    const rest = await feed(first.position ?? '')
    expect(rest.items.map(({ flow_id }) => flow_id)).toEqual(
      Array.from({ length: 3 }, () => flows[2]?.id),
    )
  })
})

describe('the loop', () => {
  test('deletes everything that is due, tells of it, and counts it for all processes', async () => {
    const flows = await Promise.all(Array.from({ length: 130 }, () => flowIn('finished')))
    await age(
      session,
      flows.map(({ id }) => id),
      100,
    )
    const keep = await flowIn('finished')
    const others = [1, 2].map(() => openEngine(place.url))
    for (const other of others) other.start()
    await until('the old ones are gone', async () => (await present()).length === 1)
    expect(await present()).toEqual([keep.id])
    const told = others.flatMap(({ notices }) =>
      notices.flatMap((notice) => (notice.type === 'old_flows_deleted' ? [notice.count] : [])),
    )
    expect(told.reduce((sum, count) => sum + count, 0)).toBe(130)
    expect(others.flatMap(({ notices }) => notices).map(({ type }) => type)).not.toContain(
      'loop_failed',
    )
    const { retention: status } = await engine.storage.report()
    expect(status).toMatchObject({ deleted_total: 130, due: 0, held: 0, held_back: 0 })
    await Promise.all(others.map((other) => other.close()))
    expect((await engine.storage.report()).retention.running).toBe(false)
  })

  test('takes fewer at a time when that takes long, and rests four times as long, longer under load', () => {
    expect(nextSize(100, 15)).toBe(100)
    expect(nextSize(100, 60)).toBe(50)
    expect(nextSize(100, 1)).toBe(200)
    expect(nextSize(5, 1_000)).toBe(5)
    expect(nextSize(500, 0)).toBe(500)
    expect(nextPause(15, false)).toBeCloseTo(60)
    expect(nextPause(15, true)).toBeCloseTo(180)
    expect(nextPause(0, false)).toBe(20)
    expect(nextPause(10_000, false)).toBe(2_000)
  })
})

// Timers and sticky cancels: what is due fires once and at its time, what is not due is left alone, and a row that cannot fire stops no other.

import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { Command } from '../../src/domain/command.ts'
import { mintId } from '../../src/engine/ids.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  type TestEngineOptions,
  until,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engine: TestEngine
let session: Session
/** Rows were spoilt by hand, so that not all invariants can hold. */
let spoilt: boolean
const engines: TestEngine[] = []

function open(options: TestEngineOptions = {}): TestEngine {
  const made = openEngine(place.url, options)
  engines.push(made)
  return made
}

beforeEach(async () => {
  spoilt = false
  place = await createTestDatabase()
  engine = open()
  session = await openSession(place.url)
})

afterEach(async () => {
  vi.restoreAllMocks()
  await Promise.all(engines.splice(0).map((one) => one.close()))
  if (!spoilt) await checkInvariants(session)
  await session.end()
  await place.drop()
})

const indices = (length: number) => Array.from({ length }, (_, n) => n)

function change(id: string, command: Command, on = engine) {
  return on.flows.change(caller, id, command)
}

function waitFor(id: string, wait: Extract<Command, { type: 'wait' }>['wait'], on = engine) {
  return change(id, { type: 'wait', wait_id: mintId(), wait }, on)
}

/** A flow that waits on a timer. */
async function timer(ms: number, on = engine): Promise<string> {
  const { id } = await createFlow(on)
  await waitFor(id, { kind: 'timer', after: ms }, on)
  return id
}

async function statusOf(id: string): Promise<string> {
  return (await engine.flows.get(caller, id)).status
}

async function countEvents(kind: string): Promise<number> {
  const { rows } = await session.query(
    'select count(*)::integer as count from flow_events where kind = $1',
    [kind],
  )
  return rows[0].count
}

function plus(at: string | null | undefined, ms: number): string {
  return new Date(Date.parse(at ?? '') + ms).toISOString()
}

const nothing = { scanned: 0, resumed: 0, cancelled: 0, still_waiting: 0, errors: 0 }

describe('a tick', () => {
  test('fires at the instant and not a millisecond before', async () => {
    const { id } = await createFlow(engine)
    const { flow } = await waitFor(id, { kind: 'timer', after: 3_600_000 })
    expect(await engine.waitEngine.tick(plus(flow.wake_at, -1))).toEqual(nothing)
    expect(await statusOf(id)).toBe('waiting')
    expect(await engine.waitEngine.tick(flow.wake_at ?? '')).toEqual({
      ...nothing,
      scanned: 1,
      resumed: 1,
    })
    expect(await statusOf(id)).toBe('running')
    expect(await engine.waitEngine.tick(plus(flow.wake_at, 1))).toEqual(nothing)
  })

  test('a timer in the past is due at once', async () => {
    const { id } = await createFlow(engine)
    await waitFor(id, { kind: 'timer', at: '2001-01-01T00:00:00.000Z' })
    expect(await engine.waitEngine.tick()).toMatchObject({ scanned: 1, resumed: 1 })
  })

  test('a moved timer fires at its new time, in both directions', async () => {
    const [sooner, later] = [await timer(3_600_000), await timer(60_000)]
    const now = (await engine.flows.get(caller, later)).updated_at
    await change(sooner, { type: 'move_timer', at: plus(now, 30_000) })
    await change(later, { type: 'move_timer', at: plus(now, 7_200_000) })
    expect(await engine.waitEngine.tick(plus(now, 29_999))).toEqual(nothing)
    expect(await engine.waitEngine.tick(plus(now, 120_000))).toMatchObject({ resumed: 1 })
    expect([await statusOf(sooner), await statusOf(later)]).toEqual(['running', 'waiting'])
    expect(await engine.waitEngine.tick(plus(now, 7_200_000))).toMatchObject({ resumed: 1 })
  })

  test('an old timer never ends a newer wait', async () => {
    const id = await timer(1_000)
    const old = await engine.flows.get(caller, id)
    await change(id, { type: 'resume' })
    await waitFor(id, { kind: 'timer', after: 3_600_000 })
    expect(await engine.waitEngine.tick(plus(old.wake_at, 60_000))).toEqual(nothing)
    await change(id, { type: 'resume' })
    await waitFor(id, { kind: 'manual' })
    expect(await engine.waitEngine.tick(plus(old.wake_at, 7_200_000))).toEqual(nothing)
    expect(await statusOf(id)).toBe('waiting')
  })

  test('sweeps requested cancels: created and waiting ones end, running ones stay', async () => {
    const created = await createFlow(engine, { start: false })
    const running = await createFlow(engine)
    const [event, manual] = await Promise.all([createFlow(engine), createFlow(engine)])
    const timed = await timer(3_600_000)
    await waitFor(event.id, { kind: 'external_event', topic: 't', correlation_id: 'c' })
    await waitFor(manual.id, { kind: 'manual' })
    const ids = [created.id, running.id, event.id, manual.id, timed]
    await Promise.all(ids.map((id) => change(id, { type: 'request_cancel', reason: 'enough' })))
    expect(await engine.waitEngine.tick()).toEqual({ ...nothing, scanned: 4, cancelled: 4 })
    expect(await Promise.all(ids.map(statusOf))).toEqual([
      'cancelled',
      'running',
      'cancelled',
      'cancelled',
      'cancelled',
    ])
    expect(await engine.waitEngine.tick()).toEqual(nothing)
    expect((await session.query('select 1 from match_keys')).rows).toEqual([])
    const { items } = await engine.events.list(caller, event.id, {}, { limit: 9 })
    expect(items.at(-1)).toMatchObject({
      kind: 'cancelled',
      actor: 'wait-engine',
      payload: { by: 'request', reason: 'enough' },
    })
  })

  test('goes on while batches are full', async () => {
    const small = open({ tick: { interval: 1_000, batchSize: 20 } })
    await Promise.all(indices(130).map(() => timer(0)))
    expect(await small.waitEngine.tick()).toEqual({ ...nothing, scanned: 130, resumed: 130 })
    expect(small.waitEngine.status()).toMatchObject({ fired_total: 130 })
  })

  test('a due flow that is locked elsewhere is left out, and fired when it is free', async () => {
    const [held, free] = [await timer(0), await timer(0)]
    const holder = await openSession(place.url)
    await holder.query('begin')
    await holder.query('select 1 from flows where id = $1 for update', [held])
    expect(await engine.waitEngine.tick()).toMatchObject({ scanned: 1, resumed: 1 })
    expect([await statusOf(held), await statusOf(free)]).toEqual(['waiting', 'running'])
    engine.start()
    await holder.query('rollback')
    await holder.end()
    await until('it has fired', async () => (await statusOf(held)) === 'running')
  })

  test('changes nothing in flows of other kinds, however many', async () => {
    const flows = await Promise.all(indices(50).map(() => createFlow(engine)))
    await Promise.all(
      flows.map(({ id }, n) =>
        waitFor(id, n % 2 === 0 ? { kind: 'manual' } : { kind: 'timer', after: 3_600_000 }),
      ),
    )
    expect(await engine.waitEngine.tick()).toEqual(nothing)
  })
})

describe('the loop', () => {
  test('fires by itself, on time and never early', async () => {
    engine.start()
    await Promise.all(indices(20).map((n) => timer(50 + n * 20)))
    await until('all have fired', async () => (await countEvents('resumed')) === 20)
    const { rows } = await session.query(`
      select extract(epoch from r.at - (w.payload->'wait'->>'at')::timestamptz)::float8 * 1000 as late
      from flow_events r join flow_events w using (flow_id)
      where r.kind = 'resumed' and w.kind = 'waiting'`)
    for (const { late } of rows) {
      expect(late).toBeGreaterThanOrEqual(0)
      expect(late).toBeLessThan(1_000)
    }
  })

  test('an earlier timer wakes it from a long sleep', async () => {
    const patient = open({ tick: { interval: 600_000, batchSize: 500 } })
    await timer(3_600_000, patient)
    patient.start()
    await until('it sleeps', () => (patient.waitEngine.status().next_due_in_ms ?? 0) > 1_000_000)
    const id = await timer(100, patient)
    await until('it has fired', async () => (await statusOf(id)) === 'running')
  })

  test('a timer that another process has set is found within the interval', async () => {
    const watcher = open({ tick: { interval: 100, batchSize: 500 } })
    watcher.start()
    const id = await timer(50, engine)
    await until('it has fired', async () => (await statusOf(id)) === 'running')
    expect(watcher.waitEngine.status().fired_total).toBe(1)
  })

  test('a requested cancel is swept at once', async () => {
    const patient = open({ tick: { interval: 600_000, batchSize: 500 } })
    patient.start()
    const id = await timer(3_600_000, patient)
    await change(id, { type: 'request_cancel' }, patient)
    await until('it is cancelled', async () => (await statusOf(id)) === 'cancelled')
  })

  test('2,000 timers due at one instant, four engines: each fires once', async () => {
    const flows = await Promise.all(indices(2_000).map(() => createFlow(engine)))
    const { rows } = await session.query<{ at: Date }>("select now() + interval '2 seconds' as at")
    const at = rows[0]?.at.toISOString() ?? ''
    await Promise.all(flows.map(({ id }) => waitFor(id, { kind: 'timer', at })))
    const others = [open(), open(), open()]
    for (const one of [engine, ...others]) one.start()
    await until('all have fired', async () => (await countEvents('resumed')) >= 2_000)
    await Promise.all([engine, ...others].map((one) => one.stop()))
    expect(await countEvents('resumed')).toBe(2_000)
    const fired = [engine, ...others].map((one) => one.waitEngine.status().fired_total)
    expect(fired.reduce((a, b) => a + b)).toBe(2_000)
    const { kinds } = await checkInvariants(session)
    expect(kinds.get('resumed')).toBe(2_000)
  })

  test('stop waits for the tick under way; nothing fires afterwards', async () => {
    engine.start()
    await Promise.all(indices(200).map(() => timer(0)))
    await engine.stop()
    expect(engine.waitEngine.status().running).toBe(false)
    const fired = await countEvents('resumed')
    await timer(0)
    expect(await countEvents('resumed')).toBe(fired)
    const { rows } = await session.query(
      "select 1 from pg_stat_activity where application_name like $1 and state <> 'idle'",
      [`${engine.applicationName}/%`],
    )
    expect(rows).toEqual([])
  })

  test('what lies behind the low-water mark is found by the next full look', async () => {
    const hidden = await timer(3_600_000)
    engine.start()
    // The look that finds the far timer is an idle one, and sets the mark.
    await until('it sleeps', () => (engine.waitEngine.status().next_due_in_ms ?? 0) > 1_000_000)
    // By hand, as no change of the service could: due long before the mark.
    await session.query(
      `update flows set wake_at = now() - interval '1 hour',
         wait = jsonb_set(wait, '{at}', '"2001-01-01T00:00:00.000Z"')
       where id = $1`,
      [hidden],
    )
    spoilt = true
    const before = engine.waitEngine.status().fired_total
    await timer(0)
    await until('others fire', () => engine.waitEngine.status().fired_total > before)
    expect(await statusOf(hidden), 'behind the mark').toBe('waiting')
    const now = performance.now.bind(performance)
    vi.spyOn(performance, 'now').mockImplementation(() => now() + 61_000)
    await until('the full look finds it', async () => (await statusOf(hidden)) === 'running')
  })
})

describe('a row that cannot be fired', () => {
  async function poison(id: string, when: string): Promise<void> {
    await session.query(`
      create function poison() returns trigger language plpgsql as
        $$ begin raise exception 'poison'; end $$;
      create trigger poison before update on flows for each row
        when (old.id = '${id}' and ${when}) execute function poison()`)
  }

  test('does not stop the others, and is set aside after five tries', async () => {
    const ids = await Promise.all(indices(100).map(() => timer(0)))
    const bad = ids[42] ?? ''
    await poison(bad, "new.status = 'running'")
    expect(await engine.waitEngine.tick()).toEqual({
      ...nothing,
      scanned: 100,
      resumed: 99,
      errors: 1,
    })
    expect(await statusOf(bad)).toBe('waiting')
    engine.start()
    const aside = () => engine.notices.filter(({ type }) => type === 'flow_quarantined')
    await until('it is set aside', () => aside().length > 0)
    expect(aside()).toEqual([expect.objectContaining({ flow_id: bad })])
    expect(
      engine.notices.flatMap((notice) =>
        notice.type === 'fire_failed' ? [[notice.flow_id, notice.failures]] : [],
      ),
    ).toEqual([1, 2, 3, 4, 5].map((n) => [bad, n]))
    const { items } = await engine.events.list(caller, bad, {}, { limit: 9 })
    expect(items.at(-1)).toMatchObject({ kind: 'quarantined', actor: 'wait-engine' })
    expect(await engine.waitEngine.tick()).toEqual(nothing)
    await session.query('drop trigger poison on flows')
    const { flow } = await change(bad, { type: 'move_timer', at: '2001-01-01T00:00:00.000Z' })
    expect(flow.wake_at).not.toBeNull()
    await until('moving its timer brings it back', async () => (await statusOf(bad)) === 'running')
  })

  test('and cannot even be set aside, stops no others', async () => {
    const bad = await timer(0)
    await poison(bad, 'true')
    engine.start()
    const failures = () => engine.notices.filter(({ type }) => type === 'fire_failed').length
    // Five tries, and the failure to set it aside.
    await until('it was given up for now', () => failures() === 6)
    for (let n = 0; n < 5; n++) {
      const id = await timer(0)
      await until('another fires', async () => (await statusOf(id)) === 'running')
    }
    expect(failures(), 'it is left alone meanwhile').toBe(6)
    expect(await statusOf(bad)).toBe('waiting')
  })

  test.each([
    ['null', 'null'],
    ['a text', '"soon"'],
    ['a list', '[]'],
    ['no kind', '{"id":"x"}'],
    ['an unknown kind', '{"id":"x","kind":"moon","since":"2026-01-01T00:00:00.000Z"}'],
    ['no id', '{"kind":"timer","at":"2001-01-01T00:00:00.000Z"}'],
    ['no time', '{"id":"x","kind":"timer"}'],
    ['a time that is none', '{"id":"x","kind":"timer","at":"soon"}'],
    ['a time that is a number', '{"id":"x","kind":"timer","at":5}'],
    ['a kind that time never ends', '{"id":"x","kind":"manual"}'],
  ])('because its wait is spoilt: %s', async (_, wait) => {
    spoilt = true
    const [bad, good] = [await timer(0), await timer(0)]
    await session.query('alter table flows drop constraint flows_wait_while_waiting')
    await session.query('update flows set wait = $2::jsonb where id = $1', [bad, wait])
    expect(await engine.waitEngine.tick()).toEqual({
      ...nothing,
      scanned: 2,
      resumed: 1,
      errors: 1,
    })
    expect(await statusOf(good)).toBe('running')
    const { items } = await engine.events.list(caller, bad, {}, { limit: 9 })
    expect(items.at(-1)).toMatchObject({ kind: 'quarantined', actor: 'wait-engine' })
    expect(engine.notices).toContainEqual(
      expect.objectContaining({ type: 'flow_quarantined', flow_id: bad }),
    )
    expect(await engine.waitEngine.tick()).toEqual(nothing)
    expect((await change(bad, { type: 'cancel' })).flow.status).toBe('cancelled')
  })
})

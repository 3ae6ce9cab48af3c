// What is queued for hooks: one delivery for each event that a hook wants, in the transaction of the event.

import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { isId, shardIndexOf } from '../../src/domain/id.ts'
import {
  caller,
  codeOf,
  createFlow,
  newFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
} from '../support/engine.ts'
import { deliveriesIn, hookTo, outboxFaults } from '../support/hooks.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { claimOne, flowWithStep, settle } from '../support/steps.ts'

let place: TestDatabase
let engine: TestEngine
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
  engine = openEngine(place.url)
})

afterEach(() => session.query('truncate hooks, deliveries, delivery_attempts'))

afterAll(async () => {
  await engine.close()
  await session.end()
  await place.drop()
})

const queued = async (hookId: string) =>
  (await deliveriesIn(session, hookId)).map(({ type, revision }) => [type, revision])

describe('a hook of the namespace', () => {
  test('is told of every event since it was made, and of none before', async () => {
    const old = await createFlow(engine)
    const hook = await hookTo(engine, 'https://a.example/')
    await engine.flows.change(caller, old.id, { type: 'finish' })
    expect(await queued(hook)).toEqual([['flow.finished', 2]])
    const flow = await createFlow(engine)
    await engine.flows.change(caller, flow.id, { type: 'fail', reason: 'r' })
    expect((await queued(hook)).slice(1)).toEqual([
      ['flow.created', 0],
      ['flow.started', 1],
      ['flow.failed', 2],
    ])
  })

  test.each([
    [{ kinds: ['finished' as const] }, ['flow.finished']],
    [{ kinds: ['failed' as const] }, []],
    [{ controller_id: 'kate/inbox' }, ['flow.created', 'flow.started', 'flow.finished']],
    [{ controller_id: 'kate/other' }, []],
    [{ labels: { tier: 'gold' } }, ['flow.created', 'flow.started', 'flow.finished']],
    [{ labels: { tier: 'gold', region: 'eu' } }, []],
    [{ labels: {} }, ['flow.created', 'flow.started', 'flow.finished']],
    [{ kinds: ['created' as const], labels: { tier: 'gold' } }, ['flow.created']],
  ])('that asks for %j is told of %j', async (filter, types) => {
    const hook = await hookTo(engine, 'https://a.example/', filter)
    const flow = await createFlow(engine, { labels: { tier: 'gold' } })
    await engine.flows.change(caller, flow.id, { type: 'finish' })
    expect((await queued(hook)).map(([type]) => type)).toEqual(types)
  })

  test('is not told of other namespaces, nor when it is disabled', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    await createFlow(engine, {}, { namespace: 'other', actor: 'tester' })
    await engine.hooks.update(caller, hook, { enabled: false })
    await createFlow(engine)
    expect(await queued(hook)).toEqual([])
    await engine.hooks.update(caller, hook, { enabled: true })
    await createFlow(engine)
    expect(await queued(hook)).toHaveLength(2)
  })

  test('is told by a timer, a signal and a cancel, whoever causes it', async () => {
    const hook = await hookTo(engine, 'https://a.example/', { kinds: ['resumed', 'cancelled'] })
    const [a, b] = [await createFlow(engine), await createFlow(engine)]
    await engine.flows.change(caller, a.id, {
      type: 'wait',
      wait_id: a.id,
      wait: { kind: 'timer', after: 0 },
    })
    await engine.waitEngine.tick()
    await engine.flows.change(caller, b.id, {
      type: 'wait',
      wait_id: b.id,
      wait: { kind: 'external_event', topic: 't', correlation_id: 'c' },
    })
    await engine.signals.send(caller, {
      target: { kind: 'external_event', topic: 't', correlation_id: 'c' },
    })
    await engine.flows.change(caller, b.id, { type: 'cancel' })
    expect((await deliveriesIn(session, hook)).map(({ flow_id, type }) => [flow_id, type])).toEqual(
      [
        [a.id, 'flow.resumed'],
        [b.id, 'flow.resumed'],
        [b.id, 'flow.cancelled'],
      ],
    )
  })

  test('has one delivery for each event of a large batch', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    await session.query('truncate flow_events')
    const flows = await Promise.all(Array.from({ length: 300 }, () => createFlow(engine)))
    await Promise.all(flows.map(({ id }) => engine.flows.change(caller, id, { type: 'finish' })))
    expect(await deliveriesIn(session, hook)).toHaveLength(900)
    expect(await outboxFaults(session, hook)).toEqual([])
  })

  test('the check finds a missing delivery and one too many', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    await session.query('truncate flow_events')
    await createFlow(engine)
    await session.query('delete from deliveries where revision = 0')
    expect(await outboxFaults(session, hook)).toHaveLength(1)
    await session.query('delete from flow_events where revision = 1')
    expect(await outboxFaults(session, hook)).toHaveLength(2)
  })
})

describe('a delivery', () => {
  test('has an id on the shard of its flow, sorted by revision', async () => {
    await hookTo(engine, 'https://a.example/')
    const before = Date.now()
    const flow = await createFlow(engine)
    const rows = await deliveriesIn(session)
    expect(rows).toHaveLength(2)
    for (const { id } of rows) {
      expect(isId(id)).toBe(true)
      expect(id).toMatch(/^.{14}7.{4}[89ab]/)
      expect(shardIndexOf(id)).toBe(shardIndexOf(flow.id))
      const millis = Number.parseInt(id.replace('-', '').slice(0, 12), 16)
      expect(millis).toBeGreaterThan(before - 1_000)
      expect(millis).toBeLessThanOrEqual(Date.now() + 1_000)
    }
    expect(rows.map(({ id }) => id)).toEqual(rows.map(({ id }) => id).sort())
  })

  test('is thin: it names the event, and the status after it', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    const flow = await createFlow(engine, { key: 'order-1', state: { secret: 1 } })
    const [created, started] = await deliveriesIn(session, hook)
    const body = async (id = '') => (await engine.deliveries.get(caller, id)).body
    expect(await body(created?.id)).toEqual({
      type: 'flow.created',
      timestamp: flow.created_at,
      data: {
        flow_id: flow.id,
        revision: 0,
        kind: 'created',
        namespace: 'default',
        controller_id: 'kate/inbox',
        key: 'order-1',
        status: 'created',
        actor: 'tester',
        at: flow.created_at,
      },
    })
    expect(await body(started?.id)).toMatchObject({ data: { status: 'running' } })
  })

  test('is full: the payload of the event, and the flow as it was committed', async () => {
    const hook = await hookTo(engine, 'https://a.example/', { payload: 'full', kinds: ['failed'] })
    const { id } = await createFlow(engine, { state: { a: 1 }, labels: { tier: 'gold' } })
    const { flow } = await engine.flows.change(caller, id, { type: 'fail', reason: 'r' })
    const [failed] = await deliveriesIn(session, hook)
    const { body } = await engine.deliveries.get(caller, failed?.id ?? '')
    const {
      shard: _,
      cancel_reason: __,
      wake_at: ___,
      last_xid,
      hooked,
      state_bytes,
      open_steps,
      traceparent: ____,
      ...shown
    } = flow
    expect([last_xid, hooked, state_bytes, open_steps]).not.toContain(undefined)
    expect(body['data']).toMatchObject({
      kind: 'failed',
      payload: { reason: 'r' },
      flow: { ...shown, state: { a: 1, failure: { reason: 'r' } } },
    })
    const { flow: snapshot } = body['data'] as { flow: object }
    expect(Object.keys(snapshot).sort()).toEqual(Object.keys(shown).sort())
  })

  test('tells the status after its own event, also of several in one change', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    const { flow } = await flowWithStep(engine)
    await settle(engine, await claimOne(engine), {
      kind: 'wait',
      wait: { kind: 'timer', after: 0 },
      next: { task: 'work' },
    })
    await engine.waitEngine.tick()
    await settle(engine, await claimOne(engine), { kind: 'succeed' })
    const bodies = await Promise.all(
      (await deliveriesIn(session, hook)).map(({ id }) => engine.deliveries.get(caller, id)),
    )
    const told = bodies.map(({ body }) => body['data'] as { kind: string; status: string })
    expect(told.map(({ kind, status }) => [kind, status])).toEqual([
      ['created', 'created'],
      ['started', 'running'],
      ['step_enqueued', 'running'],
      ['step_settled', 'running'],
      ['waiting', 'waiting'],
      ['resumed', 'running'],
      ['step_enqueued', 'running'],
      ['step_settled', 'running'],
      ['finished', 'finished'],
    ])
    expect((await engine.flows.get(caller, flow.id)).status).toBe('finished')
  })

  test('has the depth of its cause and one more', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    await createFlow(engine, {}, { ...caller, depth: 3 })
    await createFlow(engine)
    const depths = (await deliveriesIn(session, hook)).map(({ depth }) => depth)
    expect(depths).toEqual([4, 4, 1, 1])
  })
})

describe('the transaction', () => {
  test('leaves no delivery when it is rolled back, nor for a command that is refused', async () => {
    const hook = await hookTo(engine, 'https://a.example/')
    const flow = await createFlow(engine)
    await session.query('truncate deliveries, delivery_attempts')
    expect(await codeOf(engine.flows.change(caller, flow.id, { type: 'start' }))).toBe(
      'illegal_transition',
    )
    // Refused by the server: the whole transaction goes.
    await session.query(
      `alter table flow_events add constraint planted check (kind <> 'failed') not valid`,
    )
    expect(await codeOf(engine.flows.change(caller, flow.id, { type: 'fail', reason: 'r' }))).toBe(
      'internal',
    )
    await session.query('alter table flow_events drop constraint planted')
    await engine.flows.change(caller, flow.id, { type: 'update_state', patch: { a: 1 } })
    expect(await queued(hook)).toEqual([['flow.state_updated', 2]])
  })

  test('leaves none for a flow whose key another replica took', async () => {
    const hook = await hookTo(engine, 'https://a.example/', { kinds: ['created'] })
    const rival = openEngine(place.url)
    const made = await Promise.all(
      [engine, rival, engine, rival].map((one) =>
        one.flows.create(caller, { ...newFlow, key: 'raced', on_conflict: 'use_existing' }),
      ),
    )
    await rival.close()
    expect(new Set(made.map(({ flow }) => flow.id)).size).toBe(1)
    expect(await deliveriesIn(session, hook)).toHaveLength(1)
  })
})

describe('hooks of a flow', () => {
  const hooks = [
    { url: 'https://a.example/', kinds: ['created' as const, 'finished' as const] },
    { url: 'https://b.example/', secret: `whsec_${Buffer.alloc(24, 1).toString('base64')}` },
  ]

  test('that come with it are told from its first event on, and of no other flow', async () => {
    const { flow, hooks: made } = await engine.flows.create(caller, { ...newFlow, hooks })
    await createFlow(engine)
    await engine.flows.change(caller, flow.id, { type: 'start' })
    await engine.flows.change(caller, flow.id, { type: 'finish' })
    expect(made).toEqual([
      {
        id: expect.any(String),
        url: 'https://a.example/',
        secret: expect.stringMatching(/^whsec_/),
      },
      { id: expect.any(String), url: 'https://b.example/', secret: null },
    ])
    expect(await queued(made?.[0]?.id ?? '')).toEqual([
      ['flow.created', 0],
      ['flow.finished', 2],
    ])
    expect(await queued(made?.[1]?.id ?? '')).toHaveLength(3)
    expect(await deliveriesIn(session)).toHaveLength(5)
  })

  test('can come later, from the next event on', async () => {
    const flow = await createFlow(engine)
    const hook = await hookTo(engine, 'https://a.example/', { flow_id: flow.id })
    await engine.flows.change(caller, flow.id, { type: 'finish' })
    expect(await queued(hook)).toEqual([['flow.finished', 2]])
    expect((await engine.flows.get(caller, flow.id)).revision).toBe(2)
    const unknown = hookTo(engine, 'https://a.example/', { flow_id: hook })
    expect(await codeOf(unknown)).toBe('not_found')
  })

  test('keep their secrets out of the answer that is kept', async () => {
    const options = { idempotency: { key: 'once', fingerprint: 'f' } }
    const input = { ...newFlow, hooks: [{ url: 'https://a.example/' }] }
    const first = await engine.flows.create(caller, input, options)
    const again = await engine.flows.create(caller, input, options)
    expect(first.hooks?.[0]?.secret).toMatch(/^whsec_/)
    expect(again.replayed).toBe(true)
    expect(again.hooks).toEqual([{ ...first.hooks?.[0], secret: null }])
    const { rows } = await session.query('select reply::text as text from idempotency_keys')
    expect(rows.map(({ text }) => text).join()).not.toContain('whsec_')
    expect((await session.query('select 1 from hooks')).rowCount).toBe(1)
  })

  test('are not added to a flow that is there already', async () => {
    const key = 'taken'
    await createFlow(engine, { key })
    const reply = await engine.flows.create(caller, {
      ...newFlow,
      key,
      on_conflict: 'use_existing',
      hooks: [{ url: 'https://a.example/' }],
    })
    expect(reply.outcome).toBe('existing')
    expect(reply.hooks).toBeUndefined()
    expect((await session.query('select 1 from hooks')).rowCount).toBe(0)
  })

  test('share a lane for each origin, and hooks of the namespace have their own', async () => {
    const flow = await createFlow(engine)
    const ids = [
      await hookTo(engine, 'https://a.example/1', { flow_id: flow.id }),
      await hookTo(engine, 'https://a.example/2', { flow_id: flow.id }),
      await hookTo(engine, 'https://b.example/', { flow_id: flow.id }),
      await hookTo(engine, 'https://a.example/1'),
    ]
    const { rows } = await session.query('select id, lane from hooks')
    const lanes = ids.map((id) => rows.find((row) => row.id === id)?.lane)
    expect(lanes[0]).toBe(lanes[1])
    expect(new Set(lanes).size).toBe(3)
    expect(lanes[3]).toBe(ids[3])
  })
})

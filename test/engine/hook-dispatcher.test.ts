// Deliveries on their way: what each answer leads to, when they are tried again, in which order, and by whom.

import { Webhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Timestamp } from '../../src/domain/time.ts'
import type { OutboundAnswer } from '../../src/engine/outbound.ts'
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
import { deliveriesIn, hookTo } from '../support/hooks.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { answerOf, createReceivers, failureOf, type Receivers } from '../support/receivers.ts'
import { standardWebhooks } from '../support/webhooks.ts'

let place: TestDatabase
let session: Session
let engine: TestEngine
let receivers: Receivers

beforeAll(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
})

beforeEach(() => {
  receivers = createReceivers()
  engine = openEngine(place.url, { outbound: receivers.outbound })
})

afterEach(async () => {
  await engine.close()
  await session.query('truncate hooks, deliveries, delivery_attempts')
})

afterAll(async () => {
  await session.end()
  await place.drop()
})

const second = 1_000
const hour = 3_600 * second
const url = 'https://a.example/'

function later(ms: number, from: Timestamp = new Date().toISOString()): Timestamp {
  return new Date(Date.parse(from) + ms).toISOString()
}

/** A hook that is told of creations, and one delivery for it. */
async function oneDelivery(more: Parameters<typeof hookTo>[2] = {}) {
  const hook = await hookTo(engine, url, { kinds: ['created'], ...more })
  const flow = await createFlow(engine)
  const [row] = await deliveriesIn(session, hook)
  if (row === undefined) throw new Error('nothing was queued')
  return { hook, flow, id: row.id, read: () => engine.deliveries.get(caller, row.id) }
}

describe('an answer', () => {
  test.each([200, 201, 202, 204, 299])('%i: delivered', async (status) => {
    const { read } = await oneDelivery()
    receivers.answer(url, () => answerOf(status, { body: 'fine' }))
    expect(await engine.dispatcher.deliver()).toEqual({ delivered: 1, retried: 0, failed: 0 })
    expect(await read()).toMatchObject({
      status: 'delivered',
      attempt: 1,
      next_attempt_at: null,
      settled_at: expect.any(String),
      attempts: [{ attempt: 1, status_code: status, latency_ms: 5, error: null, response: 'fine' }],
    })
    expect(await engine.dispatcher.deliver()).toEqual({ delivered: 0, retried: 0, failed: 0 })
    expect(receivers.received).toHaveLength(1)
  })

  test.each([301, 302, 307, 400, 401, 404, 408, 409, 425, 429, 500, 502, 503])(
    '%i: tried again',
    async (status) => {
      const { read } = await oneDelivery()
      receivers.answer(url, () => answerOf(status))
      expect(await engine.dispatcher.deliver()).toEqual({ delivered: 0, retried: 1, failed: 0 })
      const { attempts, ...delivery } = await read()
      expect(delivery).toMatchObject({ status: 'pending', attempt: 1, settled_at: null })
      expect(attempts).toMatchObject([
        { status_code: status, error: expect.stringContaining(String(status)) },
      ])
    },
  )

  test.each(['timeout', 'connect', 'reset'] as const)('none (%s): tried again', async (why) => {
    const { read } = await oneDelivery()
    receivers.answer(url, () => failureOf(why))
    await engine.dispatcher.deliver()
    expect(await read()).toMatchObject({
      status: 'pending',
      attempts: [{ status_code: null, error: `${why}: nobody listens`, response: null }],
    })
  })

  test('410: the hook is disabled at once, and what is pending for it fails', async () => {
    const { hook, read } = await oneDelivery()
    await createFlow(engine)
    await createFlow(engine)
    receivers.answer(url, () => answerOf(410))
    await engine.dispatcher.deliver()
    expect(await read()).toMatchObject({ status: 'failed', attempts: [{ status_code: 410 }] })
    expect((await deliveriesIn(session, hook)).map(({ status }) => status)).toEqual([
      'failed',
      'failed',
      'failed',
    ])
    expect(await engine.hooks.get(caller, hook)).toMatchObject({
      enabled: false,
      disabled_reason: 'the receiver answered 410 Gone',
      disabled_at: expect.any(String),
    })
    expect(engine.notices).toContainEqual(
      expect.objectContaining({ type: 'hook_disabled', hook_id: hook }),
    )
    await createFlow(engine)
    expect(await deliveriesIn(session, hook)).toHaveLength(3)
  })

  test('410: what was to be tried much later fails as well', async () => {
    const { hook } = await oneDelivery()
    receivers.answer(url, () => answerOf(503, { headers: { 'retry-after': '3600' } }))
    await engine.dispatcher.deliver()
    await createFlow(engine)
    receivers.answer(url, () => answerOf(410))
    await engine.dispatcher.deliver()
    const left = await deliveriesIn(session, hook)
    expect(left.map(({ status }) => status)).toEqual(['failed', 'failed'])
  })

  test('410 of an address that the hook has left says nothing of the new one', async () => {
    const { hook } = await oneDelivery()
    receivers.answer(url, async () => {
      await engine.hooks.update(caller, hook, { url: 'https://b.example/' })
      return answerOf(410)
    })
    await engine.dispatcher.deliver()
    expect(await engine.hooks.get(caller, hook)).toMatchObject({ enabled: true })
  })

  test.each([
    ['600', 600 * second],
    ['Fri, 31 Dec 9999 23:59:59 GMT', 24 * hour],
    ['1', 4 * second],
    ['soon', 4 * second],
  ])('with Retry-After: %s, not before %i ms', async (text, least) => {
    const { read } = await oneDelivery()
    receivers.answer(url, () => answerOf(503, { headers: { 'retry-after': text } }))
    await engine.dispatcher.deliver()
    const { next_attempt_at, attempts } = await read()
    const pause = Date.parse(next_attempt_at ?? '') - Date.parse(attempts[0]?.at ?? '')
    expect(pause).toBeGreaterThanOrEqual(least)
    expect(pause).toBeLessThanOrEqual(Math.max(least, 6 * second) + second)
  })

  test('is kept up to 2 KB, as text that a column can hold', async () => {
    const { read } = await oneDelivery()
    receivers.answer(url, () => answerOf(500, { body: `\0${'ä'.repeat(3_000)}` }))
    await engine.dispatcher.deliver()
    const response = (await read()).attempts[0]?.response ?? ''
    expect(response.startsWith('\uFFFDää')).toBe(true)
    expect(response.length).toBeLessThanOrEqual(2_048)
  })
})

describe('a request', () => {
  const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`

  test('is accepted by the official verifier, and is a CloudEvent', async () => {
    const { id, flow } = await oneDelivery({ secret })
    await engine.dispatcher.deliver()
    const [request] = receivers.received
    if (request === undefined) throw new Error('nothing was sent')
    const { body, headers } = request
    expect(new Webhook(secret).verify(body, headers)).toMatchObject({ type: 'flow.created' })
    expect(headers).toMatchObject({
      'content-type': 'application/json',
      'user-agent': 'Taskflow/0.0.0-test',
      'webhook-id': id,
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': '/taskflow',
      'ce-type': 'flow.created',
      'ce-subject': flow.id,
      'ce-time': flow.created_at,
      'taskflow-depth': '1',
    })
    expect(body).toBe(JSON.stringify(JSON.parse(body)))
  })

  test('is signed with both secrets while they overlap', async () => {
    const { hook } = await oneDelivery({ secret })
    const rotated = await engine.hooks.rotate(caller, hook, { overlap: hour })
    if (rotated.secret === null) throw new Error('no secret')
    await engine.dispatcher.deliver()
    const [request] = receivers.received
    for (const one of [secret, rotated.secret]) {
      expect(new Webhook(one).verify(request?.body ?? '', request?.headers ?? {})).toBeDefined()
    }
    await createFlow(engine)
    await engine.dispatcher.deliver(later(hour + second))
    const last = receivers.received.at(-1)?.headers['webhook-signature'] ?? ''
    expect(last.split(' ')).toHaveLength(1)
  })

  test('of every attempt has the same id and bytes, its own time and a fresh signature', async () => {
    const { id } = await oneDelivery({ secret, payload: 'full' })
    receivers.answer(url, () => answerOf(500))
    const now = later(second)
    for (const pause of [0, hour, 2 * hour]) await engine.dispatcher.deliver(later(pause, now))
    expect(receivers.ids(url)).toEqual([id, id, id])
    expect(new Set(receivers.received.map(({ body }) => body)).size).toBe(1)
    const times = receivers.received.map(({ headers }) => Number(headers['webhook-timestamp']))
    expect(times.map((time) => time - (times[0] ?? 0))).toEqual([0, 3_600, 7_200])
    for (const { headers, body } of receivers.received) {
      const at = Number(headers['webhook-timestamp'])
      expect(headers).toMatchObject(standardWebhooks(secret, body, id, at))
    }
  })
})

describe('the schedule', () => {
  const pauses = [
    5 * second,
    300 * second,
    hour / 2,
    ...[2, 5, 10, 14, 20, 24].map((n) => n * hour),
  ]

  test('has ten attempts in some three days, then the delivery has failed', async () => {
    const { read, hook } = await oneDelivery()
    receivers.answer(url, () => answerOf(500))
    let now = later(second)
    for (const pause of pauses) {
      expect(await engine.dispatcher.deliver(now)).toMatchObject({ retried: 1 })
      const next = (await read()).next_attempt_at ?? ''
      const actual = Date.parse(next) - Date.parse(now)
      expect(actual).toBeGreaterThanOrEqual(pause * 0.8)
      expect(actual).toBeLessThanOrEqual(pause * 1.2)
      // A moment before it is due nothing is sent.
      const sent = receivers.received.length
      await engine.dispatcher.deliver(later(-1, next))
      expect(receivers.received).toHaveLength(sent)
      now = next
    }
    expect(await engine.dispatcher.deliver(now)).toMatchObject({ failed: 1 })
    const { status, attempts } = await read()
    expect(status).toBe('failed')
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10])
    expect(engine.notices).toContainEqual({ type: 'deliveries_failed', count: 1 })
    // Three days are not five.
    expect(await engine.hooks.get(caller, hook)).toMatchObject({ enabled: true })
  })

  test('goes on until the receiver is there again', async () => {
    const { read, hook } = await oneDelivery()
    receivers.answer(url, () => failureOf())
    let now = later(second)
    const up = later(24 * hour)
    while (now < up) {
      await engine.dispatcher.deliver(now)
      now = (await read()).next_attempt_at ?? ''
    }
    receivers.answer(url, () => answerOf(200))
    expect(await engine.dispatcher.deliver(now)).toMatchObject({ delivered: 1 })
    expect(await engine.hooks.get(caller, hook)).toMatchObject({ last_success_at: now })
  })

  test('ends with the hook when nothing has succeeded for five days', async () => {
    const { hook } = await oneDelivery()
    receivers.answer(url, () => answerOf(500))
    const now = later(second)
    await engine.dispatcher.deliver(now)
    await engine.dispatcher.deliver(later(119 * hour, now))
    expect((await engine.hooks.get(caller, hook)).enabled).toBe(true)
    await createFlow(engine)
    await engine.dispatcher.deliver(later(121 * hour, now))
    expect(await engine.hooks.get(caller, hook)).toMatchObject({
      enabled: false,
      disabled_reason: 'no attempt has succeeded for days',
    })
    const left = (await deliveriesIn(session, hook)).map(({ status }) => status)
    expect(left).toEqual(['failed', 'failed'])
    expect(engine.notices.map(({ type }) => type)).toContain('hook_disabled')
  })

  test('a success in between begins the five days anew', async () => {
    const { hook } = await oneDelivery()
    const now = later(second)
    receivers.answer(url, () => answerOf(500))
    await engine.dispatcher.deliver(now)
    receivers.answer(url, () => answerOf(200))
    await engine.dispatcher.deliver(later(hour, now))
    await createFlow(engine)
    receivers.answer(url, () => answerOf(500))
    await engine.dispatcher.deliver(later(121 * hour, now))
    expect((await engine.hooks.get(caller, hook)).enabled).toBe(true)
  })
})

describe('the order', () => {
  test('is kept for each flow: the next waits until the one before it is through', async () => {
    const hook = await hookTo(engine, url, { ordered: true })
    const flows = [await createFlow(engine), await createFlow(engine)]
    const [stuck] = flows
    for (const { id } of flows) await engine.flows.change(caller, id, { type: 'finish' })
    let refuse = true
    receivers.answer(url, ({ body }) => {
      const { data } = JSON.parse(body) as { data: { flow_id: string } }
      return answerOf(refuse && data.flow_id === stuck?.id ? 500 : 200)
    })
    const now = later(second)
    await engine.dispatcher.deliver(now)
    const statuses = async () =>
      (await deliveriesIn(session, hook)).map(({ flow_id, revision, status }) => [
        flows.findIndex(({ id }) => id === flow_id),
        revision,
        status,
      ])
    expect(await statuses()).toEqual([
      [0, 0, 'pending'],
      [0, 1, 'pending'],
      [0, 2, 'pending'],
      [1, 0, 'delivered'],
      [1, 1, 'delivered'],
      [1, 2, 'delivered'],
    ])
    refuse = false
    await engine.dispatcher.deliver(later(hour, now))
    const sent = receivers.received.map(({ body }) => JSON.parse(body).data)
    for (const { id } of flows) {
      const seen = sent.filter(({ flow_id }) => flow_id === id).map(({ revision }) => revision)
      expect([...new Set(seen)]).toEqual([0, 1, 2])
      expect(seen).toEqual([...seen].sort())
    }
    expect((await statuses()).every(([, , status]) => status === 'delivered')).toBe(true)
  })

  test('goes on behind one that failed for good', async () => {
    const hook = await hookTo(engine, url, { ordered: true })
    await createFlow(engine)
    await session.query('update deliveries set attempt = 9 where revision = 0')
    receivers.answer(url, ({ body }) => answerOf(body.includes('flow.created') ? 500 : 200))
    await engine.dispatcher.deliver(later(second))
    expect((await deliveriesIn(session, hook)).map(({ status }) => status)).toEqual([
      'failed',
      'delivered',
    ])
  })

  test('matters to nobody who did not ask for it', async () => {
    const hook = await hookTo(engine, url)
    await createFlow(engine)
    receivers.answer(url, ({ body }) => answerOf(body.includes('flow.created') ? 500 : 200))
    await engine.dispatcher.deliver()
    expect((await deliveriesIn(session, hook)).map(({ status }) => status)).toEqual([
      'pending',
      'delivered',
    ])
  })
})

describe('a lease', () => {
  test('that is over lets another process send, and the late result changes nothing', async () => {
    const { id, read } = await oneDelivery()
    let answerLate: (answer: OutboundAnswer) => void = () => {}
    receivers.answer(
      url,
      () =>
        new Promise((resolve) => {
          answerLate = resolve
        }),
    )
    const now = later(second)
    const first = engine.dispatcher.deliver(now)
    await until('it is under way', () => receivers.received.length === 1)
    const others = createReceivers()
    const other = openEngine(place.url, { outbound: others.outbound })
    await other.dispatcher.deliver(later(24 * second, now))
    expect(others.received).toHaveLength(0)
    await other.dispatcher.deliver(later(26 * second, now))
    expect(others.ids(url)).toEqual([id])
    answerLate(answerOf(500))
    expect(await first).toEqual({ delivered: 0, retried: 0, failed: 0 })
    expect(engine.notices).toContainEqual({ type: 'deliveries_overtaken', count: 1 })
    expect(await read()).toMatchObject({ status: 'delivered', attempt: 1 })
    await other.close()
  })

  test('is given back by a stop, without an attempt', async () => {
    const { hook } = await oneDelivery()
    receivers.answer(url, () => new Promise(() => {}))
    engine.start()
    await until('it is under way', () => receivers.received.length === 1)
    await engine.stop()
    expect(await deliveriesIn(session, hook)).toMatchObject([
      { status: 'pending', attempt: 0, leased: false },
    ])
  })

  test('is recorded when the database is there again', async () => {
    const broken = { yet: true }
    const failing = openEngine(place.url, {
      outbound: receivers.outbound,
      through: (scope) => ({
        ...scope,
        writer: new Proxy(scope.writer, {
          get(pool, name) {
            if (name === 'connect' && broken.yet && receivers.received.length > 0) {
              return () =>
                Promise.reject(Object.assign(new Error('away'), { code: 'ECONNREFUSED' }))
            }
            const member: unknown = Reflect.get(pool, name)
            return typeof member === 'function' ? member.bind(pool) : member
          },
        }),
      }),
    })
    const { read } = await oneDelivery()
    failing.start()
    await until('the recording fails', () =>
      failing.notices.some((one) => one.type === 'loop_failed' && one.loop === 'hook-recorder'),
    )
    broken.yet = false
    await until('it is recorded', async () => (await read()).status === 'delivered')
    expect(receivers.received).toHaveLength(1)
    await failing.close()
  })
})

describe('between receivers', () => {
  test('a dead one has four requests at a time, and slows down nobody', async () => {
    const dead = 'https://dead.example/'
    await hookTo(engine, dead, { kinds: ['created'] })
    receivers.answer(dead, () => new Promise(() => {}))
    const urls = Array.from({ length: 99 }, (_, i) => `https://r${i}.example/`)
    for (const one of urls) await hookTo(engine, one, { kinds: ['created'] })
    engine.start()
    const flows = await Promise.all(Array.from({ length: 20 }, () => createFlow(engine)))
    await until('all others have everything', () =>
      urls.every((one) => new Set(receivers.ids(one)).size === flows.length),
    )
    expect(receivers.peak(dead)).toBe(4)
    expect(receivers.of(dead)).toHaveLength(4)
    for (const one of urls) {
      expect(receivers.peak(one)).toBeLessThanOrEqual(4)
      expect(receivers.ids(one)).toHaveLength(flows.length)
    }
  }, 60_000)

  test('one that goes on failing is left alone, then probed', async () => {
    const hook = await hookTo(engine, url, { kinds: ['created'] })
    await Promise.all(Array.from({ length: 40 }, () => createFlow(engine)))
    receivers.answer(url, () => answerOf(500))
    const now = later(second)
    await engine.dispatcher.deliver(now)
    expect(receivers.received).toHaveLength(10)
    await engine.dispatcher.deliver(later(59 * second, now))
    expect(receivers.received).toHaveLength(10)
    await engine.dispatcher.deliver(later(61 * second, now))
    expect(receivers.received).toHaveLength(11)
    await engine.dispatcher.deliver(later(120 * second, now))
    expect(receivers.received).toHaveLength(11)
    receivers.answer(url, () => answerOf(200))
    await engine.dispatcher.deliver(later(600 * second, now))
    expect((await deliveriesIn(session, hook)).every(({ status }) => status === 'delivered')).toBe(
      true,
    )
  })

  test('what two processes send is sent once', async () => {
    const hook = await hookTo(engine, url, { kinds: ['created'] })
    const other = openEngine(place.url, { outbound: receivers.outbound })
    engine.start()
    other.start()
    await Promise.all(Array.from({ length: 200 }, (_, i) => createFlow(i % 2 ? engine : other)))
    await until('all have arrived', async () =>
      (await deliveriesIn(session, hook)).every(({ status }) => status === 'delivered'),
    )
    expect(receivers.ids(url)).toHaveLength(200)
    expect(new Set(receivers.ids(url)).size).toBe(200)
    await other.close()
  })
})

describe('a hook that is gone', () => {
  test.each(['removed', 'disabled'] as const)('(%s) has nothing pending', async (how) => {
    const hook = await hookTo(engine, url)
    for (let i = 0; i < 5; i++) await createFlow(engine)
    if (how === 'removed') await engine.hooks.remove(caller, hook)
    else await engine.hooks.update(caller, hook, { enabled: false })
    await engine.dispatcher.deliver()
    expect(receivers.received).toHaveLength(0)
    const rows = await deliveriesIn(session, hook)
    expect(rows).toHaveLength(10)
    expect(rows.every(({ status }) => status === 'failed')).toBe(true)
  })

  test('is found by a process that was not told', async () => {
    const hook = await hookTo(engine, url)
    for (let i = 0; i < 5; i++) await createFlow(engine)
    await session.query('delete from hooks')
    await engine.dispatcher.deliver()
    expect((await deliveriesIn(session, hook)).every(({ status }) => status === 'failed')).toBe(
      true,
    )
  })
})

describe('once more', () => {
  test('a delivery is sent under its id, with attempts that count on', async () => {
    const { id, read } = await oneDelivery()
    await session.query('update deliveries set attempt = 9')
    receivers.answer(url, () => answerOf(500))
    await engine.dispatcher.deliver()
    expect(await read()).toMatchObject({ status: 'failed', attempt: 10 })
    const asked = await engine.deliveries.redeliver(caller, id)
    expect(asked.value).toMatchObject({ status: 'pending', attempt: 10 })
    // A schedule of its own.
    expect(await engine.dispatcher.deliver()).toEqual({ delivered: 0, retried: 1, failed: 0 })
    receivers.answer(url, () => answerOf(200))
    await engine.deliveries.redeliver(caller, id)
    await engine.dispatcher.deliver()
    expect(await read()).toMatchObject({ status: 'delivered', attempt: 12 })
    expect(new Set(receivers.ids(url))).toEqual(new Set([id]))
  })

  test('those that failed are sent, or all, at most fifty a second', async () => {
    const hook = await hookTo(engine, url, { kinds: ['created'] })
    for (let i = 0; i < 3; i++)
      await Promise.all(Array.from({ length: 40 }, () => createFlow(engine)))
    await engine.dispatcher.deliver()
    expect(receivers.received).toHaveLength(120)
    await session.query(
      `update deliveries set status = 'failed' where id in (select id from deliveries order by id limit 7)`,
    )
    const failed = await engine.deliveries.redeliverRange(caller, hook, { status: 'failed' })
    expect(failed.value).toEqual({ count: 7 })
    const now = later(0)
    await engine.dispatcher.deliver(now)
    expect(receivers.received).toHaveLength(127)
    const all = await engine.deliveries.redeliverRange(caller, hook, { status: 'any' })
    expect(all.value).toEqual({ count: 120 })
    const { rows } = await session.query<{ first: Date }>(
      'select min(next_attempt_at) as first from deliveries',
    )
    const first = rows[0]?.first.toISOString()
    await engine.dispatcher.deliver(later(500, first))
    expect(receivers.received).toHaveLength(177)
    await engine.dispatcher.deliver(later(1_500, first))
    expect(receivers.received).toHaveLength(227)
    await engine.dispatcher.deliver(later(2_500, first))
    expect(receivers.received).toHaveLength(247)
    expect(new Set(receivers.ids(url)).size).toBe(120)
  })

  test('a span of time limits them', async () => {
    const hook = await hookTo(engine, url, { kinds: ['created'] })
    await createFlow(engine)
    await createFlow(engine)
    await engine.dispatcher.deliver()
    const [first, last] = await deliveriesIn(session, hook)
    await session.query(`update deliveries set created_at = '2020-01-01' where id = $1`, [
      first?.id,
    ])
    const span = {
      created_after: '2019-12-31T00:00:00.000Z',
      created_before: '2020-01-02T00:00:00.000Z',
    }
    expect(
      (await engine.deliveries.redeliverRange(caller, hook, { status: 'any', ...span })).value,
    ).toEqual({ count: 1 })
    await engine.dispatcher.deliver()
    expect(receivers.ids(url).at(-1)).toBe(first?.id)
    expect(receivers.ids(url)).not.toEqual([first?.id, last?.id, last?.id])
  })

  test('nothing is sent to a hook that is disabled', async () => {
    const { hook, id } = await oneDelivery()
    await engine.hooks.update(caller, hook, { enabled: false })
    for (const ask of [
      () => engine.deliveries.redeliver(caller, id),
      () => engine.deliveries.redeliverRange(caller, hook, { status: 'any' }),
      () => engine.deliveries.test(caller, hook),
    ]) {
      expect(await codeOf(ask())).toBe('hook_disabled')
    }
  })

  test('a trial is delivered like an event', async () => {
    const hook = await hookTo(engine, url)
    const trial = await engine.deliveries.test(caller, hook)
    await engine.dispatcher.deliver()
    expect(receivers.ids(url)).toEqual([trial.value.id])
    expect(JSON.parse(receivers.received[0]?.body ?? '')).toMatchObject({
      type: 'hook.test',
      data: { hook_id: hook, flow_id: null },
    })
  })
})

// Messages of a real NATS server become signals of a real engine: none is lost, and none is there twice.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { JsonObject } from '../../src/domain/json.ts'
import { mintId } from '../../src/engine/ids.ts'
import type { NatsSettings } from '../../src/nats/settings.ts'
import { startBridge, type TestBridge } from '../support/bridge.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
  untilBlockedBy,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { headersFrom, type NatsServer, natsSettings, openNats } from '../support/nats.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { openProxy } from '../support/proxy.ts'

let nats: NatsServer
let place: TestDatabase
let engine: TestEngine
let session: Session
let settings: NatsSettings
let bridges: TestBridge[]

beforeAll(async () => {
  nats = await openNats()
})

afterAll(async () => {
  await nats.stop()
})

beforeEach(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  session = await openSession(place.url)
  settings = natsSettings(nats.url)
  bridges = []
})

afterEach(async () => {
  await Promise.all(bridges.map((bridge) => bridge.stop()))
  await engine.close()
  await nats.jsm.streams.delete(settings.TASKFLOW_NATS_STREAM).catch(() => {})
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

const topic = 'payment.settled'

async function begin(more: Partial<NatsSettings> = {}, on = engine): Promise<TestBridge> {
  const bridge = startBridge(on, { ...settings, ...more })
  bridges.push(bridge)
  await until('it pulls', async () => (await consumer())?.num_waiting === bridges.length)
  return bridge
}

const consumer = () =>
  nats.jsm.consumers
    .info(settings.TASKFLOW_NATS_STREAM, settings.TASKFLOW_NATS_DURABLE)
    .catch(() => null)

function publish(body: unknown, headers: Record<string, string> = {}, token = 'a') {
  const subject = settings.TASKFLOW_NATS_SUBJECT.replace('>', token)
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return nats.js.publish(subject, text, { headers: headersFrom(headers) })
}

async function settled(): Promise<void> {
  await until('all messages are settled', async () => {
    return (await nats.jsm.streams.info(settings.TASKFLOW_NATS_STREAM)).state.messages === 0
  })
}

async function waiting(correlation_id: string) {
  const { id } = await createFlow(engine)
  const wait = { kind: 'external_event' as const, topic, correlation_id }
  await engine.flows.change(caller, id, { type: 'wait', wait_id: mintId(), wait })
  return id
}

async function signals(): Promise<JsonObject[]> {
  const { rows } = await session.query<JsonObject>(
    `select topic, correlation_id, sender_id, source, outcome, payload, delivered_count
     from signals order by received_at, id`,
  )
  return rows
}

async function messages(): Promise<{ outcome: string; reason: string; body: Buffer }[]> {
  const { rows } = await session.query(
    `select outcome, reason, body from inbound_messages where source = 'nats' order by received_at`,
  )
  return rows
}

describe('a message', () => {
  test('ends the wait that it is for', async () => {
    const id = await waiting('order-1')
    await begin()
    await publish({ topic, correlation_id: 'order-1', payload: { paid: true } })
    await settled()
    const flow = await engine.flows.get(caller, id)
    expect(flow).toMatchObject({ status: 'running', state: { resume_event: { paid: true } } })
    const { items } = await engine.events.list(caller, id, {}, { limit: 50 })
    expect(items.at(-1)).toMatchObject({ kind: 'resumed', actor: 'nats' })
  })

  test('that comes early is kept for the wait, which takes it', async () => {
    await begin()
    await publish({ topic, correlation_id: 'order-2', payload: 7 }, { 'Nats-Msg-Id': 'evt-2' })
    await settled()
    expect(await signals()).toMatchObject([
      { correlation_id: 'order-2', sender_id: 'evt-2', source: 'nats', outcome: 'buffered' },
    ])
    const id = await waiting('order-2')
    expect((await engine.flows.get(caller, id)).state).toEqual({ resume_event: 7 })
  })

  test('of the same id is a duplicate, however it comes again', async () => {
    await begin()
    const body = { topic, correlation_id: 'order-3', id: 'evt-3' }
    await publish(body)
    await publish(body)
    await settled()
    await nats.connection.request(
      settings.TASKFLOW_NATS_REQUEST_SUBJECT,
      JSON.stringify({ topic, correlation_id: 'order-3' }),
      { timeout: 5_000, headers: headersFrom({ 'Nats-Msg-Id': 'evt-3' }) },
    )
    expect(await signals()).toHaveLength(1)
  })

  test('is aimed by its flow_id', async () => {
    const [, second] = [await waiting('order-4'), await waiting('order-4')]
    await begin()
    await publish({ topic, correlation_id: 'order-4', flow_id: second })
    await settled()
    expect((await engine.flows.get(caller, second)).status).toBe('running')
  })

  test('in the envelope of a broker is read too', async () => {
    const flow_id = await waiting('order-5')
    await begin()
    await publish({
      id: mintId(),
      timestamp: new Date().toISOString(),
      topic: 'taskflow.resume',
      source: 'agent:kate',
      session_id: null,
      payload: { flow_id, topic, correlation_id: 'order-5', payload: { ok: 1 } },
    })
    await settled()
    expect(await engine.flows.get(caller, flow_id)).toMatchObject({
      state: { resume_event: { ok: 1 } },
    })
  })

  test('can have its topic in the subject and its correlation in a header', async () => {
    await begin({
      TASKFLOW_NATS_TOPIC: 'order.{subject:3}',
      TASKFLOW_NATS_CORRELATION_ID: '{header:Order-Id}',
    })
    await publish({ amount: 4 }, { 'Order-Id': '42' }, 'paid')
    await settled()
    expect(await signals()).toMatchObject([
      { topic: 'order.paid', correlation_id: '42', payload: { amount: 4 } },
    ])
  })

  test('belongs to the configured namespace', async () => {
    await begin({ TASKFLOW_NATS_NAMESPACE: 'acme' })
    await publish({ topic, correlation_id: 'order-6' })
    await settled()
    const { rows } = await session.query('select namespace from signals')
    expect(rows).toEqual([{ namespace: 'acme' }])
  })
})

describe('an acknowledgement', () => {
  test('is given after COMMIT and not before', async () => {
    const id = await waiting('order-7')
    await begin()
    await session.query('begin')
    await session.query('select 1 from flows where id = $1 for update', [id])
    await publish({ topic, correlation_id: 'order-7' })
    await untilBlockedBy(session)
    expect((await consumer())?.num_ack_pending).toBe(1)
    await session.query('rollback')
    await settled()
    expect((await engine.flows.get(caller, id)).status).toBe('running')
  })

  test('that never left makes a duplicate of the message, and nothing twice', async () => {
    const id = await waiting('order-8')
    const { TASKFLOW_NATS_STREAM: stream, TASKFLOW_NATS_SUBJECT: subject } = settings
    await nats.jsm.streams.add({ name: stream, subjects: [subject], retention: 'workqueue' })
    await nats.jsm.consumers.add(stream, {
      durable_name: settings.TASKFLOW_NATS_DURABLE,
      filter_subject: subject,
      ack_policy: 'explicit',
      ack_wait: 500_000_000,
    })
    // One that dies between COMMIT and its acknowledgement: it never says another word.
    let bury: (() => void) | null = null
    const dying = {
      ...engine,
      signals: {
        send: async (...input: Parameters<typeof engine.signals.send>) => {
          const fate = await engine.signals.send(...input)
          await new Promise<void>((resolve) => {
            bury = resolve
          })
          return fate
        },
      },
    }
    const dead = startBridge(dying, settings)
    await publish({ topic, correlation_id: 'order-8' })
    await until('it is committed', async () => (await signals()).length === 1)
    expect((await consumer())?.num_ack_pending).toBe(1)
    const buried = dead.stop()
    await until('it pulls no more', async () => (await consumer())?.num_waiting === 0)
    await begin()
    await settled()
    expect(await signals()).toMatchObject([{ outcome: 'delivered', delivered_count: 1 }])
    const { items } = await engine.events.list(caller, id, { kind: ['resumed'] }, { limit: 50 })
    expect(items).toHaveLength(1)
    const end = bury as (() => void) | null
    end?.()
    await buried
  })
})

describe('what cannot become a signal', () => {
  test('is kept with its reason, once, and the queue moves on', async () => {
    await begin()
    await publish('{"topic":')
    await publish({ topic, correlation_id: 'order-9', flow_id: mintId() })
    await publish({ topic, correlation_id: 'order-9' })
    await settled()
    expect(await signals()).toHaveLength(1)
    const kept = await messages()
    expect(kept.map(({ outcome }) => outcome)).toEqual(['rejected', 'rejected'])
    expect(kept.map(({ reason }) => reason.split(/[: ]/)[0]).sort()).toEqual([
      'malformed_json',
      'not_found',
    ])
    expect(kept.map(({ body }) => body.toString())).toContain('{"topic":')
    const { items } = await engine.messages.list(caller, 'nats', {}, { limit: 10 })
    expect(items).toHaveLength(2)
  })

  test('a flow that has ended refuses for good', async () => {
    const id = await waiting('order-10')
    await engine.flows.change(caller, id, { type: 'cancel' })
    await begin()
    await publish({ topic, correlation_id: 'order-10', flow_id: id })
    await settled()
    expect((await messages()).map(({ reason }) => reason)).toEqual([
      expect.stringContaining('already_terminal'),
    ])
  })
})

test('a database that is away delays messages, and loses and refuses none', async () => {
  const proxy = await openProxy(place.url)
  const behind = openEngine(proxy.url)
  const bridge = await begin({ TASKFLOW_NATS_MAX_DELIVER: 1 }, behind)
  await proxy.set('refuse')
  await publish({ topic, correlation_id: 'order-11' })
  await publish('{')
  const putOff = () => bridge.notices.filter(({ type }) => type === 'message_put_off').length
  await until('it was tried several times', () => putOff() >= 4)
  expect(await signals()).toEqual([])
  await proxy.set('pass')
  await settled()
  expect(await signals()).toHaveLength(1)
  expect(await messages()).toHaveLength(1)
  await bridge.stop()
  bridges = []
  await behind.close()
  await proxy.close()
})

test('two bridges share the work: 0 lost, 0 doubled', async () => {
  const count = 300
  const names = Array.from({ length: count }, (_, n) => `order-${n}`)
  const ids = await Promise.all(names.slice(0, count / 2).map(waiting))
  const other = openEngine(place.url)
  const handled = [0, 0]
  const counting = (one: TestEngine, n: 0 | 1) => ({
    ...one,
    signals: {
      send: (...input: Parameters<typeof engine.signals.send>) => {
        handled[n] = (handled[n] ?? 0) + 1
        return one.signals.send(...input)
      },
    },
  })
  bridges.push(startBridge(counting(engine, 0), settings))
  bridges.push(startBridge(counting(other, 1), settings))
  await until('both pull', async () => (await consumer())?.num_waiting === 2)
  const bodies = names.map((correlation_id) => ({
    topic,
    correlation_id,
    id: `evt-${correlation_id}`,
  }))
  await Promise.all([...bodies, ...bodies].map((body) => publish(body)))
  await settled()
  const rows = await signals()
  expect(rows.map(({ correlation_id }) => correlation_id).sort()).toEqual([...names].sort())
  for (const id of ids) {
    const { items } = await engine.events.list(caller, id, { kind: ['resumed'] }, { limit: 50 })
    expect(items).toHaveLength(1)
  }
  expect(rows.filter(({ outcome }) => outcome === 'buffered')).toHaveLength(count / 2)
  expect(Math.min(...handled)).toBeGreaterThan(0)
  expect((handled[0] as number) + (handled[1] as number)).toBe(2 * count)
  await Promise.all(bridges.map((bridge) => bridge.stop()))
  bridges = []
  await other.close()
})

describe('a request', () => {
  async function ask(body: unknown, headers: Record<string, string> = {}) {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const answer = await nats.connection.request(settings.TASKFLOW_NATS_REQUEST_SUBJECT, text, {
      timeout: 5_000,
      headers: headersFrom(headers),
    })
    return answer.json<JsonObject>()
  }

  test('is answered with the fate', async () => {
    const id = await waiting('order-12')
    await begin()
    const message = { topic, correlation_id: 'order-12' }
    const delivered = await ask({ ...message, id: 'e1' })
    expect(delivered).toMatchObject({
      outcome: 'delivered',
      deliveries: [{ flow_id: id, revision: 3 }],
      expires_at: null,
    })
    expect(await ask({ ...message, id: 'e1' })).toMatchObject({
      id: delivered['id'],
      outcome: 'duplicate',
    })
    expect(await ask({ ...message, ttl: 'PT1H' })).toMatchObject({
      outcome: 'buffered',
      deliveries: [],
      expires_at: expect.stringMatching(/^\d{4}-/),
    })
    expect(await ask({ topic, correlation_id: 'nobody', ttl: 'PT0S' })).toMatchObject({
      outcome: 'unmatched',
    })
  })

  test('is refused with a code and a sentence', async () => {
    await begin()
    expect(await ask('{')).toMatchObject({ error: 'malformed_json', message: expect.any(String) })
    expect(await ask({ topic })).toMatchObject({
      error: 'invalid_request',
      errors: [{ pointer: '/correlation_id' }],
    })
    expect(await ask({ topic, correlation_id: 'c', flow_id: mintId() })).toMatchObject({
      error: 'not_found',
    })
    expect(await messages()).toEqual([])
  })

  test('that wants no answer is carried out', async () => {
    await begin()
    nats.connection.publish(
      settings.TASKFLOW_NATS_REQUEST_SUBJECT,
      JSON.stringify({ topic, correlation_id: 'order-13' }),
    )
    await until('it is kept', async () => (await signals()).length === 1)
  })

  test('is answered by one of several', async () => {
    await begin()
    await begin()
    await Promise.all(
      Array.from({ length: 50 }, (_, n) => ask({ topic, correlation_id: `c-${n}` })),
    )
    expect(await signals()).toHaveLength(50)
  })
})

// What the stream is told: an acknowledgement after COMMIT alone, a later try for our faults, an end for the message's own.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import type { NatsSettings } from '../../src/nats/settings.ts'
import { type StandIn, standIn, startBridge, type TestBridge } from '../support/bridge.ts'
import { until } from '../support/engine.ts'
import {
  connectNats,
  headersFrom,
  type NatsServer,
  natsSettings,
  openNats,
  startNats,
} from '../support/nats.ts'

let nats: NatsServer
let settings: NatsSettings
let bridges: TestBridge[]

beforeAll(async () => {
  nats = await openNats()
})

afterAll(async () => {
  await nats.stop()
})

beforeEach(() => {
  settings = natsSettings(nats.url)
  bridges = []
})

afterEach(async () => {
  await Promise.all(bridges.map((bridge) => bridge.stop()))
  await nats.jsm.streams.delete(settings.TASKFLOW_NATS_STREAM).catch(() => {})
})

const unavailable = () => new FlowError('unavailable', 'The database is away.', { retry_after: 1 })
const signal = { topic: 'payment.settled', correlation_id: 'order-42' }

async function begin(stand: StandIn, more: Partial<NatsSettings> = {}): Promise<TestBridge> {
  const bridge = startBridge(stand.engine, { ...settings, ...more })
  bridges.push(bridge)
  await until('it pulls', async () => ((await consumer())?.num_waiting ?? 0) > 0)
  return bridge
}

const consumer = () =>
  nats.jsm.consumers
    .info(settings.TASKFLOW_NATS_STREAM, settings.TASKFLOW_NATS_DURABLE)
    .catch(() => null)

/** Messages that are not settled yet, delivered or not. */
async function unsettled(): Promise<number> {
  return (await nats.jsm.streams.info(settings.TASKFLOW_NATS_STREAM)).state.messages
}

function publish(body: unknown, headers: Record<string, string> = {}) {
  const subject = settings.TASKFLOW_NATS_SUBJECT.replace('>', 'a')
  const text = typeof body === 'string' ? body : JSON.stringify(body)
  return nats.js.publish(subject, text, { headers: headersFrom(headers) })
}

describe('the consumer', () => {
  test('is a durable one that waits for acknowledgements and forgets no message', async () => {
    await begin(standIn(async () => ({})))
    const { config } = (await consumer()) ?? {}
    expect(config).toMatchObject({
      durable_name: 'taskflow',
      filter_subject: settings.TASKFLOW_NATS_SUBJECT,
      ack_policy: 'explicit',
      ack_wait: 30_000_000_000,
      max_ack_pending: 64,
      max_deliver: -1,
    })
    const { config: stream } = await nats.jsm.streams.info(settings.TASKFLOW_NATS_STREAM)
    expect(stream).toMatchObject({
      subjects: [settings.TASKFLOW_NATS_SUBJECT],
      retention: 'workqueue',
      storage: 'file',
    })
  })

  test('takes over one of the operator, which may forget no message either', async () => {
    const { TASKFLOW_NATS_STREAM: name, TASKFLOW_NATS_SUBJECT: filter_subject } = settings
    await nats.jsm.streams.add({ name, subjects: [`${name}.>`] })
    await nats.jsm.consumers.add(name, {
      durable_name: 'taskflow',
      ack_policy: 'explicit',
      filter_subject,
      max_deliver: 3,
      max_ack_pending: 7,
    })
    const stand = standIn(async () => ({}))
    await begin(stand)
    await publish(signal)
    await until('it has come', () => stand.sent.length === 1)
    expect((await consumer())?.config).toMatchObject({ max_deliver: -1, max_ack_pending: 7 })
  })

  test.each([
    ['takes another subject', { filter_subject: 'other' }, 'takes other, not'],
    ['needs no acknowledgement', { ack_policy: 'none' as const }, 'explicit acks'],
  ])('is not used when it %s: that would lose messages', async (_, config, sentence) => {
    const { TASKFLOW_NATS_STREAM: name, TASKFLOW_NATS_SUBJECT: filter_subject } = settings
    await nats.jsm.streams.add({ name, subjects: [`${name}.>`] })
    const durable = { durable_name: 'taskflow', ack_policy: 'explicit' as const, filter_subject }
    const renamed = 'filter_subject' in config ? { filter_subject: `${name}.other` } : config
    await nats.jsm.consumers.add(name, { ...durable, ...renamed })
    const bridge = startBridge(standIn(async () => ({})).engine, settings)
    bridges.push(bridge)
    await until('it says so', () =>
      bridge.notices.some(
        (notice) =>
          notice.type === 'loop_failed' &&
          String(notice.cause).replace(`${name}.`, '').includes(sentence),
      ),
    )
    expect((await consumer())?.num_waiting).toBe(0)
  })

  test('waits for a stream that it may not make, and says so', async () => {
    const stand = standIn(async () => ({}))
    const bridge = startBridge(stand.engine, { ...settings, TASKFLOW_NATS_CREATE_STREAM: false })
    bridges.push(bridge)
    await until('it says so', () =>
      bridge.notices.some(
        (notice) =>
          notice.type === 'loop_failed' && String(notice.cause).includes('There is no stream'),
      ),
    )
    const { TASKFLOW_NATS_STREAM: name, TASKFLOW_NATS_SUBJECT: subject } = settings
    await nats.jsm.streams.add({ name, subjects: [subject] })
    await publish(signal)
    await until('it has come', () => stand.sent.length === 1)
  })

  test('comes back when its stream is deleted', async () => {
    const stand = standIn(async () => ({}))
    await begin(stand)
    await nats.jsm.streams.delete(settings.TASKFLOW_NATS_STREAM)
    await until('it pulls again', async () => (await consumer())?.num_waiting === 1)
    await publish(signal)
    await until('it has come', () => stand.sent.length === 1)
  })
})

describe('a message', () => {
  test('is acknowledged after COMMIT and not before', async () => {
    let commit: (() => void) | null = null
    const stand = standIn(
      () =>
        new Promise((resolve) => {
          commit = () => resolve({})
        }),
    )
    await begin(stand)
    await publish(signal)
    await until('it is under way', () => commit !== null)
    expect((await consumer())?.num_ack_pending).toBe(1)
    expect(await unsettled()).toBe(1)
    const end = commit as (() => void) | null
    end?.()
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(stand.sent[0]).toMatchObject({
      caller: { namespace: 'default', actor: 'nats' },
      target: { kind: 'external_event', ...signal },
      source: 'nats',
    })
  })

  test('without an id has the same one at each delivery; another message has another', async () => {
    const stand = standIn(async (_, count) => {
      if (count === 1) throw unavailable()
      return {}
    })
    await begin(stand)
    await publish(signal)
    await until('it has come again', () => stand.sent.length === 2)
    await publish(signal)
    await until('the other has come', () => stand.sent.length === 3)
    const [first, again, other] = stand.sent.map(({ sender_id }) => sender_id)
    expect(first).toMatch(new RegExp(`^${settings.TASKFLOW_NATS_STREAM}:1:\\d+$`))
    expect(again).toBe(first)
    expect(other).toMatch(new RegExp(`^${settings.TASKFLOW_NATS_STREAM}:2:\\d+$`))
  })

  test('has the id of its header', async () => {
    const stand = standIn(async () => ({}))
    await begin(stand)
    await publish(signal, { 'Nats-Msg-Id': 'evt-1' })
    await until('it has come', () => stand.sent.length === 1)
    expect(stand.sent[0]?.sender_id).toBe('evt-1')
  })

  test('many are handled at once, so that they can commit together', async () => {
    let open: (() => void) | null = null
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const stand = standIn(async () => {
      await gate
      return {}
    })
    await begin(stand)
    await Promise.all(Array.from({ length: 100 }, () => publish(signal)))
    await until('as many as may be under way are', () => stand.sent.length === 64)
    const start = open as (() => void) | null
    start?.()
    await until('all are settled', async () => (await unsettled()) === 0)
    expect(stand.sent).toHaveLength(100)
  })
})

describe('what fails', () => {
  test('an outage of ours is waited out, however many tries that takes', async () => {
    const stand = standIn(async (_, count) => {
      if (count <= 3) throw unavailable()
      return {}
    })
    const bridge = await begin(stand, { TASKFLOW_NATS_MAX_DELIVER: 1 })
    await publish(signal)
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(stand.sent).toHaveLength(4)
    expect(stand.kept).toEqual([])
    expect(bridge.notices.filter(({ type }) => type === 'message_put_off')).toHaveLength(3)
  })

  test.each([
    ['no JSON', '{', 'malformed_json'],
    ['no signal', '{"topic":"t"}', 'invalid_request at /correlation_id'],
    [
      'a NUL',
      '{"topic":"t","correlation_id":"c","payload":"\\u0000"}',
      'invalid_request at /payload',
    ],
  ])('%s is kept once with its reason, ended, and others go on', async (_, body, reason) => {
    const stand = standIn(async () => ({}))
    const bridge = await begin(stand)
    await publish(body, { 'X-From': 'somebody' })
    await publish(signal)
    await until('both are settled', async () => (await unsettled()) === 0)
    expect(stand.sent).toHaveLength(1)
    expect(stand.kept).toHaveLength(1)
    expect(stand.kept[0]).toMatchObject({
      namespace: 'default',
      source: 'nats',
      outcome: 'rejected',
      reason: expect.stringContaining(reason),
      headers: {
        'x-from': 'somebody',
        'nats-subject': settings.TASKFLOW_NATS_SUBJECT.replace('>', 'a'),
        'nats-stream': settings.TASKFLOW_NATS_STREAM,
        'nats-sequence': '1',
      },
    })
    expect(stand.kept[0]?.body.toString()).toBe(body)
    expect(bridge.notices.map(({ type }) => type)).toContain('message_refused')
  })

  test('what cannot be kept is not ended either', async () => {
    let tries = 0
    const stand = standIn(
      async () => ({}),
      async () => {
        if (++tries < 3) throw unavailable()
      },
    )
    await begin(stand)
    await publish('{')
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(tries).toBe(3)
    expect(stand.kept).toHaveLength(1)
  })

  test('a refusal is an answer: kept with its reason, and not tried again', async () => {
    const flow_id = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'
    const stand = standIn(async () => {
      throw new FlowError('not_found', 'There is no such flow.', { resource: 'flow', id: flow_id })
    })
    await begin(stand)
    await publish({ ...signal, flow_id })
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(stand.sent).toHaveLength(1)
    expect(stand.kept.map(({ reason }) => reason)).toEqual(['not_found: There is no such flow.'])
  })

  test('what fails by itself is tried so often, then kept', async () => {
    const stand = standIn(async () => {
      throw new TypeError('a bug')
    })
    await begin(stand, { TASKFLOW_NATS_MAX_DELIVER: 3 })
    await publish(signal)
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(stand.sent).toHaveLength(3)
    expect(stand.kept.map(({ reason }) => reason)).toEqual([
      'internal: The service failed on this message.',
    ])
  })

  test('tries during an outage do not count', async () => {
    const stand = standIn(async (_, count) => {
      if (count <= 3) throw unavailable()
      if (count <= 4) throw new FlowError('internal', 'A fault.', {})
      return {}
    })
    await begin(stand, { TASKFLOW_NATS_MAX_DELIVER: 2 })
    await publish(signal)
    await until('it is settled', async () => (await unsettled()) === 0)
    expect(stand.kept).toEqual([])
    expect(stand.sent).toHaveLength(5)
  })

  test('templates that find nothing are told apart', async () => {
    const stand = standIn(async () => ({}))
    await begin(stand, { TASKFLOW_NATS_CORRELATION_ID: '{/order/id}' })
    await publish({ order: { id: 7 } })
    await publish({ order: {} })
    await until('both are settled', async () => (await unsettled()) === 0)
    expect(stand.sent.map(({ target }) => target)).toEqual([
      {
        kind: 'external_event',
        topic: settings.TASKFLOW_NATS_SUBJECT.replace('>', 'a'),
        correlation_id: '7',
      },
    ])
    expect(stand.kept.map(({ outcome }) => outcome)).toEqual(['unmapped'])
  })
})

describe('a server that goes away', () => {
  test('is waited for at the start, and after a restart the durable goes on', async () => {
    const own = await startNats()
    await own.down()
    const stand = standIn(async () => ({}))
    settings = natsSettings(own.url)
    const bridge = startBridge(stand.engine, settings)
    await until('it has tried', () => bridge.notices.some(({ type }) => type === 'loop_failed'))
    await own.up()
    const connected = () => bridge.notices.filter(({ type }) => type === 'broker_connected').length
    await until('it is connected', () => connected() === 1)
    const first = await openOther(own.url)
    await until('there is a stream', async () => (await first.streams()) === 1)
    await first.publish('before')
    await until('it has come', () => stand.sent.length === 1)
    await first.close()
    await own.down()
    await until('it has noticed', () =>
      bridge.notices.some(({ type }) => type === 'broker_disconnected'),
    )
    await own.up()
    await until('it is back', () => connected() === 2)
    const second = await openOther(own.url)
    await second.publish('after')
    await until('it has come too', () => stand.sent.length === 2)
    expect(stand.sent.map(({ sender_id }) => sender_id)).toEqual(['before', 'after'])
    await second.close()
    await bridge.stop()
    await own.remove()
  })

  test('does not hold up a stop', async () => {
    const own = await startNats()
    const stand = standIn(async () => ({}))
    const bridge = startBridge(stand.engine, natsSettings(own.url))
    await until('it is connected', () =>
      bridge.notices.some(({ type }) => type === 'broker_connected'),
    )
    await own.down()
    const began = performance.now()
    await bridge.stop()
    expect(performance.now() - began).toBeLessThan(10_000)
    await own.remove()
  })
})

describe('a stop', () => {
  test('settles what is under way, and leaves the rest to others', async () => {
    let commit: (() => void) | null = null
    const stand = standIn(
      () =>
        new Promise((resolve) => {
          commit = () => resolve({})
        }),
    )
    const bridge = await begin(stand)
    await publish(signal)
    await until('it is under way', () => commit !== null)
    const stopped = bridge.stop()
    await until('it pulls no more', async () => (await consumer())?.num_waiting === 0)
    await publish({ ...signal, id: 'later' })
    const end = commit as (() => void) | null
    end?.()
    await stopped
    expect(await unsettled()).toBe(1)
    const other = standIn(async () => ({}))
    await begin(other)
    await until('the other takes it', () => other.sent.length === 1)
    expect(other.sent[0]?.sender_id).toBe('later')
  })
})

async function openOther(url: string) {
  const { connection, js, jsm } = await connectNats(url)
  const subject = settings.TASKFLOW_NATS_SUBJECT.replace('>', 'a')
  return {
    streams: async () => (await jsm.streams.list().next()).length,
    // The server answers before it has its streams again; a message of one id is stored once.
    publish: (msgID: string) =>
      until('the stream takes messages', () =>
        js.publish(subject, JSON.stringify(signal), { msgID }).then(
          () => true,
          () => false,
        ),
      ),
    close: () => connection.close(),
  }
}

// Audit events on subjects: all of them, each flow's in order, at least once, into a stream or to whoever listens.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { StoredMsg } from '@nats-io/jetstream'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import type { FlowEvent } from '../../src/domain/event.ts'
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
} from '../support/engine.ts'
import {
  connectNats,
  type NatsServer,
  natsSettings,
  type OwnNatsServer,
  openNats,
  startNats,
} from '../support/nats.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let nats: NatsServer
let place: TestDatabase
let engine: TestEngine
let session: Session
let settings: NatsSettings
let bridges: TestBridge[]
/** Of this test alone, since all of them publish below one subject. */
let namespace: string

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
  settings = natsSettings(nats.url, { TASKFLOW_NATS_STREAM: 'off', TASKFLOW_NATS_EVENTS: true })
  namespace = `n${settings.TASKFLOW_NATS_REQUEST_SUBJECT.split('.')[0]}`
  bridges = []
})

afterEach(async () => {
  await Promise.all(bridges.map((bridge) => bridge.stop()))
  await engine.close()
  await session.end()
  await place.drop()
})

async function begin(on = engine, more: Partial<NatsSettings> = {}): Promise<TestBridge> {
  const bridge = startBridge(on, { ...settings, ...more })
  bridges.push(bridge)
  await until('it has a position', async () => {
    const { rows } = await session.query('select 1 from publishers where lease_token is not null')
    return rows.length === 1
  })
  return bridge
}

const make = (more = {}) => createFlow(engine, more, { ...caller, namespace })

async function log(): Promise<string[]> {
  const { rows } = await session.query<{ key: string }>(
    `select flow_id || ':' || revision as key from flow_events order by xid, flow_id, revision`,
  )
  return rows.map(({ key }) => key)
}

async function captureInto(name: string) {
  await nats.jsm.streams.add({ name, subjects: [`taskflow.events.${namespace}.>`] })
  return {
    async stored(): Promise<StoredMsg[]> {
      const { state } = await nats.jsm.streams.info(name)
      const found = Array.from({ length: state.messages }, (_, n) =>
        nats.jsm.streams.getMessage(name, { seq: state.first_seq + n }),
      )
      return (await Promise.all(found)).filter((message) => message !== null)
    },
    remove: () => nats.jsm.streams.delete(name),
  }
}

test('every event is stored by the stream that captures it, with an id that deduplicates', async () => {
  const stream = await captureInto(namespace)
  await begin()
  const flow = await make()
  await engine.flows.change({ ...caller, namespace }, flow.id, { type: 'finish' })
  await Promise.all(Array.from({ length: 20 }, () => make()))
  await until('all are stored', async () => (await stream.stored()).length === 43)
  const stored = await stream.stored()
  const keys = stored.map((message) => message.header.get('Nats-Msg-Id'))
  expect([...keys].sort()).toEqual((await log()).sort())
  const ofFlow = stored.filter((message) => message.json<FlowEvent>().flow_id === flow.id)
  expect(ofFlow.map(({ subject }) => subject)).toEqual(
    ['created', 'started', 'finished'].map((kind) => `taskflow.events.${namespace}.${kind}`),
  )
  const { items } = await engine.events.list({ ...caller, namespace }, flow.id, {}, { limit: 9 })
  expect(ofFlow.map((message) => message.json())).toEqual(
    items.map((event) => ({ ...event, namespace })),
  )
  await stream.remove()
})

test('what is published again is stored once', async () => {
  const stream = await captureInto(namespace)
  const bridge = await begin()
  await make()
  await until('it is stored', async () => (await stream.stored()).length === 2)
  await bridge.stop()
  await session.query("update publishers set xid = '3'")
  await begin()
  await make()
  await until('the next is stored', async () => (await stream.stored()).length >= 4)
  expect((await stream.stored()).map(({ header }) => header.get('Nats-Msg-Id'))).toEqual(
    await log(),
  )
  await stream.remove()
})

test('where no stream captures them, they reach whoever listens', async () => {
  const subscription = nats.connection.subscribe(`taskflow.events.${namespace}.*`)
  await nats.connection.flush()
  const bridge = await begin()
  await make()
  const heard: string[] = []
  for await (const message of subscription) {
    heard.push(message.headers?.get('Nats-Msg-Id') ?? '')
    if (heard.length === 2) break
  }
  expect(heard).toEqual(await log())
  expect(bridge.notices.map(({ type }) => type)).toEqual(['broker_connected'])
})

test('a namespace is one token', async () => {
  namespace = `${namespace}.eu *`
  const subscription = nats.connection.subscribe('taskflow.events.*.created', { max: 1 })
  await nats.connection.flush()
  await begin()
  await make({ start: false })
  for await (const message of subscription) {
    expect(message.subject).toBe(`taskflow.events.${namespace.replace(/[. *]/g, '_')}.created`)
    expect(message.json()).toMatchObject({ namespace })
  }
})

test('an event larger than a message goes without its payload', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-nats-conf-'))
  await writeFile(join(folder, 'nats.conf'), 'max_payload: 8KB\n')
  await onOwnServer(await startNats(['-c', join(folder, 'nats.conf')]), async (url) => {
    const other = await connectNats(url)
    const subscription = other.connection.subscribe('taskflow.events.>')
    await other.connection.flush()
    await begin(engine, { NATS_URL: url })
    const { id } = await make()
    const large = { text: 'x'.repeat(20_000) }
    await engine.flows.change({ ...caller, namespace }, id, {
      type: 'fail',
      reason: large.text.slice(0, 1_000),
    })
    await engine.flows.change({ ...caller, namespace }, (await make()).id, {
      type: 'update_state',
      patch: large,
    })
    const kinds = new Map<string, unknown>()
    for await (const message of subscription) {
      const event = message.json<FlowEvent & { payload_omitted?: boolean }>()
      kinds.set(event.kind, event.payload_omitted)
      if (kinds.has('state_updated')) break
    }
    expect(kinds.get('failed')).toBeUndefined()
    expect(kinds.get('state_updated')).toBe(true)
    await other.connection.close()
  })
  await rm(folder, { recursive: true })
})

test('events wait for a server that is away', async () => {
  const own = await startNats()
  await own.down()
  await onOwnServer(own, async (url) => {
    bridges.push(startBridge(engine, { ...settings, NATS_URL: url }))
    await until('it has a position', async () => {
      return (await session.query('select 1 from publishers')).rows.length === 1
    })
    await make()
    await until('it was tried', () => engine.notices.some(({ type }) => type === 'loop_failed'))
    await own.up()
    const other = await connectNats(url)
    await other.jsm.streams.add({ name: 'EVENTS', subjects: ['taskflow.events.>'] })
    await until('both are stored', async () => {
      return (await other.jsm.streams.info('EVENTS')).state.messages === 2
    })
    await other.connection.close()
  })
})

test('another process takes over from one that died', async () => {
  const stream = await captureInto(namespace)
  await begin()
  await make()
  await until('they are stored', async () => (await stream.stored()).length === 2)
  // As a killed process leaves it: a lease that nobody renews, and events behind the position.
  const other = openEngine(place.url)
  await Promise.all(bridges.splice(0).map((bridge) => bridge.stop()))
  await session.query(
    `update publishers set lease_token = gen_random_uuid(), leased_until = now() + interval '1 s'`,
  )
  await make()
  bridges.push(startBridge(other, settings))
  await until('the other has published them', async () => (await stream.stored()).length === 4)
  expect((await stream.stored()).map(({ header }) => header.get('Nats-Msg-Id'))).toEqual(
    await log(),
  )
  await Promise.all(bridges.splice(0).map((bridge) => bridge.stop()))
  await other.close()
  await stream.remove()
})

async function onOwnServer(
  own: OwnNatsServer,
  work: (url: string) => Promise<void>,
): Promise<void> {
  await work(own.url)
  await Promise.all(bridges.splice(0).map((bridge) => bridge.stop()))
  await own.remove()
}

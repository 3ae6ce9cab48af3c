// Processes with a bridge to NATS: killed in the middle of the work, they lose no message, double none, and publish every event.

import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { connectNats, type OwnNatsServer, startNats } from '../support/nats.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  freePort,
  type ServiceProcess,
  send,
  spawnService,
  startService,
  until,
} from '../support/service.ts'

let database: TestDatabase
let client: pg.Client
let nats: OwnNatsServer
const services: ServiceProcess[] = []

beforeAll(async () => {
  database = await createTestDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
  nats = await startNats()
})

afterAll(async () => {
  await Promise.all(services.map((service) => service.kill('SIGKILL')))
  await nats?.remove()
  await client?.end()
  await database?.drop()
})

const count = async (text: string) => {
  const { rows } = await client.query<{ n: number }>(`select count(*)::integer as n from ${text}`)
  return rows[0]?.n ?? 0
}

async function start(): Promise<ServiceProcess> {
  const service = await startService({
    DATABASE_URL: database.url,
    NATS_URL: nats.url,
    TASKFLOW_NATS_EVENTS: 'true',
    LOG_LEVEL: 'warn',
  })
  services.push(service)
  return service
}

it('kill -9 of one of two, twice: 0 lost, 0 doubled, every event published', async () => {
  const { connection, js, jsm } = await connectNats(nats.url)
  await jsm.streams.add({ name: 'EVENTS', subjects: ['taskflow.events.>'] })
  await jsm.streams.add({
    name: 'taskflow-signals',
    subjects: ['taskflow.signals.>'],
    retention: 'workqueue',
  })
  // Short, so that what a killed process had in hand comes again soon.
  await jsm.consumers.add('taskflow-signals', {
    durable_name: 'taskflow',
    filter_subject: 'taskflow.signals.>',
    ack_policy: 'explicit',
    ack_wait: 1_000_000_000,
    max_ack_pending: 64,
  })
  const [first, second] = await Promise.all([start(), start()])
  await until(
    async () => (await count('publishers where lease_token is not null')) === 1,
    10_000,
    'events are published',
  )
  const flow = {
    controller_id: 'e2e/nats',
    goal: 'survive',
    owner_session_key: 'test',
    requester_origin: 'test',
    start: true,
  }
  const waiting = 100
  for (let n = 0; n < waiting; n++) {
    const made = await send<{ id: string }>(second.base, 'POST', '/flows', flow)
    await send(second.base, 'POST', `/flows/${made.body.id}/wait`, {
      kind: 'external_event',
      topic: 'e2e',
      correlation_id: `c-${n}`,
    })
  }
  const total = 2_000
  const publish = async (from: number, to: number) => {
    for (let n = from; n < to; n++) {
      const body = JSON.stringify({ topic: 'e2e', correlation_id: `c-${n}`, payload: n })
      await js.publish('taskflow.signals.e2e', body)
    }
  }
  const published = publish(0, total)
  await until(async () => (await count('signals')) > 200, 20_000, 'some have come')
  await first.kill('SIGKILL')
  const third = await start()
  await until(async () => (await count('signals')) > 1_000, 20_000, 'more have come')
  await second.kill('SIGKILL')
  await published
  const settled = async () => (await jsm.streams.info('taskflow-signals')).state.messages === 0
  await until(settled, 30_000, 'all are settled')
  expect(await count('signals')).toBe(total)
  expect(await count(`(select distinct correlation_id from signals) s`)).toBe(total)
  expect(await count(`signals where outcome = 'delivered'`)).toBe(waiting)
  expect(await count(`flow_events where kind = 'resumed'`)).toBe(waiting)
  expect(await count('inbound_messages')).toBe(0)
  const events = await count('flow_events')
  const stored = async () => (await jsm.streams.info('EVENTS')).state.messages
  await until(async () => (await stored()) >= events, 30_000, 'all events are stored')
  expect(await stored()).toBe(events)
  const exit = await third.kill('SIGTERM')
  expect(exit).toEqual({ code: 0, signal: null })
  await connection.close()
}, 120_000)

it('is ready without a server, and stops in time', async () => {
  const service = await startService({
    DATABASE_URL: database.url,
    NATS_URL: `nats://127.0.0.1:${await freePort()}`,
  })
  services.push(service)
  await until(() => service.log().includes('loop_failed'), 10_000, 'it says that NATS is away')
  expect(await service.kill('SIGTERM')).toEqual({ code: 0, signal: null })
})

it('refuses settings that cannot work', async () => {
  const service = spawnService({ PORT: '0', DATABASE_URL: database.url, NATS_URL: 'http://x' })
  expect(await service.exited).toMatchObject({ code: 2 })
  expect(service.log()).toContain('NATS_URL must be nats://')
})

// Who the bridge is to the server: passwords and tokens, an account without JetStream, a server that refuses.

import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect } from '@nats-io/transport-node'
import { afterEach, expect, test } from 'vitest'
import type { PublishedEvent, PublisherOptions } from '../../src/engine/publisher.ts'
import type { NatsSettings } from '../../src/nats/settings.ts'
import { standIn, startBridge, type TestBridge } from '../support/bridge.ts'
import { until } from '../support/engine.ts'
import { natsSettings, type OwnNatsServer, startNats } from '../support/nats.ts'

let own: OwnNatsServer | undefined
let bridge: TestBridge | undefined

afterEach(async () => {
  await bridge?.stop()
  await own?.remove()
  bridge = undefined
  own = undefined
})

function begin(url: string, more: Partial<NatsSettings> = {}): TestBridge {
  bridge = startBridge(standIn(async () => ({})).engine, natsSettings(url, more))
  return bridge
}

const told = (type: string) => bridge?.notices.some((notice) => notice.type === type) ?? false

test.each([
  ['a name and a password', ['--user', 'app', '--pass', 's3cret/%'], 'app:s3cret%2F%25@'],
  ['a token', ['--auth', 's3cret'], 's3cret@'],
])('%s of the URL', async (_, args, access) => {
  own = await startNats(args)
  begin(own.url.replace('nats://', `nats://${access}`))
  await until('it is connected', () => told('broker_connected'))
  expect(JSON.stringify(bridge?.notices)).not.toContain('s3cret')
})

test('a wrong password is told, without it, and tried again', async () => {
  own = await startNats(['--user', 'app', '--pass', 'right'])
  begin(own.url.replace('nats://', 'nats://app:wr0ng@'))
  const failures = () => bridge?.notices.filter(({ type }) => type === 'loop_failed') ?? []
  await until('it has tried again', () => failures().length >= 2)
  expect(String((failures()[0] as { cause: unknown }).cause)).toMatch(/authorization/i)
  expect(String((failures()[0] as { cause: unknown }).cause)).not.toContain('wr0ng')
})

test('an account without JetStream: requests and events go on, and the stream is told of', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-nats-conf-'))
  const file = join(folder, 'nats.conf')
  await writeFile(file, 'accounts: { APP: { users: [{ user: app, password: pass }] } }\n')
  own = await startNats(['-c', file])
  const published: ((events: PublishedEvent[]) => Promise<void>)[] = []
  const stand = standIn(async () => ({}))
  const publisher = ({ publish }: PublisherOptions) => {
    published.push(publish)
    return { start() {}, async stop() {} }
  }
  const url = own.url.replace('nats://', 'nats://app:pass@')
  const settings = natsSettings(url, { TASKFLOW_NATS_EVENTS: true })
  bridge = startBridge({ ...stand.engine, publisher }, settings)
  await until('it says so', () =>
    (bridge?.notices ?? []).some(
      (notice) => notice.type === 'loop_failed' && /jetstream/i.test(String(notice.cause)),
    ),
  )
  const other = await connect({ servers: new URL(own.url).host, user: 'app', pass: 'pass' })
  const body = JSON.stringify({ topic: 't', correlation_id: 'c' })
  const answer = await other.request(settings.TASKFLOW_NATS_REQUEST_SUBJECT, body)
  expect(answer.json()).toMatchObject({ outcome: 'buffered' })
  const subscription = other.subscribe('taskflow.events.>', { max: 1 })
  await other.flush()
  const event: PublishedEvent = {
    flow_id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
    revision: 1,
    namespace: 'default',
    kind: 'started',
    payload: {},
    actor: 'a',
    at: '2026-04-23T15:00:00.000Z',
    xid: '9',
  }
  await published[0]?.([event])
  for await (const message of subscription) {
    const { xid: _, ...shown } = event
    expect(message.json()).toEqual(shown)
  }
  await other.close()
  await rm(folder, { recursive: true })
})

// The built service sends its spans to a collector that its environment names, and a wait that ends in
// another process is still linked to the request that began it.

import { createServer, type IncomingHttpHeaders, type Server } from 'node:http'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  freePort,
  type ServiceProcess,
  send,
  spawnService,
  startService,
  until,
} from '../support/service.ts'

interface Attribute {
  key: string
  value: { stringValue?: string; intValue?: number }
}
interface Span {
  traceId: string
  spanId: string
  parentSpanId?: string
  name: string
  kind: number
  attributes: Attribute[]
  links?: { traceId: string; spanId: string }[]
}
interface Export {
  resourceSpans: { resource: { attributes: Attribute[] }; scopeSpans: { spans: Span[] }[] }[]
}

let database: TestDatabase
let service: ServiceProcess | undefined
let collector: Server
let received: { path: string; headers: IncomingHttpHeaders; body: Buffer }[]
let endpoint: string

beforeEach(async () => {
  database = await createTestDatabase()
  received = []
  collector = createServer((request, response) => {
    const pieces: Buffer[] = []
    request
      .on('data', (piece: Buffer) => pieces.push(piece))
      .on('end', () => {
        const { url: path = '', headers } = request
        received.push({ path, headers, body: Buffer.concat(pieces) })
        response.writeHead(200, { 'content-type': 'application/json' }).end('{}')
      })
  })
  const port = await freePort()
  await new Promise<void>((resolve) => collector.listen(port, '127.0.0.1', resolve))
  endpoint = `http://127.0.0.1:${port}`
})

afterEach(async () => {
  await service?.kill('SIGKILL')
  collector.closeAllConnections()
  collector.close()
  await database.drop()
})

const environment = async (more: Record<string, string> = {}) => ({
  DATABASE_URL: database.url,
  PORT: String(await freePort()),
  LOG_LEVEL: 'warn',
  OTEL_EXPORTER_OTLP_ENDPOINT: endpoint,
  OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
  OTEL_BSP_SCHEDULE_DELAY: '100',
  ...more,
})
const exported = () =>
  received.flatMap(({ body }) => (JSON.parse(body.toString()) as Export).resourceSpans)
const spans = () =>
  exported().flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans))
const named = (name: string) =>
  until(() => spans().find((span) => span.name === name), 15_000, name)
const newFlow = {
  controller_id: 'traces',
  goal: 'g',
  owner_session_key: 'o',
  requester_origin: 'r',
  start: true,
}
const caller = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

it('a wait that ends after a restart is linked to the request that began it', {
  timeout: 90_000,
}, async () => {
  service = await startService(await environment({ OTEL_RESOURCE_ATTRIBUTES: 'team=flows' }))
  const { body: flow } = await send<{ id: string }>(service.base, 'POST', '/flows', newFlow)
  const wait = { kind: 'manual', signal: 'approved' }
  await send(service.base, 'POST', `/flows/${flow.id}/wait`, wait, { traceparent: caller })
  // The last spans are sent before the process ends.
  expect(await service.kill('SIGTERM')).toEqual({ code: 0, signal: null })
  const began = await named('POST /flows/:flow_id/wait')
  expect([began.traceId, began.parentSpanId]).toEqual(caller.split('-').slice(1, 3))
  expect(began.kind).toBe(2)

  service = await startService(await environment())
  await send(service.base, 'POST', `/flows/${flow.id}/signals/approved`, {})
  const resume = await named('taskflow.resume')
  const signal = await named('POST /flows/:flow_id/signals/:name')
  expect(resume.links).toMatchObject([{ traceId: began.traceId, spanId: began.spanId }])
  expect([resume.traceId, resume.parentSpanId]).toEqual([signal.traceId, signal.spanId])
  expect(resume.traceId).not.toBe(began.traceId)

  const [first] = exported()
  const told = new Map(first?.resource.attributes.map(({ key, value }) => [key, value.stringValue]))
  expect(told.get('service.name')).toBe('taskflow')
  expect(told.get('team')).toBe('flows')
  expect(received.every(({ path }) => path === '/v1/traces')).toBe(true)
})

it('sends protobuf unless told otherwise, and has the name that it is given', {
  timeout: 60_000,
}, async () => {
  const { OTEL_EXPORTER_OTLP_PROTOCOL: _, ...rest } = await environment({
    OTEL_SERVICE_NAME: 'orders',
  })
  service = await startService(rest)
  await send(service.base, 'POST', '/flows', newFlow)
  const first = await until(() => received[0], 15_000, 'it is sent')
  expect(first.headers['content-type']).toBe('application/x-protobuf')
  expect(first.body.includes('orders')).toBe(true)
  expect(first.body.includes('POST /flows')).toBe(true)
})

it('a collector that is away holds nobody up, at the stop either', {
  timeout: 60_000,
}, async () => {
  collector.close()
  service = await startService(await environment())
  const began = performance.now()
  for (let n = 0; n < 20; n++) {
    expect((await send(service.base, 'POST', '/flows', newFlow)).status).toBe(201)
  }
  expect(performance.now() - began).toBeLessThan(5_000)
  expect(await service.kill('SIGTERM')).toEqual({ code: 0, signal: null })
})

it.each([
  ['OTEL_SDK_DISABLED', 'true'],
  ['OTEL_TRACES_EXPORTER', 'none'],
])('with %s=%s nothing is sent', { timeout: 60_000 }, async (name, value) => {
  service = await startService(await environment({ [name]: value }))
  await send(service.base, 'POST', '/flows', newFlow)
  await service.kill('SIGTERM')
  expect(received).toEqual([])
})

it.each([
  ['OTEL_EXPORTER_OTLP_PROTOCOL', 'grpc', 'must be one of http/protobuf, http/json'],
  ['OTEL_EXPORTER_OTLP_ENDPOINT', 'collector:4317', 'it must be like http://127.0.0.1:4318'],
  ['OTEL_TRACES_EXPORTER', 'zipkin', 'must be one of otlp, none'],
])('with %s=%s it does not start', { timeout: 60_000 }, async (name, value, said) => {
  const process = spawnService(await environment({ [name]: value }))
  expect(await process.exited).toEqual({ code: 2, signal: null })
  expect(process.log()).toContain(said)
})

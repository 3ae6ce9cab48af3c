// The spans of the service, as an SDK that the process has registered takes them: each request, each
// transaction, and what follows days later, linked to what led to it.

import { trace } from '@opentelemetry/api'
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  type ReadableSpan,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base'
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest'
import type { OutboundRequest } from '../../src/engine/outbound.ts'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { type ClaimedBody, stepApi } from '../support/step-api.ts'

const exporter = new InMemorySpanExporter()
trace.setGlobalTracerProvider(
  new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }),
)

let api: Api
const sent: OutboundRequest[] = []
beforeAll(async () => {
  api = await startApi({
    outbound: {
      async send(request) {
        sent.push(request)
        if (request.url.endsWith('/gone')) {
          return { failure: 'connect', message: 'nobody listens', latency_ms: 1 }
        }
        const body = Buffer.from('{"kind": "complete"}')
        return { status: 200, headers: {}, body, truncated: false, latency_ms: 1 }
      },
    },
  })
})
afterAll(() => api?.close())
beforeEach(() => exporter.reset())

const { flow, claim, post } = stepApi(() => api)

/** The spans of a name with these attributes, as soon as there are some. */
async function spans(name: string, attributes: Record<string, unknown> = {}) {
  const found = () =>
    exporter
      .getFinishedSpans()
      .filter(
        (span) =>
          span.name === name &&
          Object.entries(attributes).every(([key, value]) => span.attributes[key] === value),
      )
  await until(`there is a span ${name}`, () => found().length > 0)
  return found()
}
async function span(name: string, attributes: Record<string, unknown> = {}): Promise<ReadableSpan> {
  const [one] = await spans(name, attributes)
  if (one === undefined) throw new Error(name)
  return one
}
const idOf = (one: ReadableSpan) => one.spanContext()
const headerOf = (one: ReadableSpan) => `00-${idOf(one).traceId}-${idOf(one).spanId}-01`
const linksOf = (one: ReadableSpan) =>
  one.links.map(({ context }) => `00-${context.traceId}-${context.spanId}-01`)

const caller = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'

it('a request has a span in the trace of its caller, and its transaction is a part of it', async () => {
  const { status } = await post(
    '/flows',
    { controller_id: 'spans', goal: 'g', owner_session_key: 'o', requester_origin: 'r' },
    { traceparent: caller },
  )
  expect(status).toBe(201)
  const request = await span('POST /flows')
  expect(idOf(request).traceId).toBe('4bf92f3577b34da6a3ce929d0e0e4736')
  expect(request.parentSpanContext?.spanId).toBe('00f067aa0ba902b7')
  expect(request.attributes).toMatchObject({
    'http.request.method': 'POST',
    'http.route': '/flows',
    'http.response.status_code': 201,
  })
  const commit = await span('taskflow.commit')
  expect(commit.parentSpanContext?.spanId).toBe(idOf(request).spanId)
  expect(commit.attributes).toMatchObject({
    'taskflow.commands': 1,
    'taskflow.outcome': 'committed',
  })
})

it('a refused request names its problem; nothing is made of health and metrics', async () => {
  await api.call('GET', '/health/live')
  await api.call('GET', '/metrics')
  const { id } = await flow()
  exporter.reset()
  await post(`/flows/${id}/start`, {})
  const request = await span('POST /flows/:flow_id/start')
  expect(request.attributes['error.type']).toBe('illegal_transition')
  const names = exporter.getFinishedSpans().map(({ name }) => name)
  expect(names.filter((name) => name.startsWith('GET'))).toEqual([])
})

it('a timer that fires begins a trace, linked to the request that made the flow wait', async () => {
  const { id } = await flow()
  exporter.reset()
  await post(`/flows/${id}/wait`, { kind: 'timer', after: 'PT0.05S' }, { traceparent: caller })
  const wait = await span('POST /flows/:flow_id/wait')
  const resume = await span('taskflow.resume', { 'taskflow.flow_id': id })
  expect(resume.attributes['taskflow.resumed_by']).toBe('timer')
  expect(linksOf(resume)).toEqual([headerOf(wait)])
  expect(resume.parentSpanContext).toBeUndefined()
  expect(idOf(resume).traceId).not.toBe(idOf(wait).traceId)
})

it('a signal that ends a wait has the resume in its trace, linked to what made the flow wait', async () => {
  const { id } = await flow()
  exporter.reset()
  const key = { topic: 'spans', correlation_id: id }
  await post(`/flows/${id}/wait`, { kind: 'external_event', ...key })
  const wait = await span('POST /flows/:flow_id/wait')
  await post('/signals', key, { traceparent: caller })
  const signal = await span('POST /signals')
  const resume = await span('taskflow.resume', { 'taskflow.flow_id': id })
  expect(resume.parentSpanContext?.spanId).toBe(idOf(signal).spanId)
  expect(linksOf(resume)).toEqual([headerOf(wait)])
})

it('a wait that a kept signal ends at once is linked to that signal', async () => {
  const { id } = await flow()
  exporter.reset()
  const key = { topic: 'spans', correlation_id: id }
  await post('/signals', key, { traceparent: caller })
  const signal = await span('POST /signals')
  await post(`/flows/${id}/wait`, { kind: 'external_event', ...key })
  const resume = await span('taskflow.resume', { 'taskflow.flow_id': id })
  expect(linksOf(resume)).toContain(headerOf(signal))
})

it('requests that share a transaction are all linked to it', async () => {
  const { id } = await flow()
  exporter.reset()
  await Promise.all(
    Array.from({ length: 12 }, () => api.call('PATCH', `/flows/${id}/state`, { patch: { n: 1 } })),
  )
  const commits = await spans('taskflow.commit')
  const requests = await spans('PATCH /flows/:flow_id/state')
  await until('all ended', () => requests.length === 12 || exporter.getFinishedSpans().length > 12)
  const all = (await spans('PATCH /flows/:flow_id/state')).map(headerOf).sort()
  const shared = commits.filter((one) => one.attributes['taskflow.commands'] !== 1)
  expect(shared.length).toBeGreaterThan(0)
  const alone = commits
    .filter((one) => !shared.includes(one))
    .map(({ parentSpanContext: of }) => `00-${of?.traceId}-${of?.spanId}-01`)
  expect([...shared.flatMap(linksOf), ...alone].sort()).toEqual(all)
})

it('a push has a span of its own, linked to what added the step, and tells the endpoint of it', async () => {
  const { id, controller_id } = await flow()
  exporter.reset()
  await api.call('PUT', `/controllers/${encodeURIComponent(controller_id)}`, {
    url: 'http://127.0.0.1:9/push?secret=1',
  })
  await post(`/flows/${id}/steps`, { task: 'pushed' })
  const enqueued = await span('POST /flows/:flow_id/steps')
  const push = await span('taskflow.push', { 'taskflow.flow_id': id })
  expect(linksOf(push)).toEqual([headerOf(enqueued)])
  expect(push.attributes).toMatchObject({
    'server.address': '127.0.0.1',
    'http.response.status_code': 200,
    'taskflow.task': 'pushed',
  })
  expect(JSON.stringify(push.attributes)).not.toContain('secret')
  const request = sent.find(({ body }) => String(body).includes(`"flow_id":"${id}"`))
  expect(request?.headers['traceparent']).toBe(headerOf(push))
})

it('a delivery of a hook has one too; a failed one says why', async () => {
  const { id } = await flow({ hooks: [{ url: 'http://127.0.0.1:9/gone', kinds: ['created'] }] })
  const made = await span('POST /flows')
  const delivery = await span('taskflow.delivery', { 'taskflow.flow_id': id })
  expect(linksOf(delivery)).toEqual([headerOf(made)])
  expect(delivery.attributes['error.type']).toBe('connect')
  expect(delivery.status.message).toBe('connect')
  const request = sent.find(({ headers }) => headers['ce-subject'] === id)
  expect(request?.headers['traceparent']).toBe(headerOf(delivery))
})

it('a worker is given the span that added its step', async () => {
  const of = await flow({ steps: [{ task: 'one' }] })
  const made = await span('POST /flows')
  const [step]: ClaimedBody[] = await claim(of)
  expect(step.traceparent).toBe(headerOf(made))
})

it('what nobody samples is handed on as not sampled', async () => {
  const { id } = await flow()
  const given = '00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00'
  await post(`/flows/${id}/steps`, { task: 'quiet' }, { traceparent: given })
  const { body } = await post('/steps/claim', { worker_id: 'w', tasks: ['quiet'] })
  expect(body.items[0].traceparent).toMatch(/^00-4bf92f3577b34da6a3ce929d0e0e4736-.*-00$/)
})

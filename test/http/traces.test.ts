// The trace of a request stays with what it causes, also where nobody takes spans: it is handed to workers,
// endpoints and receivers of hooks as it came.

import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { OutboundRequest } from '../../src/engine/outbound.ts'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { type ClaimedBody, stepApi } from '../support/step-api.ts'

let api: Api
let client: pg.Client
const sent: OutboundRequest[] = []
beforeAll(async () => {
  api = await startApi({
    outbound: {
      async send(request) {
        sent.push(request)
        const body = Buffer.from('{"kind": "complete"}')
        return { status: 200, headers: {}, body, truncated: false, latency_ms: 1 }
      },
    },
  })
  client = new pg.Client({ connectionString: api.databaseUrl })
  await client.connect()
})
afterAll(async () => {
  await client?.end()
  await api?.close()
})

const { flow, enqueue, claim, report, post } = stepApi(() => api)

let traces = 0
const newTrace = () => `00-${(++traces).toString(16).padStart(32, 'a')}-00f067aa0ba902b7-01`
const traced = (traceparent: string) => ({ traceparent })
const stored = async (table: string, column: string, id: string) => {
  const { rows } = await client.query(
    `select traceparent from ${table} where ${column} = $1 order by id desc`,
    [id],
  )
  return rows.map((row) => row.traceparent)
}
const newFlow = { goal: 'g', owner_session_key: 'o', requester_origin: 'r', start: true }

async function tracedFlow(
  trace: string,
  more: object = {},
): Promise<{ id: string; controller_id: string }> {
  const controller_id = `traces/${trace.slice(3, 35)}`
  const { status, body } = await post(
    '/flows',
    { ...newFlow, controller_id, ...more },
    traced(trace),
  )
  expect(status).toBe(201)
  return { id: body.id, controller_id }
}

describe('a flow', () => {
  it('has the trace of the last change that had one', async () => {
    const [first, second] = [newTrace(), newTrace()]
    const { id } = await tracedFlow(first)
    expect(await stored('flows', 'id', id)).toEqual([first])
    await api.call('PATCH', `/flows/${id}/state`, { patch: { n: 1 } })
    expect(await stored('flows', 'id', id)).toEqual([first])
    await api.call('PATCH', `/flows/${id}/state`, { patch: { n: 2 } }, traced(second))
    expect(await stored('flows', 'id', id)).toEqual([second])
  })

  it('has none when nobody traced it, or the header is no trace', async () => {
    const { id } = await flow()
    expect(await stored('flows', 'id', id)).toEqual([null])
    const bad = await tracedFlow('00-0123-45-01', { controller_id: 'traces/bad' })
    expect(await stored('flows', 'id', bad.id)).toEqual([null])
  })

  it('keeps what it has when a traced request is refused', async () => {
    const first = newTrace()
    const { id } = await tracedFlow(first)
    expect((await post(`/flows/${id}/start`, {}, traced(newTrace()))).status).toBe(409)
    expect(await stored('flows', 'id', id)).toEqual([first])
  })

  it('does not show it', async () => {
    const { id } = await tracedFlow(newTrace())
    expect((await api.call('GET', `/flows/${id}`)).body).not.toHaveProperty('traceparent')
  })
})

describe('a step', () => {
  it('is given out with the trace of what added it', async () => {
    const [first, second] = [newTrace(), newTrace()]
    const of = await tracedFlow(first, { steps: [{ task: 'born' }] })
    await post(`/flows/${of.id}/steps`, { task: 'added' }, traced(second))
    const steps = await claim(of, { max: 10 })
    expect(steps.map(({ task, traceparent }: ClaimedBody) => [task, traceparent])).toEqual([
      ['born', first],
      ['added', second],
    ])
  })

  it('hands the trace of its outcome to the next one', async () => {
    const [first, second] = [newTrace(), newTrace()]
    const of = await tracedFlow(first, { steps: [{ task: 'one' }] })
    const [{ id, lease_token }] = await claim(of)
    const outcome = { kind: 'continue', task: 'two' }
    await post(`/steps/${id}/outcome`, { lease_token, outcome }, traced(second))
    const [next] = await claim(of)
    expect([next.task, next.traceparent]).toEqual(['two', second])
  })

  it('is given out without one when there is none', async () => {
    const of = await flow()
    await enqueue(of)
    expect((await claim(of))[0]).not.toHaveProperty('traceparent')
  })

  it('that follows a wait has the trace of the signal that ended it, also of one that came early', async () => {
    for (const early of [true, false]) {
      const [first, signalled] = [newTrace(), newTrace()]
      const of = await tracedFlow(first, { steps: [{ task: 'one' }] })
      const key = { topic: 'traces', correlation_id: of.id }
      const send = async () => {
        const { body } = await post('/signals', { ...key, id: 'evt' }, traced(signalled))
        expect(await stored('signals', 'id', body.id)).toEqual([signalled])
      }
      if (early) await send()
      const [step] = await claim(of)
      await report(step, {
        kind: 'wait',
        wait: { kind: 'external_event', ...key },
        then: { task: 'two' },
      })
      if (!early) await send()
      const [next] = await claim(of)
      // A kept signal is taken by the report, which was not traced: the flow has what it had.
      expect([next.task, next.traceparent]).toEqual(['two', early ? first : signalled])
    }
  })
})

describe('what the service sends', () => {
  it('goes to an endpoint with the trace of the step', async () => {
    const trace = newTrace()
    const of = await tracedFlow(trace)
    await api.call('PUT', `/controllers/${encodeURIComponent(of.controller_id)}`, {
      url: 'http://127.0.0.1:9/push',
    })
    await post(`/flows/${of.id}/steps`, { task: 'pushed' })
    const pushed = () => sent.find(({ body }) => String(body).includes(`"flow_id":"${of.id}"`))
    await until('it is pushed', () => pushed() !== undefined)
    expect(pushed()?.headers['traceparent']).toBe(trace)
    expect(JSON.parse(String(pushed()?.body)).step.traceparent).toBe(trace)
  })

  it('tells a hook of a change with the trace of that change, and of others without', async () => {
    const [first, second] = [newTrace(), newTrace()]
    const url = 'http://127.0.0.1:9/hook'
    const of = await tracedFlow(first, { hooks: [{ url }] })
    await post(`/flows/${of.id}/wait`, { kind: 'manual' }, traced(second))
    const plain = await flow({ hooks: [{ url }] })
    const told = (id: string) => sent.filter((one) => one.headers['ce-subject'] === id)
    await until('all is told', () => told(of.id).length === 3 && told(plain.id).length === 2)
    const traceOf = (type: string) =>
      told(of.id).find(({ headers }) => headers['ce-type'] === type)?.headers['traceparent']
    expect([traceOf('flow.created'), traceOf('flow.started'), traceOf('flow.waiting')]).toEqual([
      first,
      first,
      second,
    ])
    for (const { headers } of told(plain.id)) expect(headers).not.toHaveProperty('traceparent')
    expect(await stored('deliveries', 'flow_id', plain.id)).toEqual([null, null])
  })
})

// What /metrics shows of what was done, in both of its formats.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { eventKinds } from '../../src/domain/event.ts'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { sample } from '../support/metrics.ts'
import { stepApi } from '../support/step-api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api?.close())

const { flow, enqueue, claim, report } = stepApi(() => api)
const post = (path: string, body: object, headers: Record<string, string> = {}) =>
  api.call('POST', path, body, headers)

const scrape = async (accept = '') => {
  const { status, headers, text } = await api.call('GET', '/metrics', undefined, { accept })
  expect(status).toBe(200)
  return { type: String(headers['content-type']), text }
}
/** The sum of the samples of a series whose labels include these. */
const value = async (name: string, labels: Record<string, string> = {}) =>
  sample((await scrape()).text, name, labels)

/** By how much a series grows while something is done. */
async function growth(
  name: string,
  labels: Record<string, string>,
  work: () => Promise<unknown>,
): Promise<number> {
  const before = await value(name, labels)
  await work()
  return (await value(name, labels)) - before
}

describe('what is counted', () => {
  it('changes, by the kind of their events', async () => {
    const made = () => flow()
    expect(await growth('taskflow_events_total', { kind: 'created' }, made)).toBe(1)
    const refused = async () => {
      const { id } = await flow()
      const before = await value('taskflow_events_total')
      expect((await post(`/flows/${id}/start`, {})).status).toBe(409)
      return (await value('taskflow_events_total')) - before
    }
    expect(await refused()).toBe(0)
  })

  it('transactions, with how many commands each had', async () => {
    const batches = await value('taskflow_batch_commands_count')
    const commands = await value('taskflow_batch_commands_sum')
    await Promise.all(Array.from({ length: 8 }, () => flow()))
    expect((await value('taskflow_batch_commands_sum')) - commands).toBe(8)
    const more = (await value('taskflow_batch_commands_count')) - batches
    expect(more).toBeGreaterThan(0)
    expect(more).toBeLessThanOrEqual(8)
    expect(
      await value('taskflow_batch_duration_seconds_count', { outcome: 'committed' }),
    ).toBeGreaterThanOrEqual(batches + more)
  })

  it('timers that fire, and how late', async () => {
    const { id } = await flow()
    const late = await value('taskflow_timer_lateness_seconds_count')
    const resumed = await value('taskflow_resumes_total', { by: 'timer' })
    await post(`/flows/${id}/wait`, { kind: 'timer', after: 'PT0.05S' })
    await until(
      'it fires',
      async () => (await value('taskflow_resumes_total', { by: 'timer' })) > resumed,
    )
    expect((await value('taskflow_timer_lateness_seconds_count')) - late).toBe(1)
    expect(await value('taskflow_timer_lateness_seconds_bucket', { le: '3600' })).toBe(late + 1)
    await until(
      'its tick ends',
      async () => (await value('taskflow_fired_total', { result: 'resumed' })) > 0,
    )
  })

  it('signals, by their fate', async () => {
    const signal = { topic: 'metrics', correlation_id: 'order-1', id: 'evt-1' }
    const sent = (more: object) => () => post('/signals', { ...signal, ...more })
    const fate = (outcome: string, more: object = {}) =>
      growth('taskflow_signals_total', { outcome }, sent(more))
    expect(await fate('buffered')).toBe(1)
    expect(await fate('duplicate')).toBe(1)
    expect(await fate('unmatched', { id: 'evt-2', correlation_id: 'nobody', ttl: 'PT0S' })).toBe(1)
    const { id } = await flow()
    await post(`/flows/${id}/wait`, {
      kind: 'external_event',
      topic: 'metrics',
      correlation_id: 'order-2',
    })
    expect(await fate('delivered', { id: 'evt-3', correlation_id: 'order-2' })).toBe(1)
    // The same request again is answered from what was kept: nothing was received anew.
    const key = { 'idempotency-key': 'metrics-1' }
    const body = { ...signal, correlation_id: 'order-3' }
    await post('/signals', body, key)
    const again = () => post('/signals', body, key)
    expect(await growth('taskflow_signals_total', {}, again)).toBe(0)
  })

  it('steps that are claimed, how long they were ready, and how they end', async () => {
    const of = await flow()
    await enqueue(of, { priority: 0 })
    const waits = await value('taskflow_step_wait_seconds_count', { by: 'worker' })
    const early = await value('taskflow_step_wait_seconds_bucket', { by: 'worker', le: '60' })
    const [step] = await claim(of)
    expect((await value('taskflow_step_wait_seconds_count', { by: 'worker' })) - waits).toBe(1)
    // A point of priority is a second in the order of claims, and none of how long a step waits.
    expect(
      (await value('taskflow_step_wait_seconds_bucket', { by: 'worker', le: '60' })) - early,
    ).toBe(1)
    const settle = () => report(step, { kind: 'succeed' })
    expect(await growth('taskflow_steps_settled_total', { outcome: 'succeed' }, settle)).toBe(1)
  })

  it('leases that end without a report', async () => {
    const of = await flow()
    await enqueue(of)
    const lost = await value('taskflow_leases_lost_total', { reason: 'lease_expired' })
    await claim(of, { lease: 'PT1S' })
    await until(
      'it is rescued',
      async () =>
        (await value('taskflow_leases_lost_total', { reason: 'lease_expired' })) === lost + 1,
    )
  })

  it('requests by route and class of status, and problems by code', async () => {
    const { id } = await flow()
    const route = '/flows/:flow_id/start'
    const again = () => post(`/flows/${id}/start`, {})
    const of = { method: 'POST', route, status: '4xx' }
    expect(await growth('taskflow_http_requests_total', of, again)).toBe(1)
    expect(
      await growth('taskflow_http_problems_total', { code: 'illegal_transition' }, again),
    ).toBe(1)
    expect(
      await growth(
        'taskflow_http_request_duration_seconds_count',
        { method: 'POST', route },
        again,
      ),
    ).toBe(1)
  })

  it('paths that nobody serves, as one', async () => {
    const unmatched = { route: 'unmatched', status: '4xx' }
    const { text } = await scrape()
    const stray = async () => {
      for (const path of ['/nowhere', '/wp-login.php']) await api.call('GET', path)
    }
    expect(await growth('taskflow_http_requests_total', unmatched, stray)).toBe(2)
    expect(text).not.toContain('wp-login')
  })

  it('long polls, apart from the time of requests', async () => {
    const { id } = await flow()
    const { revision } = (await api.call('GET', `/flows/${id}`)).body
    const labels = { method: 'GET', route: '/flows/:flow_id' }
    const poll = () =>
      api.call('GET', `/flows/${id}?wait=PT0.1S`, undefined, { 'if-none-match': `"${revision}"` })
    const timed = 'taskflow_http_request_duration_seconds_count'
    expect(await growth('taskflow_http_requests_total', labels, poll)).toBe(1)
    expect(await growth(timed, labels, poll)).toBe(0)
    expect(await growth(timed, labels, () => api.call('GET', `/flows/${id}`))).toBe(1)
    expect(await value('taskflow_http_requests_in_flight', { kind: 'waiting' })).toBe(0)
  })
})

describe('what is so now', () => {
  it('shows the database as it was read last, the process as it is, and the version', async () => {
    await until('it was read', async () => (await value('taskflow_depths_timestamp_seconds')) > 0)
    expect(await value('taskflow_pool_size', { pool: 'writer' })).toBe(9)
    expect(await value('taskflow_build_info', { version: '0.0.0' })).toBe(1)
    const { text } = await scrape()
    expect(text).toContain('process_resident_memory_bytes')
    expect(text).toContain('nodejs_eventloop_lag_p99_seconds')
  })
})

describe('the formats', () => {
  it('is the text format of Prometheus, unless OpenMetrics is wanted as much', async () => {
    const plain = 'text/plain; version=0.0.4; charset=utf-8'
    const open = 'application/openmetrics-text; version=1.0.0; charset=utf-8'
    const prometheus =
      'application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5,*/*;q=0.1'
    for (const [accept, type] of [
      ['', plain],
      ['*/*', plain],
      ['text/html', plain],
      [prometheus, open],
      ['Application/OpenMetrics-Text', open],
      ['application/openmetrics-text;q=0.2, text/plain;q=0.3', plain],
      ['application/openmetrics-text;q=0', plain],
      ['application/openmetrics-text;q=x', plain],
    ] as const) {
      expect([accept, (await scrape(accept)).type]).toEqual([accept, type])
    }
  })

  it('shows the same in both, one after the other', async () => {
    const families = (text: string) =>
      text.split('\n').filter((line) => line.startsWith('taskflow_events_total{'))
    const first = await scrape()
    const open = await scrape('application/openmetrics-text')
    const then = await scrape()
    expect(families(first.text)).toHaveLength(eventKinds.length)
    expect(families(open.text)).toEqual(families(first.text))
    expect(families(then.text)).toEqual(families(first.text))
  })

  it('names families of counters without their ending in OpenMetrics, and marks the end', async () => {
    const { text } = await scrape('application/openmetrics-text')
    const lines = text.split('\n')
    expect(lines.slice(-2)).toEqual(['# EOF', ''])
    expect(lines.slice(0, -1)).not.toContain('')
    const types = new Map(
      [...text.matchAll(/^# TYPE (\S+) (\S+)$/gm)].map(([, name = '', type = '']) => [name, type]),
    )
    const endings = { counter: ['_total'], gauge: [''], histogram: ['_bucket', '_sum', '_count'] }
    for (const [, name = ''] of text.matchAll(/^([a-z]\S*?)[{ ]/gm)) {
      const known = Object.entries(endings).some(([type, ends]) =>
        ends.some(
          (end) =>
            name.endsWith(end) && types.get(name.slice(0, name.length - end.length)) === type,
        ),
      )
      expect(known, name).toBe(true)
    }
    for (const [name, type] of types) if (type === 'counter') expect(name).not.toMatch(/_total$/)
  })

  it('takes no parameters', async () => {
    const { status, body } = await api.call('GET', '/metrics?name=x')
    expect([status, body.code]).toEqual([400, 'invalid_request'])
  })
})

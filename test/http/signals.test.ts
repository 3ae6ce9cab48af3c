// Signals over HTTP: every route, every outcome, and what waits for several things make of them.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'

const input = {
  controller_id: 'shop/orders',
  goal: 'ship order 42',
  owner_session_key: 'customer-7',
  requester_origin: 'checkout',
}
const topic = 'payment.settled'
const absent = '00000000-0000-7000-8000-000000000000'

let api: Api
beforeAll(async () => {
  api = await startApi({ signals: { kept: 3, payload_bytes: 1_000 } })
})
afterAll(() => api?.close())

let orders = 0
const newOrder = () => `order-${++orders}`
const post = (path: string, body?: object, headers?: Record<string, string>) =>
  api.call('POST', path, body, headers)
const read = async (path: string) => (await api.call('GET', path)).body
const running = async (over: object = {}) =>
  (await post('/flows', { ...input, start: true, ...over })).body.id as string
const waitOf = async (id: string, wait: object) => (await post(`/flows/${id}/wait`, wait)).body
const waiting = async (wait: object) => waitOf(await running(), wait)
const event = (correlation_id: string, over: object = {}) => ({
  kind: 'external_event',
  topic,
  correlation_id,
  ...over,
})
const send = (correlation_id: string, over: object = {}) =>
  post('/signals', { topic, correlation_id, ...over })
const expired = (id: string) =>
  until('it has expired', async () => (await read(`/signals/${id}`)).outcome === 'expired')

describe('POST /signals', () => {
  it('ends the wait that is the oldest, and says which', async () => {
    const order = newOrder()
    const first = await waiting(event(order))
    const second = await waiting(event(order))
    const sent = await send(order, { payload: { amount: 4200 } })
    expect(sent).toMatchObject({
      status: 201,
      body: {
        outcome: 'delivered',
        deliveries: [{ flow_id: first.id, wait_id: first.wait.id, revision: 3 }],
        expires_at: null,
        flow_id: null,
        started: false,
      },
    })
    expect(sent.headers['location']).toBe(`/signals/${sent.body.id}`)
    expect(sent.headers['etag']).toBeUndefined()
    expect(await read(`/flows/${first.id}`)).toMatchObject({
      status: 'running',
      state: { resume_event: { amount: 4200 } },
    })
    expect((await read(`/flows/${second.id}`)).status).toBe('waiting')
  })

  it('keeps one that comes too early for the wait to come', async () => {
    const order = newOrder()
    const { body } = await send(order, { payload: 1, ttl: 'PT1H' })
    expect(body).toMatchObject({ outcome: 'buffered', deliveries: [] })
    expect(Date.parse(body.expires_at) - Date.now()).toBeGreaterThan(3_500_000)
    const flow = await waiting(event(order))
    expect(flow).toMatchObject({ status: 'running', wait: null, revision: 3 })
    expect(flow.state).toEqual({ resume_event: 1 })
    expect(await read(`/signals/${body.id}`)).toMatchObject({
      outcome: 'delivered',
      deliveries: [{ flow_id: flow.id, revision: 3 }],
    })
    const kinds = (await read(`/flows/${flow.id}/events`)).items.map(
      (one: { kind: string }) => one.kind,
    )
    expect(kinds).toEqual(['created', 'started', 'waiting', 'resumed'])
  })

  it('keeps several, and the oldest goes first', async () => {
    const order = newOrder()
    for (const payload of ['first', 'second']) await send(order, { payload })
    for (const payload of ['first', 'second']) {
      expect((await waiting(event(order))).state).toEqual({ resume_event: payload })
    }
    expect((await waiting(event(order))).status).toBe('waiting')
  })

  it('knows a second one by the id of its sender, also after it was consumed', async () => {
    const order = newOrder()
    const first = await send(order, { id: 'evt_1' })
    const again = await send(order, { id: 'evt_1', payload: 'other' })
    expect(again).toMatchObject({
      status: 201,
      body: { id: first.body.id, outcome: 'duplicate', expires_at: first.body.expires_at },
    })
    await waiting(event(order))
    const late = await send(order, { id: 'evt_1' })
    expect(late.body).toMatchObject({ id: first.body.id, outcome: 'duplicate', expires_at: null })
    expect(late.body.deliveries).toHaveLength(1)
    expect((await send(newOrder(), { id: 'evt_1' })).body.outcome).toBe('buffered')
  })

  it('keeps nothing with ttl PT0S', async () => {
    const order = newOrder()
    const { status, body, headers } = await send(order, { ttl: 'PT0S', id: 'evt_2' })
    expect({ status, ...body }).toMatchObject({
      status: 201,
      outcome: 'unmatched',
      expires_at: null,
    })
    expect(headers['location']).toBeUndefined()
    expect((await api.call('GET', `/signals/${body.id}`)).status).toBe(404)
    expect((await waiting(event(order))).status).toBe('waiting')
    // What was not kept is not known either.
    expect((await send(order, { ttl: 'PT0S', id: 'evt_2' })).body.outcome).toBe('delivered')
  })

  it.each([
    [{ ttl: 'P31D' }, 400, { code: 'limit_exceeded', limit: 'signal_ttl_ms' }],
    [
      { payload: 'x'.repeat(1_000) },
      400,
      { code: 'limit_exceeded', limit: 'signal_payload_bytes' },
    ],
    [{ ttl: '1d' }, 400, { code: 'invalid_request' }],
    [{ deliver: 'both' }, 400, { code: 'invalid_request' }],
    [{ correlation_id: '' }, 400, { code: 'invalid_request' }],
  ])('refuses %j', async (over, status, body) => {
    expect(await send(newOrder(), over)).toMatchObject({ status, body })
  })

  it('refuses If-Match, which cannot mean anything', async () => {
    const body = { topic, correlation_id: newOrder() }
    const refused = await post('/signals', body, { 'if-match': '"1"' })
    expect(refused).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  })

  it('keeps as many as its quota for one correlation, and takes more when some are gone', async () => {
    const order = newOrder()
    for (let i = 0; i < 3; i++) expect((await send(order)).body.outcome).toBe('buffered')
    const refused = await send(order)
    expect(refused).toMatchObject({
      status: 429,
      body: { code: 'quota_exceeded', limit: 'kept_signals', maximum: 3 },
    })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThan(0)
    expect((await send(newOrder())).status).toBe(201)
    await waiting(event(order))
    expect((await send(order)).status).toBe(201)
  })

  it('gives a repeat under its key the same answer', async () => {
    const order = newOrder()
    const headers = { 'idempotency-key': `key-${order}` }
    const first = await post('/signals', { topic, correlation_id: order }, headers)
    const again = await post('/signals', { topic, correlation_id: order }, headers)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.body).toEqual(first.body)
    expect((await read(`/signals?correlation_id=${order}`)).items).toHaveLength(1)
    const other = await post('/signals', { topic, correlation_id: newOrder() }, headers)
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
  })

  it('wakes every wait with deliver: all, however many there are', async () => {
    const order = newOrder()
    const flows = await Promise.all(Array.from({ length: 130 }, () => waiting(event(order))))
    const sent = await send(order, { deliver: 'all', payload: 'go' })
    expect(sent.body.outcome).toBe('delivered')
    expect(sent.body.deliveries).toHaveLength(100)
    await until('all of them are awake', async () => {
      const { delivered_count } = await read(`/signals/${sent.body.id}`)
      return delivered_count === 130
    })
    const left = await read(`/flows?wait.topic=${topic}&wait.correlation_id=${order}`)
    expect(left.items).toEqual([])
    const [last] = flows.slice(-1)
    expect((await read(`/flows/${last.id}`)).state).toEqual({ resume_event: 'go' })
    // It was for those that were there.
    expect((await waiting(event(order))).status).toBe('waiting')
  })
})

describe('start_if_absent', () => {
  const start = (key: string) => ({ start_if_absent: { ...input, key, start: true } })

  it('makes the flow once, and keeps the signal for its first wait', async () => {
    const key = newOrder()
    const sent = await send(key, { ...start(key), payload: 1 })
    expect(sent).toMatchObject({ status: 201, body: { outcome: 'buffered', started: true } })
    const again = await send(key, { ...start(key), payload: 2 })
    expect(again.body).toMatchObject({ started: false, flow_id: sent.body.flow_id })
    const flow = await waitOf(sent.body.flow_id, event(key))
    expect(flow).toMatchObject({ key, status: 'running', state: { resume_event: 1 } })
  })

  it('delivers to the open flow of the key that waits', async () => {
    const key = newOrder()
    const id = await running({ key })
    await waitOf(id, event(key))
    const sent = await send(key, start(key))
    expect(sent.body).toMatchObject({ outcome: 'delivered', started: false, flow_id: id })
  })

  it('makes a new flow when the one of the key has ended', async () => {
    const key = newOrder()
    const id = await running({ key })
    await post(`/flows/${id}/finish`)
    const sent = await send(key, start(key))
    expect(sent.body.started).toBe(true)
    expect(sent.body.flow_id).not.toBe(id)
  })

  it('is refused when the flow of the key can only be cancelled', async () => {
    const key = newOrder()
    const id = await running({ key })
    await post(`/flows/${id}/request-cancel`)
    const refused = await send(key, start(key))
    expect(refused).toMatchObject({ status: 409, body: { code: 'cancel_pending', flow_id: id } })
    expect((await read(`/signals?correlation_id=${key}`)).items).toEqual([])
  })

  it('makes one flow when many send at once', async () => {
    const key = newOrder()
    const sent = await Promise.all(
      Array.from({ length: 3 }, (_, i) => send(key, { ...start(key), id: `evt_${i}` })),
    )
    expect(sent.filter(({ body }) => body.started)).toHaveLength(1)
    expect(new Set(sent.map(({ body }) => body.flow_id)).size).toBe(1)
  })
})

describe('signals aimed at one flow', () => {
  it('are delivered, kept, known as duplicates, or dropped', async () => {
    const order = newOrder()
    const id = await running()
    const path = `/flows/${id}/resume-external`
    const body = { topic, correlation_id: order }
    const early = await post(path, { ...body, id: 'evt_1', payload: 'early' })
    expect(early).toMatchObject({ status: 202, body: { outcome: 'buffered' } })
    expect(early.headers['etag']).toBeUndefined()
    expect(await post(path, { ...body, id: 'evt_1' })).toMatchObject({
      status: 200,
      body: { outcome: 'duplicate', signal_id: early.body.signal_id, first_outcome: 'buffered' },
    })
    expect(await post(path, { ...body, ttl: 'PT0S' })).toMatchObject({
      status: 200,
      body: { outcome: 'unmatched' },
    })
    // Nobody else gets it.
    expect((await waiting(event(order))).status).toBe('waiting')
    expect((await waitOf(id, event(order))).state).toEqual({ resume_event: 'early' })
    await waitOf(id, event(order))
    const delivered = await post(path, { ...body, id: 'evt_2' })
    expect(delivered).toMatchObject({
      status: 200,
      body: { outcome: 'delivered', flow: { id, status: 'running', revision: 5 } },
    })
    expect(delivered.headers['etag']).toBe('"5"')
  })

  it('by name are delivered or kept', async () => {
    const id = await running()
    const early = await post(`/flows/${id}/signals/approved`, { payload: { by: 'ada' } })
    expect(early).toMatchObject({ status: 202, body: { outcome: 'buffered' } })
    expect((await waitOf(id, { kind: 'manual', signal: 'rejected' })).status).toBe('waiting')
    const other = await post(`/flows/${id}/signals/rejected`)
    expect(other.body).toMatchObject({ outcome: 'delivered', flow: { id, status: 'running' } })
    expect((await waitOf(id, { kind: 'manual' })).state).toEqual({ resume_event: { by: 'ada' } })
    const kept = await read(`/signals/${early.body.signal_id}`)
    expect(kept).toMatchObject({ outcome: 'delivered', name: 'approved', topic: null, flow_id: id })
  })

  it('are refused on a flow that has ended, is to be cancelled, or is none', async () => {
    const body = { topic, correlation_id: newOrder() }
    const ended = await running()
    await post(`/flows/${ended}/finish`)
    const doomed = await running()
    await post(`/flows/${doomed}/request-cancel`)
    for (const [id, status, code] of [
      [ended, 409, 'already_terminal'],
      [doomed, 409, 'cancel_pending'],
      [absent, 404, 'not_found'],
    ] as const) {
      expect(await post(`/flows/${id}/resume-external`, body)).toMatchObject({
        status,
        body: { code },
      })
      expect((await post(`/flows/${id}/signals/approved`)).body.code).toBe(code)
    }
  })

  it('heed If-Match, and repeat under a key', async () => {
    const id = await running()
    const path = `/flows/${id}/resume-external`
    const body = { topic, correlation_id: newOrder() }
    const stale = await post(path, body, { 'if-match': '"0"' })
    expect(stale).toMatchObject({ status: 412, body: { expected: 0, actual: 1 } })
    const headers = { 'idempotency-key': 'aimed', 'if-match': '"1"' }
    const first = await post(path, body, headers)
    expect(first.status).toBe(202)
    const again = await post(path, body, headers)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect([again.status, again.body]).toEqual([202, first.body])
  })

  it('have a quota of their own for each flow', async () => {
    const id = await running()
    for (let i = 0; i < 3; i++) await post(`/flows/${id}/signals/n${i}`)
    expect(await post(`/flows/${id}/signals/n4`)).toMatchObject({
      status: 429,
      body: { code: 'quota_exceeded' },
    })
  })
})

describe('lists of signals', () => {
  it('are filtered, newest first, page by page', async () => {
    const order = newOrder()
    const kept = (await send(order)).body.id
    const other = (await post('/signals', { topic: 'order.shipped', correlation_id: order })).body
      .id
    const late = (await send(order, { ttl: 'PT0.001S' })).body.id
    await expired(late)
    const ids = async (query: string) =>
      (await read(`/signals?correlation_id=${order}${query}`)).items.map(
        (one: { id: string }) => one.id,
      )
    expect(await ids('')).toEqual([late, other, kept])
    expect(await ids('&outcome=buffered')).toEqual([other, kept])
    expect(await ids('&outcome=expired')).toEqual([late])
    expect(await ids('&outcome=expired&outcome=buffered&topic=payment.settled')).toEqual([
      late,
      kept,
    ])
    expect(await ids('&outcome=delivered')).toEqual([])
    const page = await read(`/signals?correlation_id=${order}&limit=2`)
    expect(page.items).toHaveLength(2)
    expect(await ids(`&limit=2&cursor=${page.next_cursor}`)).toEqual([kept])
    const moved = await api.call('GET', `/signals?correlation_id=x&cursor=${page.next_cursor}`)
    expect(moved).toMatchObject({ status: 400, body: { code: 'cursor_mismatch' } })
    const flow = await running()
    const { signal_id } = (await post(`/flows/${flow}/signals/approved`)).body
    expect((await read(`/signals?flow_id=${flow}`)).items).toMatchObject([{ id: signal_id }])
    expect(await api.call('GET', '/signals?outcome=lost')).toMatchObject({ status: 400 })
    expect(await api.call('GET', `/signals/${absent}`)).toMatchObject({ status: 404 })
    expect(await api.call('GET', '/signals/nothing')).toMatchObject({ status: 404 })
  })

  it('show all that is known of one', async () => {
    const order = newOrder()
    const { id } = (await send(order, { id: 'evt_1', payload: null, deliver: 'all' })).body
    expect(await read(`/signals/${id}`)).toEqual({
      id,
      outcome: 'buffered',
      topic,
      correlation_id: order,
      name: null,
      flow_id: null,
      wait_id: null,
      source: null,
      sender_id: 'evt_1',
      actor: 'anonymous',
      deliver: 'all',
      payload: null,
      delivered_count: 0,
      deliveries: [],
      expires_at: expect.any(String),
      received_at: expect.any(String),
    })
  })
})

describe('redelivering', () => {
  it('delivers one that has expired, once', async () => {
    const order = newOrder()
    const { id } = (await send(order, { ttl: 'PT0.001S', payload: 'late' })).body
    await expired(id)
    const flow = await waiting(event(order))
    expect(flow.status).toBe('waiting')
    const headers = { 'idempotency-key': `again-${order}` }
    const done = await post(`/signals/${id}/redeliver`, undefined, headers)
    expect(done).toMatchObject({
      status: 200,
      body: { id, outcome: 'delivered', deliveries: [{ flow_id: flow.id }] },
    })
    expect((await read(`/flows/${flow.id}`)).state).toEqual({ resume_event: 'late' })
    const replay = await post(`/signals/${id}/redeliver`, undefined, headers)
    expect(replay.headers['idempotency-replayed']).toBe('true')
    await waitOf(flow.id, event(order))
    const more = await post(`/signals/${id}/redeliver`)
    expect(more.body).toMatchObject({ outcome: 'delivered', delivered_count: 1 })
    expect((await read(`/flows/${flow.id}`)).status).toBe('waiting')
  })

  it('leaves the fate of one that nobody waits for', async () => {
    const { id, expires_at } = (await send(newOrder())).body
    const tried = await post(`/signals/${id}/redeliver`)
    expect(tried.body).toMatchObject({ outcome: 'buffered', expires_at })
    const { id: late } = (await send(newOrder(), { ttl: 'PT0.001S' })).body
    await expired(late)
    expect((await post(`/signals/${late}/redeliver`)).body.outcome).toBe('expired')
    const order = newOrder()
    const { id: known } = (await send(order, { ttl: 'PT0.001S', id: 'evt_9' })).body
    await expired(known)
    expect((await send(order, { id: 'evt_9' })).body).toMatchObject({
      id: known,
      outcome: 'duplicate',
      expires_at: null,
    })
    expect((await post(`/signals/${absent}/redeliver`)).status).toBe(404)
  })
})

describe('waits for several things', () => {
  it('any: the first ends it, and the other branches eat nothing', async () => {
    const [paid, shipped] = [newOrder(), newOrder()]
    const flow = await waiting({ kind: 'any', of: [event(paid), event(shipped)] })
    expect((await send(shipped, { payload: 'b' })).body.outcome).toBe('delivered')
    expect(await read(`/flows/${flow.id}`)).toMatchObject({
      status: 'running',
      state: { resume_event: 'b' },
    })
    const [resumed] = (await read(`/flows/${flow.id}/events?kind=resumed`)).items
    expect(resumed.payload).toMatchObject({ by: 'signal', branch: 1, wait_id: flow.wait.id })
    expect((await send(paid)).body.outcome).toBe('buffered')
  })

  it('all: each is satisfied once, and their payloads gather', async () => {
    const [paid, shipped] = [newOrder(), newOrder()]
    await send(shipped, { payload: 'kept' })
    const flow = await waiting({
      kind: 'all',
      of: [event(paid), event(shipped), { kind: 'manual', signal: 'approved' }],
    })
    expect(flow).toMatchObject({ status: 'waiting', wait: { satisfied: [false, true, false] } })
    expect((await post(`/flows/${flow.id}/signals/approved`)).body.flow.wait).toMatchObject({
      satisfied: [false, true, true],
    })
    // A branch that is satisfied is closed for good.
    expect((await send(shipped)).body.outcome).toBe('buffered')
    await send(paid, { payload: 'last' })
    expect(await read(`/flows/${flow.id}`)).toMatchObject({
      status: 'running',
      state: { resume_event: 'last', resume_events: ['last', 'kept', null] },
    })
    const kinds = (await read(`/flows/${flow.id}/events?after=1`)).items
    expect(kinds.map((one: { kind: string }) => one.kind)).toEqual([
      'waiting',
      'wait_progressed',
      'wait_progressed',
      'resumed',
    ])
  })

  it('all: a timer is one of them', async () => {
    const order = newOrder()
    const flow = await waiting({
      kind: 'all',
      of: [{ kind: 'timer', at: '2020-01-01T00:00:00Z' }, event(order)],
    })
    await post('/engine/tick')
    await until('the timer has fired', async () => {
      const { wait } = await read(`/flows/${flow.id}`)
      return wait.satisfied[0] === true
    })
    expect((await send(order)).body.outcome).toBe('delivered')
    expect((await read(`/flows/${flow.id}`)).status).toBe('running')
  })

  it.each([
    [{ kind: 'any', of: [] }],
    [{ kind: 'any', of: Array.from({ length: 17 }, () => event('x')) }],
    [{ kind: 'all', of: [{ kind: 'any', of: [event('x')] }] }],
    [{ kind: 'all', of: [event('x', { timeout: 'PT1H' })] }],
    [{ kind: 'manual', on_timeout: 'fail' }],
    [{ kind: 'manual', timeout: 'PT1H', timeout_at: '2030-01-01T00:00:00Z' }],
    [{ kind: 'manual', timeout: 'PT1H', on_timeout: 'explode' }],
  ])('refuse %j', async (wait) => {
    const id = await running()
    expect(await post(`/flows/${id}/wait`, wait)).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    })
  })
})

describe('deadlines', () => {
  it.each([
    ['resume', 'running', 'resumed'],
    ['fail', 'failed', 'failed'],
    ['cancel', 'cancelled', 'cancelled'],
  ])('%s leaves the flow %s', async (on_timeout, status, kind) => {
    const order = newOrder()
    const flow = await waiting(event(order, { timeout_at: '2020-01-01T00:00:00Z', on_timeout }))
    await post('/engine/tick')
    await until('it is over', async () => (await read(`/flows/${flow.id}`)).status === status)
    const [ended] = (await read(`/flows/${flow.id}/events?kind=${kind}`)).items
    expect(ended).toMatchObject({
      payload: { by: 'timeout', wait_id: flow.wait.id },
      actor: 'wait-engine',
    })
    // A late signal finds no wait.
    expect((await send(order)).body.outcome).toBe('buffered')
  })

  it('show on the wait, and resume is what happens when nothing is said', async () => {
    const flow = await waiting(event(newOrder(), { timeout: 'P2D' }))
    expect(flow.wait.on_timeout).toBe('resume')
    expect(Date.parse(flow.wait.timeout_at) - Date.parse(flow.wait.since)).toBe(2 * 86_400_000)
  })
})

describe('a kept signal that does not fit into the state', () => {
  it('is not lost: the wait is refused and says why, until there is room', async () => {
    const order = newOrder()
    const id = await running({ state: { large: 'x'.repeat(262_144 - 400) } })
    const kept = (await send(order, { payload: 'y'.repeat(900) })).body.id
    const refused = await post(`/flows/${id}/wait`, event(order))
    expect(refused).toMatchObject({ status: 400, body: { code: 'limit_exceeded' } })
    expect(refused.body.detail).toContain(kept)
    expect(await read(`/flows/${id}`)).toMatchObject({ status: 'running', revision: 1 })
    expect((await read(`/signals/${kept}`)).outcome).toBe('buffered')

    await api.call('PATCH', `/flows/${id}/state`, { unset: ['large'] })
    expect(await waitOf(id, event(order))).toMatchObject({
      status: 'running',
      state: { resume_event: 'y'.repeat(900) },
    })
    expect((await read(`/signals/${kept}`)).outcome).toBe('delivered')
  })
})

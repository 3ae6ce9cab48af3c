// Managed steps over HTTP: how they are asked for, and what they are when they are asked for again.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { stepApi } from '../support/step-api.ts'

const absent = '00000000-0000-7000-8000-000000000000'

let api: Api
beforeAll(async () => {
  api = await startApi({ steps: { bytes: 1_000, open: 3 } })
})
afterAll(() => api?.close())

const { send, post, read, flow, enqueue, claim, take, report, events, untilStatus } = stepApi(
  () => api,
)

describe('POST /flows/{flow_id}/steps', () => {
  it('answers 201 with the place, the revision and the step', async () => {
    const of = await flow()
    const made = await post(`/flows/${of.id}/steps`, {
      task: 'classify',
      run_id: 'run 1/a',
      input: { n: 1 },
      priority: 7,
      retry: { max_attempts: 5, base: 'PT2S', factor: 3, cap: 'PT1H', non_retryable: ['spam'] },
      timeouts: {
        schedule_to_start: 'PT1H',
        start_to_close: 'PT1M',
        schedule_to_close: 'P1D',
        heartbeat: 'PT10S',
      },
      on_dead: 'park',
    })
    expect(made).toMatchObject({
      status: 201,
      headers: { location: `/flows/${of.id}/steps/run%201%2Fa`, etag: '"2"' },
      body: {
        flow_id: of.id,
        run_id: 'run 1/a',
        runtime: 'managed',
        task: 'classify',
        status: 'pending',
        input: { n: 1 },
        result: null,
        error: null,
        attempt: 0,
        max_attempts: 5,
        priority: 7,
        controller_id: of.controller_id,
        on_dead: 'park',
        cancel_requested: false,
        progress: null,
        worker_id: null,
        lease_until: null,
        observed_at: null,
      },
    })
    expect(made.body.run_at).toBe(made.body.created_at)
    expect(await read(String(made.headers['location']))).toEqual(made.body)
    expect(await read(`/steps/${made.body.id}`)).toEqual({ ...made.body, attempts: [] })
    expect((await events(of)).at(-1)).toMatchObject({
      kind: 'step_enqueued',
      payload: { step_id: made.body.id, run_id: 'run 1/a', task: 'classify' },
    })
    // Its heartbeats must come more often than the claim says.
    const taken = await take(of, { lease: 'PT1M' })
    expect(Date.parse(taken.lease_until) - Date.parse(taken.updated_at)).toBe(10_000)
  })

  it('has an id for a name, and defaults', async () => {
    const made = await enqueue(await flow())
    expect(made).toMatchObject({ run_id: made.id, priority: 1000, max_attempts: 3, input: null })
    expect(made.on_dead).toBe('fail')
  })

  it('is the same step when the same run is asked for again', async () => {
    const of = await flow()
    const first = await enqueue(of, { run_id: 'r' })
    const again = await post(`/flows/${of.id}/steps`, { task: 'other', run_id: 'r', input: 1 })
    expect(again).toMatchObject({ status: 200, headers: { etag: '"2"' }, body: first })
    expect(again.headers['location']).toBeUndefined()
    await report(await take(of), { kind: 'complete' })
    expect((await post(`/flows/${of.id}/steps`, { task: 'x', run_id: 'r' })).body).toMatchObject({
      id: first.id,
      status: 'succeeded',
    })
  })

  it('answers a repeat with the same key as the first, also after its end', async () => {
    const of = await flow()
    const headers = { 'idempotency-key': 'enqueue once' }
    const body = { task: 'classify' }
    const first = await post(`/flows/${of.id}/steps`, body, headers)
    await report(await take(of), { kind: 'succeed' })
    const again = await post(`/flows/${of.id}/steps`, body, headers)
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(again.headers['idempotency-replayed']).toBe('true')
    const other = await post(`/flows/${of.id}/steps`, { task: 'other' }, headers)
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
  })

  it('depends on the revision that is named', async () => {
    const of = await flow()
    const path = `/flows/${of.id}/steps`
    const stale = await post(path, { task: 'a' }, { 'if-match': '"0"' })
    expect(stale).toMatchObject({ status: 412, body: { expected: 0, actual: 1 } })
    expect((await post(path, { task: 'a' }, { 'if-match': '"1"' })).status).toBe(201)
  })

  it('runs at a time, in the past at once', async () => {
    const of = await flow()
    await enqueue(of, { run_id: 'past', run_at: '2020-01-01T00:00:00Z' })
    const future = await enqueue(of, { run_id: 'future', run_at: '2999-01-01T00:00:00+01:00' })
    expect(future.run_at).toBe('2998-12-31T23:00:00.000Z')
    expect(await claim(of, { max: 10 })).toMatchObject([{ run_id: 'past' }])
  })

  it('has only so many that are not settled', async () => {
    const of = await flow()
    for (const run_id of ['a', 'b', 'c']) await enqueue(of, { run_id })
    expect(await post(`/flows/${of.id}/steps`, { task: 'd' })).toMatchObject({
      status: 400,
      body: { code: 'limit_exceeded', limit: 'open_steps', maximum: 3, actual: 3 },
    })
    // The same run again makes no more of them.
    expect((await post(`/flows/${of.id}/steps`, { task: 'd', run_id: 'c' })).status).toBe(200)
    const [one] = await claim(of)
    await report(one, { kind: 'complete' })
    expect((await post(`/flows/${of.id}/steps`, { task: 'd' })).status).toBe(201)
  })

  it.each([
    [{}, '/task', 'required'],
    [{ task: '' }, '/task', 'too_short'],
    [{ tsk: 'a' }, '/task', 'required'],
    [{ task: 'a', inptu: 1 }, '/inptu', 'unknown_member'],
    [{ task: 'a', priority: -1 }, '/priority', 'out_of_range'],
    [{ task: 'a', priority: 1_000_001 }, '/priority', 'out_of_range'],
    [{ task: 'a', priority: '1' }, '/priority', 'wrong_type'],
    [{ task: 'a', delay: 'PT1S', run_at: '2030-01-01T00:00:00Z' }, '/delay', 'not_together'],
    [{ task: 'a', delay: 'P1Y' }, '/delay', 'format'],
    [{ task: 'a', delay: 'P9998W' }, null, null],
    [{ task: 'a', delay: 'P3000000D' }, '/delay', 'out_of_range'],
    [{ task: 'a', run_at: 'tomorrow' }, '/run_at', 'format'],
    [{ task: 'a', retry: { max_attempts: 0 } }, '/retry/max_attempts', 'out_of_range'],
    [{ task: 'a', retry: { max_attempts: 101 } }, '/retry/max_attempts', 'out_of_range'],
    [{ task: 'a', retry: { factor: 1.5 } }, '/retry/factor', 'wrong_type'],
    [{ task: 'a', retry: { cap: 'P2D' } }, '/retry/cap', 'out_of_range'],
    [{ task: 'a', retry: { attempts: 3 } }, '/retry/attempts', 'unknown_member'],
    [{ task: 'a', timeouts: { heartbeat: 'PT0S' } }, '/timeouts/heartbeat', 'out_of_range'],
    [{ task: 'a', timeouts: { heartbeat: 'P30D' } }, '/timeouts/heartbeat', 'out_of_range'],
    [
      { task: 'a', timeouts: { start_to_close: 'PT0S' } },
      '/timeouts/start_to_close',
      'out_of_range',
    ],
    [
      { task: 'a', timeouts: { start_to_close: 'PT2M', schedule_to_close: 'PT1M' } },
      '/timeouts/start_to_close',
      'out_of_range',
    ],
    [{ task: 'a', on_dead: 'wait' }, '/on_dead', 'not_allowed'],
  ])('judges %j', async (body, pointer, code) => {
    const of = await flow()
    const answer = await post(`/flows/${of.id}/steps`, body)
    expect(answer.status).toBe(pointer === null ? 201 : 400)
    if (pointer !== null) expect(answer.body.errors[0]).toMatchObject({ pointer, code })
    expect(await read(`/flows/${of.id}/steps`)).toMatchObject({
      items: { length: pointer === null ? 1 : 0 },
    })
  })

  it('refuses an input that is too large, an unknown flow, and one that has ended or is to', async () => {
    const of = await flow()
    expect(
      await post(`/flows/${of.id}/steps`, { task: 'a', input: 'x'.repeat(1_000) }),
    ).toMatchObject({ status: 400, body: { limit: 'step_bytes', maximum: 1_000 } })
    for (const id of [absent, 'nobody']) {
      expect(await post(`/flows/${id}/steps`, { task: 'a' })).toMatchObject({
        status: 404,
        body: { resource: 'flow' },
      })
    }
    await send('POST', `/flows/${of.id}/request-cancel`)
    expect((await post(`/flows/${of.id}/steps`, { task: 'a' })).body.code).toBe('cancel_pending')
    await send('POST', `/flows/${of.id}/cancel`)
    expect((await post(`/flows/${of.id}/steps`, { task: 'a' })).body.code).toBe('already_terminal')
  })

  it('keeps managed steps and observed ones apart', async () => {
    const of = await flow()
    const seen = { task: 'a', status: 'running' }
    await send('PUT', `/flows/${of.id}/steps/seen`, seen)
    expect(await post(`/flows/${of.id}/steps`, { task: 'a', run_id: 'seen' })).toMatchObject({
      status: 409,
      body: { code: 'step_conflict', step_status: 'running' },
    })
    const { id } = await enqueue(of, { run_id: 'own' })
    const observed = await api.call('PUT', `/flows/${of.id}/steps/own`, seen)
    expect(observed).toMatchObject({ status: 409, body: { code: 'wait_conflict' } })
    expect(await claim(of, { max: 10 })).toMatchObject([{ id }])
  })
})

describe('POST /flows with steps', () => {
  it('makes a flow that runs, with its steps ready', async () => {
    const of = await flow({
      steps: [
        { task: 'a', run_id: 'one', input: 1 },
        { task: 'b', delay: 'PT1H' },
      ],
    })
    expect((await events(of)).map(({ kind }) => kind)).toEqual([
      'created',
      'started',
      'step_enqueued',
      'step_enqueued',
    ])
    expect(await read(`/flows/${of.id}`)).toMatchObject({ status: 'running', revision: 3 })
    expect((await read(`/flows/${of.id}/steps`)).items).toHaveLength(2)
    expect(await claim(of, { max: 10 })).toMatchObject([{ run_id: 'one', input: 1 }])
  })

  const body = {
    controller_id: 'test/begins-with-steps',
    goal: 'g',
    owner_session_key: 'o',
    requester_origin: 'r',
  }

  it('makes them once, however often it is repeated', async () => {
    const headers = { 'idempotency-key': 'begin once' }
    const begin = { ...body, steps: [{ task: 'a' }] }
    const first = await post('/flows', begin, headers)
    expect((await post('/flows', begin, headers)).body).toEqual(first.body)
    const keyed = { ...begin, key: 'begin', on_conflict: 'use_existing' }
    const { id } = await send('POST', '/flows', keyed)
    expect(await post('/flows', keyed)).toMatchObject({ status: 200, body: { id } })
    for (const flowId of [id, first.body.id]) {
      expect((await read(`/flows/${flowId}/steps`)).items).toHaveLength(1)
    }
  })

  it('belongs to a signal that starts a flow as well', async () => {
    const signal = { topic: 'begun', correlation_id: 'begin-2' }
    const start = { ...body, key: 'begin-2', steps: [{ task: 'a' }] }
    const sent = await send('POST', '/signals', { ...signal, start_if_absent: start })
    expect((await read(`/flows/${sent.flow_id}/steps`)).items).toMatchObject([{ task: 'a' }])
    const wrong = {
      ...start,
      steps: [{ task: 'a', delay: 'PT1S', run_at: '2030-01-01T00:00:00Z' }],
    }
    const refused = await post('/signals', { ...signal, start_if_absent: wrong })
    expect(refused.body.errors[0].pointer).toBe('/start_if_absent/steps/0/delay')
  })

  it.each([
    [{ start: false, steps: [{ task: 'a' }] }, '/start', 'not_together'],
    [{ steps: [] }, '/steps', 'too_few'],
    [
      {
        steps: [
          { task: 'a', run_id: 'r' },
          { task: 'b', run_id: 'r' },
        ],
      },
      '/steps/1/run_id',
      'duplicate',
    ],
    [{ steps: [{ task: 'a' }, { task: 'b', dely: 'PT1S' }] }, '/steps/1/dely', 'unknown_member'],
    [
      { steps: [{ task: 'b', timeouts: { start_to_close: 'PT2S', schedule_to_close: 'PT1S' } }] },
      '/steps/0/timeouts/start_to_close',
      'out_of_range',
    ],
  ])('refuses %j', async (over, pointer, code) => {
    const answer = await post('/flows', { ...body, ...over })
    expect(answer.status).toBe(400)
    expect(answer.body.errors[0]).toMatchObject({ pointer, code })
  })

  it('has only so many, and none that is too large', async () => {
    const steps = ['a', 'b', 'c', 'd'].map((task) => ({ task }))
    expect((await post('/flows', { ...body, steps })).body.limit).toBe('open_steps')
    const large = [{ task: 'a', input: 'x'.repeat(1_000) }]
    expect((await post('/flows', { ...body, steps: large })).body.limit).toBe('step_bytes')
  })
})

describe('time-outs', () => {
  it('let a step die that nobody claims in time', async () => {
    const of = await flow()
    const step = await enqueue(of, { timeouts: { schedule_to_start: 'PT0.1S' } })
    await untilStatus(step, 'failed')
    expect(await read(`/steps/${step.id}`)).toMatchObject({
      error: { code: 'schedule_to_start', retryable: false },
      attempts: [],
    })
    expect(await read(`/flows/${of.id}`)).toMatchObject({
      status: 'failed',
      state: { failure: { reason: expect.stringContaining('schedule_to_start') } },
    })
  })

  it('end an attempt, whatever its heartbeats say, and another follows', async () => {
    const of = await flow()
    const timeouts = { start_to_close: 'PT0.1S' }
    const { id } = await enqueue(of, { timeouts, retry: { base: 'PT0S', max_attempts: 2 } })
    const first = await take(of)
    await send('POST', `/steps/${id}/heartbeat`, { lease_token: first.lease_token })
    const second = await take(of)
    expect(second).toMatchObject({ id, attempt: 2 })
    expect((await report(first, { kind: 'complete' })).body.code).toBe('lease_lost')
    await untilStatus({ id }, 'failed')
    expect((await read(`/steps/${id}`)).attempts).toMatchObject([
      { attempt: 1, outcome: 'timed_out', error: { code: 'start_to_close' } },
      { attempt: 2, outcome: 'timed_out' },
    ])
  })

  it('count over all attempts', async () => {
    const of = await flow()
    const { id } = await enqueue(of, { timeouts: { schedule_to_close: 'PT0.1S' }, on_dead: 'park' })
    await take(of)
    await untilStatus({ id }, 'failed')
    expect((await read(`/steps/${id}`)).error.code).toBe('schedule_to_close')
    expect((await read(`/flows/${of.id}`)).status).toBe('running')
  })
})

it('lives with a time at the end of the calendar', async () => {
  const of = await flow({ start: false })
  const run_at = '9999-12-31T23:59:59.999Z'
  const step = await enqueue(of, { run_at, priority: 1_000_000 })
  await send('POST', `/flows/${of.id}/start`)
  expect((await read(`/steps/${step.id}`)).run_at).toBe(run_at)
  await send('POST', `/flows/${of.id}/request-cancel`)
  expect((await read(`/steps/${step.id}`)).status).toBe('cancelled')
})

describe('cancelling', () => {
  it('ends a flow at once whose steps are all pending', async () => {
    const of = await flow()
    const step = await enqueue(of)
    await send('POST', `/flows/${of.id}/request-cancel`, { reason: 'withdrawn' })
    expect(await claim(of)).toEqual([])
    expect((await read(`/steps/${step.id}`)).status).toBe('cancelled')
    await read(`/flows/${of.id}?wait=PT20S&until=terminal`)
    const last = (await events(of)).at(-1)
    expect(last).toMatchObject({ kind: 'cancelled', payload: { reason: 'withdrawn' } })
  })

  it('lets a running step report first, which does not count', async () => {
    const of = await flow()
    await enqueue(of)
    const step = await take(of)
    await send('POST', `/flows/${of.id}/request-cancel`)
    expect((await read(`/steps/${step.id}`)).cancel_requested).toBe(true)
    expect((await read(`/flows/${of.id}`)).status).toBe('running')
    const settled = await report(step, { kind: 'continue', task: 'next', state_patch: { a: 1 } })
    expect(settled).toMatchObject({
      status: 200,
      body: { discarded: true, repeated: false, step: { status: 'cancelled' } },
    })
    expect(settled.body.flow).toMatchObject({ status: 'cancelled', state: {} })
    expect((await read(`/flows/${of.id}/steps`)).items).toHaveLength(1)
  })

  it('does not wait for a step past its grace', async () => {
    const of = await flow()
    await enqueue(of)
    const step = await take(of)
    await send('POST', `/flows/${of.id}/request-cancel`, { grace: 'PT0.2S', reason: 'late' })
    const ended = await read(`/flows/${of.id}?wait=PT20S&until=terminal`)
    expect(ended.status).toBe('cancelled')
    const late = await report(step, { kind: 'succeed' })
    expect(late).toMatchObject({ status: 200, body: { discarded: true } })
    expect(late.body.flow.status).toBe('cancelled')
    const wrong = await post(`/flows/${of.id}/request-cancel`, { grace: '5 minutes' })
    expect(wrong.body.errors[0]).toMatchObject({ pointer: '/grace', code: 'format' })
  })

  it('leaves no step behind when a flow ends by hand', async () => {
    const of = await flow()
    const waiting = await enqueue(of, { run_id: 'waiting' })
    const later = await enqueue(of, { run_id: 'later', delay: 'PT1H' })
    const running = await take(of)
    await send('POST', `/flows/${of.id}/finish`)
    const statuses = async () =>
      (await read(`/flows/${of.id}/steps`)).items.map((step: { status: string }) => step.status)
    expect(await statuses()).toEqual(['cancelled', 'cancelled'])
    expect(running.id).toBe(waiting.id)
    expect((await read(`/steps/${later.id}`)).status).toBe('cancelled')
    expect((await report(running, { kind: 'error', message: 'x' })).body.discarded).toBe(true)
    expect(await statuses()).toEqual(['cancelled', 'cancelled'])
  })
})

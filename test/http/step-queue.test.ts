// Workers over HTTP: claims in their order and their time, leases, heartbeats, releases.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { stepApi } from '../support/step-api.ts'

const absent = '00000000-0000-7000-8000-000000000000'
const token = 'ab'.repeat(32)

let api: Api
beforeAll(async () => {
  api = await startApi({ steps: { bytes: 1_000 } })
})
afterAll(() => api?.close())

const { send, post, read, flow, enqueue, claim, take, report, untilStatus } = stepApi(() => api)
const waitingClaims = async () => (await read('/engine')).steps.waiting_claims as number

describe('POST /steps/claim', () => {
  it('gives a step with its token, its flow and all that is known of it', async () => {
    const of = await flow({ state: { messages: 10 }, labels: { tier: 'gold' } })
    const made = await enqueue(of, { run_id: 'r1', input: { n: 1 } })
    expect(made).not.toHaveProperty('lease_token')
    const step = await take(of, { worker_id: 'w7', lease: 'PT5S' })
    expect(step).toMatchObject({
      ...made,
      status: 'running',
      attempt: 1,
      worker_id: 'w7',
      lease_token: expect.stringMatching(/^[0-9a-f]{64}$/),
      lease_until: expect.any(String),
      updated_at: expect.any(String),
      flow: {
        id: of.id,
        controller_id: of.controller_id,
        goal: 'triage inbox',
        state: { messages: 10 },
        labels: { tier: 'gold' },
      },
    })
    expect(step).not.toHaveProperty('checkpoint')
    expect(step).not.toHaveProperty('signal')
    const leased = Date.parse(step.lease_until) - Date.parse(step.updated_at)
    expect(leased).toBe(5_000)
    // The claim is no change of the flow.
    expect((await read(`/flows/${of.id}`)).revision).toBe(2)
    expect(await read(`/steps/${step.id}`)).not.toHaveProperty('lease_token')
    expect(await claim(of)).toEqual([])
  })

  it('takes as many as were asked for, the lowest priority first', async () => {
    const of = await flow()
    for (const [run_id, priority] of [
      ['late', 2000],
      ['first', 0],
      ['usual', 1000],
    ] as const) {
      await enqueue(of, { run_id, priority })
    }
    const runs = (steps: { run_id: string }[]) => steps.map(({ run_id }) => run_id)
    expect(runs(await claim(of, { max: 2 }))).toEqual(['first', 'usual'])
    expect(runs(await claim(of, { max: 100 }))).toEqual(['late'])
  })

  it('sees only what it asks for', async () => {
    const one = await flow()
    const other = await flow()
    await enqueue(one, { task: 'a' })
    await enqueue(one, { task: 'b' })
    await enqueue(other, { task: 'a' })
    const controllers = [one.controller_id, other.controller_id]
    expect(await claim(one, { tasks: ['c'] })).toEqual([])
    const found = await claim(one, { controllers, tasks: ['a', 'a', 'c'], max: 10 })
    expect(found.map((step) => [step.controller_id, step.task])).toEqual([
      [one.controller_id, 'a'],
      [other.controller_id, 'a'],
    ])
    expect(await claim(one, { tasks: ['b'] })).toHaveLength(1)
  })

  it('waits for a step, and is woken by the one that is enqueued', async () => {
    const of = await flow()
    const pending = claim(of, { wait: 'PT30S' })
    await until('it waits', async () => (await waitingClaims()) > 0)
    const began = performance.now()
    const { id } = await enqueue(of)
    expect(await pending).toMatchObject([{ id }])
    expect(performance.now() - began).toBeLessThan(900)
  })

  it('gives up when its time is over', async () => {
    expect(await claim(await flow(), { wait: 'PT0.05S' })).toEqual([])
  })

  it('holds a delayed step back until its time', async () => {
    const of = await flow()
    const step = await enqueue(of, { delay: 'PT0.3S' })
    expect(Date.parse(step.run_at) - Date.parse(step.created_at)).toBe(300)
    expect(await claim(of)).toEqual([])
    const taken = await take(of)
    expect(taken.id).toBe(step.id)
    expect(taken.updated_at > step.run_at).toBe(true)
  })

  it('holds the steps of a flow back that was not started', async () => {
    const of = await flow({ start: false })
    const { id } = await enqueue(of)
    expect(await claim(of)).toEqual([])
    await send('POST', `/flows/${of.id}/start`)
    expect((await take(of)).id).toBe(id)
  })

  it('lets a claim go when its caller goes', async () => {
    const of = await flow()
    const before = await waitingClaims()
    const address = await api.app.listen({ port: 0, host: '127.0.0.1' })
    const caller = new AbortController()
    const gone = fetch(`${address}/steps/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ worker_id: 'w', controllers: [of.controller_id], wait: 'PT60S' }),
      signal: caller.signal,
    }).catch((error: Error) => error.name)
    await until('it waits', async () => (await waitingClaims()) === before + 1)
    caller.abort()
    expect(await gone).toBe('AbortError')
    await until('it waits no more', async () => (await waitingClaims()) === before)
    await enqueue(of)
    expect(await claim(of)).toHaveLength(1)
  })

  it.each([
    [{}, '/worker_id', 'required'],
    [{ worker_id: 'w', max: 0 }, '/max', 'out_of_range'],
    [{ worker_id: 'w', max: 101 }, '/max', 'out_of_range'],
    [{ worker_id: 'w', lease: 'PT0.5S' }, '/lease', 'out_of_range'],
    [{ worker_id: 'w', lease: 'PT2H' }, '/lease', 'out_of_range'],
    [{ worker_id: 'w', lease: '30' }, '/lease', 'format'],
    [{ worker_id: 'w', wait: 'PT61S' }, '/wait', 'out_of_range'],
    [{ worker_id: 'w', controllers: [] }, '/controllers', 'too_few'],
    [{ worker_id: 'w', task: 'a' }, '/task', 'unknown_member'],
  ])('refuses %j', async (body, pointer, code) => {
    const { status, body: problem } = await post('/steps/claim', body)
    expect(status).toBe(400)
    expect(problem.errors[0]).toMatchObject({ pointer, code })
  })
})

describe('POST /steps/{step_id}/heartbeat', () => {
  it('renews the lease, and keeps progress and checkpoint', async () => {
    const of = await flow()
    await enqueue(of)
    const step = await take(of, { lease: 'PT1S' })
    const beat = (more: object = {}) =>
      send('POST', `/steps/${step.id}/heartbeat`, { lease_token: step.lease_token, ...more })
    const first = await beat({ progress: { done: 1 }, checkpoint: { at: 7 } })
    expect(first.cancel_requested).toBe(false)
    expect(first.lease_until > step.lease_until).toBe(true)
    // What is absent stays; null is a value.
    await beat()
    expect((await read(`/steps/${step.id}`)).progress).toEqual({ done: 1 })
    await beat({ progress: null })
    expect((await read(`/steps/${step.id}`)).progress).toBeNull()
    // The next attempt gets the checkpoint, and a token of its own.
    await untilStatus(step, 'pending')
    const again = await take(of)
    expect(again).toMatchObject({ id: step.id, attempt: 2, checkpoint: { at: 7 }, progress: null })
    expect(again.lease_token).not.toBe(step.lease_token)
    const late = { lease_token: step.lease_token }
    expect(await post(`/steps/${step.id}/heartbeat`, late)).toMatchObject({
      status: 409,
      body: { code: 'lease_lost', step_id: step.id, attempt: 2 },
    })
    const { attempts } = await read(`/steps/${step.id}`)
    expect(attempts).toMatchObject([
      { attempt: 1, worker_id: 'w', outcome: 'lease_expired', error: { code: 'lease_expired' } },
    ])
    expect((await read('/engine')).steps.rescued_total).toBeGreaterThan(0)
  })

  it('tells that the flow is to end', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    await send('POST', `/flows/${of.id}/request-cancel`)
    expect(await send('POST', `/steps/${id}/heartbeat`, { lease_token })).toMatchObject({
      cancel_requested: true,
    })
  })

  it('refuses what no claim has given, what is too large, and what is not there', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    const beat = (body: object, step = id) => post(`/steps/${step}/heartbeat`, body)
    expect(await beat({ lease_token: token })).toMatchObject({ status: 409 })
    expect(await beat({ lease_token: 'mine' })).toMatchObject({ status: 409 })
    expect(await beat({ lease_token }, absent)).toMatchObject({ status: 404 })
    expect(await beat({ lease_token }, 'nobody')).toMatchObject({
      status: 404,
      body: { resource: 'step' },
    })
    for (const name of ['progress', 'checkpoint']) {
      expect(await beat({ lease_token, [name]: 'x'.repeat(1_000) })).toMatchObject({
        status: 400,
        body: { code: 'limit_exceeded', limit: 'step_bytes', maximum: 1_000 },
      })
    }
    expect((await beat({})).body.errors[0]).toMatchObject({ pointer: '/lease_token' })
    const lost = await beat({ lease_token: token })
    expect(lost.body).not.toHaveProperty('next_actions')
  })
})

describe('POST /steps/{step_id}/release', () => {
  it('gives a step back without counting the attempt', async () => {
    const of = await flow()
    await enqueue(of)
    const step = await take(of)
    const path = `/steps/${step.id}/release`
    const released = await send('POST', path, { lease_token: step.lease_token })
    expect(released).toMatchObject({
      status: 'pending',
      attempt: 0,
      worker_id: null,
      lease_until: null,
    })
    expect(await post(path, { lease_token: step.lease_token })).toMatchObject({ status: 409 })
    expect(await report(step, { kind: 'complete' })).toMatchObject({ status: 409 })
    const again = await take(of)
    expect(again).toMatchObject({ id: step.id, attempt: 1 })
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([{ outcome: 'released' }])
  })

  it('holds it back for a while, and wakes those who wait', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    const released = await send('POST', `/steps/${id}/release`, { lease_token, delay: 'PT0.3S' })
    expect(Date.parse(released.run_at) - Date.parse(released.updated_at)).toBe(300)
    expect(await claim(of)).toEqual([])
    expect((await take(of)).id).toBe(id)
  })

  it('answers a repeat with the same key as the first', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    const headers = { 'idempotency-key': 'release once' }
    const first = await post(`/steps/${id}/release`, { lease_token }, headers)
    await take(of)
    const again = await post(`/steps/${id}/release`, { lease_token }, headers)
    expect(again).toMatchObject({ status: 200, body: first.body })
    expect(again.headers['idempotency-replayed']).toBe('true')
    const other = await post(`/steps/${id}/release`, { lease_token, delay: 'PT1S' }, headers)
    expect(other.body.code).toBe('idempotency_mismatch')
  })

  it('leaves the end of a flow that is to end to the service', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    await send('POST', `/flows/${of.id}/request-cancel`, { reason: 'withdrawn' })
    await send('POST', `/steps/${id}/release`, { lease_token })
    await untilStatus({ id }, 'cancelled')
    expect(await read(`/flows/${of.id}`)).toMatchObject({ status: 'cancelled' })
  })

  it('refuses a delay that is too long, and an If-Match', async () => {
    const of = await flow()
    await enqueue(of)
    const { id, lease_token } = await take(of)
    const long = await post(`/steps/${id}/release`, { lease_token, delay: 'P8D' })
    expect(long.body.errors[0]).toMatchObject({ pointer: '/delay', code: 'out_of_range' })
    const headers = { 'if-match': '"2"' }
    const conditional = await post(`/steps/${id}/release`, { lease_token }, headers)
    expect(conditional.body.errors[0]).toMatchObject({ pointer: 'if-match' })
  })
})

it('answers claims that wait when the service stops', async () => {
  const own = await startApi()
  const calls = stepApi(() => own)
  try {
    const of = await calls.flow()
    const pending = calls.claim(of, { wait: 'PT60S' })
    await until('it waits', () => own.engine.queue.waiting() === 1)
    own.shutDown()
    expect(await pending).toEqual([])
  } finally {
    await own.close()
  }
})

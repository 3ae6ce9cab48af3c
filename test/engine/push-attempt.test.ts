// What each answer of an endpoint does to the step that was pushed to it.

import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { caller, until } from '../support/engine.ts'
import { endpoint, outcome, silence, status } from '../support/push.ts'
import {
  attemptsOf,
  begin,
  controller_id,
  put,
  read,
  untilStatus,
  usePushes,
} from '../support/pushes.ts'
import { rawReceiver, selfSigned, tlsReceiver } from '../support/receiver.ts'

const { open } = usePushes()

const codeOf = (error: unknown) => (error as { code?: string } | null)?.code

describe('what an endpoint answers', () => {
  it('200 with an outcome settles the step and its flow', async () => {
    const engine = open()
    const site = await endpoint(outcome({ kind: 'succeed', result: { spam: 3 } }))
    await put(engine, site.url)
    const { id, flow_id } = await begin(engine)
    expect(await untilStatus(engine, id, 'succeeded')).toMatchObject({
      result: { spam: 3 },
      attempt: 1,
      worker_id: `push:${controller_id}`,
    })
    expect((await engine.flows.get(caller, flow_id)).status).toBe('finished')
    const { items } = await engine.events.list(caller, flow_id, {}, { limit: 50 })
    expect(items.find(({ kind }) => kind === 'step_settled')?.actor).toBe(`push:${controller_id}`)
  })

  it('sends the step, its token and its flow, signed, with an id of the claim', async () => {
    const engine = open()
    const site = await endpoint()
    const { secret } = await put(engine, site.url)
    const { id, flow_id } = await begin(engine, { input: { messages: 10 } })
    await untilStatus(engine, id, 'succeeded')
    const [pushed] = site.steps()
    expect(pushed?.headers).toMatchObject({
      'content-type': 'application/json',
      'webhook-id': `${id}-1`,
      'taskflow-attempt': '1',
      'user-agent': 'Taskflow/0.0.0-test',
    })
    const { headers, text, body } = pushed as NonNullable<typeof pushed>
    expect(new Webhook(secret ?? '').verify(text, headers as Record<string, string>)).toEqual(body)
    expect(() =>
      new Webhook(secret ?? '').verify(`${text} `, headers as Record<string, string>),
    ).toThrow()
    expect(body).toMatchObject({
      type: 'step',
      step: { id, input: { messages: 10 }, lease_token: expect.stringMatching(/^[0-9a-f]{64}$/) },
      flow: { id: flow_id, controller_id, goal: 'triage inbox', labels: {}, state: {} },
    })
  })

  it('202 leaves the step to whoever has its token', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    await put(engine, site.url, { timeout_ms: 2_000 })
    const { id } = await begin(engine)
    await until(
      'the step was handed over',
      async () => (await read(engine, id)).lease_ms === 60_000,
    )
    const held = await read(engine, id)
    const left = Date.parse(held.lease_until ?? '') - Date.parse(held.updated_at)
    expect(left).toBe(60_000)
    expect(held.status).toBe('running')
    const token = site.steps()[0]?.body.step.lease_token ?? ''
    const beat = await engine.queue.heartbeat(caller, id, token, { progress: { done: 1 } })
    expect(beat.cancel_requested).toBe(false)
    const { step } = await engine.steps.settle(caller, id, token, {
      kind: 'complete',
      result: 'later',
    })
    expect(step).toMatchObject({ status: 'succeeded', result: 'later' })
    expect(site.steps()).toHaveLength(1)
  })

  it.each([
    [429, { 'retry-after': '7' }, 7_000],
    [503, { 'retry-after': '3600000' }, 3_600_000],
    [503, { 'retry-after': '0' }, 1_000],
  ])('%i with %j is not now, and burns no attempt', async (code, headers, delay) => {
    const engine = open()
    const site = await endpoint(status(code, headers))
    await put(engine, site.url)
    const { id } = await begin(engine)
    await until('it was given back', async () => (await attemptsOf(engine, id)).length > 0)
    const step = await read(engine, id)
    expect(step).toMatchObject({ status: 'pending', attempt: 0, error: null, ready: false })
    expect(Date.parse(step.run_at ?? '') - Date.parse(step.updated_at)).toBe(delay)
    expect((await attemptsOf(engine, id))[0]?.outcome).toBe('released')
  })

  it('410 disables the controller and gives the step back to be pulled', async () => {
    const engine = open()
    const site = await endpoint(status(410))
    await put(engine, site.url)
    const pulled = engine.queue.claim(
      caller,
      { worker_id: 'w', max: 1, lease: 30_000, wait: 10_000 },
      new AbortController().signal,
    )
    const { id } = await begin(engine)
    const [step] = await pulled
    expect(step).toMatchObject({ id, attempt: 1, worker_id: 'w', pushed: false })
    expect(await engine.controllers.get(caller, controller_id)).toMatchObject({
      enabled: false,
      disabled_reason: 'The endpoint answered 410 Gone.',
      disabled_at: expect.any(String),
    })
    expect(engine.notices).toContainEqual({
      type: 'controller_disabled',
      namespace: 'default',
      controller_id,
      reason: 'The endpoint answered 410 Gone.',
    })
    // Enabled again, it is pushed to again.
    site.answer(outcome({ kind: 'complete' }))
    await put(engine, site.url)
    expect(await engine.controllers.get(caller, controller_id)).toMatchObject({
      enabled: true,
      disabled_reason: null,
      disabled_at: null,
    })
    await untilStatus(engine, (await begin(engine)).id, 'succeeded')
  })

  it.each([400, 401, 404, 422, 301, 302, 307])('%i is an error for good', async (code) => {
    const engine = open()
    const site = await endpoint(status(code, { location: 'http://127.0.0.1:1/' }, 'no such task'))
    await put(engine, site.url)
    const { id } = await begin(engine)
    const step = await untilStatus(engine, id, 'failed')
    expect(step.attempt).toBe(1)
    expect(step.error).toMatchObject({ code: `http_${code}`, retryable: false })
    expect((step.error as { message: string }).message).toContain(': no such task')
    expect(site.steps()).toHaveLength(1)
  })

  it.each([
    ['http_500', status(500, {}, 'x'.repeat(10_000))],
    ['http_503', status(503)],
    ['http_408', status(408)],
    ['http_425', status(425)],
    ['http_429', status(429)],
    ['bad_answer', status(204)],
    ['bad_answer', status(200)],
    ['bad_answer', status(200, {}, '{"kind": ')],
    ['bad_answer', status(201, {}, '{"kind": "complete"}')],
    ['bad_answer', status(200, {}, `{"kind": "complete", "result": "${'x'.repeat(70_000)}"}`)],
    ['protocol', status(200, { 'content-encoding': 'gzip' }, 'x')],
  ])('%s is an error that is tried again', async (code, answering) => {
    const engine = open()
    const site = await endpoint(answering)
    await put(engine, site.url)
    const { id } = await begin(engine, { retry: { max_attempts: 2, base_ms: 100 } })
    await until('it was tried twice', () => site.steps().length === 2)
    const step = await untilStatus(engine, id, 'failed')
    expect(step).toMatchObject({ attempt: 2, error: { code, retryable: true } })
    expect((step.error as { message: string }).message.length).toBeLessThan(300)
    expect(site.steps().map(({ headers }) => headers['webhook-id'])).toEqual([`${id}-1`, `${id}-2`])
  })

  it('answers with what no database takes are shown without it', async () => {
    const engine = open()
    const site = await endpoint(status(400, {}, `a\0b \u{1f600}${'\u{1f600}'.repeat(500)}`))
    await put(engine, site.url)
    const step = await untilStatus(engine, (await begin(engine)).id, 'failed')
    expect((step.error as { message: string }).message).toMatch(/: a b \u{1f600}{190,196}$/u)
  })

  it('an outcome that is refused fails its attempt with the refusal', async () => {
    const engine = open({ limits: { state_bytes: 1_024, labels: 32, open_steps: 10 } })
    const site = await endpoint(
      outcome({ kind: 'complete', state_patch: { x: 'y'.repeat(2_000) } }),
    )
    await put(engine, site.url)
    const step = await untilStatus(engine, (await begin(engine)).id, 'failed')
    expect(step).toMatchObject({
      attempt: 1,
      error: { code: 'limit_exceeded', retryable: false },
    })
  })

  it('an error outcome has its own pause, and counts', async () => {
    const engine = open()
    const site = await endpoint(
      outcome({ kind: 'error', message: 'later', retryable: true, retry_after: 3_000 }),
    )
    await put(engine, site.url)
    const { id } = await begin(engine)
    await until('it failed once', async () => (await read(engine, id)).error !== null)
    expect(await read(engine, id)).toMatchObject({ status: 'pending', attempt: 1 })
    expect(codeOf((await attemptsOf(engine, id))[0]?.error)).toBeUndefined()
  })
})

describe('endpoints that do not answer', () => {
  const once = { retry: { max_attempts: 1 } }

  it('hang: timeout', async () => {
    const engine = open()
    const site = await endpoint(silence)
    await put(engine, site.url, { timeout_ms: 1_000 })
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('timeout')
  })

  it('hang after the head of the answer: timeout', async () => {
    const engine = open()
    const site = await endpoint((_, response) => {
      response.writeHead(200, { 'content-type': 'application/json' }).write('{"kind":')
    })
    await put(engine, site.url, { timeout_ms: 1_000 })
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('timeout')
  })

  it('are not waited for longer than the attempt may take', async () => {
    const engine = open()
    const site = await endpoint(silence)
    await put(engine, site.url, { timeout_ms: 60_000 })
    const { id } = await begin(engine, { ...once, timeouts: { start_to_close: 500 } })
    const step = await untilStatus(engine, id, 'failed')
    expect(['timeout', 'start_to_close']).toContain(codeOf(step.error))
  })

  it('break off: reset', async () => {
    const engine = open()
    const site = await endpoint((_, response) => {
      response.writeHead(200, { 'content-length': '1000' }).write('{"kind":')
      setImmediate(() => response.destroy())
    })
    await put(engine, site.url)
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('reset')
  })

  it('did the work and lost the answer: they can tell that it is the same step', async () => {
    const engine = open()
    const site = await endpoint((_, response) => response.destroy())
    await put(engine, site.url)
    const { id, flow_id } = await begin(engine)
    await until('it was sent', () => site.steps().length === 1)
    site.answer(outcome({ kind: 'succeed', result: 1 }))
    await untilStatus(engine, id, 'succeeded')
    const seen = site
      .steps()
      .map(({ headers, body }) => [body.step.id, headers['taskflow-attempt']])
    expect(seen).toEqual([
      [id, '1'],
      [id, '2'],
    ])
    const { items } = await engine.events.list(caller, flow_id, {}, { limit: 50 })
    expect(items.filter(({ kind }) => kind === 'step_settled')).toHaveLength(1)
  })

  it('never stop: what is read has a limit', async () => {
    const engine = open()
    let sent = 0
    const chunk = Buffer.alloc(65_536, 32)
    const site = await endpoint((_, response) => {
      response.writeHead(200)
      const more = () => {
        while (!response.destroyed && response.write(chunk)) sent += chunk.length
      }
      response.on('drain', more)
      more()
    })
    await put(engine, site.url)
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('bad_answer')
    expect(sent).toBeLessThan(20_000_000)
  })

  it('have a certificate that nobody trusts: tls', async () => {
    const engine = open()
    const { port } = await tlsReceiver(selfSigned('localhost'), (_, response) => {
      response.end()
    })
    await put(engine, `https://localhost:${port}/`)
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('tls')
  })

  it('are not there: connect', async () => {
    const engine = open()
    await put(engine, 'http://127.0.0.1:1/')
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('connect')
  })

  it('speak no HTTP: protocol', async () => {
    const engine = open()
    const { port } = await rawReceiver((socket) => {
      socket.end('hello\r\n\r\n')
    })
    await put(engine, `http://127.0.0.1:${port}/`)
    const step = await untilStatus(engine, (await begin(engine, once)).id, 'failed')
    expect(codeOf(step.error)).toBe('protocol')
  })
})

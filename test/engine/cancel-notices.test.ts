// Endpoints are told when the flow of a step that they run is to end: at least once, over restarts.

import { Webhook } from 'standardwebhooks'
import { describe, expect, it } from 'vitest'
import { caller, type TestEngine, until } from '../support/engine.ts'
import { endpoint, outcome, silence, status } from '../support/push.ts'
import { begin, controller_id, put, read, untilStatus, usePushes } from '../support/pushes.ts'

const { open, close } = usePushes()

const requestCancel = (engine: TestEngine, flowId: string, reason?: string) =>
  engine.flows.change(caller, flowId, {
    type: 'request_cancel',
    ...(reason !== undefined && { reason }),
  })

/** A step that runs at an endpoint which will say later what became of it. */
async function running(engine: TestEngine, site: Awaited<ReturnType<typeof endpoint>>) {
  const before = site.steps().length
  const step = await begin(engine)
  await until('it was sent', () => site.steps().length > before)
  await until('it was handed over', async () => (await read(engine, step.id)).lease_ms === 60_000)
  const token = site.steps()[before]?.body.step.lease_token ?? ''
  return { ...step, token }
}

describe('a notice of a cancel', () => {
  it('is sent once, signed, with what it is about', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    const { secret } = await put(engine, site.url)
    const { id, flow_id, run_id, token } = await running(engine, site)
    await requestCancel(engine, flow_id, 'withdrawn')
    await until('it was told', () => site.cancels().length === 1)
    const [told] = site.cancels()
    const { headers, text, body } = told as NonNullable<typeof told>
    expect(headers['webhook-id']).toBe(`${id}-1-cancel`)
    expect(new Webhook(secret ?? '').verify(text, headers as Record<string, string>)).toEqual({
      type: 'step.cancel_requested',
      timestamp: expect.any(String),
      data: { flow_id, step_id: id, run_id, reason: 'withdrawn' },
    })
    expect(body.type).toBe('step.cancel_requested')
    // What it still reports does not count, as with every worker.
    const reply = await engine.steps.settle(caller, id, token, { kind: 'complete', result: 1 })
    expect(reply.discarded).toBe(true)
    expect((await engine.flows.get(caller, flow_id)).status).toBe('cancelled')
    // Another one's notice comes after all that might still be told of the first.
    const second = await running(engine, site)
    await requestCancel(engine, second.flow_id)
    await until('the second was told', () => site.cancels().length >= 2)
    expect(site.cancels().map((one) => one.body.data.step_id)).toEqual([id, second.id])
  })

  it('is sent for a flow that was ended by force', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    await put(engine, site.url)
    const { id, flow_id } = await running(engine, site)
    await engine.flows.change(caller, flow_id, { type: 'cancel' })
    await until('it was told', () => site.cancels().length === 1)
    expect(site.cancels()[0]?.body.data).toMatchObject({ step_id: id, reason: null })
  })

  it('survives a restart', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    site.answerCancels(status(503))
    await put(engine, site.url)
    const { id, flow_id } = await running(engine, site)
    await requestCancel(engine, flow_id)
    await until('it was refused', () => site.cancels().length > 0)
    await close(engine)
    const before = site.cancels().length
    site.answerCancels(status(204))
    const other = open()
    await until('it was told', () => site.cancels().length > before)
    expect(new Set(site.cancels().map(({ headers }) => headers['webhook-id']))).toEqual(
      new Set([`${id}-1-cancel`]),
    )
    expect((await read(other, id)).status).toBe('running')
  })

  it('is sent again until it is taken, and holds up no other endpoint', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    const other = await endpoint(status(202))
    site.answerCancels(silence)
    await put(engine, site.url)
    const stuck = await running(engine, site)
    await requestCancel(engine, stuck.flow_id)
    await until('it is being told', () => site.cancels().length === 1)
    await put(engine, other.url, { id: 'other' })
    const step = await begin(engine, {}, 'other')
    await until('it was sent', () => other.steps().length === 1)
    await requestCancel(engine, step.flow_id)
    await until('the other was told', () => other.cancels().length === 1)
    expect(site.cancels()).toHaveLength(1)
  })

  it('is not sent to workers who pull, nor for a step that has ended', async () => {
    const engine = open()
    const site = await endpoint(outcome({ kind: 'complete' }))
    await put(engine, site.url, { tasks: ['pushed'] })
    const pulled = await begin(engine)
    const lookUp = { worker_id: 'w', max: 1, lease: 30_000, wait: 0 }
    await engine.queue.claim(caller, lookUp, new AbortController().signal)
    await requestCancel(engine, pulled.flow_id)
    const ended = await begin(engine, { task: 'pushed' })
    await untilStatus(engine, ended.id, 'succeeded')
    await requestCancel(engine, ended.flow_id)
    // One that is told comes after those that are not.
    site.answer(status(202))
    const told = await begin(engine, { task: 'pushed' })
    await until('it was sent', () => site.steps().length === 2)
    await requestCancel(engine, told.flow_id)
    await until('it was told', () => site.cancels().length > 0)
    expect(site.cancels().map(({ body }) => body.data.step_id)).toEqual([told.id])
    expect(controller_id).toBe(told.controller_id)
  })
})

// Pushed steps on the real wire: what is sent is what a claim answers, and outcomes are judged like a worker's.

import { Webhook } from 'standardwebhooks'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createOutbound } from '../../src/engine/outbound.ts'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { endpoint, outcome, status } from '../support/push.ts'

let api: Api
const outbound = createOutbound({ allowPrivate: true })
beforeAll(async () => {
  api = await startApi({ outbound })
})
afterAll(async () => {
  await api.close()
  await outbound.close()
})

let ids = 0
/** A controller that no other test knows. */
const fresh = () => `c-${++ids}`
const put = (id: string, body: object) => api.call('PUT', `/controllers/${id}`, body)

async function begin(controller_id: string, step: object = {}) {
  const { body } = await api.call('POST', '/flows', {
    controller_id,
    goal: 'triage inbox',
    owner_session_key: 'o',
    requester_origin: 'r',
    labels: { tier: 'gold' },
    state: { messages: 10 },
    steps: [{ task: 'classify', run_id: 'r-1', ...step }],
  })
  return body.id as string
}

const stepOf = async (flowId: string, runId = 'r-1') =>
  (await api.call('GET', `/flows/${flowId}/steps/${runId}`)).body

describe('a pushed step', () => {
  it('is sent as it is claimed, and its outcome is read as a worker’s', async () => {
    const id = fresh()
    const site = await endpoint(
      outcome({
        kind: 'continue',
        task: 'reply',
        run_id: 'r-2',
        delay: 'PT1H',
        retry: { max_attempts: 9 },
        state_patch: { spam: 3 },
        result: [1],
      }),
    )
    const { body: made } = await put(id, { url: site.url })
    const flowId = await begin(id, { input: { n: 1 } })
    await until('it is settled', async () => (await stepOf(flowId)).status === 'succeeded')
    const [pushed] = site.steps()
    const { text, headers } = pushed as NonNullable<typeof pushed>
    const body = new Webhook(made.secret).verify(text, headers as Record<string, string>)
    expect(body).toEqual({
      type: 'step',
      step: {
        ...(await stepOf(flowId)),
        status: 'running',
        result: null,
        updated_at: expect.any(String),
        lease_until: expect.any(String),
        lease_token: expect.stringMatching(/^[0-9a-f]{64}$/),
      },
      flow: {
        id: flowId,
        controller_id: id,
        goal: 'triage inbox',
        state: { messages: 10 },
        labels: { tier: 'gold' },
      },
    })
    expect(await stepOf(flowId, 'r-2')).toMatchObject({
      task: 'reply',
      status: 'pending',
      max_attempts: 9,
    })
    const { body: flow } = await api.call('GET', `/flows/${flowId}`)
    expect(flow).toMatchObject({ current_step: 'reply', state: { messages: 10, spam: 3 } })
  })

  it('waits, and goes on with what ended the wait', async () => {
    const id = fresh()
    const site = await endpoint(
      outcome({
        kind: 'wait',
        wait: { kind: 'manual', signal: 'approved' },
        then: { task: 'reply', run_id: 'r-2' },
      }),
    )
    await put(id, { url: site.url })
    const flowId = await begin(id)
    await until(
      'it waits',
      async () => (await api.call('GET', `/flows/${flowId}`)).body.status === 'waiting',
    )
    site.answer(outcome({ kind: 'succeed' }))
    await api.call('POST', `/flows/${flowId}/signals/approved`, { payload: { by: 'ada' } })
    await until(
      'it is finished',
      async () => (await api.call('GET', `/flows/${flowId}`)).body.status === 'finished',
    )
    expect(site.steps()[1]?.body.step).toMatchObject({ run_id: 'r-2', signal: { by: 'ada' } })
  })

  it.each([
    ['{"kind": "completes"}', 'kind'],
    ['{"kind": "complete", "resutl": 1}', 'resutl'],
    ['{"kind": "error"}', 'message'],
    ['{"kind": "error", "message": "x", "retry_after": "soon"}', 'retry_after'],
    ['[]', 'object'],
    ['{"kind": "complete"', 'column 20'],
    ['{"kind": "wait", "wait": {"kind": "manual", "link": true}}', '/wait/link'],
    ['{"kind": "wait", "wait": {"kind": "timer"}}', '/wait'],
    ['{"kind": "complete", "result": "\\u0000"}', ''],
  ])('is not settled by %s, and says what is wrong', async (text, word) => {
    const id = fresh()
    const site = await endpoint(status(200, {}, text))
    await put(id, { url: site.url, on_dead: 'park' })
    const flowId = await begin(id, { retry: { max_attempts: 1 } })
    await until('it is dead', async () => (await stepOf(flowId)).status === 'failed')
    const { error } = await stepOf(flowId)
    expect(error).toMatchObject({ code: 'bad_answer', retryable: true })
    expect(error.message).toContain(word)
  })

  it('can be settled later over HTTP', async () => {
    const id = fresh()
    const site = await endpoint(status(202))
    await put(id, { url: site.url })
    await begin(id)
    await until('it was sent', () => site.steps().length === 1)
    const { id: stepId, lease_token } = site.steps()[0]?.body.step ?? { id: '', lease_token: '' }
    const beat = await api.call('POST', `/steps/${stepId}/heartbeat`, { lease_token, progress: 1 })
    expect(beat.status).toBe(200)
    const { status: code, body } = await api.call('POST', `/steps/${stepId}/outcome`, {
      lease_token,
      outcome: { kind: 'succeed' },
    })
    expect([code, body.flow.status]).toEqual([200, 'finished'])
  })
})

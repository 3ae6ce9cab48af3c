// What workers report over HTTP: each outcome, reports that come late, twice or to the wrong flow, and several at once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { stepApi } from '../support/step-api.ts'

const absent = '00000000-0000-7000-8000-000000000000'
const error = { kind: 'error', message: 'the mail server answered 503' }

let api: Api
beforeAll(async () => {
  api = await startApi({ publicUrl: 'https://tasks.example', steps: { bytes: 1_000 } })
})
afterAll(() => api?.close())

const { send, post, read, flow, enqueue, claim, take, report, events, untilStatus } = stepApi(
  () => api,
)
/** A flow with a step that was claimed. */
const working = async (over: object = {}, flowOver: object = {}) => {
  const of = await flow(flowOver)
  await enqueue(of, over)
  return { of, step: await take(of) }
}
const kindsOf = async (of: { id: string; controller_id: string }) =>
  (await events(of)).map(({ kind }) => kind).slice(2)
const stateOf = async (of: { id: string }) => (await read(`/flows/${of.id}`)).state

describe('outcomes', () => {
  it('continue: the flow goes on with another step', async () => {
    const { of, step } = await working({ run_id: 'one' }, { state: { a: 1, b: 1 } })
    const answer = await report(step, {
      kind: 'continue',
      task: 'reply',
      run_id: 'two',
      input: { to: 'ada' },
      priority: 5,
      retry: { max_attempts: 7 },
      on_dead: 'park',
      result: { spam: 3 },
      state_patch: { b: 2 },
    })
    expect(answer).toMatchObject({
      status: 200,
      body: {
        step: { id: step.id, status: 'succeeded', result: { spam: 3 }, attempt: 1 },
        flow: { id: of.id, status: 'running', current_step: 'reply', state: { a: 1, b: 2 } },
        discarded: false,
        repeated: false,
        items: [],
      },
    })
    expect(answer.headers['etag']).toBe(`"${answer.body.flow.revision}"`)
    expect(answer.text).not.toContain('lease_token')
    expect(await take(of)).toMatchObject({
      run_id: 'two',
      task: 'reply',
      input: { to: 'ada' },
      priority: 5,
      max_attempts: 7,
      on_dead: 'park',
    })
    expect(await kindsOf(of)).toEqual(['step_enqueued', 'step_settled', 'step_enqueued'])
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([
      { attempt: 1, worker_id: 'w', outcome: 'succeeded', error: null },
    ])
  })

  it('continue with a delay: not before', async () => {
    const { of, step } = await working()
    await report(step, { kind: 'continue', task: 'again', delay: 'PT0.3S' })
    expect(await claim(of)).toEqual([])
    const next = await take(of)
    expect(Date.parse(next.run_at) - Date.parse(next.created_at)).toBe(300)
  })

  it('wait, then: what ends the wait is given to the next step', async () => {
    const { of, step } = await working()
    const wait = { kind: 'manual', signal: 'approved' }
    const then = { task: 'reply', run_id: 'after', input: 1 }
    const answer = await report(step, { kind: 'wait', wait, then, state_patch: { asked: true } })
    expect(answer.body.flow).toMatchObject({
      status: 'waiting',
      wait: { ...wait, next: { run_id: 'after', task: 'reply' } },
      state: { asked: true },
    })
    expect(answer.body.flow.wait).not.toHaveProperty('link')
    await send('POST', `/flows/${of.id}/signals/approved`, { payload: { by: 'ada' } })
    expect(await take(of)).toMatchObject({
      run_id: 'after',
      input: 1,
      signal: { by: 'ada' },
      flow: { state: { asked: true, resume_event: { by: 'ada' } } },
    })
    expect((await read(`/flows/${of.id}`)).current_step).toBe('reply')
  })

  it('wait, then: a timer gives the next step nothing', async () => {
    const { of, step } = await working()
    const outcome = { kind: 'wait', wait: { kind: 'timer', after: 'PT0.1S' }, then: { task: 'go' } }
    await report(step, outcome)
    expect(await take(of)).toMatchObject({ task: 'go', signal: null })
  })

  it('wait: a signal that came before ends it in the same answer', async () => {
    const { of, step } = await working()
    const event = { topic: 'settled', correlation_id: `early-${of.id}` }
    await send('POST', '/signals', { ...event, payload: 42 })
    const wait = { kind: 'external_event', ...event }
    const answer = await report(step, { kind: 'wait', wait, then: { task: 'ship' } })
    expect(answer.body.flow).toMatchObject({ status: 'running', wait: null })
    expect(await take(of)).toMatchObject({ task: 'ship', signal: 42 })
  })

  it('wait without a step to follow: its controller decides', async () => {
    const { of, step } = await working()
    await report(step, { kind: 'wait', wait: { kind: 'manual' } })
    await send('POST', `/flows/${of.id}/resume`)
    expect(await claim(of)).toEqual([])
    expect((await read(`/flows/${of.id}`)).status).toBe('running')
  })

  it('wait with a link: shown once, and it works', async () => {
    const { of, step } = await working()
    const outcome = { kind: 'wait', wait: { kind: 'manual', link: true }, then: { task: 'go' } }
    const headers = { 'idempotency-key': 'link once' }
    const body = { lease_token: step.lease_token, outcome }
    const first = await post(`/steps/${step.id}/outcome`, body, headers)
    const { link } = first.body.flow.wait
    expect(link).toMatch(/^https:\/\/tasks\.example\/r\/[\w-]{44}$/)
    const replayed = await post(`/steps/${step.id}/outcome`, body, headers)
    expect(replayed.headers['idempotency-replayed']).toBe('true')
    expect(replayed.text).not.toContain('/r/')
    expect((await report(step, outcome)).text).not.toContain('/r/')
    expect((await post(link.slice('https://tasks.example'.length), { ok: true })).status).toBe(200)
    expect(await take(of)).toMatchObject({ task: 'go', signal: { ok: true } })
  })

  it.each([
    [{ kind: 'succeed', result: 1, state_patch: { b: 2 } }, 'finished', { b: 2 }],
    [
      { kind: 'fail', reason: 'no mailbox' },
      'failed',
      { failure: { reason: 'no mailbox', at: expect.any(String) } },
    ],
    [{ kind: 'cancel', reason: 'withdrawn' }, 'cancelled', {}],
    [{ kind: 'complete', result: 'x' }, 'running', {}],
  ])('%j leaves the flow %s', async (outcome, status, state) => {
    const { of, step } = await working()
    const { body } = await report(step, outcome)
    expect(body.flow).toMatchObject({ status, state })
    expect(body.flow).toEqual(await read(`/flows/${of.id}`))
    expect(body.step).toMatchObject({
      status: outcome.kind === 'cancel' ? 'cancelled' : 'succeeded',
      result: 'result' in outcome ? outcome.result : null,
    })
  })

  it('succeed, fail and cancel are taken while the flow waits; a second wait is not', async () => {
    for (const outcome of [
      { kind: 'succeed' },
      { kind: 'fail', reason: 'x' },
      { kind: 'cancel' },
    ] as const) {
      const of = await flow()
      await enqueue(of, { run_id: 'a' })
      await enqueue(of, { run_id: 'b' })
      const [a, b] = await claim(of, { max: 2 })
      const wait = { kind: 'wait', wait: { kind: 'timer', after: 'PT1H' } }
      await report(a, wait)
      const conflict = await report(b, wait)
      expect(conflict).toMatchObject({
        status: 409,
        body: {
          code: 'wait_conflict',
          flow_id: of.id,
          next_actions: [{ method: 'GET', href: `/flows/${of.id}` }],
        },
      })
      // Its lease is as it was.
      expect((await report(b, outcome)).body.discarded).toBe(false)
      const ends = { succeed: 'finished', fail: 'failed', cancel: 'cancelled' }
      expect(await read(`/flows/${of.id}`)).toMatchObject({
        status: ends[outcome.kind],
        wait: null,
      })
    }
  })
})

describe('errors', () => {
  it('are tried again after a pause, and then the step is dead and its flow fails', async () => {
    const { of, step } = await working({ retry: { max_attempts: 2, base: 'PT0S' } })
    const details = { response: 'busy' }
    const first = await report(step, { ...error, code: 'mail_down', details })
    expect(first.body).toMatchObject({
      step: {
        status: 'pending',
        attempt: 1,
        error: { message: error.message, code: 'mail_down', details, retryable: true },
      },
      flow: { status: 'running', revision: 2 },
    })
    const second = await take(of)
    expect(second).toMatchObject({ attempt: 2, error: { code: 'mail_down' } })
    const last = await report(second, { ...error, state_patch: { tried: 2 } })
    expect(last.body).toMatchObject({
      step: { status: 'failed', attempt: 2 },
      flow: { status: 'failed', state: { tried: 2, failure: { reason: expect.any(String) } } },
    })
    expect(last.body.flow.state.failure.reason).toContain(error.message)
    expect((await kindsOf(of)).slice(-2)).toEqual(['step_dead', 'failed'])
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([
      { attempt: 1, outcome: 'error', error: { code: 'mail_down', details } },
      { attempt: 2, outcome: 'error' },
    ])
  })

  it.each([
    ['not retryable', { retryable: false }, {}],
    ['of a code that is final', { code: 'spam' }, { retry: { non_retryable: ['spam'] } }],
  ])('that are %s end the step at once', async (_, over, step) => {
    const { step: claimed } = await working(step)
    const { body } = await report(claimed, { ...error, ...over })
    expect(body).toMatchObject({ step: { status: 'failed' }, flow: { status: 'failed' } })
  })

  it('leave a flow alone whose step is parked', async () => {
    const { step } = await working({ on_dead: 'park' })
    const { body } = await report(step, { ...error, retryable: false })
    expect(body).toMatchObject({ step: { status: 'failed' }, flow: { status: 'running' } })
  })

  it('rest for as long as the worker asks, an hour at most', async () => {
    const { of, step } = await working()
    const asked = await report(step, { ...error, retry_after: 'PT0.2S' })
    const { run_at, updated_at } = asked.body.step
    expect(Date.parse(run_at) - Date.parse(updated_at)).toBe(200)
    const long = await report(await take(of), { ...error, retry_after: 'P2D' })
    const pause = Date.parse(long.body.step.run_at) - Date.parse(long.body.step.updated_at)
    expect(pause).toBe(3_600_000)
  })

  it('have their message cut, not refused', async () => {
    const { step } = await working()
    const { body } = await report(step, { ...error, message: 'x'.repeat(10_000) })
    expect(body.step.error.message).toHaveLength(4_096)
  })
})

describe('reports', () => {
  it('are answered as before when they are repeated, whatever came since', async () => {
    const { of, step } = await working()
    const outcome = { kind: 'continue', task: 'next', result: { a: 1, b: 2 } }
    await report(step, outcome)
    const next = await take(of)
    await report(next, { kind: 'succeed' })
    // The order of members does not count.
    const again = await report(step, { result: { b: 2, a: 1 }, kind: 'continue', task: 'next' })
    expect(again).toMatchObject({
      status: 200,
      body: { repeated: true, discarded: false, step: { status: 'succeeded' } },
    })
    expect(again.body.flow.status).toBe('finished')
    expect((await read(`/flows/${of.id}/steps`)).items).toHaveLength(2)
    const other = await report(step, { ...outcome, task: 'other' })
    expect(other).toMatchObject({
      status: 409,
      body: { code: 'lease_lost', step_id: step.id, attempt: 1 },
    })
    expect(other.body).not.toHaveProperty('next_actions')
  })

  it('of an error are repeated, too', async () => {
    const { step } = await working({ retry: { base: 'PT1H', cap: 'PT1H' } })
    await report(step, error)
    expect((await report(step, error)).body).toMatchObject({
      repeated: true,
      step: { status: 'pending', attempt: 1 },
    })
  })

  it('count under a lease that ran out, as long as nobody else has the step', async () => {
    const of = await flow()
    await enqueue(of, { retry: { base: 'PT1H', cap: 'PT1H' } })
    const step = await take(of, { lease: 'PT1S' })
    await untilStatus(step, 'pending')
    expect((await report(step, { kind: 'complete', result: 'late' })).body).toMatchObject({
      discarded: false,
      step: { status: 'succeeded', result: 'late', attempt: 1 },
    })
    expect(await claim(of)).toEqual([])
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([{ outcome: 'lease_expired' }])
  })

  it('are refused once somebody else has the step', async () => {
    const of = await flow()
    await enqueue(of, { retry: { base: 'PT0S' } })
    const step = await take(of, { lease: 'PT1S' })
    const again = await take(of)
    expect(again.id).toBe(step.id)
    expect((await report(step, { kind: 'succeed' })).body).toMatchObject({
      code: 'lease_lost',
      attempt: 2,
    })
    expect((await report(again, { kind: 'succeed' })).status).toBe(200)
  })

  it('are taken on a flow that has ended, and do not count', async () => {
    const { of, step } = await working()
    await send('POST', `/flows/${of.id}/finish`)
    const { revision } = await read(`/flows/${of.id}`)
    const late = await report(step, { kind: 'fail', reason: 'x', state_patch: { a: 1 } })
    expect(late).toMatchObject({
      status: 200,
      body: { discarded: true, flow: { status: 'finished', revision, state: {} } },
    })
  })

  it('with a token of nobody, or of another step, are refused', async () => {
    const one = await working()
    const other = await working()
    const outcome = { kind: 'complete' }
    for (const lease_token of ['mine', 'ab'.repeat(32), other.step.lease_token]) {
      const refused = await report({ ...one.step, lease_token }, outcome)
      expect(refused).toMatchObject({
        status: 409,
        body: { code: 'lease_lost', step_id: one.step.id },
      })
    }
    for (const id of [absent, 'nobody']) {
      expect(await report({ ...one.step, id }, outcome)).toMatchObject({
        status: 404,
        body: { resource: 'step' },
      })
    }
  })

  it('cannot name a run for the next step that is there, or is to come', async () => {
    const { of, step } = await working({ run_id: 'one' })
    await enqueue(of, { run_id: 'two' })
    for (const outcome of [
      { kind: 'continue', task: 'x', run_id: 'one' },
      { kind: 'wait', wait: { kind: 'manual' }, then: { task: 'x', run_id: 'two' } },
    ]) {
      expect((await report(step, outcome)).body).toMatchObject({
        code: 'step_conflict',
        next_actions: [{ rel: 'step' }, { rel: 'steps' }],
      })
    }
    const then = { task: 'x', run_id: 'three' }
    await report(step, { kind: 'wait', wait: { kind: 'manual' }, then })
    const path = `/flows/${of.id}/steps`
    const conflict = { status: 409, body: { code: 'wait_conflict' } }
    expect(await post(path, { task: 'y', run_id: 'three' })).toMatchObject(conflict)
    const seen = { task: 'y', status: 'running' }
    expect(await api.call('PUT', `${path}/three`, seen)).toMatchObject(conflict)
    const two = await take(of)
    const same = { kind: 'continue', task: 'y', run_id: 'three' }
    expect(await report(two, same)).toMatchObject(conflict)
    await send('POST', `/flows/${of.id}/resume`)
    expect(await take(of)).toMatchObject({ run_id: 'three', task: 'x' })
  })

  it('of several steps may go on with one run, which is begun once', async () => {
    const { of, step } = await working()
    await enqueue(of, { run_id: 'other' })
    const other = await take(of)
    const join = { kind: 'continue', task: 'join', run_id: 'join' }
    await report(step, join)
    const last = await report(other, join)
    expect(last).toMatchObject({ status: 200, body: { flow: { status: 'running' } } })
    expect(await take(of)).toMatchObject({ run_id: 'join', task: 'join' })
    const { items } = await read(`/flows/${of.id}/steps`)
    expect(
      items.map((one: { task: string }) => one.task).filter((task: string) => task === 'join'),
    ).toHaveLength(1)
  })

  it('depend on the revision that is named, and are kept under a key', async () => {
    const { step } = await working()
    const body = { lease_token: step.lease_token, outcome: { kind: 'complete' } }
    const path = `/steps/${step.id}/outcome`
    expect((await post(path, body, { 'if-match': '"1"' })).body.code).toBe('revision_mismatch')
    const headers = { 'idempotency-key': 'report once' }
    const first = await post(path, body, headers)
    const again = await post(path, body, headers)
    expect(again.body).toEqual(first.body)
    expect(again.headers['idempotency-replayed']).toBe('true')
  })

  it('do not outgrow the state', async () => {
    const { step } = await working()
    const state_patch = { large: 'x'.repeat(262_144) }
    const refused = await report(step, { kind: 'complete', state_patch })
    expect(refused.body).toMatchObject({ code: 'limit_exceeded', limit: 'state_bytes' })
    expect((await report(step, { kind: 'complete' })).status).toBe(200)
  })

  it.each([
    [{ kind: 'done' }, '/outcome/kind', 'unknown_kind'],
    [{}, '/outcome/kind', 'required'],
    [{ kind: 'continue' }, '/outcome/task', 'required'],
    [{ kind: 'continue', task: 'a', dely: 'PT1S' }, '/outcome/dely', 'unknown_member'],
    [{ kind: 'continue', task: 'a', delay: '1h' }, '/outcome/delay', 'format'],
    [{ kind: 'continue', task: 'a', delay: 'P3000000D' }, '/outcome/delay', 'out_of_range'],
    [
      { kind: 'continue', task: 'a', retry: { base: 'P2D' } },
      '/outcome/retry/base',
      'out_of_range',
    ],
    [{ kind: 'complete', reason: 'x' }, '/outcome/reason', 'unknown_member'],
    [{ kind: 'fail' }, '/outcome/reason', 'required'],
    [{ kind: 'error' }, '/outcome/message', 'required'],
    [{ kind: 'error', message: 'x', retry_after: '5' }, '/outcome/retry_after', 'format'],
    [{ kind: 'complete', state_patch: [] }, '/outcome/state_patch', 'wrong_type'],
    [{ kind: 'wait' }, '/outcome/wait', 'required'],
    [{ kind: 'wait', wait: { kind: 'timer' } }, '/outcome/wait/at', 'required'],
    [
      { kind: 'wait', wait: { kind: 'timer', after: 'P3000000D' } },
      '/outcome/wait/after',
      'out_of_range',
    ],
    [
      { kind: 'wait', wait: { kind: 'manual', link: { ttl: 'PT0S' } } },
      '/outcome/wait/link/ttl',
      'out_of_range',
    ],
    [
      { kind: 'wait', wait: { kind: 'any', of: [{ kind: 'timer' }] } },
      '/outcome/wait/of/0/at',
      'required',
    ],
    [
      { kind: 'wait', wait: { kind: 'manual', on_timeout: 'fail' } },
      '/outcome/wait/on_timeout',
      'not_applicable',
    ],
    [
      { kind: 'wait', wait: { kind: 'manual' }, then: { task: 'a', delay: '-' } },
      '/outcome/then/delay',
      'format',
    ],
  ])('refuse %j', async (outcome, pointer, code) => {
    const { step } = await working()
    const refused = await report(step, outcome)
    expect(refused.status).toBe(400)
    expect(refused.body.errors[0]).toMatchObject({ pointer, code })
    expect((await report(step, { kind: 'complete' })).body.repeated).toBe(false)
  })

  it('refuse results and details that are too large', async () => {
    const { step } = await working()
    const large = 'x'.repeat(1_000)
    for (const outcome of [
      { kind: 'complete', result: large },
      { ...error, details: large },
      { kind: 'continue', task: 'a', input: large },
      { kind: 'wait', wait: { kind: 'manual' }, then: { task: 'a', input: large } },
    ]) {
      expect((await report(step, outcome)).body).toMatchObject({ limit: 'step_bytes' })
    }
  })
})

describe('claim_next', () => {
  it('gives more of the same with the answer, to the same worker for as long', async () => {
    const of = await flow()
    await enqueue(of, { task: 'a' })
    await enqueue(of, { task: 'b' })
    await enqueue(of, { task: 'a' })
    const [first] = await claim(of, { tasks: ['a'], worker_id: 'w9', lease: 'PT7S' })
    const { body } = await report(first, { kind: 'complete' }, { claim_next: true })
    expect(body.items).toMatchObject([{ task: 'a', worker_id: 'w9', status: 'running' }])
    const [next] = body.items
    expect(Date.parse(next.lease_until) - Date.parse(next.updated_at)).toBe(7_000)
    const last = await report(next, { kind: 'complete' }, { claim_next: true })
    expect(last.body.items).toEqual([])
    const wider = { controllers: [of.controller_id], worker_id: 'w10', max: 5 }
    const repeated = await report(next, { kind: 'complete' }, { claim_next: wider })
    expect(repeated.body).toMatchObject({
      repeated: true,
      items: [{ task: 'b', worker_id: 'w10' }],
    })
  })

  it('gives the step that the report itself has made', async () => {
    const { step } = await working()
    const outcome = { kind: 'continue', task: 'classify' }
    const { body } = await report(step, outcome, { claim_next: true })
    expect(body.items).toMatchObject([{ task: 'classify', flow: { id: step.flow_id } }])
  })

  it('knows the worker of a step that is to be tried again', async () => {
    const { step } = await working({ retry: { base: 'PT0S' } })
    const again = { ...error, retry_after: 'PT0S' }
    const { body } = await report(step, again, { claim_next: true })
    expect(body.items).toMatchObject([{ id: step.id, attempt: 2, worker_id: 'w' }])
  })

  it('waits for what is to come', async () => {
    const { of, step } = await working()
    const answer = report(step, { kind: 'complete' }, { claim_next: { wait: 'PT30S' } })
    await untilStatus(step, 'succeeded')
    await enqueue(of)
    expect((await answer).body.items).toMatchObject([{ task: 'classify' }])
  })

  it('is judged before the report is taken, and nothing is claimed after a refusal', async () => {
    const { of, step } = await working()
    await enqueue(of)
    const wrong = await report(step, { kind: 'complete' }, { claim_next: { wait: 'PT2M' } })
    expect(wrong.body.errors[0]).toMatchObject({ pointer: '/claim_next/wait' })
    const lost = { ...step, lease_token: 'ab'.repeat(32) }
    expect((await report(lost, { kind: 'complete' }, { claim_next: true })).status).toBe(409)
    expect(await claim(of, { max: 10 })).toHaveLength(1)
    const typo = await report(step, { kind: 'complete' }, { claim_next: { maximum: 2 } })
    expect(typo.body.errors[0]).toMatchObject({ pointer: '/claim_next/maximum' })
    const none = await report(step, { kind: 'complete' }, { claim_next: false })
    expect(none.body.items).toEqual([])
  })
})

describe('POST /steps/outcomes', () => {
  it('settles several, each for itself, and claims the next', async () => {
    const of = await flow()
    for (const run_id of ['a', 'b', 'c', 'd', 'e', 'f']) await enqueue(of, { run_id })
    const [a, b, c, d] = await claim(of, { max: 4 })
    const item = ({ id, lease_token }: { id: string; lease_token: string }, outcome: object) => ({
      step_id: id,
      lease_token,
      outcome,
    })
    const wait = { kind: 'wait', wait: { kind: 'timer', after: 'PT1H' } }
    const items = [
      item(a, { kind: 'complete', state_patch: { n: 1 } }),
      item({ ...b, lease_token: 'ab'.repeat(32) }, { kind: 'complete' }),
      item(b, { kind: 'complete', state_patch: { n: 2 } }),
      item(c, wait),
      item(d, wait),
      item(a, { kind: 'complete', state_patch: { n: 1 } }),
      item({ ...a, id: absent }, { kind: 'complete' }),
      item(d, { kind: 'continue', task: 'x', delay: 'P3000000D' }),
    ]
    const { body, status } = await post('/steps/outcomes', { items, claim_next: { max: 10 } })
    expect(status).toBe(200)
    const ok = { ok: true, discarded: false, repeated: false }
    const refused = (code: string, status: number) => ({
      ok: false,
      problem: { code, status, detail: expect.any(String) },
    })
    expect(body.results).toMatchObject([
      { step_id: a.id, ...ok },
      { step_id: b.id, ...refused('lease_lost', 409) },
      { step_id: b.id, ...ok },
      { step_id: c.id, ...ok },
      { step_id: d.id, ...refused('wait_conflict', 409) },
      { step_id: a.id, ok: true, repeated: true },
      { step_id: absent, ...refused('not_found', 404) },
      { step_id: d.id, ...refused('invalid_request', 400) },
    ])
    expect(body.items.map(({ run_id }: { run_id: string }) => run_id).sort()).toEqual(['e', 'f'])
    expect(await stateOf(of)).toEqual({ n: 2 })
    expect((await read(`/flows/${of.id}`)).status).toBe('waiting')
    expect((await report(d, { kind: 'succeed' })).status).toBe(200)
  })

  it('claims nothing when nothing was settled', async () => {
    const of = await flow()
    await enqueue(of)
    const items = [{ step_id: absent, lease_token: 'x', outcome: { kind: 'complete' } }]
    const { body } = await post('/steps/outcomes', { items, claim_next: true })
    expect(body.items).toEqual([])
    expect(await claim(of)).toHaveLength(1)
  })

  it('is refused as a whole when it cannot be read', async () => {
    const { step } = await working()
    const good = { step_id: step.id, lease_token: step.lease_token, outcome: { kind: 'complete' } }
    for (const [items, pointer] of [
      [[], '/items'],
      [[good, { ...good, outcome: { kind: 'compete' } }], '/items/1/outcome/kind'],
      [[{ ...good, step_id: 'x' }], '/items/0/step_id'],
      [Array.from({ length: 101 }, () => good), '/items'],
    ] as const) {
      const { status, body } = await post('/steps/outcomes', { items })
      expect(status).toBe(400)
      expect(body.errors[0].pointer).toBe(pointer)
    }
    expect((await read(`/steps/${step.id}`)).status).toBe('running')
  })
})

it('settles a hundred steps of many flows at once', async () => {
  const flows = await Promise.all(Array.from({ length: 25 }, () => flow()))
  const controllers = flows.map(({ controller_id }) => controller_id)
  for (let round = 0; round < 4; round++) await Promise.all(flows.map((of) => enqueue(of)))
  const steps = await claim({ id: '', controller_id: '' }, { controllers, max: 100 })
  expect(steps).toHaveLength(100)
  const items = steps.map(({ id, lease_token }) => ({
    step_id: id,
    lease_token,
    outcome: { kind: 'complete' },
  }))
  const { results } = await send('POST', '/steps/outcomes', { items })
  expect(results.filter(({ ok }: { ok: boolean }) => ok)).toHaveLength(100)
})

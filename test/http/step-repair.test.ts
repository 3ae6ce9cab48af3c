// What operators do about steps over HTTP: find the dead ones, run them anew, settle them, reopen their flows.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { caller } from '../support/engine.ts'
import { stepApi } from '../support/step-api.ts'

const absent = '00000000-0000-7000-8000-000000000000'

let api: Api
beforeAll(async () => {
  api = await startApi({ steps: { bytes: 1_000 } })
})
afterAll(() => api?.close())

const { send, post, read, flow, enqueue, claim, take, report, dead, events } = stepApi(() => api)
const runsOf = ({ items }: { items: { run_id: string }[] }) => items.map(({ run_id }) => run_id)
/** A flow that has failed because its step died. */
const failed = async (over: object = {}) => {
  const of = await flow(over)
  await enqueue(of, { run_id: 'dies' })
  await enqueue(of, { run_id: 'goes along', delay: 'PT1H' })
  const step = await take(of)
  await report(step, { kind: 'error', message: 'no such mailbox', retryable: false })
  expect((await read(`/flows/${of.id}`)).status).toBe('failed')
  return { of, step }
}

describe('GET /steps', () => {
  it('lists steps of all flows, newest first, by status, task, controller and flow', async () => {
    const one = await flow()
    const other = await flow()
    for (const run_id of ['a', 'b', 'c']) await enqueue(one, { run_id, task: 'list-me' })
    await enqueue(other, { run_id: 'd', task: 'list-me' })
    await send('PUT', `/flows/${other.id}/steps/e`, { task: 'seen', status: 'failed' })
    const [a] = await claim(one)
    await report(a, { kind: 'error', message: 'x' })
    const list = async (query: string) => runsOf(await read(`/steps?${query}`))
    expect(await list('task=list-me')).toEqual(['d', 'c', 'b', 'a'])
    expect(await list(`controller_id=${encodeURIComponent(one.controller_id)}`)).toEqual([
      'c',
      'b',
      'a',
    ])
    expect(await list(`flow_id=${other.id}`)).toEqual(['e', 'd'])
    expect(await list(`flow_id=${other.id}&status=failed`)).toEqual(['e'])
    expect(await list(`task=list-me&status=failed&status=succeeded`)).toEqual([])
    expect(await list(`flow_id=${absent}`)).toEqual([])
    const first = await read('/steps?task=list-me&limit=3')
    expect(runsOf(first)).toEqual(['d', 'c', 'b'])
    expect(await list(`task=list-me&limit=3&cursor=${first.next_cursor}`)).toEqual(['a'])
    const moved = await api.call('GET', `/steps?task=seen&cursor=${first.next_cursor}`)
    expect(moved).toMatchObject({ status: 400, body: { code: 'cursor_mismatch' } })
    expect(JSON.stringify(await read('/steps'))).not.toContain('lease_token')
  })

  it.each([
    ['status=dead', '?status'],
    ['flow_id=x', '?flow_id'],
    ['limit=0', '?limit'],
    ['tsk=a', '?tsk'],
  ])('refuses ?%s', async (query, pointer) => {
    const { status, body } = await api.call('GET', `/steps?${query}`)
    expect(status).toBe(400)
    expect(body.errors[0].pointer).toMatch(pointer)
  })
})

describe('GET /steps/{step_id}', () => {
  it('tells of a step that is not there', async () => {
    for (const id of [absent, 'nobody']) {
      const answer = await api.call('GET', `/steps/${id}`)
      expect(answer).toMatchObject({ status: 404, body: { resource: 'step' } })
    }
  })
})

describe('POST /steps/{step_id}/retry', () => {
  it('runs a dead step from the start', async () => {
    const { flow: of, step } = await dead()
    const retried = await post(`/steps/${step.id}/retry`)
    expect(retried).toMatchObject({
      status: 200,
      body: { id: step.id, status: 'pending', attempt: 0, error: { message: 'no such mailbox' } },
    })
    const { revision } = await read(`/flows/${of.id}`)
    expect(retried.headers['etag']).toBe(`"${revision}"`)
    expect((await events(of)).at(-1)).toMatchObject({
      kind: 'step_enqueued',
      payload: { step_id: step.id, retried: true },
    })
    expect(await take(of)).toMatchObject({ id: step.id, attempt: 1 })
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([{ outcome: 'error' }])
  })

  it('shortens the rest between two attempts', async () => {
    const of = await flow()
    await enqueue(of)
    const step = await take(of)
    await report(step, { kind: 'error', message: 'busy', retry_after: 'PT1H' })
    expect(await claim(of)).toEqual([])
    expect((await post(`/steps/${step.id}/retry`)).body).toMatchObject({ attempt: 1 })
    expect(await take(of)).toMatchObject({ id: step.id, attempt: 2 })
  })

  it('is once, under a key', async () => {
    const { step } = await dead()
    const headers = { 'idempotency-key': 'retry once' }
    const first = await post(`/steps/${step.id}/retry`, {}, headers)
    const again = await post(`/steps/${step.id}/retry`, {}, headers)
    expect(again.body).toEqual(first.body)
    expect(again.headers['idempotency-replayed']).toBe('true')
    const stale = { 'if-match': '"0"' }
    expect((await post(`/steps/${step.id}/retry`, {}, stale)).body.code).toBe('revision_mismatch')
  })

  it('refuses a step that is not dead, and says where to look', async () => {
    const of = await flow()
    const fresh = await enqueue(of)
    const conflict = { status: 409, body: { code: 'step_conflict', step_id: fresh.id } }
    expect(await post(`/steps/${fresh.id}/retry`)).toMatchObject(conflict)
    await take(of)
    const refused = await post(`/steps/${fresh.id}/retry`)
    expect(refused).toMatchObject({ ...conflict, body: { step_status: 'running' } })
    const [action] = refused.body.next_actions
    expect(action).toMatchObject({ rel: 'step', method: 'GET', href: `/steps/${fresh.id}` })
    expect((await read(action.href)).id).toBe(fresh.id)
    const seen = await send('PUT', `/flows/${of.id}/steps/s`, { task: 'a', status: 'failed' })
    expect(await post(`/steps/${seen.id}/retry`)).toMatchObject({ status: 409 })
  })

  it('refuses that of a flow which has failed, and names the way back', async () => {
    const { of, step } = await failed()
    for (const verb of ['retry', 'skip']) {
      const refused = await post(`/steps/${step.id}/${verb}`)
      expect(refused).toMatchObject({
        status: 409,
        body: { code: 'already_terminal', flow_id: of.id, flow_status: 'failed' },
      })
      expect(refused.body.next_actions.map(({ rel }: { rel: string }) => rel)).toEqual([
        'reopen',
        'flow',
        'events',
      ])
    }
    const [reopen] = (await post(`/steps/${step.id}/retry`)).body.next_actions
    expect((await post(reopen.href, reopen.body)).body.status).toBe('running')
    expect(await take(of)).toMatchObject({ id: step.id })
  })

  it('refuses that of a flow which has ended otherwise, or is to', async () => {
    const ended = await dead()
    await send('POST', `/flows/${ended.flow.id}/finish`)
    const over = await post(`/steps/${ended.step.id}/retry`)
    expect(over.body.code).toBe('already_terminal')
    expect(over.body.next_actions[0].rel).toBe('flow')
    const ending = await dead()
    await send('POST', `/flows/${ending.flow.id}/request-cancel`)
    expect((await post(`/steps/${ending.step.id}/retry`)).body.code).toBe('cancel_pending')
    for (const id of [absent, 'nobody']) expect((await post(`/steps/${id}/retry`)).status).toBe(404)
  })
})

describe('POST /steps/{step_id}/skip and /result', () => {
  it('settle a dead step', async () => {
    const { flow: of, step } = await dead()
    const skipped = await post(`/steps/${step.id}/skip`, { reason: 'answered by hand' })
    expect(skipped).toMatchObject({ status: 200, body: { status: 'succeeded', result: null } })
    expect((await events(of)).at(-1)).toMatchObject({
      kind: 'step_settled',
      payload: { outcome: 'skipped', by: 'operator', reason: 'answered by hand' },
    })
    expect((await read(`/steps/${step.id}`)).attempts).toMatchObject([{ outcome: 'error' }])
    const other = await dead()
    const resolved = await post(`/steps/${other.step.id}/result`, { result: { spam: 0 } })
    expect(resolved.body).toMatchObject({ status: 'succeeded', result: { spam: 0 } })
    expect(resolved.headers['etag']).toBe(`"${(await read(`/flows/${other.flow.id}`)).revision}"`)
  })

  it('settle a pending step, so that nobody runs it', async () => {
    const of = await flow()
    const { id } = await enqueue(of)
    expect((await post(`/steps/${id}/result`, { result: null })).body.result).toBeNull()
    expect(await claim(of)).toEqual([])
    const next = await flow()
    await enqueue(next)
    const step = await take(next)
    for (const verb of ['skip', 'result']) {
      const refused = await post(`/steps/${step.id}/${verb}`, verb === 'skip' ? {} : { result: 1 })
      expect(refused).toMatchObject({ status: 409, body: { step_status: 'running' } })
    }
  })

  it('refuse what is no result', async () => {
    const { step } = await dead()
    const path = `/steps/${step.id}/result`
    expect((await post(path)).body.errors[0]).toMatchObject({ pointer: '/result' })
    expect((await post(path, { result: 'x'.repeat(1_000) })).body.limit).toBe('step_bytes')
    expect((await post(`/steps/${step.id}/skip`, { result: 1 })).body.errors[0]).toMatchObject({
      pointer: '/result',
      code: 'unknown_member',
    })
    expect((await post(`/steps/${absent}/skip`)).status).toBe(404)
  })
})

describe('POST /flows/{flow_id}/reopen', () => {
  it('takes a failure back, and the flow goes on with the step', async () => {
    const { of, step } = await failed({ state: { kept: 1 } })
    const before = await read(`/flows/${of.id}`)
    expect(before.state).toHaveProperty('failure')
    const reopened = await post(`/flows/${of.id}/reopen`, { step_id: step.id })
    expect(reopened).toMatchObject({
      status: 200,
      headers: { etag: `"${before.revision + 2}"` },
      body: { status: 'running', closed_at: null, state: { kept: 1 } },
    })
    expect(reopened.body.state).not.toHaveProperty('failure')
    expect((await events(of)).slice(-2)).toMatchObject([
      { kind: 'reopened', payload: { step_id: step.id } },
      { kind: 'step_enqueued', payload: { retried: true } },
    ])
    const again = await take(of)
    expect(again).toMatchObject({ id: step.id, attempt: 1 })
    expect((await report(again, { kind: 'succeed' })).body.flow.status).toBe('finished')
  })

  it('goes on with a step that was cancelled along with the flow', async () => {
    const { of } = await failed()
    const { id } = (await read(`/flows/${of.id}/steps/goes%20along`)) as { id: string }
    expect((await post(`/flows/${of.id}/reopen`, { step_id: id })).status).toBe(200)
    expect(await take(of)).toMatchObject({ run_id: 'goes along' })
  })

  it('gives a key back only when nobody else has it', async () => {
    const key = 'reopened-order'
    const { of, step } = await failed({ key })
    const holder = await flow({ key })
    const refused = await post(`/flows/${of.id}/reopen`, { step_id: step.id })
    expect(refused).toMatchObject({
      status: 409,
      body: { code: 'key_conflict', flow_id: holder.id, key },
    })
    expect((await read(`/flows/${of.id}`)).status).toBe('failed')
    await send('POST', `/flows/${holder.id}/finish`)
    expect((await post(`/flows/${of.id}/reopen`, { step_id: step.id })).status).toBe(200)
    expect((await post('/flows', { ...body, key })).body).toMatchObject({ code: 'key_conflict' })
  })
  const body = { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' }

  it('begins without the steps that still ran when the flow failed', async () => {
    const of = await flow()
    for (const run_id of ['fails', 'runs on', 'waits']) await enqueue(of, { run_id })
    const [fails, runsOn] = await claim(of, { max: 2 })
    await report(fails, { kind: 'fail', reason: 'x' })
    const waits = (await read(`/flows/${of.id}/steps/waits`)) as { id: string; status: string }
    expect(waits.status).toBe('cancelled')
    expect((await post(`/flows/${of.id}/reopen`, { step_id: waits.id })).status).toBe(200)
    // Its worker was told to stop: what it reports is not for the flow that goes on.
    expect((await report(runsOn, { kind: 'cancel' })).body).toMatchObject({
      discarded: true,
      step: { status: 'cancelled' },
      flow: { status: 'running' },
    })
    expect((await report(await take(of), { kind: 'complete' })).body.flow.status).toBe('running')
    await send('POST', `/flows/${of.id}/finish`)
  })

  it('is not undone by the failure that it takes back, in one transaction with it', async () => {
    const of = await flow()
    await enqueue(of, { run_id: 'dies' })
    await enqueue(of, { run_id: 'goes along', delay: 'PT1H' })
    const { id, lease_token } = await take(of)
    const { steps } = api.engine
    const error = { kind: 'error', message: 'x', retryable: false } as const
    const [, reopened] = await Promise.all([
      steps.settle(caller, id, lease_token, error),
      steps.reopen(caller, of.id, id),
    ])
    expect(reopened.flow.status).toBe('running')
    expect((await read(`/steps/${id}`)).status).toBe('pending')
    expect((await take(of)).id).toBe(id)
  })

  it('refuses all but failed flows, and steps that are not theirs', async () => {
    const { of, step } = await failed()
    const other = await dead()
    const reopen = (flowId: string, step_id: string) => post(`/flows/${flowId}/reopen`, { step_id })
    expect(await reopen(other.flow.id, other.step.id)).toMatchObject({
      status: 409,
      body: { code: 'illegal_transition', from: 'running' },
    })
    expect(await reopen(of.id, other.step.id)).toMatchObject({ status: 404 })
    expect(await reopen(of.id, absent)).toMatchObject({ status: 404 })
    expect(await reopen(absent, step.id)).toMatchObject({ status: 404 })
    expect((await reopen(of.id, 'x')).body.errors[0]).toMatchObject({ pointer: '/step_id' })
    await send('POST', `/flows/${other.flow.id}/finish`)
    expect((await reopen(other.flow.id, other.step.id)).body.code).toBe('already_terminal')
    const done = await flow()
    await enqueue(done, { run_id: 'done' })
    await enqueue(done, { run_id: 'fails' })
    const [first, second] = await claim(done, { max: 2 })
    await report(first, { kind: 'complete' })
    await report(second, { kind: 'fail', reason: 'x' })
    expect(await reopen(done.id, first.id)).toMatchObject({
      status: 409,
      body: { code: 'step_conflict', step_status: 'succeeded' },
    })
  })
})

// Memos over HTTP: values that survive the attempts of a step.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { stepApi } from '../support/step-api.ts'

const absent = '00000000-0000-7000-8000-000000000000'

let api: Api
beforeAll(async () => {
  api = await startApi({ steps: { bytes: 1_000, memos: 3 } })
})
afterAll(() => api?.close())

const { send, read, flow } = stepApi(() => api)
const put = (of: { id: string }, key: string, value: unknown, headers?: Record<string, string>) =>
  api.call('PUT', `/flows/${of.id}/memo/${key}`, { value }, headers)
const onlyNew = { 'if-none-match': '*' }

describe('PUT /flows/{flow_id}/memo/{key}', () => {
  it('records a value and replaces it, without a revision', async () => {
    const of = await flow()
    const made = await put(of, 'a%2Fb', { charge: 'ch_1' })
    expect(made).toMatchObject({
      status: 201,
      headers: { location: `/flows/${of.id}/memo/a%2Fb` },
      body: { flow_id: of.id, key: 'a/b', value: { charge: 'ch_1' } },
    })
    expect(made.headers['etag']).toBeUndefined()
    expect(await read(`/flows/${of.id}/memo/a%2Fb`)).toEqual(made.body)
    const replaced = await put(of, 'a%2Fb', null)
    expect(replaced).toMatchObject({ status: 200, body: { value: null } })
    expect(replaced.body.created_at).toBe(made.body.created_at)
    expect(replaced.headers['location']).toBeUndefined()
    expect((await read(`/flows/${of.id}`)).revision).toBe(1)
  })

  it.each([[null], [0], [''], ['null'], [[]], [{ b: 1, a: { __proto__x: [1e300] } }], [false]])(
    'gives %j back as it came',
    async (value) => {
      const of = await flow()
      await put(of, 'k', value)
      expect((await read(`/flows/${of.id}/memo/k`)).value).toEqual(value)
    },
  )

  it('keeps what is there with If-None-Match: *, under any race', async () => {
    const of = await flow()
    const answers = await Promise.all(
      Array.from({ length: 10 }, (_, n) => put(of, 'once', n, onlyNew)),
    )
    const made = answers.filter(({ status }) => status === 201)
    expect(made).toHaveLength(1)
    const [first] = made
    expect((await read(`/flows/${of.id}/memo/once`)).value).toBe(first?.body.value)
    const refused = answers.find(({ status }) => status !== 201)
    expect(refused).toMatchObject({
      status: 412,
      body: {
        code: 'precondition_failed',
        flow_id: of.id,
        next_actions: [{ rel: 'memo', method: 'GET', href: `/flows/${of.id}/memo/once` }],
      },
    })
    expect(await put(of, 'once', 'later')).toMatchObject({ status: 200 })
  })

  it('answers a repeat with the same key as the first, also when it had to be new', async () => {
    const of = await flow()
    const headers = { ...onlyNew, 'idempotency-key': 'memo once' }
    const first = await put(of, 'k', 1, headers)
    const again = await put(of, 'k', 1, headers)
    expect(again).toMatchObject({ status: 201, body: first.body })
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect((await put(of, 'k', 2, headers)).body.code).toBe('idempotency_mismatch')
    // Keys belong to their flow.
    expect((await put(await flow(), 'k', 3, headers)).status).toBe(201)
  })

  it('refuses what is too large or too many', async () => {
    const of = await flow()
    expect((await put(of, 'k', 'x'.repeat(1_000))).body).toMatchObject({
      code: 'limit_exceeded',
      limit: 'memo_bytes',
      maximum: 1_000,
    })
    for (const key of ['a', 'b', 'c']) expect((await put(of, key, 1)).status).toBe(201)
    expect((await put(of, 'd', 1)).body).toMatchObject({ limit: 'memos', maximum: 3 })
    expect((await put(of, 'c', 2)).status).toBe(200)
  })

  it('refuses other conditions, unknown members, and no value', async () => {
    const of = await flow()
    const pointer = async (...call: Parameters<typeof put>) =>
      (await put(...call)).body.errors[0].pointer
    expect(await pointer(of, 'k', 1, { 'if-none-match': '"1"' })).toBe('if-none-match')
    expect(await pointer(of, 'k', 1, { 'if-match': '"1"' })).toBe('if-match')
    const path = `/flows/${of.id}/memo/k`
    expect((await api.call('PUT', path, {})).body.errors[0].pointer).toBe('/value')
    expect((await api.call('PUT', path, { value: 1, ttl: 1 })).body.errors[0].pointer).toBe('/ttl')
    expect((await put(of, 'x'.repeat(256), 1)).status).toBe(400)
    expect((await api.call('GET', path)).status).toBe(404)
  })

  it('records nothing for a flow that has ended, or is not there', async () => {
    const of = await flow()
    await put(of, 'k', 1)
    await send('POST', `/flows/${of.id}/finish`)
    expect(await put(of, 'k', 2)).toMatchObject({
      status: 409,
      body: { code: 'already_terminal', flow_status: 'finished' },
    })
    expect((await read(`/flows/${of.id}/memo/k`)).value).toBe(1)
    for (const id of [absent, 'nobody']) {
      expect(await put({ id }, 'k', 1)).toMatchObject({ status: 404, body: { resource: 'flow' } })
    }
  })
})

describe('GET /flows/{flow_id}/memo/{key}', () => {
  it('tells of what was not recorded', async () => {
    const of = await flow()
    expect(await api.call('GET', `/flows/${of.id}/memo/k`)).toMatchObject({
      status: 404,
      body: { resource: 'memo', id: 'k' },
    })
    expect((await api.call('GET', `/flows/${absent}/memo/k`)).body.resource).toBe('flow')
  })
})

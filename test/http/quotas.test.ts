// What a namespace may have: refused past it, taken again when there is room, and each namespace by itself.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'
import { until } from '../support/service.ts'

const adminKey = 'admin-key-for-tests-0123456789'
const limits = { open_flows: 5, open_steps: 8, state_bytes: 10_000, kept_signals: 3 }

let api: Api
const keys: string[] = []
beforeAll(async () => {
  api = await startApi({ adminKey, namespaces: limits })
  for (const namespace of ['flows', 'steps', 'bytes', 'signals', 'race', 'other']) {
    const binding = { name: namespace, namespace, actions: ['*'] }
    const { body } = await call(adminKey, 'POST', '/bindings', binding)
    keys.push((await call(adminKey, 'POST', `/bindings/${body.id}/keys`, {})).body.key)
  }
})
afterAll(() => api?.close())

type Method = Parameters<Api['call']>[0]
const call = (key: string, method: Method, path: string, body?: unknown): Promise<ApiAnswer> =>
  api.call(method, path, body, { authorization: `Bearer ${key}` })
const flow = { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' }

/** Statuses of the same request, one after the other. */
async function repeat(times: number, send: () => Promise<ApiAnswer>): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i < times; i++) found.push((await send()).status)
  return found
}

describe('a namespace', () => {
  it('has so many open flows, and room again when some have ended', async () => {
    const [key = ''] = keys
    const create = () => call(key, 'POST', '/flows', { ...flow, start: true })
    expect(await repeat(6, create)).toEqual([201, 201, 201, 201, 201, 429])
    const refused = await create()
    expect(refused.body).toMatchObject({
      code: 'quota_exceeded',
      limit: 'namespace_open_flows',
      maximum: 5,
    })
    expect(refused.headers['retry-after']).toBe('5')
    const batch = await call(key, 'POST', '/flows/batch', { items: [flow] })
    expect(batch.body.results[0].problem.code).toBe('quota_exceeded')
    const { items } = (await call(key, 'GET', '/flows')).body
    expect(items).toHaveLength(5)
    await call(key, 'POST', `/flows/${items[0].id}/finish`, {})
    await until(async () => (await create()).status === 201, 8_000, 'there is room again')
    expect((await call(keys.at(-1) as string, 'POST', '/flows', flow)).status).toBe(201)
  }, 20_000)

  it('has so many open steps', async () => {
    const key = keys[1] as string
    const steps = Array.from({ length: 5 }, () => ({ task: 't' }))
    const { id } = (await call(key, 'POST', '/flows', { ...flow, steps })).body
    const add = () => call(key, 'POST', `/flows/${id}/steps`, { task: 't' })
    expect(await repeat(4, add)).toEqual([201, 201, 201, 429])
    const more = { ...flow, steps: [{ task: 't' }] }
    expect((await call(key, 'POST', '/flows', more)).body.limit).toBe('namespace_open_steps')
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(201)
  })

  it('has so much state', async () => {
    const key = keys[2] as string
    const create = () =>
      call(key, 'POST', '/flows', { ...flow, state: { text: 'x'.repeat(6_000) } })
    expect(await repeat(3, create)).toEqual([201, 429, 429])
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(201)
  })

  it('keeps so many signals, and takes what somebody waits for anyway', async () => {
    const key = keys[3] as string
    let sent = 0
    const signal = () => call(key, 'POST', '/signals', { topic: `t${++sent}`, correlation_id: 'c' })
    expect(await repeat(4, signal)).toEqual([201, 201, 201, 429])
    const { id } = (await call(key, 'POST', '/flows', { ...flow, start: true })).body
    const target = { topic: 'wanted', correlation_id: 'c' }
    await call(key, 'POST', `/flows/${id}/wait`, { kind: 'external_event', ...target })
    expect((await call(key, 'POST', '/signals', target)).body.outcome).toBe('delivered')
    const unkept = { topic: 'nobody', correlation_id: 'c', ttl: 'PT0S' }
    expect((await call(key, 'POST', '/signals', unkept)).body.outcome).toBe('unmatched')
    const start_if_absent = { ...flow, key: 'k' }
    const started = await call(key, 'POST', '/signals', { ...target, start_if_absent })
    expect(started.body.limit).toBe('namespace_kept_signals')
    // One that makes no flow is for the flow that there is.
    const own = (await call(key, 'POST', '/flows', { ...start_if_absent, start: true })).body
    await call(key, 'POST', `/flows/${own.id}/wait`, { kind: 'external_event', ...target })
    const sentTo = await call(key, 'POST', '/signals', { ...target, start_if_absent })
    expect(sentTo.body.outcome).toBe('delivered')
  })

  it('is held to it also by requests that come at once', async () => {
    const key = keys[4] as string
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => call(key, 'POST', '/flows', flow)),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(limits.open_flows)
    // What is refused for another reason takes no room.
    const key2 = keys[5] as string
    const bad = { ...flow, key: 'taken' }
    expect((await call(key2, 'POST', '/flows', bad)).status).toBe(201)
    expect(await repeat(9, () => call(key2, 'POST', '/flows', bad))).toEqual(Array(9).fill(409))
    expect((await call(key2, 'POST', '/flows', flow)).status).toBe(201)
  })
})

// What a namespace may have: refused past it, taken again when there is room, and each namespace by itself.

import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'
import { until } from '../support/service.ts'
import { openStream } from '../support/sse.ts'

const adminKey = 'admin-key-for-tests-0123456789'
const limits = { open_flows: 5, open_steps: 8, kept_signals: 3, hooks: 4, bytes: 10_000 }
const namespaces = [
  'flows',
  'steps',
  'bytes',
  'signals',
  'race',
  'hooks',
  'values',
  'streams',
  'repeats',
  'other',
]

let api: Api
let base: string
const keys: string[] = []
beforeAll(async () => {
  api = await startApi({ adminKey, namespaces: limits, quota: { perNamespace: 2 } })
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
  for (const namespace of namespaces) {
    const binding = { name: namespace, namespace, actions: ['*'] }
    const { body } = await call(adminKey, 'POST', '/bindings', binding)
    keys.push((await call(adminKey, 'POST', `/bindings/${body.id}/keys`, {})).body.key)
  }
})
afterAll(() => api?.close())

type Method = Parameters<Api['call']>[0]
const keyOf = (namespace: string) => keys[namespaces.indexOf(namespace)] as string
const call = (key: string, method: Method, path: string, body?: unknown, idempotency?: string) =>
  api.call(method, path, body, {
    authorization: `Bearer ${key}`,
    ...(idempotency !== undefined && { 'idempotency-key': idempotency }),
  })
/** A text that does not get smaller when it is stored. */
const textOf = (bytes: number) => randomBytes((bytes * 3) / 4).toString('base64')
const flow = { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' }

/** Statuses of the same request, one after the other. */
async function repeat(times: number, send: () => Promise<ApiAnswer>): Promise<number[]> {
  const found: number[] = []
  for (let i = 0; i < times; i++) found.push((await send()).status)
  return found
}

describe('a namespace', () => {
  it('has so many open flows, and room again when some have ended', async () => {
    const key = keyOf('flows')
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
    expect((await call(keyOf('other'), 'POST', '/flows', flow)).status).toBe(201)
  }, 20_000)

  it('has so many open steps', async () => {
    const key = keyOf('steps')
    const steps = Array.from({ length: 5 }, () => ({ task: 't' }))
    const { id } = (await call(key, 'POST', '/flows', { ...flow, steps })).body
    const add = () => call(key, 'POST', `/flows/${id}/steps`, { task: 't' })
    expect(await repeat(4, add)).toEqual([201, 201, 201, 429])
    const more = { ...flow, steps: [{ task: 't' }] }
    expect((await call(key, 'POST', '/flows', more)).body.limit).toBe('namespace_open_steps')
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(201)
  })

  it('answers repeats, and what is there already, also when it has all that it may have', async () => {
    const key = keyOf('repeats')
    const steps = Array.from({ length: 7 }, () => ({ task: 't' }))
    const named = { ...flow, key: 'once', on_conflict: 'use_existing', steps }
    const first = await call(key, 'POST', '/flows', named, 'first')
    const { id } = first.body
    const step = { task: 't', run_id: 'run-1' }
    const added = await call(key, 'POST', `/flows/${id}/steps`, step, 'second')
    expect([first.status, added.status]).toEqual([201, 201])
    const more = { ...step, run_id: 'run-2' }
    expect((await call(key, 'POST', `/flows/${id}/steps`, more)).status).toBe(429)
    expect((await call(key, 'POST', '/flows', { ...named, key: 'twice' })).status).toBe(429)
    const again = await call(key, 'POST', '/flows', named, 'first')
    expect([again.status, again.body]).toEqual([201, first.body])
    const addedAgain = await call(key, 'POST', `/flows/${id}/steps`, step, 'second')
    expect([addedAgain.status, addedAgain.body]).toEqual([201, added.body])
    const existing = await call(key, 'POST', '/flows', named)
    expect([existing.status, existing.body.id]).toEqual([200, id])
    const known = await call(key, 'POST', `/flows/${id}/steps`, step)
    expect([known.status, known.body.id]).toEqual([200, added.body.id])
  })

  it('has so many bytes of state, and room again when a flow has ended', async () => {
    const key = keyOf('bytes')
    const create = () => call(key, 'POST', '/flows', { ...flow, state: { text: textOf(6_000) } })
    expect(await repeat(3, create)).toEqual([201, 429, 429])
    const steps = [{ task: 't', input: textOf(6_000) }]
    const refused = await call(key, 'POST', '/flows', { ...flow, steps })
    expect(refused.body).toMatchObject({ limit: 'namespace_bytes', maximum: 10_000 })
    const { items } = (await call(key, 'GET', '/flows')).body
    expect(items).toHaveLength(1)
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(201)
    await call(key, 'POST', `/flows/${items[0].id}/cancel`, {})
    await until(async () => (await create()).status === 201, 8_000, 'there is room again')
  }, 20_000)

  it('has so many bytes of inputs, memos and kept signals, and refuses each of these', async () => {
    const key = keyOf('values')
    const { id } = (await call(key, 'POST', '/flows', { ...flow, start: true })).body
    const value = textOf(4_000)
    const step = { task: 't', input: value }
    const signal = (payload: string) => ({ topic: 't', correlation_id: 'c', payload })
    const memo = (name: string, idempotency?: string) =>
      call(key, 'PUT', `/flows/${id}/memo/${name}`, { value }, idempotency)
    expect((await call(key, 'POST', `/flows/${id}/steps`, step)).status).toBe(201)
    expect((await memo('kept', 'once')).status).toBe(201)
    const sent = await call(key, 'POST', '/signals', signal(textOf(1_000)))
    expect(sent.body.outcome).toBe('buffered')

    const refused = [
      await call(key, 'POST', `/flows/${id}/steps`, step),
      await memo('refused'),
      await call(key, 'POST', '/signals', signal(value)),
      await call(key, 'POST', '/flows', { ...flow, state: { value } }),
    ]
    for (const { status, headers, body } of refused) {
      expect(status).toBe(429)
      expect(headers['retry-after']).toBe('5')
      expect(body).toMatchObject({ code: 'quota_exceeded', limit: 'namespace_bytes' })
    }
    expect((await call(key, 'GET', `/flows/${id}/steps`)).body.items).toHaveLength(1)
    expect((await call(key, 'GET', `/flows/${id}/memo/refused`)).status).toBe(404)
    expect((await call(key, 'GET', '/signals')).body.items).toHaveLength(1)
    expect((await call(key, 'GET', '/flows')).body.items).toHaveLength(1)

    // What was written is answered again, and what somebody waits for comes in.
    expect((await memo('kept', 'once')).headers['idempotency-replayed']).toBe('true')
    const target = { topic: 'wanted', correlation_id: 'c' }
    await call(key, 'POST', `/flows/${id}/wait`, { kind: 'external_event', ...target })
    const wanted = await call(key, 'POST', '/signals', { ...target, payload: value })
    expect(wanted.body).toMatchObject({ outcome: 'delivered' })

    await call(key, 'POST', `/flows/${id}/finish`, {})
    const later = () => call(key, 'POST', '/flows', { ...flow, state: { value } })
    await until(async () => (await later()).status === 201, 8_000, 'there is room again')
  }, 25_000)

  it('has so many hooks, with those of its flows, and room again when one is gone', async () => {
    const key = keyOf('hooks')
    const hook = { url: 'https://example.com/hook' }
    const create = (more: object = {}, idempotency?: string) =>
      call(key, 'POST', '/hooks', { ...hook, ...more }, idempotency)
    const first = await create({}, 'first')
    expect(first.status).toBe(201)
    const own = { ...flow, hooks: [hook, hook] }
    const { id } = (await call(key, 'POST', '/flows', own)).body
    expect((await create({ flow_id: id })).status).toBe(201)

    const refused = [
      await create(),
      await create({ flow_id: id }),
      await call(key, 'POST', '/flows', own),
    ]
    for (const { status, headers, body } of refused) {
      expect(status).toBe(429)
      expect(headers['retry-after']).toBe('5')
      expect(body).toMatchObject({ code: 'quota_exceeded', limit: 'namespace_hooks', maximum: 4 })
    }
    expect((await call(key, 'GET', '/hooks')).body.items).toHaveLength(1)
    expect((await call(key, 'GET', `/hooks?flow_id=${id}`)).body.items).toHaveLength(3)
    expect((await call(key, 'GET', '/flows')).body.items).toHaveLength(1)
    // A repeat of what was made is no new one, and what is wrong by itself is told as that.
    expect((await create({}, 'first')).body.id).toBe(first.body.id)
    expect((await create({ flow_id: first.body.id })).status).toBe(404)

    expect((await call(key, 'DELETE', `/hooks/${first.body.id}`)).status).toBe(204)
    await until(async () => (await create()).status === 201, 8_000, 'there is room again')
    expect((await create()).status).toBe(429)
  }, 25_000)

  it('has so many streams open, whoever opens them', async () => {
    const key = keyOf('streams')
    const { items } = (await call(adminKey, 'GET', '/bindings')).body
    const { id: binding } = items.find(({ name }: { name: string }) => name === 'streams')
    const another = (await call(adminKey, 'POST', `/bindings/${binding}/keys`, {})).body.key
    const { id } = (await call(key, 'POST', '/flows', flow)).body
    const open = (bearer: string, path: string) =>
      openStream(base + path, { authorization: `Bearer ${bearer}` })
    const feed = await open(key, '/events/stream')
    const events = await open(another, `/flows/${id}/events/stream`)
    for (const path of ['/events/stream', `/flows/${id}/events/stream`]) {
      const refused = await call(another, 'GET', path)
      expect(refused.status).toBe(429)
      expect(refused.headers['retry-after']).toBe('5')
      expect(refused.body).toMatchObject({
        code: 'quota_exceeded',
        limit: 'namespace_streams',
        maximum: 2,
      })
    }
    expect(api.engine.status().streams).toBe(2)
    const elsewhere = await open(keyOf('other'), '/events/stream')
    expect(elsewhere.status).toBe(200)
    feed.cut()
    await until(() => api.engine.status().streams === 2, 5_000, 'its place is free')
    const next = await open(another, '/events/stream')
    expect(next.status).toBe(200)
    for (const stream of [events, elsewhere, next]) stream.cut()
    await until(() => api.engine.status().streams === 0, 5_000, 'all are given back')
  })

  it('keeps so many signals, and takes what somebody waits for anyway', async () => {
    const key = keyOf('signals')
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
    const key = keyOf('race')
    const answers = await Promise.all(
      Array.from({ length: 40 }, () => call(key, 'POST', '/flows', flow)),
    )
    expect(answers.filter(({ status }) => status === 201)).toHaveLength(limits.open_flows)
    // What is refused for another reason takes no room.
    const key2 = keyOf('other')
    const bad = { ...flow, key: 'taken' }
    expect((await call(key2, 'POST', '/flows', bad)).status).toBe(201)
    expect(await repeat(9, () => call(key2, 'POST', '/flows', bad))).toEqual(Array(9).fill(409))
    expect((await call(key2, 'POST', '/flows', flow)).status).toBe(201)
  })
})

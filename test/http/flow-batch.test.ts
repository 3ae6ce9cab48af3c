// Several flows created by one request: each counts for itself, and all go into few transactions.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api?.close())

const origin = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
}
const create = (items: unknown, headers?: Record<string, string>) =>
  api.call('POST', '/flows/batch', { items }, headers)
const flowsOf = async (owner: string): Promise<{ id: string; key: string | null }[]> =>
  (await api.call('GET', `/flows?owner_session_key=${owner}&sort=created_at`)).body.items

describe('POST /flows/batch', () => {
  it('creates flows as if each were sent alone, and answers in their order', async () => {
    const { status, body } = await create([
      origin,
      { ...origin, start: true, state: { n: 1 } },
      { ...origin, steps: [{ task: 'classify' }, { task: 'reply' }] },
      { ...origin, hooks: [{ url: 'https://example.com/hook', kinds: ['finished'] }] },
    ])
    expect(status).toBe(200)
    const ok = { ok: true, created: true, flow_id: expect.any(String) }
    expect(body.results).toEqual([
      { ...ok, revision: 0 },
      { ...ok, revision: 1 },
      { ...ok, revision: 3 },
      {
        ...ok,
        revision: 0,
        hooks: [
          { id: expect.any(String), url: 'https://example.com/hook', secret: expect.any(String) },
        ],
      },
    ])
    const [, second, third] = body.results
    expect((await api.call('GET', `/flows/${second.flow_id}`)).body).toMatchObject({
      ...origin,
      status: 'running',
      state: { n: 1 },
      revision: 1,
    })
    const { items } = (await api.call('GET', `/flows/${third.flow_id}/steps`)).body
    expect(items.map(({ task }: { task: string }) => task)).toEqual(['classify', 'reply'])
  })

  it('refuses some without disturbing the others, each with its own problem', async () => {
    const owner = 'agent:some'
    const mine = { ...origin, owner_session_key: owner }
    const { status, body } = await create([
      { ...mine, key: 'batch-1' },
      { ...mine, key: 'batch-1' },
      { ...mine, key: 'batch-1', on_conflict: 'use_existing' },
      { ...mine, key: 'batch-2', routing_key: 'r' },
      { ...mine, hooks: [{ url: 'http://user:pw@example.com/' }] },
      { ...mine, steps: [{ task: 'x' }], start: false },
      { ...mine, state: { big: 'x'.repeat(300_000) } },
      { ...mine, key: 'batch-3' },
    ])
    expect(status).toBe(200)
    const refused = (code: string, more: object = {}) => ({
      ok: false,
      problem: expect.objectContaining({ code, detail: expect.any(String), ...more }),
    })
    const [first] = body.results
    expect(body.results).toMatchObject([
      { ok: true, created: true, revision: 0 },
      refused('key_conflict', { status: 409, flow_id: first.flow_id }),
      { ok: true, created: false, flow_id: first.flow_id, revision: 0 },
      refused('invalid_request', {
        errors: [expect.objectContaining({ pointer: '/items/3/routing_key' })],
      }),
      refused('url_not_allowed', { status: 400 }),
      refused('invalid_request', {
        errors: [expect.objectContaining({ pointer: '/items/5/start' })],
      }),
      refused('limit_exceeded'),
      { ok: true, created: true },
    ])
    expect((await flowsOf(owner)).map(({ key }) => key).sort()).toEqual(['batch-1', 'batch-3'])
  })

  it('is refused as a whole when it cannot be read, and leaves no trace', async () => {
    const owner = 'agent:whole'
    const mine = { ...origin, owner_session_key: owner }
    for (const [items, pointer] of [
      [[], '/items'],
      [Array.from({ length: 101 }, () => mine), '/items'],
      [[mine, { ...mine, goal: 7 }], '/items/1/goal'],
      [[mine, { ...mine, gaol: 'x' }], '/items/1/gaol'],
      [{ 0: mine }, '/items'],
    ] as const) {
      const { status, body } = await create(items)
      expect(status).toBe(400)
      expect(body.errors[0].pointer).toBe(pointer)
    }
    expect((await create([mine], { 'if-match': '"1"' })).body.errors[0].pointer).toBe('if-match')
    expect(await flowsOf(owner)).toEqual([])
  })

  it('makes with the same Idempotency-Key only what was not made yet', async () => {
    const owner = 'agent:again'
    const mine = { ...origin, owner_session_key: owner }
    const items = [mine, { ...mine, key: 'again-1' }, mine]
    const blocker = (await api.call('POST', '/flows', { ...mine, key: 'again-1' })).body
    const headers = { 'idempotency-key': 'batch-again' }
    const first = await create(items, headers)
    expect(first.body.results.map(({ ok }: { ok: boolean }) => ok)).toEqual([true, false, true])
    expect(first.headers['idempotency-replayed']).toBeUndefined()
    expect((await api.call('POST', `/flows/${blocker.id}/cancel`, {})).status).toBe(200)
    const second = await create(items, headers)
    const [a, b, c] = second.body.results
    expect([a, c]).toEqual([first.body.results[0], first.body.results[2]])
    expect(b).toMatchObject({ ok: true, created: true })
    const third = await create(items, headers)
    expect(third.body).toEqual(second.body)
    expect(third.headers['idempotency-replayed']).toBe('true')
    expect(await flowsOf(owner)).toHaveLength(4)
    const other = await create([mine, mine, mine], headers)
    expect(
      other.body.results.map(({ problem }: { problem?: { code: string } }) => problem?.code),
    ).toEqual(Array.from({ length: 3 }, () => 'idempotency_mismatch'))
    // The keys of its items are nobody else's.
    expect(
      (await api.call('POST', '/flows', mine, { 'idempotency-key': 'batch-again' })).status,
    ).toBe(201)
  })

  it('goes into few transactions', async () => {
    const before = api.engine.status().committer.batches_total
    const { body } = await create(Array.from({ length: 100 }, () => origin))
    expect(body.results.every(({ ok }: { ok: boolean }) => ok)).toBe(true)
    expect(api.engine.status().committer.batches_total - before).toBeLessThan(5)
  })
})

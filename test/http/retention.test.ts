// How long flows are kept, holds, and what operators ask, over HTTP.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { openSession, type Session } from '../support/engine.ts'
import { age } from '../support/retention.ts'

let api: Api
let session: Session
beforeAll(async () => {
  api = await startApi({ loops: false })
  session = await openSession(api.databaseUrl)
})
afterAll(async () => {
  await session?.end()
  await api?.close()
})

const input = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
}
const absent = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'

async function flow(more: object = {}) {
  const { status, body } = await api.call('POST', '/flows', { ...input, start: true, ...more })
  expect(status).toBe(201)
  return body
}
const finish = (id: string) => api.call('POST', `/flows/${id}/finish`, {})
const eventsOf = async (id: string) =>
  (await api.call('GET', `/flows/${id}/events`)).body.items.map(
    ({ kind, payload }: { kind: string; payload: unknown }) => [kind, payload],
  )

describe('retain', () => {
  it('is given at creation, told by the first event, and shown in one form', async () => {
    const made = await flow({ retain: 'P2W' })
    expect(made).toMatchObject({ retain: 'P14D', hold: null })
    expect((await eventsOf(made.id))[0]).toEqual([
      'created',
      expect.objectContaining({ retain: 'P14D' }),
    ])
    expect(await flow()).toMatchObject({ retain: null })
  })

  it('is changed in every status, by an event, and a repeat changes nothing', async () => {
    const { id } = await flow()
    await finish(id)
    const first = await api.call('PATCH', `/flows/${id}`, { retain: 'P1DT1H1M1.5S' })
    expect(first).toMatchObject({ status: 200, body: { retain: 'P1DT1H1M1.5S', revision: 3 } })
    const again = await api.call('PATCH', `/flows/${id}`, { retain: 'PT90061.5S' })
    expect(again.body.revision).toBe(3)
    expect((await api.call('PATCH', `/flows/${id}`, { retain: null })).body).toMatchObject({
      retain: null,
      revision: 4,
    })
    expect((await eventsOf(id)).slice(3)).toEqual([
      ['retention_updated', { retain: 'P1DT1H1M1.5S' }],
      ['retention_updated', { retain: null }],
    ])
  })

  it('comes with labels as a revision of its own', async () => {
    const { id } = await flow()
    const both = await api.call('PATCH', `/flows/${id}`, { retain: 'P10D', labels: { a: 'b' } })
    expect(both.body).toMatchObject({ retain: 'P10D', labels: { a: 'b' }, revision: 3 })
    expect((await eventsOf(id)).map(([kind]: [string]) => kind).slice(2)).toEqual([
      'labels_updated',
      'retention_updated',
    ])
    const one = await api.call('PATCH', `/flows/${id}`, { retain: 'P11D', labels: { a: 'b' } })
    expect(one.body.revision).toBe(4)
    expect((await api.call('PATCH', `/flows/${id}`, {})).body.revision).toBe(4)
  })

  it.each([['PT1H'], ['P3651D']])('%s is out of bounds', async (retain) => {
    const problem = {
      status: 400,
      body: { code: 'limit_exceeded', limit: 'retain', errors: [{ code: 'out_of_range' }] },
    }
    expect(await api.call('POST', '/flows', { ...input, retain })).toMatchObject(problem)
    const { id } = await flow()
    expect(await api.call('PATCH', `/flows/${id}`, { retain })).toMatchObject(problem)
    const start_if_absent = { ...input, key: 'k', retain }
    const signal = { topic: 't', correlation_id: 'c', start_if_absent }
    expect(await api.call('POST', '/signals', signal)).toMatchObject(problem)
  })

  it.each([['90 days'], ['P3M'], [5]])('%j is no duration', async (retain) => {
    const answer = await api.call('POST', '/flows', { ...input, retain })
    expect(answer).toMatchObject({ status: 400, body: { code: 'invalid_request' } })
  })
})

describe('holds', () => {
  it('are put with a reason, replaced, listed and lifted, each by an event', async () => {
    const { id } = await flow()
    await finish(id)
    const path = `/flows/${id}/hold`
    const put = await api.call('PUT', path, { reason: 'case 4711' })
    expect(put).toMatchObject({
      status: 200,
      headers: { etag: '"3"' },
      body: { hold: { reason: 'case 4711', by: 'anonymous' }, revision: 3 },
    })
    expect(put.body.hold.since).toBe(put.body.updated_at)
    expect((await api.call('PUT', path, { reason: 'case 4711' })).body).toEqual(put.body)
    expect((await api.call('PUT', path, {})).body).toMatchObject({
      hold: { reason: null },
      revision: 4,
    })
    const held = async (wanted: boolean) =>
      (await api.call('GET', `/flows?held=${wanted}`)).body.items.map(
        (one: { id: string }) => one.id,
      )
    expect(await held(true)).toEqual([id])
    expect(await held(false)).not.toContain(id)
    expect((await api.call('DELETE', path)).body).toMatchObject({ hold: null, revision: 5 })
    expect((await api.call('DELETE', path)).body.revision).toBe(5)
    expect(await held(true)).toEqual([])
    expect((await eventsOf(id)).slice(3)).toEqual([
      ['retention_updated', { hold: { reason: 'case 4711' } }],
      ['retention_updated', { hold: { reason: null } }],
      ['retention_updated', { hold: null }],
    ])
  })

  it('stay over every other change', async () => {
    const { id } = await flow()
    await api.call('PUT', `/flows/${id}/hold`, { reason: 'case 1' })
    await api.call('PATCH', `/flows/${id}/state`, { patch: { a: 1 } })
    expect((await finish(id)).body.hold).toMatchObject({ reason: 'case 1' })
  })

  it('keep to If-Match and to Idempotency-Key', async () => {
    const { id } = await flow()
    const path = `/flows/${id}/hold`
    expect(await api.call('PUT', path, {}, { 'if-match': '"9"' })).toMatchObject({ status: 412 })
    const key = { 'idempotency-key': 'hold-1' }
    await api.call('PUT', path, { reason: 'x' }, key)
    const again = await api.call('PUT', path, { reason: 'x' }, key)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.body).toMatchObject({ hold: { reason: 'x' }, revision: 2 })
  })

  it('are refused for no flow, and with what is no reason', async () => {
    expect((await api.call('PUT', `/flows/${absent}/hold`, {})).status).toBe(404)
    expect((await api.call('DELETE', '/flows/nonsense/hold')).status).toBe(404)
    const { id } = await flow()
    for (const body of [{ reason: '' }, { reason: 5 }, { reason: null }, { why: 'x' }]) {
      expect((await api.call('PUT', `/flows/${id}/hold`, body)).status).toBe(400)
    }
  })
})

describe('GET /engine/storage', () => {
  it('tells what each table takes, and how the retention stands', async () => {
    const { status, body } = await api.call('GET', '/engine/storage')
    expect(status).toBe(200)
    const names = body.tables.map(({ name }: { name: string }) => name)
    expect(names).toEqual(expect.arrayContaining(['flows', 'flow_events', 'sweepers']))
    for (const { table_bytes, index_bytes } of body.tables) {
      expect(table_bytes + index_bytes).toBeLessThan(body.database_bytes)
    }
    expect(body.retention).toMatchObject({
      retention: 'P90D',
      retain_min: 'P1D',
      retain_max: 'P3650D',
      due: 0,
      capped: false,
      running: false,
      last_pass_at: null,
    })
  })
})

describe('GET /engine/retention', () => {
  it('shows what would go, now and under another retention, and deletes nothing', async () => {
    await session.query('truncate flows, flow_events cascade')
    const ids: string[] = []
    for (const [days, retain] of [
      [100, undefined],
      [50, undefined],
      [20, 'P10D'],
      [0, undefined],
    ] as const) {
      const { id } = await flow(retain === undefined ? {} : { retain })
      await finish(id)
      await age(session, [id], days)
      ids.push(id)
    }
    await flow()
    const now = (await api.call('GET', '/engine/retention')).body
    const idsOf = (body: { next: { flow_id: string }[] }) => body.next.map((one) => one.flow_id)
    expect(now).toMatchObject({ retention: 'P90D', due: 2, capped: false })
    // The first to go has been due for ten days, by either rule.
    expect(idsOf(now).slice(0, 2).sort()).toEqual([ids[0], ids[2]].sort())
    expect(idsOf(now).slice(2)).toEqual([ids[1], ids[3]])
    const first = now.next.find((one: { flow_id: string }) => one.flow_id === ids[2])
    expect(first).toMatchObject({ retain: 'P10D', status: 'finished' })
    expect(Date.parse(first.delete_after) - Date.parse(first.closed_at)).toBe(10 * 86_400_000)
    const shorter = (await api.call('GET', '/engine/retention?retention=P30D&limit=1')).body
    expect(shorter).toMatchObject({ retention: 'P30D', due: 3 })
    expect(idsOf(shorter)).toEqual([ids[0]])
    await api.call('PUT', `/flows/${ids[0]}/hold`, {})
    expect((await api.call('GET', '/engine/retention')).body.due).toBe(1)
    const { retention } = (await api.call('GET', '/engine/storage')).body
    expect(retention).toMatchObject({ due: 1, held: 1, next_deletion_at: first.delete_after })
    expect((await api.call('GET', '/flows')).body.items).toHaveLength(5)
  })

  it('refuses what is no duration', async () => {
    expect((await api.call('GET', '/engine/retention?retention=soon')).status).toBe(400)
    expect((await api.call('GET', '/engine/retention?limit=0')).status).toBe(400)
  })
})

describe('GET /engine/queues', () => {
  it('counts steps by controller and task', async () => {
    await session.query('truncate flows, flow_events cascade')
    expect((await api.call('GET', '/engine/queues')).body).toEqual({ queues: [], capped: false })
    const once = { max_attempts: 1 }
    await flow({
      steps: [
        { task: 'a', run_id: '1' },
        { task: 'a', run_id: '2', retry: once },
        { task: 'a', run_id: '3', retry: once, on_dead: 'park' },
        { task: 'b', run_id: '4', delay: 'PT1H' },
      ],
    })
    await flow({ controller_id: 'other', steps: [{ task: 'z' }] })
    const claim = { worker_id: 'w', controllers: ['kate/inbox'], max: 2 }
    const { items } = (await api.call('POST', '/steps/claim', claim)).body
    expect(items).toHaveLength(2)
    const parked = { worker_id: 'w', controllers: ['kate/inbox'], max: 1 }
    const last = (await api.call('POST', '/steps/claim', parked)).body.items[0]
    const error = { kind: 'error', message: 'no', retryable: false }
    await api.call('POST', `/steps/${last.id}/outcome`, {
      lease_token: last.lease_token,
      outcome: error,
    })
    const { body } = await api.call('GET', '/engine/queues')
    const none = { ready: 0, delayed: 0, running: 0, dead: 0 }
    expect(body.capped).toBe(false)
    expect(body.queues).toMatchObject([
      { ...none, controller_id: 'kate/inbox', task: 'a', running: 2, dead: 1, ready_since: null },
      { ...none, controller_id: 'kate/inbox', task: 'b', delayed: 1 },
      { ...none, controller_id: 'other', task: 'z', ready: 1, running_since: null },
    ])
    expect(Date.parse(body.queues[0].running_since)).toBeGreaterThan(Date.now() - 60_000)
    expect(Date.parse(body.queues[2].ready_since)).toBeGreaterThan(Date.now() - 60_000)
  })
})

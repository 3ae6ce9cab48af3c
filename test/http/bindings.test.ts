// Bindings over HTTP: keys that may do what their bindings say, and nothing else.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'

const adminKey = 'admin-key-for-tests-0123456789'
const absent = '00000000-0000-7000-8000-000000000000'

let api: Api
beforeAll(async () => {
  api = await startApi({ adminKey })
})
afterAll(() => api?.close())

type Method = Parameters<Api['call']>[0]
const as = (key: string | null) => (key === null ? {} : { authorization: `Bearer ${key}` })
const call = (
  key: string | null,
  method: Method,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<ApiAnswer> => api.call(method, path, body, { ...as(key), ...headers })
const admin = (method: Method, path: string, body?: unknown, headers?: Record<string, string>) =>
  call(adminKey, method, path, body, headers)

let named = 0
interface Made {
  id: string
  key: string
  keyId: string
}
/** A binding with a key. */
async function bind(more: object): Promise<Made> {
  const made = await admin('POST', '/bindings', { name: `b${++named}`, ...more })
  expect(made.status).toBe(201)
  const { id } = made.body
  const key = await admin('POST', `/bindings/${id}/keys`, {})
  expect(key.status).toBe(201)
  return { id, key: key.body.key, keyId: key.body.id }
}

const flow = { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' }

describe('without a valid key', () => {
  it.each([[null], ['x'], [`${adminKey}x`], [`tf_test_${'0'.repeat(32)}_${'A'.repeat(43)}`]])(
    '%s is 401, and the answer is the same',
    async (key) => {
      const { status, headers, body } = await call(key, 'GET', '/flows')
      expect(status).toBe(401)
      expect(headers['www-authenticate']).toBe('Bearer realm="taskflow"')
      expect(body).toMatchObject({
        code: 'unauthenticated',
        detail: 'Send a valid key: Authorization: Bearer tf_…',
      })
    },
  )

  it('another scheme is no key', async () => {
    const basic = { authorization: `Basic ${Buffer.from(`a:${adminKey}`).toString('base64')}` }
    expect((await api.call('GET', '/flows', undefined, basic)).status).toBe(401)
  })

  it('what is for everybody stays so', async () => {
    for (const path of ['/health/live', '/health/ready', '/openapi.json', '/problems', '/docs/']) {
      expect((await call(null, 'GET', path)).status, path).toBe(200)
    }
    expect((await call(null, 'GET', '/r/nothing')).status).toBe(404)
    expect((await call(null, 'POST', '/in/nothing', {})).status).toBe(404)
    expect((await call(null, 'GET', '/flowz')).status).toBe(404)
  })
})

describe('a key', () => {
  it('does what its binding lists and nothing else, and says what is missing', async () => {
    const { key } = await bind({ actions: ['flows:read', 'flows:write'] })
    const made = await call(key, 'POST', '/flows', flow)
    expect(made.status).toBe(201)
    expect((await call(key, 'GET', `/flows/${made.body.id}`)).status).toBe(200)
    const refused = await call(key, 'POST', `/flows/${made.body.id}/cancel`, {})
    expect(refused).toMatchObject({
      status: 403,
      body: { code: 'forbidden', action: 'flows:cancel' },
    })
    expect((await call(key, 'GET', `/flows/${made.body.id}/events`)).body.action).toBe(
      'events:read',
    )
    expect((await call(key, 'GET', '/bindings')).body.action).toBe('bindings:admin')
    expect((await admin('GET', `/flows/${made.body.id}`)).body.status).toBe('created')
  })

  it('is named in the events that it causes', async () => {
    const { id, key } = await bind({ actions: ['*'] })
    const made = await call(key, 'POST', '/flows', flow)
    const { items } = (await call(key, 'GET', `/flows/${made.body.id}/events`)).body
    const { name } = (await admin('GET', `/bindings/${id}`)).body
    expect(items[0].actor).toBe(name)
  })

  it('knows who it is', async () => {
    const { id, key, keyId } = await bind({
      actions: ['flows:read'],
      owner_session_key: 'me',
      timer_max_horizon: 'P1D',
      rate: { per_minute: 60_000 },
    })
    expect((await call(key, 'GET', '/bindings/self')).body).toMatchObject({
      binding_id: id,
      key_id: keyId,
      namespace: 'default',
      actions: ['flows:read'],
      owner_session_key: 'me',
      timer_max_horizon: 'P1D',
      rate: { per_minute: 60_000, burst: 10_000 },
    })
    expect((await admin('GET', '/bindings/self')).body).toMatchObject({
      binding_id: null,
      name: 'admin',
      actions: ['*'],
    })
  })

  it('is shown once, and is nowhere else', async () => {
    const { id } = await bind({ actions: ['flows:read'] })
    const headers = { 'idempotency-key': `once-${id}` }
    const first = await admin('POST', `/bindings/${id}/keys`, { name: 'second' }, headers)
    expect(first.body).toMatchObject({ name: 'second', minted: false, last_used_at: null })
    expect(first.body.key).toMatch(/^tf_test_[0-9a-f]{32}_[A-Za-z0-9_-]{43}$/)
    const again = await admin('POST', `/bindings/${id}/keys`, { name: 'second' }, headers)
    expect(again.body).toEqual({ ...first.body, key: null })
    expect(again.headers['idempotency-replayed']).toBe('true')
    const read = await admin('GET', `/bindings/${id}`)
    expect(read.body.keys).toHaveLength(2)
    expect(read.text).not.toContain(first.body.key.slice(-43))
    const third = await admin('POST', `/bindings/${id}/keys`, {})
    expect(third.body).toMatchObject({ code: 'limit_exceeded', maximum: 2 })
  })

  it('stops to work when it is revoked, expired, or its binding is gone', async () => {
    const { id, key, keyId } = await bind({ actions: ['flows:read'] })
    const other = (await admin('POST', `/bindings/${id}/keys`, {})).body
    expect((await call(key, 'GET', '/flows')).status).toBe(200)
    expect((await admin('DELETE', `/bindings/${id}/keys/${keyId}`)).status).toBe(204)
    expect((await call(key, 'GET', '/flows')).status).toBe(401)
    expect((await call(other.key, 'GET', '/flows')).status).toBe(200)
    await admin('PATCH', `/bindings/${id}`, { expires_at: '2020-01-01T00:00:00Z' })
    expect((await call(other.key, 'GET', '/flows')).status).toBe(401)
    await admin('PATCH', `/bindings/${id}`, { expires_at: null })
    expect((await call(other.key, 'GET', '/flows')).status).toBe(200)
    expect((await admin('DELETE', `/bindings/${id}`)).status).toBe(204)
    expect((await call(other.key, 'GET', '/flows')).status).toBe(401)
    expect((await admin('GET', `/bindings/${id}`)).status).toBe(404)
    expect((await admin('DELETE', `/bindings/${id}/keys/${absent}`)).status).toBe(404)
  })

  it('may at once what its binding is given', async () => {
    const { id, key } = await bind({ actions: ['flows:read'] })
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(403)
    await admin('PATCH', `/bindings/${id}`, { actions: ['flows:write'] })
    expect((await call(key, 'POST', '/flows', flow)).status).toBe(201)
    expect((await call(key, 'GET', '/flows')).status).toBe(403)
  })
})

describe('an owner', () => {
  it('sees and makes only its own flows', async () => {
    const mine = await bind({
      actions: ['*'],
      owner_session_key: 'agent:me',
      requester_origin: 'user-7',
    })
    const theirs = (
      await admin('POST', '/flows', {
        ...flow,
        owner_session_key: 'agent:them',
        key: 'shared',
        steps: [{ task: 't' }],
      })
    ).body
    const { owner_session_key: _, requester_origin: __, ...plain } = flow
    const made = await call(mine.key, 'POST', '/flows', plain)
    expect(made.body).toMatchObject({
      owner_session_key: 'agent:me',
      requester_origin: 'user-7',
    })
    const step = (await admin('GET', `/flows/${theirs.id}/steps`)).body.items[0]
    const unknown = await call(mine.key, 'GET', `/flows/${absent}`)
    for (const [method, path, body] of [
      ['GET', ''],
      ['GET', '/explain'],
      ['GET', '/events'],
      ['GET', '/events/stream'],
      ['GET', '/steps'],
      ['GET', `/steps/${step.run_id}`],
      ['GET', '/memo/x'],
      ['PUT', '/memo/x', { value: 1 }],
      ['PATCH', '', { labels: { a: 'b' } }],
      ['PATCH', '/state', { patch: {} }],
      ['POST', '/wait', { kind: 'manual' }],
      ['POST', '/finish', {}],
      ['POST', '/cancel', {}],
      ['POST', '/steps', { task: 'x' }],
      ['PUT', '/steps/seen', { task: 'x', status: 'running' }],
      ['POST', '/resume-external', { topic: 't', correlation_id: 'c' }],
      ['POST', '/signals/approved', {}],
      ['POST', '/reopen', { step_id: step.id }],
    ] as const) {
      const answer = await call(mine.key, method, `/flows/${theirs.id}${path}`, body)
      expect([path, answer.status]).toEqual([path, 404])
      expect(answer.body.detail).toBe(path === '/reopen' ? answer.body.detail : unknown.body.detail)
    }
    for (const [method, path, body] of [
      ['GET', ''],
      ['POST', '/retry', {}],
      ['POST', '/skip', {}],
      ['POST', '/outcome', { lease_token: 'x', outcome: { kind: 'complete' } }],
    ] as const) {
      const answer = await call(mine.key, method, `/steps/${step.id}${path}`, body)
      expect([path, answer.status]).toEqual([path, 404])
    }
    const { items } = (await call(mine.key, 'GET', '/flows')).body
    expect(items.map(({ id }: { id: string }) => id)).toEqual([made.body.id])
    expect((await call(mine.key, 'GET', '/flows?owner_session_key=agent:them')).body.items).toEqual(
      [],
    )
    expect((await call(mine.key, 'GET', '/steps')).body.items).toEqual([])
    expect((await admin('GET', `/flows/${theirs.id}`)).body.revision).toBe(theirs.revision)
  })

  it('is not told whose flow has a key', async () => {
    const mine = await bind({ actions: ['*'], owner_session_key: 'k1', requester_origin: 'u' })
    const theirs = (await admin('POST', '/flows', { ...flow, key: 'taken' })).body
    for (const on_conflict of ['fail', 'use_existing']) {
      const { status, body, text } = await call(mine.key, 'POST', '/flows', {
        controller_id: 'c',
        goal: 'g',
        key: 'taken',
        on_conflict,
      })
      expect(status).toBe(409)
      expect(body.code).toBe('key_conflict')
      expect(text).not.toContain(theirs.id)
    }
  })

  it('cannot be another, and cannot reach what is of everybody', async () => {
    const mine = await bind({ actions: ['*'], owner_session_key: 'me', requester_origin: 'u' })
    const { status, body } = await call(mine.key, 'POST', '/flows', flow)
    expect(status).toBe(403)
    expect(body.pointer).toBe('/owner_session_key')
    for (const path of ['/sources', '/hooks', '/controllers', '/bindings', '/engine']) {
      expect((await call(mine.key, 'GET', path)).status, path).toBe(403)
    }
    const claim = await call(mine.key, 'POST', '/steps/claim', { worker_id: 'w' })
    expect(claim).toMatchObject({ status: 403, body: { action: 'steps:work' } })
  })

  it('must be said by somebody', async () => {
    const { controller_id, goal } = flow
    const { status, body } = await admin('POST', '/flows', { controller_id, goal })
    expect(status).toBe(400)
    expect(body.errors[0]).toMatchObject({ pointer: '/owner_session_key', code: 'required' })
  })
})

describe('controllers', () => {
  it('hold a worker to its own steps', async () => {
    const worker = await bind({ actions: ['steps:work', 'steps:read'], controllers: ['mine'] })
    const own = { ...flow, controller_id: 'mine', steps: [{ task: 't' }] }
    const other = { ...flow, controller_id: 'theirs', steps: [{ task: 't' }] }
    await admin('POST', '/flows', other)
    await admin('POST', '/flows', own)
    const claim = await call(worker.key, 'POST', '/steps/claim', { worker_id: 'w', max: 10 })
    expect(claim.body.items).toHaveLength(1)
    const [step] = claim.body.items
    expect(step.flow.controller_id).toBe('mine')
    const beat = await call(worker.key, 'POST', `/steps/${step.id}/heartbeat`, {
      lease_token: step.lease_token,
    })
    expect(beat.status).toBe(200)
    const asked = { worker_id: 'w', controllers: ['theirs'] }
    expect((await call(worker.key, 'POST', '/steps/claim', asked)).status).toBe(403)
    const seen = (await call(worker.key, 'GET', '/steps')).body.items
    expect(seen.map(({ id }: { id: string }) => id)).toEqual([step.id])
    const foreign = (
      await admin('POST', '/steps/claim', { worker_id: 'x', controllers: ['theirs'] })
    ).body.items[0]
    for (const [path, body] of [
      ['heartbeat', { lease_token: foreign.lease_token }],
      ['release', { lease_token: foreign.lease_token }],
      ['outcome', { lease_token: foreign.lease_token, outcome: { kind: 'complete' } }],
    ] as const) {
      const answer = await call(worker.key, 'POST', `/steps/${foreign.id}/${path}`, body)
      expect([path, answer.status]).toEqual([path, 404])
    }
  })
})

describe('a horizon', () => {
  it('refuses timers past it, and says how far they may be', async () => {
    const { key } = await bind({ actions: ['*'], timer_max_horizon: 'PT12H' })
    const made = (await call(key, 'POST', '/flows', { ...flow, start: true })).body
    const wait = (body: object) => call(key, 'POST', `/flows/${made.id}/wait`, body)
    const far = new Date(Date.now() + 13 * 3_600_000).toISOString()
    for (const body of [
      { kind: 'timer', after: 'PT13H' },
      { kind: 'timer', at: far },
      { kind: 'any', of: [{ kind: 'manual' }, { kind: 'timer', at: far }] },
      { kind: 'manual', timeout: 'P1D' },
    ]) {
      const { status, body: problem } = await wait(body)
      expect(status).toBe(400)
      expect(problem).toMatchObject({ code: 'timer_horizon_exceeded', maximum_ms: 43_200_000 })
      expect(problem.detail).toContain('12 hours')
    }
    expect((await wait({ kind: 'timer', after: 'PT11H' })).status).toBe(200)
    const moved = await call(key, 'PATCH', `/flows/${made.id}/wait`, { at: far })
    expect(moved.body.code).toBe('timer_horizon_exceeded')
    const step = { task: 't', delay: 'PT13H' }
    const added = await call(key, 'POST', `/flows/${made.id}/steps`, step)
    expect(added.body.code).toBe('timer_horizon_exceeded')
    const born = await call(key, 'POST', '/flows', { ...flow, steps: [step] })
    expect(born.body.code).toBe('timer_horizon_exceeded')
  })
})

describe('a minted key', () => {
  it('may no more than the one it is from, expires, and ends with it', async () => {
    const { key, id, keyId } = await bind({
      actions: ['flows:read', 'flows:write', 'tool:*'],
      controllers: ['a', 'b'],
      timer_max_horizon: 'P1D',
    })
    const mint = (from: string, body: object) =>
      call(from, 'POST', '/bindings/self/keys', { expires_in: 'PT1H', ...body })
    for (const [body, pointer] of [
      [{ actions: ['flows:cancel'] }, '/actions'],
      [{ actions: ['*'] }, '/actions'],
      [{ controllers: ['a', 'c'] }, '/controllers'],
      [{ controllers: null }, '/controllers'],
      [{ timer_max_horizon: 'P2D' }, '/timer_max_horizon'],
      [{ timer_max_horizon: null }, '/timer_max_horizon'],
    ] as const) {
      const answer = await mint(key, body)
      expect([pointer, answer.status, answer.body.pointer]).toEqual([pointer, 403, pointer])
    }
    expect((await mint(key, { expires_in: 'P91D' })).status).toBe(400)
    const child = await mint(key, {
      actions: ['flows:read', 'tool:start'],
      owner_session_key: 'me',
      controllers: ['a'],
    })
    expect(child.body).toMatchObject({ minted: true, expires_at: expect.any(String) })
    const self = (await call(child.body.key, 'GET', '/bindings/self')).body
    expect(self).toMatchObject({
      binding_id: id,
      actions: ['flows:read', 'tool:start'],
      owner_session_key: 'me',
      controllers: ['a'],
      timer_max_horizon: 'P1D',
    })
    const wider = await mint(child.body.key, { owner_session_key: 'you' })
    expect(wider.body.pointer).toBe('/owner_session_key')
    const grandchild = await mint(child.body.key, { actions: ['flows:read'] })
    expect((await call(grandchild.body.key, 'GET', '/flows')).status).toBe(200)
    expect((await call(grandchild.body.key, 'POST', '/flows', flow)).status).toBe(403)
    // What the binding loses, its keys lose.
    await admin('PATCH', `/bindings/${id}`, { actions: ['tool:*'] })
    expect((await call(child.body.key, 'GET', '/bindings/self')).body.actions).toEqual([
      'tool:start',
    ])
    await admin('DELETE', `/bindings/${id}/keys/${keyId}`)
    for (const one of [key, child.body.key, grandchild.body.key]) {
      expect((await call(one, 'GET', '/bindings/self')).status).toBe(401)
    }
  })

  it('is of a binding', async () => {
    const answer = await admin('POST', '/bindings/self/keys', { expires_in: 'PT1H' })
    expect(answer).toMatchObject({ status: 403, body: { code: 'forbidden' } })
  })
})

describe('an administrator of bindings', () => {
  it('gives nothing that it does not have, and stays in its namespace', async () => {
    const some = await bind({
      namespace: 'team-a',
      actions: ['bindings:admin', 'flows:read'],
    })
    const make = (body: object) =>
      call(some.key, 'POST', '/bindings', { name: `c${++named}`, actions: ['flows:read'], ...body })
    expect((await make({ actions: ['*'] })).body.pointer).toBe('/actions')
    expect((await make({ namespace: 'team-b' })).body.pointer).toBe('/namespace')
    const made = await make({})
    expect(made.body.namespace).toBe('team-a')
    const elsewhere = await bind({ actions: ['flows:read'] })
    for (const [method, body] of [
      ['GET', undefined],
      ['PATCH', { actions: ['flows:read'] }],
      ['DELETE', undefined],
    ] as const) {
      const { status } = await call(some.key, method, `/bindings/${elsewhere.id}`, body)
      expect([method, status]).toEqual([method, 404])
    }
    expect((await call(some.key, 'POST', `/bindings/${elsewhere.id}/keys`, {})).status).toBe(404)
    const listed = (await call(some.key, 'GET', '/bindings')).body.items
    expect(listed.map(({ namespace }: { namespace: string }) => namespace)).toEqual([
      'team-a',
      'team-a',
    ])
    // It is narrower than this one, and must not get a key of it.
    const wide = (
      await admin('POST', '/bindings', { name: 'wide', namespace: 'team-a', actions: ['*'] })
    ).body
    expect((await call(some.key, 'POST', `/bindings/${wide.id}/keys`, {})).status).toBe(403)
    const widened = await call(some.key, 'PATCH', `/bindings/${some.id}`, { actions: ['*'] })
    expect(widened.status).toBe(403)
  })

  it('is told what is wrong with what it asks', async () => {
    const make = (body: object) => admin('POST', '/bindings', body)
    expect((await make({ name: 'twice', actions: ['*'] })).status).toBe(201)
    expect((await make({ name: 'twice', actions: ['*'] })).body.code).toBe('already_exists')
    for (const [body, pointer] of [
      [{ name: 'admin', actions: ['*'] }, '/name'],
      [{ name: 'A b', actions: ['*'] }, '/name'],
      [{ name: 'x', actions: [] }, '/actions'],
      [{ name: 'x', actions: ['flow:read'] }, '/actions/0'],
      [{ name: 'x', actions: ['*'], rate: { per_minute: 0 } }, '/rate/per_minute'],
      [{ name: 'x', actions: ['*'], timer_max_horizon: 'P1M' }, '/timer_max_horizon'],
    ] as const) {
      const answer = await make(body)
      expect([answer.status, answer.body.errors[0].pointer]).toEqual([400, pointer])
    }
  })
})

it('namespaces do not know of each other', async () => {
  const a = await bind({ namespace: 'ns-a', actions: ['*'] })
  const b = await bind({ namespace: 'ns-b', actions: ['*'] })
  const made = (await call(a.key, 'POST', '/flows', { ...flow, key: 'same' })).body
  expect(made.namespace).toBe('ns-a')
  expect((await call(b.key, 'GET', `/flows/${made.id}`)).status).toBe(404)
  expect((await call(b.key, 'POST', '/flows', { ...flow, key: 'same' })).status).toBe(201)
  expect((await call(b.key, 'GET', '/flows')).body.items).toHaveLength(1)
})

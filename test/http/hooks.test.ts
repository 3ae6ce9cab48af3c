// Hooks over HTTP: how they are made, changed, rotated and removed, and that their secrets never come back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { createReceivers } from '../support/receivers.ts'

let api: Api
const receivers = createReceivers()
beforeAll(async () => {
  api = await startApi({
    outbound: receivers.outbound,
    hooks: { rules: { allowPrivate: false }, limit: 60 },
  })
})
afterAll(() => api.close())

const url = 'https://a.example/hooks'
const secret = `whsec_${Buffer.alloc(24, 1).toString('base64')}`
const unknownId = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'
const newFlow = {
  controller_id: 'c',
  goal: 'g',
  owner_session_key: 'o',
  requester_origin: 'r',
}
const pointerOf = (body: { errors?: { pointer: string }[] }) => body.errors?.[0]?.pointer

async function made(more: object = {}) {
  const { status, body } = await api.call('POST', '/hooks', { url, ...more })
  expect(status).toBe(201)
  return body
}

describe('making a hook', () => {
  it('answers 201 with everything, and its secret once', async () => {
    const { status, headers, body } = await api.call('POST', '/hooks', { url })
    expect(status).toBe(201)
    expect(headers['location']).toBe(`/hooks/${body.id}`)
    const { secret: shown, ...hook } = body
    expect(shown).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
    expect(hook).toEqual({
      id: expect.any(String),
      url,
      kinds: null,
      controller_id: null,
      labels: null,
      flow_id: null,
      payload: 'thin',
      ordered: false,
      description: null,
      enabled: true,
      disabled_reason: null,
      disabled_at: null,
      secrets: [
        {
          fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/),
          created_at: body.created_at,
          expires_at: null,
        },
      ],
      last_success_at: null,
      created_at: expect.any(String),
      updated_at: body.created_at,
    })
    const read = await api.call('GET', `/hooks/${body.id}`)
    expect(read.body).toEqual(hook)
    expect(read.text).not.toContain('whsec_')
  })

  it('takes all that can be said', async () => {
    const flow = (await api.call('POST', '/flows', newFlow)).body
    const definition = {
      url: 'https://b.example/x?y=z',
      kinds: ['finished', 'failed'],
      controller_id: 'c',
      labels: { tier: 'gold' },
      payload: 'full',
      ordered: true,
      description: 'for the shop',
      flow_id: flow.id,
    }
    const body = await made({ ...definition, secret })
    expect(body).toMatchObject(definition)
    // Whoever gave it has it.
    expect(body.secret).toBeNull()
  })

  it.each([
    ['/url', { url: undefined }],
    ['/kinds/0', { kinds: ['ended'] }],
    ['/kinds', { kinds: [] }],
    ['/kinds', { kinds: ['failed', 'failed'] }],
    ['/labels/tier', { labels: { tier: 1 } }],
    ['/payload', { payload: 'fat' }],
    ['/ordered', { ordered: 'yes' }],
    ['/secret', { secret: 'whsec_short' }],
    ['/secret', { secret: 'no prefix' }],
    ['/enabled', { enabled: false }],
    ['/secrets', { secrets: [secret] }],
  ])('points at %s of %j', async (pointer, over) => {
    const { status, body, text } = await api.call('POST', '/hooks', { url, ...over })
    expect([status, body.code, pointerOf(body)]).toEqual([400, 'invalid_request', pointer])
    expect(text).not.toContain(secret)
  })

  it.each([
    ['http://a.example/', 'scheme'],
    ['https://127.0.0.1/', 'address'],
    ['https://[::ffff:10.0.0.1]/', 'address'],
    ['https://localhost/', 'name'],
    ['https://a.example:8443/', 'port'],
    ['https://u:p@a.example/', 'credentials'],
    ['a.example', 'malformed'],
  ])('refuses %s (%s)', async (bad, reason) => {
    const direct = await api.call('POST', '/hooks', { url: bad })
    expect(direct.status).toBe(400)
    expect(direct.body).toMatchObject({ code: 'url_not_allowed', reason })
    const id = (await made()).id
    const changed = await api.call('PATCH', `/hooks/${id}`, { url: bad })
    expect(changed.body).toMatchObject({ code: 'url_not_allowed', reason })
    const flow = await api.call('POST', '/flows', { ...newFlow, hooks: [{ url: bad }] })
    expect(flow.body).toMatchObject({ code: 'url_not_allowed', reason })
  })

  it('needs the flow that it is for', async () => {
    for (const flow_id of [unknownId, 'x', '']) {
      const { status, body } = await api.call('POST', '/hooks', { url, flow_id })
      expect([status, body.code, body.resource]).toEqual([404, 'not_found', 'flow'])
    }
  })

  it('happens once with an Idempotency-Key, whose repeat does not show the secret', async () => {
    const key = { 'idempotency-key': 'hook-once' }
    const first = await api.call('POST', '/hooks', { url }, key)
    const again = await api.call('POST', '/hooks', { url }, key)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.body).toEqual({ ...first.body, secret: null })
    const other = await api.call('POST', '/hooks', { url, ordered: true }, key)
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch'])
  })

  it('takes no If-Match', async () => {
    const { status, body } = await api.call('POST', '/hooks', { url }, { 'if-match': '"1"' })
    expect([status, pointerOf(body)]).toEqual([400, 'if-match'])
  })
})

describe('hooks that come with a flow', () => {
  const hooks = [
    { url, kinds: ['finished'] },
    { url: 'https://b.example/', secret },
  ]

  it('are answered with their secrets, once', async () => {
    const key = { 'idempotency-key': 'flow-with-hooks' }
    const { status, body } = await api.call('POST', '/flows', { ...newFlow, hooks }, key)
    expect(status).toBe(201)
    expect(body.hooks).toEqual([
      { id: expect.any(String), url, secret: expect.stringMatching(/^whsec_/) },
      { id: expect.any(String), url: 'https://b.example/', secret: null },
    ])
    const again = await api.call('POST', '/flows', { ...newFlow, hooks }, key)
    expect(again.body.hooks[0]).toEqual({ ...body.hooks[0], secret: null })
    expect((await api.call('GET', `/flows/${body.id}`)).body.hooks).toBeUndefined()
    const listed = await api.call('GET', `/hooks?flow_id=${body.id}`)
    expect(listed.body.items.map((hook: { id: string }) => hook.id).sort()).toEqual(
      body.hooks.map((hook: { id: string }) => hook.id).sort(),
    )
    expect(listed.body.items.every((hook: { flow_id: string }) => hook.flow_id === body.id)).toBe(
      true,
    )
  })

  it('are none without any, and sixteen at most', async () => {
    const { body } = await api.call('POST', '/flows', newFlow)
    expect(body).not.toHaveProperty('hooks')
    const many = Array.from({ length: 17 }, () => ({ url }))
    const refused = await api.call('POST', '/flows', { ...newFlow, hooks: many })
    expect([refused.status, pointerOf(refused.body)]).toEqual([400, '/hooks'])
    const full = await api.call('POST', '/flows', { ...newFlow, hooks: many.slice(1) })
    expect(full.status).toBe(201)
    const more = await api.call('POST', '/hooks', { url, flow_id: full.body.id })
    expect(more.status).toBe(400)
    expect(more.body).toMatchObject({ code: 'limit_exceeded', limit: 'flow_hooks', maximum: 16 })
  })

  it('point at a secret that is none', async () => {
    const { body } = await api.call('POST', '/flows', {
      ...newFlow,
      hooks: [{ url }, { url, secret: 'x' }],
    })
    expect(pointerOf(body)).toBe('/hooks/1/secret')
  })
})

describe('reading hooks', () => {
  it('lists them in pages, newest first, by flow and by state', async () => {
    const ids: string[] = []
    for (let i = 0; i < 3; i++) ids.unshift((await made()).id)
    await api.call('PATCH', `/hooks/${ids[1]}`, { enabled: false })
    const first = await api.call('GET', '/hooks?limit=2')
    expect(first.body.items.map((hook: { id: string }) => hook.id)).toEqual(ids.slice(0, 2))
    const next = await api.call('GET', `/hooks?limit=1&cursor=${first.body.next_cursor}`)
    expect(next.body.items[0].id).toBe(ids[2])
    const off = await api.call('GET', '/hooks?enabled=false')
    expect(off.body.items.map((hook: { id: string }) => hook.id)).toEqual([ids[1]])
    const mixed = await api.call('GET', `/hooks?enabled=true&cursor=${first.body.next_cursor}`)
    expect([mixed.status, mixed.body.code]).toEqual([400, 'cursor_mismatch'])
    expect((await api.call('GET', '/hooks?flow_id=x')).body.items).toEqual([])
  })

  it.each([
    ['GET', ''],
    ['PATCH', ''],
    ['DELETE', ''],
    ['POST', '/rotate-secret'],
    ['POST', '/test'],
    ['POST', '/redeliver'],
    ['GET', '/deliveries'],
  ] as const)('%s /hooks/…%s knows no unknown one', async (method, path) => {
    for (const id of [unknownId, 'x']) {
      const body = method === 'GET' || method === 'DELETE' ? undefined : {}
      const answer = await api.call(method, `/hooks/${id}${path}`, body)
      expect([answer.status, answer.body.code]).toEqual([404, 'not_found'])
    }
  })
})

describe('changing a hook', () => {
  it('changes what is named and leaves the rest', async () => {
    const { secret: _, ...hook } = await made({ labels: { a: 'b' }, kinds: ['failed'] })
    const { body } = await api.call('PATCH', `/hooks/${hook.id}`, {
      kinds: null,
      ordered: true,
      description: 'd',
      url: 'https://c.example',
    })
    expect(body).toEqual({
      ...hook,
      kinds: null,
      ordered: true,
      description: 'd',
      url: 'https://c.example/',
      updated_at: expect.any(String),
    })
    expect((await api.call('PATCH', `/hooks/${hook.id}`, {})).status).toBe(200)
    const bad = await api.call('PATCH', `/hooks/${hook.id}`, { secret })
    expect([bad.status, pointerOf(bad.body)]).toEqual([400, '/secret'])
  })

  it('disables and enables it', async () => {
    const { id } = await made()
    const off = await api.call('PATCH', `/hooks/${id}`, { enabled: false })
    expect(off.body).toMatchObject({
      enabled: false,
      disabled_reason: 'disabled by a request',
      disabled_at: expect.any(String),
    })
    const test = await api.call('POST', `/hooks/${id}/test`)
    expect([test.status, test.body.code, test.body.hook_id]).toEqual([409, 'hook_disabled', id])
    const on = await api.call('PATCH', `/hooks/${id}`, { enabled: true })
    expect(on.body).toMatchObject({ enabled: true, disabled_reason: null, disabled_at: null })
  })

  it('gives it another secret, and the old one some time', async () => {
    const { id, secrets } = await made()
    const { status, body } = await api.call('POST', `/hooks/${id}/rotate-secret`, {
      overlap: 'PT1H',
    })
    expect(status).toBe(200)
    expect(body.secret).toMatch(/^whsec_/)
    expect(body.secrets).toHaveLength(2)
    expect(body.secrets[0].expires_at).toBeNull()
    expect(body.secrets[1].fingerprint).toBe(secrets[0].fingerprint)
    const left = Date.parse(body.secrets[1].expires_at) - Date.parse(body.updated_at)
    expect(left).toBe(3_600_000)
    const given = await api.call('POST', `/hooks/${id}/rotate-secret`, { secret, overlap: 'PT0S' })
    expect(given.body.secret).toBeNull()
    expect(given.body.secrets).toHaveLength(1)
    const bad = await api.call('POST', `/hooks/${id}/rotate-secret`, { secret: 'x' })
    expect([bad.status, pointerOf(bad.body)]).toEqual([400, '/secret'])
  })

  it('has eight live secrets at most', async () => {
    const { id } = await made()
    for (let i = 0; i < 7; i++) {
      expect((await api.call('POST', `/hooks/${id}/rotate-secret`)).status).toBe(200)
    }
    const { body } = await api.call('POST', `/hooks/${id}/rotate-secret`)
    expect(body).toMatchObject({ code: 'limit_exceeded', limit: 'hook_secrets', maximum: 8 })
  })

  it('removes it', async () => {
    const { id } = await made()
    const { status, text } = await api.call('DELETE', `/hooks/${id}`)
    expect([status, text]).toEqual([204, ''])
    expect((await api.call('GET', `/hooks/${id}`)).status).toBe(404)
  })
})

describe('deliveries', () => {
  /** A hook with one delivery that has arrived. */
  async function delivered() {
    const { id } = await made({ kinds: ['created'], controller_id: `c-${Math.random()}` })
    const { controller_id } = (await api.call('GET', `/hooks/${id}`)).body
    const flow = (await api.call('POST', '/flows', { ...newFlow, controller_id })).body
    const list = () => api.call('GET', `/hooks/${id}/deliveries`)
    await until('it has arrived', async () => (await list()).body.items[0]?.status === 'delivered')
    return { id, flow, delivery: (await list()).body.items[0] }
  }

  it('are listed and read, with what was sent and every attempt', async () => {
    const { id, flow, delivery } = await delivered()
    expect(delivery).toEqual({
      id: expect.any(String),
      hook_id: id,
      flow_id: flow.id,
      revision: 0,
      type: 'flow.created',
      status: 'delivered',
      attempt: 1,
      next_attempt_at: null,
      created_at: expect.any(String),
      delivered_at: expect.any(String),
    })
    const { status, body } = await api.call('GET', `/deliveries/${delivery.id}`)
    expect(status).toBe(200)
    expect(body).toEqual({
      ...delivery,
      payload: {
        type: 'flow.created',
        timestamp: flow.created_at,
        data: expect.objectContaining({ flow_id: flow.id, kind: 'created' }),
      },
      attempts: [
        {
          attempt: 1,
          at: expect.any(String),
          status_code: 200,
          latency_ms: 5,
          error: null,
          response: 'ok',
        },
      ],
    })
    const sent = receivers.received.find(({ headers }) => headers['webhook-id'] === delivery.id)
    expect(JSON.parse(sent?.body ?? '')).toEqual(body.payload)
    const none = await api.call('GET', `/hooks/${id}/deliveries?status=failed`)
    expect(none.body).toEqual({ items: [], next_cursor: null })
  })

  it('can be sent once more, one or many', async () => {
    const { id, delivery } = await delivered()
    const arrivals = () => receivers.ids(url).filter((one) => one === delivery.id).length
    const one = await api.call('POST', `/deliveries/${delivery.id}/redeliver`)
    expect(one.status).toBe(202)
    expect(one.body).toMatchObject({ id: delivery.id })
    await until('it has arrived again', () => arrivals() === 2)
    const read = () => api.call('GET', `/deliveries/${delivery.id}`)
    await until('that is recorded', async () => (await read()).body.attempt === 2)
    const failed = await api.call('POST', `/hooks/${id}/redeliver`, {})
    expect([failed.status, failed.body]).toEqual([202, { count: 0 }])
    const all = await api.call('POST', `/hooks/${id}/redeliver`, {
      status: 'any',
      created_after: '2020-01-01T00:00:00Z',
    })
    expect([all.status, all.body]).toEqual([202, { count: 1 }])
    await until('it has arrived a third time', () => arrivals() === 3)
    const bad = await api.call('POST', `/hooks/${id}/redeliver`, { created_before: 'now' })
    expect([bad.status, pointerOf(bad.body)]).toEqual([400, '/created_before'])
  })

  it('stay when their hook is removed', async () => {
    const { id, delivery } = await delivered()
    await api.call('DELETE', `/hooks/${id}`)
    expect((await api.call('GET', `/hooks/${id}/deliveries`)).body.items).toHaveLength(1)
    expect((await api.call('GET', `/deliveries/${delivery.id}`)).status).toBe(200)
    const again = await api.call('POST', `/deliveries/${delivery.id}/redeliver`)
    expect([again.status, again.body.resource]).toEqual([404, 'hook'])
  })

  it('of a trial are of type hook.test', async () => {
    const { id } = await made({ url: 'https://trial.example/' })
    const { status, body } = await api.call('POST', `/hooks/${id}/test`)
    expect(status).toBe(202)
    expect(body).toMatchObject({ hook_id: id, flow_id: null, revision: null, type: 'hook.test' })
    await until('it has arrived', () => receivers.ids('https://trial.example/').includes(body.id))
  })

  it.each(['', '/redeliver'])('that are unknown are not found: /deliveries/…%s', async (path) => {
    for (const id of [unknownId, 'x']) {
      const answer = await api.call(path === '' ? 'GET' : 'POST', `/deliveries/${id}${path}`)
      expect([answer.status, answer.body.code, answer.body.resource]).toEqual([
        404,
        'not_found',
        'delivery',
      ])
    }
  })
})

describe('the depth of a request', () => {
  it('ends loops at eight: nothing is changed, and reads go on', async () => {
    const flow = (await api.call('POST', '/flows', { ...newFlow, start: true })).body
    for (const [method, path] of [
      ['POST', `/flows/${flow.id}/finish`],
      ['PATCH', `/flows/${flow.id}/state`],
      ['POST', '/flows'],
      ['POST', '/signals'],
      ['POST', '/in/unknown'],
      ['DELETE', `/hooks/${unknownId}`],
    ] as const) {
      const { status, body } = await api.call(method, path, undefined, { 'taskflow-depth': '8' })
      expect([status, body.code, body.depth, body.maximum]).toEqual([508, 'loop_detected', 8, 8])
    }
    const read = await api.call('GET', `/flows/${flow.id}`, undefined, { 'taskflow-depth': '9' })
    expect([read.status, read.body.revision]).toEqual([200, 1])
  })

  it.each([
    ['7', '8'],
    ['0', '1'],
    ['-1', '1'],
    ['8.5', '1'],
    ['many', '1'],
  ])('%s is handed on as %s', async (depth, sent) => {
    const controller_id = `depth-${depth}`
    await made({ controller_id, kinds: ['created'], url: 'https://depth.example/' })
    const { status, body } = await api.call(
      'POST',
      '/flows',
      { ...newFlow, controller_id },
      { 'taskflow-depth': depth },
    )
    expect(status).toBe(201)
    const seen = () =>
      receivers.of('https://depth.example/').find((one) => one.body.includes(body.id))
    await until('it has arrived', () => seen() !== undefined)
    expect(seen()?.headers['taskflow-depth']).toBe(sent)
  })
})

describe('the number of hooks', () => {
  it('has a limit in each namespace', async () => {
    for (let i = 0; i < 60; i++) {
      if ((await api.call('POST', '/hooks', { url })).status !== 201) break
    }
    const { status, body } = await api.call('POST', '/hooks', { url })
    expect(status).toBe(400)
    expect(body).toMatchObject({ code: 'limit_exceeded', limit: 'hooks', maximum: 60, actual: 60 })
  })
})

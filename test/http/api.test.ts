// Every route on the real composition: what it answers when all is well, and how it refuses.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { until } from '../support/service.ts'

const absent = '00000000-0000-7000-8000-000000000000'
const input = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate:session:abc',
  requester_origin: 'user-1',
}

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api.close())

const create = async (over: object = {}) =>
  (await api.call('POST', '/flows', { ...input, ...over })).body
const running = (over: object = {}) => create({ start: true, ...over })
const waiting = async (wait: object, over: object = {}) => {
  const { id } = await running(over)
  return (await api.call('POST', `/flows/${id}/wait`, wait)).body
}

describe('creating', () => {
  it('answers 201 with the place, the revision and the whole flow', async () => {
    const { status, headers, body } = await api.call('POST', '/flows', {
      ...input,
      labels: { tier: 'gold' },
    })
    expect(status).toBe(201)
    expect(headers['location']).toBe(`/flows/${body.id}`)
    expect(headers['etag']).toBe('"0"')
    expect(body).toMatchObject({
      ...input,
      namespace: 'default',
      key: null,
      mode: 'managed',
      current_step: 'init',
      state: {},
      status: 'created',
      wait: null,
      cancel_requested: false,
      labels: { tier: 'gold' },
      revision: 0,
      closed_at: null,
    })
    expect(Object.keys(body)).not.toContain('shard')
    expect((await api.call('GET', `/flows/${body.id}`)).body).toEqual(body)
  })

  it('keeps what looks like a prototype as plain data', async () => {
    const body = `{"controller_id":"c","goal":"g","owner_session_key":"o","requester_origin":"r",
      "labels":{"constructor":"x","__proto__":"y"},"state":{"__proto__":{"a":1},"toString":2}}`
    const made = await api.call('POST', '/flows', body)
    expect(made.status).toBe(201)
    const read = await api.call('GET', `/flows/${made.body.id}`)
    for (const { text } of [made, read]) {
      expect(text).toContain('"__proto__":{"a":1}')
      expect(text).toContain('"__proto__":"y"')
    }
    const patched = await api.call(
      'PATCH',
      `/flows/${made.body.id}/state`,
      '{"patch":{"constructor":{"prototype":1}},"unset":["__proto__"]}',
    )
    expect(patched.text).not.toContain('__proto__":{"a"')
    expect(patched.text).toContain('"constructor":{"prototype":1}')
    expect(Object.hasOwn(Object.prototype, 'a')).toBe(false)
  })

  it('keeps state exactly', async () => {
    const state = {
      ünï: '\u{1F600}',
      deep: [[[{ a: null }]]],
      big: 1e300,
      small: 5e-324,
      n: -0.1,
      empty: '',
    }
    const made = await create({ state })
    expect((await api.call('GET', `/flows/${made.id}`)).body.state).toEqual(state)
  })
})

describe('preconditions', () => {
  it('gives 304 for a known revision', async () => {
    const { id } = await create()
    const headers = { 'if-none-match': '"0"' }
    expect((await api.call('GET', `/flows/${id}`, undefined, headers)).status).toBe(304)
    await api.call('POST', `/flows/${id}/start`)
    expect((await api.call('GET', `/flows/${id}`, undefined, headers)).status).toBe(200)
  })

  it.each(['*', 'W/"0"', '"0", "1"', '0', '"x"', '""'])('refuses If-Match: %s', async (tag) => {
    const { id } = await create()
    const { status, body } = await api.call('POST', `/flows/${id}/start`, undefined, {
      'if-match': tag,
    })
    expect(status).toBe(400)
    expect(body.errors[0].pointer).toBe('if-match')
    expect((await api.call('GET', `/flows/${id}`)).body.revision).toBe(0)
  })

  it('judges a stale revision before the status', async () => {
    const { id } = await create()
    await api.call('POST', `/flows/${id}/cancel`)
    const { status, body } = await api.call('POST', `/flows/${id}/start`, undefined, {
      'if-match': '"0"',
    })
    expect(status).toBe(412)
    expect(body).toMatchObject({ code: 'revision_mismatch', expected: 0, actual: 1 })
  })
})

describe('idempotency keys', () => {
  const key = () => ({ 'idempotency-key': `key-${Math.random()}` })

  it('replay the answer to every kind of change, whatever came after', async () => {
    const headers = key()
    const first = await api.call('POST', '/flows', { ...input, start: true }, headers)
    const { id } = first.body
    const changes: ['POST' | 'PATCH' | 'PUT', string, object][] = [
      ['PATCH', `/flows/${id}/state`, { patch: { a: 1 } }],
      ['PATCH', `/flows/${id}`, { labels: { a: 'b' } }],
      ['POST', `/flows/${id}/wait`, { kind: 'manual' }],
      ['POST', `/flows/${id}/resume`, {}],
      ['PUT', `/flows/${id}/steps/r1`, { task: 't', status: 'running' }],
      ['POST', `/flows/${id}/finish`, {}],
    ]
    const replay = key()
    const answers = []
    for (const [method, path, body] of changes) {
      answers.push(
        await api.call(method, path, body, {
          'idempotency-key': `${replay['idempotency-key']}${path}${method}`,
        }),
      )
    }
    const again = await api.call('POST', '/flows', { ...input, start: true }, headers)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again).toMatchObject({ status: 201, text: first.text })
    expect(again.headers['location']).toBe(first.headers['location'])
    for (const [i, [method, path, body]] of changes.entries()) {
      const repeated = await api.call(method, path, body, {
        'idempotency-key': `${replay['idempotency-key']}${path}${method}`,
      })
      expect(repeated.headers['idempotency-replayed'], path).toBe('true')
      expect(repeated.body, path).toEqual(answers[i]?.body)
      expect(repeated.status, path).toBe(answers[i]?.status)
    }
    expect((await api.call('GET', `/flows/${id}`)).body.revision).toBe(7)
  })

  it('do not mind the order of members, and refuse another request', async () => {
    const headers = key()
    const { id } = await running()
    const path = `/flows/${id}/state`
    await api.call('PATCH', path, '{"patch":{"a":1},"next_step":"x"}', headers)
    const same = await api.call('PATCH', path, '{"next_step":"x","patch":{"a":1}}', headers)
    expect(same.headers['idempotency-replayed']).toBe('true')
    const other = await api.call('PATCH', path, { patch: { a: 2 } }, headers)
    expect(other).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } })
  })

  it('belong to one flow', async () => {
    const headers = key()
    const [a, b] = [await create(), await create()]
    for (const { id } of [a, b]) {
      const { status, headers: got } = await api.call(
        'POST',
        `/flows/${id}/start`,
        undefined,
        headers,
      )
      expect(status).toBe(200)
      expect(got['idempotency-replayed']).toBeUndefined()
    }
  })

  it('do not keep a refusal', async () => {
    const headers = key()
    const { id } = await create()
    const refused = await api.call('POST', `/flows/${id}/finish`, {}, headers)
    expect(refused.status).toBe(409)
    await api.call('POST', `/flows/${id}/start`)
    expect((await api.call('POST', `/flows/${id}/finish`, {}, headers)).status).toBe(200)
  })

  it.each(['', 'ü', 'a'.repeat(256), 'a\tb'])('must be printable: %j', async (bad) => {
    const { status, body } = await api.call('POST', '/flows', input, {
      'idempotency-key': Buffer.from(bad, 'utf8').toString('latin1'),
    })
    expect(status).toBe(400)
    expect(body.code).toBe('idempotency_key_invalid')
  })
})

describe('the life of a flow', () => {
  it.each(['start', 'wait', 'resume', 'finish', 'fail', 'request-cancel', 'cancel'])(
    '%s on an unknown flow, or on what is no id, is 404',
    async (verb) => {
      const body = { wait: { kind: 'manual' }, fail: { reason: 'x' } }[verb] ?? {}
      for (const id of [
        absent,
        'nonsense',
        absent.toUpperCase().replace('0', 'A'),
        'x'.repeat(500),
      ]) {
        const answer = await api.call('POST', `/flows/${id}/${verb}`, body)
        expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } })
      }
    },
  )

  it('takes the next request that a refusal offers', async () => {
    const offers = [
      [await create(), 'finish', {}],
      [await waiting({ kind: 'manual', signal: 'ok' }), 'finish', {}],
      [await waiting({ kind: 'external_event', topic: 't', correlation_id: 'c' }), 'finish', {}],
      [await waiting({ kind: 'timer', after: 'PT1H' }), 'finish', {}],
    ] as const
    for (const [flow, verb, body] of offers) {
      const refused = await api.call('POST', `/flows/${flow.id}/${verb}`, body)
      expect(refused.status).toBe(409)
      const [next] = refused.body.next_actions
      const answer = await api.call(next.method, next.href, next.body)
      expect(answer.status, JSON.stringify(next)).toBeLessThan(300)
    }
  })

  it('keeps the reason of a cancel that was requested', async () => {
    const flow = await waiting({ kind: 'manual' })
    await api.call('POST', `/flows/${flow.id}/request-cancel`, { reason: 'not needed' })
    await until(
      async () => (await api.call('GET', `/flows/${flow.id}`)).body.status === 'cancelled',
      5_000,
      'it is cancelled',
    )
    const { items } = (await api.call('GET', `/flows/${flow.id}/events?kind=cancelled`)).body
    expect(items).toMatchObject([
      { payload: { by: 'request', reason: 'not needed' }, actor: 'wait-engine' },
    ])
  })

  it('refuses a state that grows too large, and leaves it as it was', async () => {
    const { id } = await running({ state: { a: 'x'.repeat(200_000) } })
    const big = { patch: { b: 'y'.repeat(100_000) } }
    const refused = await api.call('PATCH', `/flows/${id}/state`, big)
    expect(refused.status).toBe(400)
    expect(refused.body).toMatchObject({
      code: 'limit_exceeded',
      limit: 'state_bytes',
      maximum: 262_144,
    })
    expect((await api.call('PATCH', `/flows/${id}/state`, { unset: ['a'] })).status).toBe(200)
    expect((await api.call('PATCH', `/flows/${id}/state`, big)).status).toBe(200)
  })
})

describe('limits', () => {
  const long = (length: number) => 'x'.repeat(length)

  it.each([
    ['/flows', { ...input, goal: long(1025) }, '/goal', 'text_characters', 1024],
    ['/flows', { ...input, key: long(256) }, '/key', 'name_characters', 255],
    ['/flows', { ...input, labels: { a: long(257) } }, '/labels/a', 'label_characters', 256],
  ])('of texts in %s are named', async (path, body, pointer, limit, maximum) => {
    const refused = await api.call('POST', path, body)
    expect(refused).toMatchObject({
      status: 400,
      body: { code: 'limit_exceeded', limit, maximum, errors: [{ pointer, code: 'too_long' }] },
    })
  })

  it('of labels, of depth and of the body are named', async () => {
    const labels = Object.fromEntries(Array.from({ length: 33 }, (_, i) => [`l${i}`, 'x']))
    const many = await api.call('POST', '/flows', { ...input, labels })
    expect(many).toMatchObject({ status: 400, body: { code: 'limit_exceeded', limit: 'labels' } })
    const deep = await api.call(
      'POST',
      '/flows',
      `${JSON.stringify(input).slice(0, -1)},"state":{"a":${'['.repeat(40)}${']'.repeat(40)}}}`,
    )
    expect(deep).toMatchObject({
      status: 400,
      body: { code: 'limit_exceeded', limit: 'json_depth' },
    })
    const large = await api.call('POST', '/flows', { ...input, state: { a: long(1_100_000) } })
    expect(large).toMatchObject({ status: 413, body: { code: 'payload_too_large' } })
  })
})

describe('waits', () => {
  it('are ended by a signal of their name, or of any when they have none', async () => {
    const named = await waiting({ kind: 'manual', signal: 'approved' })
    const wrong = await api.call('POST', `/flows/${named.id}/signals/rejected`)
    expect(wrong).toMatchObject({ status: 202, body: { outcome: 'buffered' } })
    const right = await api.call('POST', `/flows/${named.id}/signals/approved`, {
      payload: { by: 'ada' },
    })
    expect(right.body).toMatchObject({
      outcome: 'delivered',
      flow: { status: 'running', state: { resume_event: { by: 'ada' } } },
    })
    const nameless = await waiting({ kind: 'manual' })
    const any = await api.call('POST', `/flows/${nameless.id}/signals/whatever`)
    expect(any.body.outcome).toBe('delivered')
  })

  it('record who ended them', async () => {
    const flow = await waiting({ kind: 'external_event', topic: 'paid', correlation_id: 'o-1' })
    await api.call('POST', `/flows/${flow.id}/resume-external`, {
      topic: 'paid',
      correlation_id: 'o-1',
      id: 'evt_1',
      ttl: 'PT0S',
    })
    const { items } = (await api.call('GET', `/flows/${flow.id}/events?kind=resumed`)).body
    expect(items).toMatchObject([
      { payload: { by: 'signal', wait_id: flow.wait.id, sender_id: 'evt_1' }, actor: 'anonymous' },
    ])
    const ended = await api.call('POST', `/flows/${flow.id}/cancel`)
    expect(ended.status).toBe(200)
    const late = await api.call('POST', `/flows/${flow.id}/resume-external`, {
      topic: 'paid',
      correlation_id: 'o-1',
    })
    expect(late).toMatchObject({ status: 409, body: { code: 'already_terminal' } })
  })

  it('are found by what they wait for, as long as they wait', async () => {
    const flow = await waiting({ kind: 'external_event', topic: 'shipped', correlation_id: 'p-9' })
    const found = async (query: string) =>
      (await api.call('GET', `/flows?${query}`)).body.items.map((one: { id: string }) => one.id)
    for (const query of [
      'wait.topic=shipped',
      'wait.correlation_id=p-9',
      'wait.topic=shipped&wait.correlation_id=p-9&wait.kind=external_event',
    ]) {
      expect(await found(query)).toEqual([flow.id])
    }
    expect(await found('wait.topic=shipped&wait.kind=timer')).toEqual([])
    await api.call('POST', `/flows/${flow.id}/resume`)
    expect(await found('wait.topic=shipped')).toEqual([])
  })

  it('move only when they are timers', async () => {
    const manual = await waiting({ kind: 'manual' })
    const at = new Date(Date.now() + 3_600_000).toISOString()
    const refused = await api.call('PATCH', `/flows/${manual.id}/wait`, { at })
    expect(refused).toMatchObject({ status: 409, body: { code: 'wait_conflict' } })
    const timer = await waiting({ kind: 'timer', after: 'P1D' })
    const moved = await api.call('PATCH', `/flows/${timer.id}/wait`, { at })
    expect(moved.body.wait).toEqual({ ...timer.wait, at })
    const again = await api.call('PATCH', `/flows/${timer.id}/wait`, { at })
    expect(again.body.revision).toBe(moved.body.revision)
  })
})

describe('lists', () => {
  it('filter by several statuses, labels and times', async () => {
    const own = `owner-${Math.random()}`
    const a = await create({ owner_session_key: own, labels: { tier: 'gold', zone: 'eu' } })
    const b = await running({ owner_session_key: own, labels: { tier: 'gold' } })
    const c = await running({ owner_session_key: own })
    await api.call('POST', `/flows/${c.id}/finish`)
    const ids = async (query: string) =>
      (await api.call('GET', `/flows?owner_session_key=${own}&${query}`)).body.items.map(
        (one: { id: string }) => one.id,
      )
    expect(await ids('status=created&status=running')).toEqual([b.id, a.id])
    expect(await ids('status=finished')).toEqual([c.id])
    expect(await ids('label.tier=gold&sort=created_at')).toEqual([a.id, b.id])
    expect(await ids('label.tier=gold&label.zone=eu')).toEqual([a.id])
    expect(await ids('label.tier=silver')).toEqual([])
    expect(await ids(`created_after=${encodeURIComponent(c.created_at)}`)).toEqual([])
    expect(await ids('limit=200&sort=created_at')).toEqual([a.id, b.id, c.id])
  })

  it.each([
    '/flows?limit=0',
    '/flows?limit=201',
    '/flows?limit=x',
    '/flows?sort=updated_at',
    '/flows?status=waitin',
    '/flows?stauts=waiting',
    '/flows?limit=1&limit=2',
    '/flows?cursor=garbage',
    '/flows?created_after=yesterday',
    `/flows/${absent}?wait=PT61S&until=terminal`,
    '/events?after=garbage',
  ])('refuse %s and name the parameter', async (path) => {
    const { status, body } = await api.call('GET', path)
    expect(status).toBe(400)
    const name = /[?&](cursor|limit|sort|status|stauts|created_after|wait|after)=/.exec(path)?.[1]
    expect(body.errors[0].pointer).toBe(`?${name}`)
  })

  it('page the audit log of a flow, by revision and kind', async () => {
    const { id } = await running()
    for (let i = 0; i < 6; i++) await api.call('PATCH', `/flows/${id}/state`, { patch: { i } })
    const all = (await api.call('GET', `/flows/${id}/events`)).body.items
    expect(all.map((one: { revision: number }) => one.revision)).toEqual([0, 1, 2, 3, 4, 5, 6, 7])
    const first = (await api.call('GET', `/flows/${id}/events?limit=3&kind=state_updated`)).body
    expect(first.items).toHaveLength(3)
    const second = (
      await api.call(
        'GET',
        `/flows/${id}/events?limit=3&kind=state_updated&cursor=${first.next_cursor}`,
      )
    ).body
    expect([...first.items, ...second.items]).toEqual(all.slice(2))
    expect(second.next_cursor).toBeNull()
    expect((await api.call('GET', `/flows/${id}/events?after=6`)).body.items).toEqual(all.slice(7))
    expect((await api.call('GET', `/flows/${absent}/events`)).status).toBe(404)
  })

  it('follow all flows in the order of commits', async () => {
    const start = (await api.call('GET', '/events?limit=200')).body
    let after = start.position
    for (let page = start; page.next_cursor !== null; ) {
      page = (await api.call('GET', `/events?limit=200&cursor=${page.next_cursor}`)).body
      after = page.position ?? after
    }
    const { id } = await running()
    await api.call('POST', `/flows/${id}/finish`)
    const seen = await until(
      async () => {
        const { items } = (await api.call('GET', `/events?after=${after}`)).body
        const own = items.filter((one: { flow_id: string }) => one.flow_id === id)
        return own.length === 3 && own
      },
      // Not before the oldest transaction of the whole server has ended, of whichever test that is.
      20_000,
      'the feed shows them',
    )
    expect(seen.map((one: { kind: string }) => one.kind)).toEqual([
      'created',
      'started',
      'finished',
    ])
  })
})

describe('long polls', () => {
  it('answer at once when there is news already', async () => {
    const { id } = await running()
    const known = { 'if-none-match': '"0"' }
    const { status, body } = await api.call('GET', `/flows/${id}?wait=PT30S`, undefined, known)
    expect(status).toBe(200)
    expect(body.revision).toBe(1)
  })

  it('answer with what there is when the time is over', async () => {
    const { id } = await running()
    const { status, body } = await api.call('GET', `/flows/${id}?wait=PT0.05S&until=terminal`)
    expect(status).toBe(200)
    expect(body.status).toBe('running')
    const poll = api.call('GET', `/flows/${id}?wait=PT0.05S`, undefined, { 'if-none-match': '"1"' })
    expect((await poll).status).toBe(304)
  })

  it('of an unknown flow are 404 at once', async () => {
    expect((await api.call('GET', `/flows/${absent}?wait=PT30S&until=terminal`)).status).toBe(404)
  })
})

describe('observations', () => {
  it('are ordered by when they were made', async () => {
    const { id } = await create({ mode: 'mirrored' })
    const path = `/flows/${id}/steps/run-1`
    const at = (ms: number) => new Date(Date.now() + ms).toISOString()
    const first = await api.call('PUT', path, {
      task: 't',
      status: 'running',
      observed_at: at(-5000),
    })
    expect(first.status).toBe(201)
    const newer = await api.call('PUT', path, {
      task: 't',
      status: 'succeeded',
      result: 1,
      observed_at: at(0),
    })
    expect(newer).toMatchObject({ status: 200, body: { status: 'succeeded', result: 1 } })
    const late = await api.call('PUT', path, {
      task: 't',
      status: 'failed',
      observed_at: at(-1000),
    })
    expect(late).toMatchObject({ status: 200, body: { status: 'succeeded', stale: true } })
    const { revision } = (await api.call('GET', `/flows/${id}`)).body
    expect(revision).toBe(3)
    const ahead = await api.call('PUT', path, {
      task: 't',
      status: 'failed',
      observed_at: at(400_000),
    })
    expect(ahead).toMatchObject({ status: 400, body: { errors: [{ pointer: '/observed_at' }] } })
    expect((await api.call('GET', `/flows/${id}/steps/other`)).status).toBe(404)
  })

  it('are taken after the flow has ended, whose status they never change', async () => {
    const { id } = await create({ mode: 'mirrored' })
    await api.call('POST', `/flows/${id}/finish`)
    const path = `/flows/${id}/steps/run-1`
    expect((await api.call('PUT', path, { task: 't', status: 'failed' })).status).toBe(201)
    const repeat = await api.call('PUT', path, { task: 't', status: 'failed' })
    expect(repeat.status).toBe(200)
    expect((await api.call('GET', `/flows/${id}`)).body).toMatchObject({
      status: 'finished',
      revision: 3,
    })
  })
})

describe('the service itself', () => {
  it('tells of its health, its engine and its documentation', async () => {
    expect((await api.call('GET', '/health/live')).status).toBe(200)
    expect((await api.call('GET', '/health/ready')).body).toMatchObject({ ready: true })
    expect((await api.call('GET', '/engine')).body).toMatchObject({
      wait_engine: { running: true },
    })
    expect((await api.call('POST', '/engine/tick')).body).toEqual({
      scanned: 0,
      resumed: 0,
      cancelled: 0,
      still_waiting: 0,
      errors: 0,
    })
    expect((await api.call('GET', '/')).headers['location']).toBe('/docs')
    expect((await api.call('GET', '/openapi.json')).status).toBe(200)
    expect((await api.call('GET', '/problems/already_terminal')).text).toContain('already_terminal')
  })

  it('refuses methods that a path does not have, and says which it has', async () => {
    const { status, headers } = await api.call('DELETE', `/flows/${absent}`)
    expect(status).toBe(405)
    expect(headers['allow']).toContain('PATCH')
    expect((await api.call('DELETE', `/flows/${absent}/events`)).status).toBe(405)
    expect((await api.call('PATCH', `/flows/${absent}/events`)).status).toBe(405)
  })

  it('echoes a request id, or makes one', async () => {
    const given = await api.call('GET', '/flows/x', undefined, { 'x-request-id': 'abc-1' })
    expect(given.headers['x-request-id']).toBe('abc-1')
    expect(given.body.request_id).toBe('abc-1')
    expect((await api.call('GET', '/engine')).headers['x-request-id']).toMatch(/.{8,}/)
  })
})

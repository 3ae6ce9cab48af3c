// Links that end a wait: made once, shown once, used once; opened as often as anybody likes.

import { createHash } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'

const form = { 'content-type': 'application/x-www-form-urlencoded' }
const asJson = { accept: 'application/json' }
const asBrowser = { accept: 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8' }

const lines: string[] = []
let api: Api
let db: pg.Client
beforeAll(async () => {
  api = await startApi({ log: (line) => lines.push(line) })
  db = new pg.Client({ connectionString: api.databaseUrl })
  await db.connect()
})
afterAll(async () => {
  await db.end()
  await api.close()
})

const running = async (over: object = {}): Promise<string> => {
  const made = await api.call('POST', '/flows', {
    controller_id: 'shop/refunds',
    goal: 'refund order 42',
    owner_session_key: 'secret-owner',
    requester_origin: 'webshop',
    start: true,
    ...over,
  })
  return made.body.id
}
const wait = (id: string, body: object, headers = {}) =>
  api.call('POST', `/flows/${id}/wait`, { kind: 'manual', ...body }, headers)
const flowOf = async (id: string) => (await api.call('GET', `/flows/${id}`)).body
/** A waiting flow with a link. */
async function linked(body: object = {}, over: object = {}): Promise<{ id: string; link: string }> {
  const id = await running(over)
  const answer = await wait(id, { link: true, ...body })
  expect(answer.status, answer.text).toBe(200)
  return { id, link: answer.body.wait.link }
}
const tokenOf = (link: string) => link.slice(link.lastIndexOf('/') + 1)
const post = (link: string, payload?: unknown) =>
  api.call('POST', link, payload === undefined ? payload : JSON.stringify(payload))
const submit = (link: string, fields: string) => api.call('POST', link, fields, form)
const get = (link: string, headers: Record<string, string> = asJson) =>
  api.call('GET', link, undefined, headers)

const refund = {
  type: 'object',
  title: 'Approve this refund?',
  required: ['approved'],
  additionalProperties: false,
  properties: {
    approved: { type: 'boolean', title: 'Approve' },
    amount: { type: 'number', minimum: 0, maximum: 100 },
    reason: { enum: ['damaged', 'late', 3] },
    note: { type: 'string', maxLength: 200 },
    tags: { type: 'array', items: { type: 'string' } },
  },
}

describe('asking for a link', () => {
  it('shows it once, and keeps only a hash of its token', async () => {
    const { id, link } = await linked()
    expect(link).toMatch(/^\/r\/[\w-]{44}$/)
    const shown = await flowOf(id)
    expect(shown.wait).toMatchObject({ kind: 'manual', link_expires_at: null })
    expect(shown.wait).not.toHaveProperty('link')
    const events = await api.call('GET', `/flows/${id}/events`)
    const listed = await api.call('GET', '/flows')
    expect(events.text + listed.text).not.toContain(tokenOf(link))
    const { rows } = await db.query('select * from resume_links where flow_id = $1', [id])
    expect(rows).toHaveLength(1)
    expect(rows[0].token_hash).toEqual(createHash('sha256').update(tokenOf(link)).digest())
    expect(JSON.stringify(rows)).not.toContain(tokenOf(link))
  })

  it('does not show it in a replay', async () => {
    const id = await running()
    const key = { 'idempotency-key': 'link-once' }
    const first = await wait(id, { link: true }, key)
    const again = await wait(id, { link: true }, key)
    expect(again.headers['idempotency-replayed']).toBe('true')
    const { link, ...rest } = first.body.wait
    expect(again.body).toEqual({ ...first.body, wait: rest })
    const { rows } = await db.query('select reply::text from idempotency_keys')
    expect(JSON.stringify(rows)).not.toContain(tokenOf(link))
    expect((await post(link)).status).toBe(200)
  })

  it('makes none when it is false, nor when a kept signal ends the wait at once', async () => {
    const id = await running()
    expect((await wait(id, { link: false })).body.wait).not.toHaveProperty('link_expires_at')
    const early = await running()
    await api.call('POST', `/flows/${early}/signals/go`, {})
    const { body } = await wait(early, { signal: 'go', link: true })
    expect(body).toMatchObject({ status: 'running', wait: null })
    const { rows } = await db.query('select 1 from resume_links where flow_id = any($1)', [
      [id, early],
    ])
    expect(rows).toEqual([])
  })

  it.each([
    ['a timer', { kind: 'timer', after: 'PT1H' }],
    ['an event', { kind: 'external_event', topic: 't', correlation_id: 'link-kind' }],
    ['any', { kind: 'any', of: [{ kind: 'manual' }, { kind: 'timer', after: 'PT1H' }] }],
    [
      'all',
      {
        kind: 'all',
        of: [
          { kind: 'manual', signal: 'a' },
          { kind: 'manual', signal: 'b' },
        ],
      },
    ],
  ])('ends a wait for %s as a whole', async (_, body) => {
    const { id, link } = await linked(body)
    const answer = await post(link, { by: 'ada' })
    expect(answer.status).toBe(200)
    const after = await flowOf(id)
    expect(after).toMatchObject({ status: 'running', wait: null })
    expect(after.state).toEqual({ resume_event: { by: 'ada' } })
  })

  it('puts the public address in front, never the Host of a request', async () => {
    const id = await running()
    const answer = await wait(id, { link: true }, { host: 'evil.example' })
    expect(answer.body.wait.link).toMatch(/^\/r\//)
    const own = await startApi({ publicUrl: 'https://flows.example.com/tf' })
    const flow = await own.call('POST', '/flows', {
      controller_id: 'c',
      goal: 'g',
      owner_session_key: 'o',
      requester_origin: 'r',
      start: true,
    })
    const { body } = await own.call('POST', `/flows/${flow.body.id}/wait`, {
      kind: 'manual',
      link: true,
    })
    await own.close()
    expect(body.wait.link).toMatch(/^https:\/\/flows\.example\.com\/tf\/r\/[\w-]{44}$/)
  })

  it('makes a token of 256 random bits and the shard of the flow', async () => {
    const made = await Promise.all(Array.from({ length: 8 }, () => linked()))
    for (const { id, link } of made) {
      const bytes = Buffer.from(tokenOf(link), 'base64url')
      expect(bytes).toHaveLength(33)
      expect(bytes[32]).toBe(Number.parseInt(id.slice(-2), 16) % 64)
    }
    expect(new Set(made.map(({ link }) => link.slice(0, 20))).size).toBe(8)
  })

  it.each([
    [{ schema: { pattern: 'x' } }, 'invalid_request', '/link/schema/pattern'],
    [
      { schema: { properties: { a: { format: 'email' } } } },
      'invalid_request',
      '/link/schema/properties/a/format',
    ],
    [{ schema: { type: 'text' } }, 'invalid_request', '/link/schema/type'],
    [{ schema: { description: 'x'.repeat(20_000) } }, 'limit_exceeded', '/link/schema'],
    [{ ttl: 'tomorrow' }, 'invalid_request', '/link/ttl'],
    [{ ttl: 'PT0S' }, 'invalid_request', '/link/ttl'],
    [{ ttl: 'P3000000D' }, 'invalid_request', '/link/ttl'],
    [{ ttll: 'PT1S' }, 'invalid_request', '/link/ttll'],
  ])('refuses %j', async (link, code, pointer) => {
    const id = await running()
    const answer = await wait(id, { link })
    expect(answer.status).toBe(400)
    expect(answer.body).toMatchObject({ code, errors: [{ pointer }] })
    expect(answer.body.detail.split(' ').length).toBeLessThanOrEqual(25)
    expect((await flowOf(id)).status).toBe('running')
  })
})

describe('using a link', () => {
  it('ends the wait like a signal, and tells nothing of the flow', async () => {
    const { id, link } = await linked({}, { state: { secret: 'inner' } })
    const { status, body, text } = await post(link, { approved: true })
    expect(status).toBe(200)
    const after = await flowOf(id)
    expect(body).toEqual({
      outcome: 'delivered',
      signal_id: expect.any(String),
      decided_at: after.updated_at,
    })
    expect(text).not.toContain('secret')
    expect(after.state).toEqual({ secret: 'inner', resume_event: { approved: true } })
    const { body: events } = await api.call('GET', `/flows/${id}/events?kind=resumed`)
    expect(events.items[0]).toMatchObject({
      actor: 'link',
      payload: { by: 'signal', link: true, signal_id: body.signal_id },
    })
    const signal = await api.call('GET', `/signals/${body.signal_id}`)
    expect(signal.body).toMatchObject({ outcome: 'delivered', flow_id: id, delivered_count: 1 })
  })

  it.each([[null], [false], [0], ['text'], [[1, 2]], [{}]])('takes %j', async (payload) => {
    const { id, link } = await linked()
    expect((await post(link, payload)).status).toBe(200)
    expect((await flowOf(id)).state).toEqual({ resume_event: payload })
  })

  it('takes no payload as none', async () => {
    for (const headers of [{}, { 'content-type': 'application/json' }]) {
      const { id, link } = await linked()
      const { statusCode } = await api.app.inject({ method: 'POST', url: link, headers })
      expect(statusCode).toBe(200)
      expect((await flowOf(id)).state).toEqual({})
    }
  })

  it('works once: then 410 with what was decided and when', async () => {
    const { link } = await linked()
    const { body: used } = await post(link, { approved: false })
    const decided = { by: 'link', at: used.decided_at, payload: { approved: false } }
    for (const answer of [await post(link, { approved: true }), await get(link)]) {
      expect(answer.status).toBe(410)
      expect(answer.body).toMatchObject({ code: 'gone', decided })
    }
  })

  it('lets one of two through that come at once', async () => {
    for (let round = 0; round < 20; round++) {
      const { id, link } = await linked()
      const answers = await Promise.all(['a', 'b', 'c'].map((who) => post(link, { who })))
      const won = answers.findIndex(({ status }) => status === 200)
      expect(answers.map(({ status }) => status).sort()).toEqual([200, 410, 410])
      const payload = { who: ['a', 'b', 'c'][won] }
      for (const { status, body } of answers) {
        if (status === 410) expect(body.decided).toMatchObject({ by: 'link', payload })
      }
      const flow = await flowOf(id)
      expect(flow).toMatchObject({ revision: 3, state: { resume_event: payload } })
    }
  })

  it('never ends a later wait', async () => {
    const { id, link } = await linked()
    await api.call('POST', `/flows/${id}/resume`, {})
    const { body } = await wait(id, { link: true })
    expect((await post(link)).body.decided.by).toBe('manual')
    expect((await flowOf(id)).wait.id).toBe(body.wait.id)
    expect((await post(body.wait.link)).status).toBe(200)
  })

  it.each<[string, (id: string) => Promise<ApiAnswer>, string]>([
    ['a signal', (id) => api.call('POST', `/flows/${id}/signals/x`, { payload: 'hush' }), 'signal'],
    ['a hand', (id) => api.call('POST', `/flows/${id}/resume`, {}), 'manual'],
    ['a failure', (id) => api.call('POST', `/flows/${id}/fail`, { reason: 'hush' }), 'failed'],
    ['a cancel', (id) => api.call('POST', `/flows/${id}/cancel`, { reason: 'hush' }), 'cancelled'],
    [
      'a requested cancel',
      (id) => api.call('POST', `/flows/${id}/request-cancel`, { reason: 'hush' }),
      'cancelled',
    ],
  ])('is dead after %s, and says no more of it than that', async (_, end, by) => {
    const { id, link } = await linked()
    expect((await end(id)).status).toBe(200)
    const { updated_at: at } = await flowOf(id)
    const posted = await post(link, {})
    for (const { status, body, text } of [posted, await get(link)]) {
      expect(status).toBe(410)
      expect(body.decided.by).toBe(by)
      expect(body.decided.at <= at).toBe(true)
      expect(Object.keys(body.decided)).toEqual(['by', 'at'])
      expect(text).not.toContain('hush')
    }
  })

  it.each(['resume', 'fail', 'cancel'])(
    'is dead after a time-out that lets it %s',
    async (then) => {
      const { id, link } = await linked({ timeout: 'PT0.001S', on_timeout: then })
      await api.call('POST', '/engine/tick')
      expect((await flowOf(id)).status).not.toBe('waiting')
      expect((await post(link)).body.decided.by).toBe('timeout')
    },
  )

  it('is dead after its time, while its wait goes on', async () => {
    const { id, link } = await linked({ link: { ttl: 'PT1H' } })
    const { wait: before } = await flowOf(id)
    expect(Date.parse(before.link_expires_at) - Date.parse(before.since)).toBe(3_600_000)
    expect((await get(link)).body.expires_at).toBe(before.link_expires_at)
    await db.query(
      `update resume_links set expires_at = now() - interval '1 minute' where flow_id = $1`,
      [id],
    )
    const expected = { code: 'gone', decided: { by: 'expiry' } }
    expect((await get(link)).body).toMatchObject(expected)
    expect((await post(link)).body).toMatchObject(expected)
    expect(await flowOf(id)).toMatchObject({ status: 'waiting', revision: 2 })
  })

  it('is judged by its time under the lock of the flow too', async () => {
    const { id, link } = await linked({ link: { ttl: 'PT1H' } })
    await db.query(
      `update flows set wait = jsonb_set(wait, '{link_expires_at}', '"2020-01-01T00:00:00.000Z"')
       where id = $1`,
      [id],
    )
    expect((await post(link)).status).toBe(410)
    expect((await flowOf(id)).status).toBe('waiting')
  })

  it.each([
    'q0Zr3c1hV9wqkQv1S8hXJtq3o2m0b7yJ6uXr5kJ1e9wA',
    'q0Zr3c1hV9wqkQv1S8hXJtq3o2m0b7yJ6uXr5kJ1e9__',
    'short',
    '%00',
    'x'.repeat(300),
  ])('answers 404 to a token that is none: %s', async (token) => {
    const status = token === '%00' ? 400 : 404
    expect((await post(`/r/${token}`)).status).toBe(status)
    const { status: read, body } = await get(`/r/${token}`)
    expect([read, body.code]).toEqual([status, status === 404 ? 'not_found' : 'invalid_request'])
  })

  it('does not find a token that differs in one character', async () => {
    const { link } = await linked()
    const other = link.replace(/[\w-]$/, (last) => (last === 'A' ? 'B' : 'A'))
    expect((await post(other)).status).toBe(404)
    expect((await post(link)).status).toBe(200)
  })
})

describe('a schema', () => {
  it('refuses what does not fit, and uses nothing up', async () => {
    const { id, link } = await linked({ link: { schema: refund } })
    const refused: [unknown, string][] = [
      [{}, '/approved'],
      [undefined, ''],
      [null, ''],
      [{ approved: 'yes' }, '/approved'],
      [{ approved: true, amount: 101 }, '/amount'],
      [{ approved: true, extra: 1 }, '/extra'],
    ]
    for (const [payload, pointer] of refused) {
      const { status, body } = await post(link, payload)
      expect([status, body.code, body.errors[0].pointer]).toEqual([400, 'invalid_request', pointer])
    }
    expect((await flowOf(id)).revision).toBe(2)
    expect((await post(link, { approved: true, reason: 3 })).status).toBe(200)
  })

  it('is shown to whoever asks for JSON', async () => {
    const { id, link } = await linked({ link: { schema: refund }, timeout: 'PT1H' })
    const { body, headers } = await get(link)
    const { wait: standing } = await flowOf(id)
    expect(body).toEqual({
      goal: 'refund order 42',
      wait_kind: 'manual',
      since: standing.since,
      expires_at: standing.timeout_at,
      schema: refund,
    })
    expect(headers['vary']).toBe('accept')
  })
})

describe('opening a link', () => {
  it('changes nothing, however often and by whomever', async () => {
    const { id, link } = await linked({ link: { schema: refund } })
    const everything = async () => {
      const { rows } = await db.query(
        `select (select to_jsonb(f) from flows f where id = $1) as flow,
          (select count(*) from flow_events where flow_id = $1) as events,
          (select count(*) from signals where flow_id = $1) as signals,
          (select to_jsonb(l) from resume_links l where flow_id = $1) as link`,
        [id],
      )
      return JSON.stringify(rows)
    }
    const before = await everything()
    const agents = [asBrowser, asJson, {}, { 'user-agent': 'Safelinks', purpose: 'prefetch' }]
    for (let i = 0; i < 100; i++) {
      const method = (['GET', 'HEAD', 'OPTIONS', 'GET'] as const)[i % 4] ?? 'GET'
      const headers = agents[i % 3] ?? {}
      const { status } = await api.call(method, link, undefined, headers)
      expect(status).toBe(method === 'OPTIONS' ? 204 : 200)
    }
    for (const method of ['PUT', 'PATCH', 'DELETE'] as const) {
      expect((await api.call(method, link)).status).toBe(405)
    }
    expect(await everything()).toBe(before)
    expect((await post(link, { approved: true })).status).toBe(200)
  })

  it('shows a page that says what is asked, and loads nothing', async () => {
    const { link } = await linked({
      kind: 'any',
      of: [
        { kind: 'external_event', topic: 'parcel.returned', correlation_id: 'order-42' },
        { kind: 'timer', at: '2126-04-23T15:00:00Z' },
      ],
      link: { schema: refund },
    })
    for (const headers of [asBrowser, {}]) {
      const { status, text, headers: sent } = await get(link, headers)
      expect(status).toBe(200)
      expect(sent).toMatchObject({
        'content-type': 'text/html; charset=utf-8',
        'cache-control': 'no-store',
        'referrer-policy': 'no-referrer',
        'x-content-type-options': 'nosniff',
        'x-robots-tag': 'noindex, nofollow',
      })
      const style = /<style>([\s\S]*?)<\/style>/.exec(text)?.[1] ?? ''
      const hash = createHash('sha256').update(style).digest('base64')
      expect(sent['content-security-policy']).toBe(
        `default-src 'none'; style-src 'sha256-${hash}'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'`,
      )
      for (const part of [
        '<html lang="en">',
        '<title>Approve this refund?</title>',
        'refund order 42',
        'parcel.returned',
        '23 April 2126, 15:00 UTC',
        '<form method="post">',
        '<input type="checkbox"',
        '<option value="damaged">',
        'name="note"',
      ]) {
        expect(text).toContain(part)
      }
      expect(text.match(/<h1/g)).toHaveLength(1)
      expect(text).not.toMatch(/<script|\ssrc=|<link|style="|https?:/)
      expect(text).not.toContain('secret-owner')
    }
  })

  it('gives every field a label', async () => {
    const { link } = await linked({ link: { schema: refund } })
    const { text } = await get(link, asBrowser)
    const ids = [...text.matchAll(/<(?:input|select|textarea)[^>]* id="([^"]+)"/g)].map(
      ([, one]) => one,
    )
    expect(ids).toHaveLength(5)
    for (const one of ids) expect(text).toContain(`<label for="${one}">`)
  })

  it('shows texts of others as texts', async () => {
    const evil = `"><script>alert(1)</script><img src=x onerror='alert(2)'>&amp;`
    const { id, link } = await linked(
      {
        signal: evil,
        link: {
          schema: {
            title: evil,
            description: evil,
            properties: {
              [evil]: { type: 'string', title: evil, description: evil, default: evil },
              pick: { enum: [evil] },
              long: { type: 'string', maxLength: 20, default: `</textarea>${evil}` },
              fixed: { const: evil },
            },
          },
        },
      },
      { goal: evil },
    )
    const pages = [(await get(link, asBrowser)).text]
    pages.push((await submit(link, `pick=${encodeURIComponent(`x${evil}`)}`)).text)
    const name = encodeURIComponent(evil)
    const done = await submit(link, `pick=${name}&${name}=${name}`)
    expect(done.status).toBe(200)
    pages.push(done.text, (await get(link, asBrowser)).text)
    expect((await flowOf(id)).state.resume_event).toEqual({
      [evil]: evil,
      pick: evil,
      fixed: evil,
    })
    for (const page of pages) {
      expect(page).toContain('&lt;script&gt;')
      expect(page).not.toMatch(/<script|<img|alert\(1\)<\/script/)
      const tags = page.match(/<[a-z][^>]*>/g) ?? []
      expect(tags.filter((tag) => /\son\w+=/.test(tag.replace(/"[^"]*"/g, '""')))).toEqual([])
    }
  })

  it.each<[object]>([[{}], [{ approved: true }]])(
    'shows what was decided, when it is dead',
    async (payload) => {
      const { link } = await linked()
      await post(link, payload)
      const { status, text, headers } = await get(link, asBrowser)
      expect(status).toBe(410)
      expect(headers['content-type']).toMatch(/^text\/html/)
      expect(text).toContain('does not work any more')
      expect(text).toContain('Somebody answered by this link')
      if ('approved' in payload) expect(text).toMatch(/approved<\/dt><dd[^>]*>yes/)
    },
  )

  it('shows a page for a token that is none', async () => {
    const { status, text } = await get('/r/nothing', asBrowser)
    expect(status).toBe(404)
    expect(text).toContain('There is no such link')
  })
})

describe('the form of the page', () => {
  it('types its fields by the schema', async () => {
    const { id, link } = await linked({ link: { schema: refund } })
    const note = encodeURIComponent('two\r\nlines & more ü')
    const fields = `approved=true&amount=12.5&reason=3&note=${note}&tags=${encodeURIComponent('["a"]')}`
    const { status, text, headers } = await submit(link, fields)
    expect([status, headers['content-type']]).toEqual([200, 'text/html; charset=utf-8'])
    expect(text).toContain('Thank you')
    expect((await flowOf(id)).state.resume_event).toEqual({
      approved: true,
      amount: 12.5,
      reason: 3,
      note: 'two\nlines & more ü',
      tags: ['a'],
    })
    const again = await submit(link, fields)
    expect(again.status).toBe(410)
    expect(again.text).toContain('Somebody answered by this link')
  })

  it('takes an empty box for no, and leaves out what is empty', async () => {
    const { id, link } = await linked({ link: { schema: refund } })
    expect((await submit(link, 'amount=&reason=&note=&tags=')).status).toBe(200)
    expect((await flowOf(id)).state.resume_event).toEqual({ approved: false })
  })

  it('tells what does not fit, keeps what was filled in, and uses nothing up', async () => {
    const { id, link } = await linked({ link: { schema: refund } })
    const { status, text } = await submit(link, 'approved=on&amount=many&note=kept+text')
    expect(status).toBe(400)
    expect(text).toContain('<title>Please check: Approve this refund?</title>')
    expect(text).toContain('<a href="#field-1">amount must be a number.</a>')
    expect(text).toMatch(/name="amount"[^>]* aria-describedby="field-1-fault" aria-invalid="true"/)
    expect(text).toContain('kept text')
    expect(text).toMatch(/name="approved"[^>]* checked/)
    expect((await flowOf(id)).revision).toBe(2)
    expect((await submit(link, 'other=1')).text).toContain('other is not asked for.')
    expect((await submit(link, 'approved=on&amount=5')).status).toBe(200)
  })

  it('has a comment when there is no schema', async () => {
    const { id, link } = await linked()
    expect((await get(link, asBrowser)).text).toMatch(/<textarea[^>]* name="comment"/)
    await submit(link, 'comment=fine+by+me')
    expect((await flowOf(id)).state).toEqual({ resume_event: { comment: 'fine by me' } })
    const silent = await linked()
    expect((await submit(silent.link, 'comment=')).status).toBe(200)
    expect((await flowOf(silent.id)).state).toEqual({})
    const empty = await linked()
    expect((await submit(empty.link, '')).status).toBe(200)
  })

  it.each<[string, object, string, unknown]>([
    ['a boolean', { type: 'boolean' }, 'payload=true', true],
    ['a choice', { enum: ['a', 'b'] }, 'payload=b', 'b'],
    ['a whole number', { type: 'integer' }, 'payload=-7', -7],
    ['a text or null', { type: ['string', 'null'] }, 'payload=', null],
    ['JSON', { type: 'array' }, 'payload=%5B1%5D', [1]],
    ['one value', { const: { a: 1 } }, '', { a: 1 }],
    ['an object without members', { type: 'object' }, '', {}],
    ['other members', { type: 'object' }, 'x=1', { x: '1' }],
    ['odd names', { properties: { 'a/b': { type: 'integer' } } }, 'a%2Fb=1', { 'a/b': 1 }],
  ])('makes a payload of %s', async (_, schema, fields, payload) => {
    const { id, link } = await linked({ link: { schema } })
    const answer = await submit(link, fields)
    expect(answer.status, answer.text).toBe(200)
    expect((await flowOf(id)).state).toEqual({ resume_event: payload })
  })

  it.each(['a=%ff', 'a=%', 'a=%00', 'a=1&a=2'])('refuses %s', async (fields) => {
    const { id, link } = await linked()
    expect((await submit(link, fields)).status).toBe(400)
    expect((await flowOf(id)).status).toBe('waiting')
  })

  it('is taken here alone, and other types nowhere', async () => {
    const { id, link } = await linked()
    expect((await api.call('POST', `/flows/${id}/cancel`, 'a=1', form)).status).toBe(415)
    const parts = { 'content-type': 'multipart/form-data; boundary=x' }
    expect((await api.call('POST', link, '--x--', parts)).status).toBe(415)
    expect((await flowOf(id)).status).toBe('waiting')
  })
})

describe('tokens', () => {
  it('are in no line of the log and in no problem', async () => {
    const { link } = await linked()
    const token = tokenOf(link)
    lines.length = 0
    const answers = [
      await get(link),
      await get(`${link}?x=1`),
      await get(`/R/${token}`),
      await get(`/%72/${token}`),
      await get(`//r/${token}`),
      await get(`/r/${token}/`),
      await get(`/r/${token}/more`),
      await api.call('PUT', link),
      await post(link, 'x'.repeat(300_000)),
      await api.call('POST', link, '{', {}),
      await post(link),
      await post(link),
    ]
    expect(answers.map(({ status }) => status)).toContain(410)
    expect(lines.length).toBe(answers.length)
    expect(lines.join('')).toContain('"path":"/r/:token"')
    expect(lines.join('')).not.toContain(token)
    for (const { body } of answers) expect(JSON.stringify(body)).not.toContain(token)
    const { rows } = await db.query<{ name: string }>(
      `select relname as name from pg_class where relkind = 'r' and relnamespace = 'public'::regnamespace`,
    )
    expect(rows.length).toBeGreaterThan(5)
    for (const { name } of rows) {
      const found = await db.query(`select 1 from ${name} t where t::text like '%' || $1 || '%'`, [
        token,
      ])
      expect(found.rows, name).toEqual([])
    }
  })
})

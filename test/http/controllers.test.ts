// Controllers over HTTP: how they are put, shown and removed, and that secrets are shown once.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api.close())

const url = 'https://inbox.example.com/steps'
const secret = `whsec_${Buffer.alloc(32, 1).toString('base64')}`
const other = `whsec_${Buffer.alloc(24, 2).toString('base64')}`
const pointerOf = (body: { errors?: { pointer: string }[] }) => body.errors?.[0]?.pointer

let ids = 0
/** A controller that no other test knows. */
const fresh = () => `c-${++ids}`
const put = (id: string, body: object, headers?: Record<string, string>) =>
  api.call('PUT', `/controllers/${encodeURIComponent(id)}`, body, headers)

describe('putting a controller', () => {
  it('answers 201 with defaults, and with the secret that was made', async () => {
    const { status, headers, body } = await put('kate/inbox', { url })
    expect(status).toBe(201)
    expect(headers['location']).toBe('/controllers/kate%2Finbox')
    expect(body).toEqual({
      id: 'kate/inbox',
      url,
      tasks: null,
      timeout: 'PT30S',
      max_concurrency: 10,
      retry: null,
      on_dead: 'fail',
      enabled: true,
      disabled_reason: null,
      disabled_at: null,
      secrets: [
        {
          fingerprint: expect.stringMatching(/^[0-9a-f]{8}$/),
          created_at: expect.any(String),
          expires_at: null,
        },
      ],
      created_at: expect.any(String),
      updated_at: expect.any(String),
      secret: expect.stringMatching(/^whsec_/),
    })
    const { secret: _, ...shown } = body
    expect((await api.call('GET', '/controllers/kate%2Finbox')).body).toEqual(shown)
  })

  it('replaces all of it but its secrets', async () => {
    const id = fresh()
    const all = {
      url,
      tasks: ['classify'],
      secret,
      timeout: 'PT1M',
      max_concurrency: 3,
      retry: { max_attempts: 5, base: 'PT2S', factor: 3, cap: 'PT1H', non_retryable: ['spam'] },
      on_dead: 'park',
      enabled: false,
    }
    const made = await put(id, all)
    const { secret: _, ...said } = all
    expect(made.body).toMatchObject({ ...said, disabled_reason: 'Disabled by a request.' })
    expect(made.body.disabled_at).not.toBeNull()
    expect(made.text).not.toContain(secret)
    const replaced = await put(id, { url })
    expect(replaced.status).toBe(200)
    expect(replaced.headers['location']).toBeUndefined()
    expect(replaced.body).toMatchObject({
      tasks: null,
      timeout: 'PT30S',
      max_concurrency: 10,
      retry: null,
      on_dead: 'fail',
      enabled: true,
      disabled_reason: null,
      disabled_at: null,
      secrets: made.body.secrets,
      created_at: made.body.created_at,
    })
    expect(replaced.body.secret).toBeNull()
  })

  it('without a url makes no secret, and says what holds for steps', async () => {
    const id = fresh()
    const { status, body } = await put(id, { retry: { max_attempts: 7 }, on_dead: 'park' })
    expect(status).toBe(201)
    expect(body).toMatchObject({
      url: null,
      secrets: [],
      retry: { max_attempts: 7, base: 'PT1S', factor: 2, cap: 'PT5M', non_retryable: [] },
    })
    expect(body.secret).toBeNull()
    const flow = await api.call('POST', '/flows', {
      controller_id: id,
      goal: 'g',
      owner_session_key: 'o',
      requester_origin: 'r',
      start: true,
    })
    const step = await api.call('POST', `/flows/${flow.body.id}/steps`, { task: 'classify' })
    expect(step.body).toMatchObject({ max_attempts: 7, on_dead: 'park' })
  })

  it('with another secret lets both sign for a day', async () => {
    const id = fresh()
    const first = await put(id, { url, secret })
    const same = await put(id, { url, secret })
    expect(same.body.secrets).toEqual(first.body.secrets)
    const { body } = await put(id, { url, secret: other })
    expect(body.secrets).toHaveLength(2)
    const [newest, old] = body.secrets
    expect(newest.expires_at).toBeNull()
    expect(Date.parse(old.expires_at) - Date.parse(newest.created_at)).toBe(86_400_000)
    expect(old.fingerprint).toBe(first.body.secrets[0].fingerprint)
  })

  it.each([
    ['/url', { url: 'nonsense' }, 'url_not_allowed'],
    ['/timeout', { timeout: 'PT0.5S' }, 'invalid_request'],
    ['/timeout', { timeout: 'PT16M' }, 'invalid_request'],
    ['/secret', { secret: 'whsec_short' }, 'invalid_request'],
    ['/max_concurrency', { max_concurrency: 0 }, 'invalid_request'],
    ['/max_concurrency', { max_concurrency: 1_001 }, 'invalid_request'],
    ['/retry/base', { retry: { base: 'P2D' } }, 'invalid_request'],
    ['/retry/max_attempts', { retry: { max_attempts: 0 } }, 'invalid_request'],
    ['/tasks', { tasks: [] }, 'invalid_request'],
    ['/on_dead', { on_dead: 'parks' }, 'invalid_request'],
    ['/ulr', { ulr: url }, 'invalid_request'],
  ])('refuses %s of %j', async (pointer, body, code) => {
    const answer = await put(fresh(), body)
    expect(answer.status).toBe(400)
    expect(answer.body.code).toBe(code)
    if (code === 'invalid_request') expect(pointerOf(answer.body)).toBe(pointer)
  })

  it('takes an Idempotency-Key, and does not show the secret again', async () => {
    const id = fresh()
    const headers = { 'idempotency-key': `put-${id}` }
    const first = await put(id, { url }, headers)
    expect(first.body.secret).toMatch(/^whsec_/)
    const again = await put(id, { url }, headers)
    expect(again.status).toBe(201)
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.body).toEqual({ ...first.body, secret: null })
    expect((await put(id, { url, timeout: 'PT1S' }, headers)).body.code).toBe(
      'idempotency_mismatch',
    )
  })

  it('makes one row, and one secret, however many ask at once', async () => {
    const id = fresh()
    const answers = await Promise.all(Array.from({ length: 8 }, () => put(id, { url })))
    expect(answers.map(({ status }) => status).sort()).toEqual([
      200, 200, 200, 200, 200, 200, 200, 201,
    ])
    expect(answers.filter(({ body }) => body.secret !== null)).toHaveLength(1)
  })

  it('refuses If-Match', async () => {
    expect((await put(fresh(), { url }, { 'if-match': '"1"' })).status).toBe(400)
  })

  it('takes ids with everything in them that an id may have', async () => {
    for (const id of ['a b', 'ä/ö', 'x'.repeat(255), '..%2F', '100%', "o'neill"]) {
      const { status, body } = await put(id, {})
      expect([id, status, body.id]).toEqual([id, 201, id])
      const path = `/controllers/${encodeURIComponent(id)}`
      expect((await api.call('GET', path)).body.id).toBe(id)
      expect((await api.call('DELETE', path)).status).toBe(204)
    }
    expect((await put('x'.repeat(256), {})).status).toBe(400)
    const nul = await api.call('PUT', '/controllers/a%00b', {})
    expect(nul.status).toBe(400)
  })
})

describe('controllers', () => {
  it('are listed by id, page by page', async () => {
    const names = ['list/a', 'list/b', 'list/c']
    for (const id of names) await put(id, {})
    const found: string[] = []
    for (let cursor: string | null = ''; cursor !== null; ) {
      const query: string = cursor === '' ? '' : `&cursor=${cursor}`
      const { body } = await api.call('GET', `/controllers?limit=2${query}`)
      found.push(...body.items.map(({ id }: { id: string }) => id))
      cursor = body.next_cursor
    }
    expect(found.filter((id) => id.startsWith('list/'))).toEqual(names)
    expect(new Set(found).size).toBe(found.length)
  })

  it('refuse cursors of other lists', async () => {
    const cursor = Buffer.from('["x","y"]').toString('base64url')
    const { status, body } = await api.call('GET', `/controllers?cursor=${cursor}`)
    expect([status, body.code]).toEqual([400, 'cursor_mismatch'])
  })

  it('are gone when they were removed', async () => {
    const id = fresh()
    await put(id, { url })
    expect((await api.call('DELETE', `/controllers/${id}`)).status).toBe(204)
    for (const method of ['GET', 'DELETE'] as const) {
      const { status, body } = await api.call(method, `/controllers/${id}`)
      expect([status, body.code, body.resource]).toEqual([404, 'not_found', 'controller'])
    }
  })

  it('send to the public Internet alone, unless told otherwise', async () => {
    const strict = await startApi({ loops: false, outboundRules: { allowPrivate: false } })
    try {
      for (const [bad, reason] of [
        ['http://example.com/', 'scheme'],
        ['https://127.0.0.1/', 'address'],
        ['https://[::1]/', 'address'],
        ['https://localhost/', 'name'],
        ['https://169.254.169.254/latest', 'address'],
      ]) {
        const { status, body } = await strict.call('PUT', '/controllers/c', { url: bad })
        expect([bad, status, body.code, body.reason]).toEqual([bad, 400, 'url_not_allowed', reason])
      }
      expect((await strict.call('GET', '/controllers')).body.items).toEqual([])
    } finally {
      await strict.close()
    }
  })
})

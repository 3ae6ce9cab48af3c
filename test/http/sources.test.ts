// Sources of webhooks over HTTP: how they are defined, replaced and removed, and that their secrets never come back.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'

let api: Api
beforeAll(async () => {
  api = await startApi()
})
afterAll(() => api.close())

const secret = 'It is a Secret to Everybody'
const map = { topic: 'github.{header:x-github-event}', correlation_id: '{/repository/full_name}' }
const github = (id: string, over: object = {}) => ({
  id,
  verify: { scheme: 'github', secrets: [secret] },
  map,
  ...over,
})
const pointerOf = (body: { errors?: { pointer: string }[] }) => body.errors?.[0]?.pointer

describe('defining a source', () => {
  it('answers 201 with its address and without its secrets', async () => {
    const { status, headers, body, text } = await api.call('POST', '/sources', github('gh'))
    expect(status).toBe(201)
    expect(headers['location']).toBe('/sources/gh')
    expect(body).toEqual({
      id: 'gh',
      namespace: 'default',
      url: '/in/gh',
      verify: {
        scheme: 'github',
        secret_count: 1,
        // printf 'It is a Secret to Everybody' | sha256sum | cut -c1-8
        secrets: [{ fingerprint: 'c6607ef1' }],
        tolerance: null,
        header: null,
        algorithm: null,
        encoding: null,
        prefix: null,
        timestamp_header: null,
        signed_content: null,
      },
      map: { ...map, event_id: '{header:x-github-delivery}' },
      ttl: null,
      deliver: 'one',
      created_at: expect.any(String),
      updated_at: body.created_at,
    })
    expect(text).not.toContain(secret)
    expect((await api.call('GET', '/sources/gh')).body).toEqual(body)
  })

  it.each([
    [{ scheme: 'stripe', secrets: ['whsec_x'] }, { tolerance: 'PT5M' }, '{/id}'],
    [
      { scheme: 'slack', secrets: ['x'], tolerance: 'PT90S' },
      { tolerance: 'PT1M30S' },
      '{/event_id}',
    ],
    [
      { scheme: 'standard-webhooks', secrets: ['whsec_TWZL', 'whsec_TWZM'], tolerance: 'P1DT0.5S' },
      { tolerance: 'P1DT0.5S', secret_count: 2 },
      '{header:webhook-id}',
    ],
    [{ scheme: 'bearer', secrets: ['x'] }, { tolerance: null }, null],
    [
      { scheme: 'hmac', secrets: ['x'], header: 'X-Mac' },
      {
        header: 'x-mac',
        algorithm: 'sha256',
        encoding: 'hex',
        prefix: '',
        timestamp_header: null,
        signed_content: '{body}',
        tolerance: null,
      },
      null,
    ],
    [
      {
        scheme: 'hmac',
        secrets: ['x'],
        header: 'X-Mac',
        algorithm: 'sha512',
        encoding: 'base64',
        prefix: 'v0=',
        timestamp_header: 'X-At',
        tolerance: 'PT0S',
      },
      {
        algorithm: 'sha512',
        encoding: 'base64',
        prefix: 'v0=',
        timestamp_header: 'x-at',
        signed_content: '{timestamp}.{body}',
        tolerance: 'PT0S',
      },
      null,
    ],
  ])('takes %j', async (verify, shown, event_id) => {
    const id = `s-${Math.random()}`
    const made = await api.call('POST', '/sources', { id, verify, map, ttl: 'P2D', deliver: 'all' })
    expect(made.status).toBe(201)
    expect(made.body).toMatchObject({
      verify: { scheme: verify.scheme, ...shown },
      map: { event_id },
      ttl: 'P2D',
      deliver: 'all',
    })
  })

  it('takes an id once', async () => {
    await api.call('POST', '/sources', github('once'))
    const { status, body } = await api.call('POST', '/sources', github('once'))
    expect(status).toBe(409)
    expect(body).toMatchObject({ code: 'already_exists', resource: 'source', id: 'once' })
  })

  it.each([
    ['/id', { id: 'nats' }],
    ['/id', { id: 'a/b' }],
    ['/id', { id: '.hidden' }],
    ['/verify/scheme', { verify: { scheme: 'none' } }],
    ['/verify/scheme', { verify: { scheme: 'gitlab', secrets: [secret] } }],
    ['/verify/secrets', { verify: { scheme: 'github' } }],
    ['/verify/secrets', { verify: { scheme: 'github', secrets: [] } }],
    ['/verify/secrets', { verify: { scheme: 'github', secrets: [secret, secret] } }],
    ['/verify/secrets/0', { verify: { scheme: 'github', secrets: [''] } }],
    ['/verify/secrets/0', { verify: { scheme: 'standard-webhooks', secrets: [secret] } }],
    ['/verify/secret', { verify: { scheme: 'github', secret } }],
    ['/verify/tolerance', { verify: { scheme: 'github', secrets: [secret], tolerance: 'PT1M' } }],
    [
      '/verify/tolerance',
      { verify: { scheme: 'hmac', secrets: [secret], header: 'x-mac', tolerance: 'PT1M' } },
    ],
    ['/verify/header', { verify: { scheme: 'hmac', secrets: [secret] } }],
    ['/verify/header', { verify: { scheme: 'hmac', secrets: [secret], header: 'x mac' } }],
    [
      '/verify/signed_content',
      {
        verify: {
          scheme: 'hmac',
          secrets: [secret],
          header: 'x',
          timestamp_header: 'y',
          signed_content: '{body}',
        },
      },
    ],
    ['/map/topic', { map: { ...map, topic: '{type}' } }],
    ['/map/topic', { map: { correlation_id: 'c' } }],
    ['/map/correlation_id', { map: { ...map, correlation_id: '{header:cookie}' } }],
    ['/map/event_id', { map: { ...map, event_id: '' } }],
    ['/ttl', { ttl: '1 day' }],
    ['/deliver', { deliver: 'some' }],
  ])('names what is wrong: %s', async (pointer, over) => {
    const { status, body, text } = await api.call('POST', '/sources', github('wrong', over))
    expect(status).toBe(400)
    expect(pointerOf(body)).toBe(pointer)
    expect(text).not.toContain(secret)
    expect((await api.call('GET', '/sources/wrong')).status).toBe(404)
  })

  it('says which part of a template is wrong', async () => {
    const over = { map: { ...map, topic: 'x.{/a~2}' } }
    const { body } = await api.call('POST', '/sources', github('wrong', over))
    expect(body.detail).toBe('topic has {/a~2}, where ~ must be written ~0, and / in a name ~1.')
  })

  it('names the setting that unverified sources need', async () => {
    const over = { verify: { scheme: 'none' } }
    const { body } = await api.call('POST', '/sources', github('wrong', over))
    expect(body.detail).toContain('TASKFLOW_ALLOW_UNSIGNED_SOURCES=true')
  })

  it('does not repeat a secret that was sent as a number', async () => {
    const over = { verify: { scheme: 'github', secrets: [271828] } }
    const { status, text } = await api.call('POST', '/sources', github('wrong', over))
    expect(status).toBe(400)
    expect(text).not.toContain('271828')
  })

  it('happens once under an Idempotency-Key', async () => {
    const key = { 'idempotency-key': 'make-keyed' }
    const first = await api.call('POST', '/sources', github('keyed'), key)
    const again = await api.call('POST', '/sources', github('keyed'), key)
    expect([first.status, again.status]).toEqual([201, 201])
    expect(again.headers['idempotency-replayed']).toBe('true')
    expect(again.headers['location']).toBe('/sources/keyed')
    expect(again.body).toEqual(first.body)
    const other = await api.call('POST', '/sources', github('keyed-2'), key)
    expect([other.status, other.body.code]).toEqual([422, 'idempotency_mismatch'])
    expect((await api.call('GET', '/sources/keyed-2')).status).toBe(404)
    const refused = await api.call('POST', '/sources', github('keyed'), { 'if-match': '"1"' })
    expect([refused.status, pointerOf(refused.body)]).toEqual([400, 'if-match'])
  })

  it('is made by one of many at once', async () => {
    const answers = await Promise.all(
      Array.from({ length: 8 }, () => api.call('POST', '/sources', github('raced'))),
    )
    const statuses = answers.map(({ status }) => status).sort()
    expect(statuses).toEqual([201, 409, 409, 409, 409, 409, 409, 409])
  })
})

describe('replacing a source', () => {
  const { id: _, ...definition } = github('x')

  it('keeps the secrets unless others are sent', async () => {
    await api.call('POST', '/sources', github('put', { ttl: 'PT1H', deliver: 'all' }))
    const before = (await api.call('GET', '/sources/put')).body
    const kept = await api.call('PUT', '/sources/put', {
      verify: { scheme: 'github' },
      map: { topic: 't', correlation_id: 'c', event_id: null },
    })
    expect(kept.status).toBe(200)
    expect(kept.body).toMatchObject({
      verify: { secrets: before.verify.secrets },
      map: { topic: 't', correlation_id: 'c', event_id: null },
      ttl: null,
      deliver: 'one',
      created_at: before.created_at,
    })
    const verify = { scheme: 'github', secrets: ['new', secret] }
    const rotated = await api.call('PUT', '/sources/put', { ...definition, verify })
    expect(rotated.body.verify.secrets).toHaveLength(2)
    expect(rotated.body.verify.secrets[1]).toEqual(before.verify.secrets[0])
    expect((await api.call('GET', '/sources/put')).body).toEqual(rotated.body)
  })

  it('needs secrets for another scheme', async () => {
    await api.call('POST', '/sources', github('other'))
    const { status, body } = await api.call('PUT', '/sources/other', {
      ...definition,
      verify: { scheme: 'stripe' },
    })
    expect([status, pointerOf(body)]).toEqual([400, '/verify/secrets'])
    expect((await api.call('GET', '/sources/other')).body.verify.scheme).toBe('github')
  })

  it('is judged like a new one, and answers 404 for one that is not there', async () => {
    await api.call('POST', '/sources', github('judged'))
    const wrong = { ...definition, map: { topic: '{', correlation_id: 'c' } }
    expect((await api.call('PUT', '/sources/judged', wrong)).status).toBe(400)
    for (const id of ['absent', 'nats', 'a%2Fb']) {
      const { status, body } = await api.call('PUT', `/sources/${id}`, definition)
      expect([status, body.code]).toEqual([404, 'not_found'])
    }
    expect((await api.call('PUT', '/sources/judged')).status).toBe(400)
  })
})

describe('removing a source', () => {
  it('answers 204, then 404', async () => {
    await api.call('POST', '/sources', github('gone'))
    const key = { 'idempotency-key': 'remove-gone' }
    const first = await api.call('DELETE', '/sources/gone', undefined, key)
    expect([first.status, first.text]).toEqual([204, ''])
    expect((await api.call('GET', '/sources/gone')).status).toBe(404)
    const again = await api.call('DELETE', '/sources/gone', undefined, key)
    expect([again.status, again.headers['idempotency-replayed']]).toEqual([204, 'true'])
    expect((await api.call('DELETE', '/sources/gone')).status).toBe(404)
  })
})

describe('the list', () => {
  it('has every source once, newest first, in pages', async () => {
    for (const id of ['l-1', 'l-2', 'l-3']) await api.call('POST', '/sources', github(id))
    const whole = (await api.call('GET', '/sources?limit=200')).body.items
    const ids: string[] = whole.map((source: { id: string }) => source.id)
    expect(ids.indexOf('l-3')).toBeLessThan(ids.indexOf('l-1'))
    const paged: string[] = []
    let query = '/sources?limit=2'
    for (;;) {
      const { body, text } = await api.call('GET', query)
      expect(text).not.toContain(secret)
      paged.push(...body.items.map((source: { id: string }) => source.id))
      if (body.next_cursor === null) break
      query = `/sources?limit=2&cursor=${body.next_cursor}`
    }
    expect(paged).toEqual(ids)
    const foreign = await api.call('GET', '/flows?limit=1')
    expect(foreign.status).toBe(200)
    const wrong = await api.call('GET', '/sources?cursor=bm9wZQ')
    expect(wrong.status).toBe(400)
  })
})

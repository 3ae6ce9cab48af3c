// Webhooks over HTTP, from the sender's bytes to the flow that goes on: every scheme, duplicates, what
// cannot be mapped, what is kept, and once more.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { openDatabase } from '../../src/store/db.ts'
import { deleteOldMessages, keepMessage } from '../../src/store/inbound.ts'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'
import { openSession, type Session } from '../support/engine.ts'
import * as sign from '../support/webhooks.ts'

const secret = 'It is a Secret to Everybody'
const standardSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'
const byOrder = { topic: '{/type}', correlation_id: '{/order}' }

let api: Api
let session: Session
beforeAll(async () => {
  api = await startApi()
  session = await openSession(api.databaseUrl)
})
afterAll(async () => {
  await session.end()
  await api.close()
})

let made = 0
const unique = (name: string) => `${name}-${++made}`

/** Defines a source and answers its id. */
async function define(verify: object, map: object = byOrder, more: object = {}): Promise<string> {
  const id = unique('s')
  const { status, body } = await api.call('POST', '/sources', { id, verify, map, ...more })
  expect(body).toMatchObject({ id })
  expect(status).toBe(201)
  return id
}
const github = (map?: object, more?: object) =>
  define({ scheme: 'github', secrets: [secret] }, map, more)

/** A flow that waits for a topic and a correlation id. */
async function waiting(topic: string, correlation_id: string): Promise<string> {
  const { body } = await api.call('POST', '/flows', {
    controller_id: 'c',
    goal: 'g',
    owner_session_key: 'o',
    requester_origin: 'r',
    start: true,
  })
  const wait = { kind: 'external_event', topic, correlation_id }
  await api.call('POST', `/flows/${body.id}/wait`, wait)
  return body.id
}
const flow = async (id: string) => (await api.call('GET', `/flows/${id}`)).body
const send = (id: string, body: string | undefined, headers: sign.Headers): Promise<ApiAnswer> =>
  api.call('POST', `/in/${id}`, body, headers)
const messages = async (id: string, query = '') =>
  (await api.call('GET', `/sources/${id}/messages${query}`)).body.items
const message = async (id: string, messageId: string) =>
  (await api.call('GET', `/sources/${id}/messages/${messageId}`)).body
const replay = (id: string, messageId: string, headers?: sign.Headers) =>
  api.call('POST', `/sources/${id}/messages/${messageId}/replay`, {}, headers)

describe('a verified message', () => {
  const custom = {
    scheme: 'hmac',
    secrets: [secret],
    header: 'X-Mac',
    prefix: 'mac=',
    timestamp_header: 'X-At',
  }
  type Signer = (body: string, eventId: string) => sign.Headers
  const schemes: [string, object, Signer][] = [
    [
      'github',
      { scheme: 'github', secrets: [secret] },
      (body, id) => sign.github(secret, body, 'push', id),
    ],
    ['stripe', { scheme: 'stripe', secrets: [secret] }, (body) => sign.stripe(secret, body)],
    ['slack', { scheme: 'slack', secrets: [secret] }, (body) => sign.slack(secret, body)],
    [
      'standard-webhooks',
      { scheme: 'standard-webhooks', secrets: [standardSecret] },
      (body, id) => sign.standardWebhooks(standardSecret, body, id),
    ],
    [
      'standard-webhooks, by the names of svix',
      { scheme: 'standard-webhooks', secrets: [standardSecret] },
      (body, id) => sign.standardWebhooks(standardSecret, body, id, sign.unixNow(), 'svix'),
    ],
    ['hmac', custom, (body) => sign.custom(secret, body)],
    [
      'bearer',
      { scheme: 'bearer', secrets: ['token-1'] },
      () => ({ 'content-type': 'application/json', authorization: 'Bearer token-1' }),
    ],
  ]

  it.each(schemes)('of %s ends the wait for it, once', async (_name, verify, signer) => {
    const id = await define(verify)
    const order = unique('order')
    const flowId = await waiting('paid', order)
    const eventId = unique('evt')
    // White space and escapes: what is verified are the bytes, not what they mean.
    const body = `{ "type":"paid", "order": "${order}",\n "id":"${eventId}","event_id":"${eventId}", "n":"\\u00e9 é" }`
    const first = await send(id, body, signer(body, eventId))
    expect(first.status).toBe(202)
    expect(first.body).toEqual({ signal_id: expect.any(String), outcome: 'delivered' })
    const after = await flow(flowId)
    expect(after.status).toBe('running')
    expect(after.state.resume_event).toEqual(JSON.parse(body))
    const events = (await api.call('GET', `/flows/${flowId}/events?kind=resumed`)).body.items
    expect(events[0]).toMatchObject({ actor: `source:${id}` })

    const dedupes = !['hmac', 'bearer'].includes(String((verify as { scheme: string }).scheme))
    const again = await send(id, body, signer(body, eventId))
    expect(again.status).toBe(202)
    if (dedupes) expect(again.body).toEqual({ ...first.body, outcome: 'duplicate' })
    else expect(again.body.outcome).toBe('buffered')

    const [kept] = (await messages(id)).slice(-1)
    expect(kept).toMatchObject({
      source: id,
      outcome: 'accepted',
      reason: null,
      signal_id: first.body.signal_id,
      body_bytes: Buffer.byteLength(body),
    })
    expect((await messages(id)).length).toBe(dedupes ? 1 : 2)
    const whole = await message(id, kept.id)
    expect([whole.body, whole.body_encoding]).toEqual([body, 'text'])
    expect(whole.headers['content-type']).toBe('application/json')
    const names = Object.keys(whole.headers).join()
    expect(names).not.toMatch(/signature|authorization|x-mac/)
  })

  it('that comes before its wait is kept for it', async () => {
    const id = await github(byOrder, { ttl: 'PT1H' })
    const order = unique('order')
    const body = JSON.stringify({ type: 'paid', order })
    const early = await send(id, body, sign.github(secret, body))
    expect(early.body.outcome).toBe('buffered')
    const signal = (await api.call('GET', `/signals/${early.body.signal_id}`)).body
    const kept = Date.parse(signal.expires_at) - Date.parse(signal.received_at)
    expect(Math.round(kept / 60_000)).toBe(60)
    expect((await flow(await waiting('paid', order))).status).toBe('running')
  })

  it('that nobody waits for and that is not to be kept is stored all the same', async () => {
    const id = await github(byOrder, { ttl: 'PT0S' })
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const answer = await send(id, body, sign.github(secret, body))
    expect([answer.status, answer.body.outcome]).toEqual([202, 'unmatched'])
    expect(await messages(id)).toMatchObject([{ outcome: 'accepted', signal_id: null }])
  })

  it('wakes all who wait when its source says so', async () => {
    const id = await github(byOrder, { deliver: 'all' })
    const order = unique('order')
    const ids = [await waiting('paid', order), await waiting('paid', order)]
    const body = JSON.stringify({ type: 'paid', order })
    await send(id, body, sign.github(secret, body))
    for (const flowId of ids) expect((await flow(flowId)).status).toBe('running')
  })

  it('with the same id of another source, or for another correlation, is no duplicate', async () => {
    const [a, b] = [await github(), await github()]
    const outcomes: string[] = []
    for (const [id, order] of [
      [a, 'x'],
      [b, 'x'],
      [a, 'y'],
      [a, 'x'],
    ] as const) {
      const body = JSON.stringify({ type: 'paid', order: `${a}-${order}` })
      outcomes.push((await send(id, body, sign.github(secret, body, 'push', 'd-1'))).body.outcome)
    }
    expect(outcomes).toEqual(['buffered', 'buffered', 'buffered', 'duplicate'])
  })

  it.each([
    [
      'push',
      'refs/tags/simple-tag',
      'github.push',
      '{/repository/full_name}@{/ref}',
      'Codertocat/Hello-World@refs/tags/simple-tag',
    ],
    [
      'pull_request.opened',
      'opened',
      'github.pull_request.opened',
      '{/repository/full_name}#{/number}',
      'Codertocat/Hello-World#2',
    ],
  ])('as GitHub sends it: %s', async (name, contains, topic, correlation, correlation_id) => {
    const body = await readFile(
      join(import.meta.dirname, '../fixtures/github', `${name}.payload.json`),
      'utf8',
    )
    expect(body).toContain(contains)
    const topicTemplate =
      name === 'push'
        ? 'github.{header:x-github-event}'
        : 'github.{header:x-github-event}.{/action}'
    const id = await github({ topic: topicTemplate, correlation_id: correlation })
    const flowId = await waiting(topic, correlation_id)
    const event = name.split('.')[0] ?? ''
    const answer = await send(id, body, sign.github(secret, body, event, unique('delivery')))
    expect(answer.body.outcome).toBe('delivered')
    expect((await flow(flowId)).state.resume_event).toEqual(JSON.parse(body))
  })

  it('is committed before it is answered, and its message with it', async () => {
    const id = await github()
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const answer = await send(id, body, sign.github(secret, body))
    const { rows } = await session.query<{ same: boolean }>(
      `select s.xmin = m.xmin as same from signals s join inbound_messages m on m.signal_id = s.id
       where s.id = $1`,
      [answer.body.signal_id],
    )
    expect(rows).toEqual([{ same: true }])
  })

  it('makes one signal, however often it comes at once', async () => {
    const id = await github()
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const headers = sign.github(secret, body, 'push', 'd-1')
    const answers = await Promise.all(Array.from({ length: 20 }, () => send(id, body, headers)))
    expect(new Set(answers.map((answer) => answer.body.signal_id)).size).toBe(1)
    const outcomes = answers.map((answer) => answer.body.outcome).sort()
    expect(outcomes).toEqual(['buffered', ...Array(19).fill('duplicate')])
    expect(await messages(id)).toHaveLength(1)
  })
})

describe('a message that is not verified', () => {
  const body = JSON.stringify({ type: 'paid', order: 'order-1' })
  const old = () => sign.unixNow() - 301
  const cases: [string, object, () => sign.Headers][] = [
    ['no signature', { scheme: 'github', secrets: [secret] }, () => ({})],
    ['a wrong secret', { scheme: 'github', secrets: [secret] }, () => sign.github('x', body)],
    [
      'a signature of another length',
      { scheme: 'github', secrets: [secret] },
      () => ({ 'x-hub-signature-256': 'sha256=00' }),
    ],
    [
      'another body',
      { scheme: 'github', secrets: [secret] },
      () => sign.github(secret, `${body} `),
    ],
    [
      'an old stripe time',
      { scheme: 'stripe', secrets: [secret] },
      () => sign.stripe(secret, body, old()),
    ],
    [
      'an old slack time',
      { scheme: 'slack', secrets: [secret] },
      () => sign.slack(secret, body, undefined, old()),
    ],
    [
      'an old standard time',
      { scheme: 'standard-webhooks', secrets: [standardSecret] },
      () => sign.standardWebhooks(standardSecret, body, 'm', old()),
    ],
    [
      'a time past a shorter tolerance',
      { scheme: 'stripe', secrets: [secret], tolerance: 'PT10S' },
      () => sign.stripe(secret, body, sign.unixNow() - 12),
    ],
    [
      'a time to come',
      { scheme: 'stripe', secrets: [secret] },
      () => sign.stripe(secret, body, sign.unixNow() + 302),
    ],
    ['another token', { scheme: 'bearer', secrets: ['t'] }, () => ({ authorization: 'Bearer u' })],
  ]
  const seen = new Set<string>()

  it.each(cases)('for %s is refused, and leaves nothing', async (_name, verify, headers) => {
    const id = await define(verify)
    const { status, body: problem } = await send(id, body, headers())
    expect(status).toBe(401)
    expect(problem.code).toBe('signature_invalid')
    seen.add(problem.detail)
    expect(seen.size).toBe(1)
    expect(await messages(id)).toEqual([])
  })

  it('for no source is 404', async () => {
    for (const id of ['absent', 'nats', 'a:b', 'x'.repeat(300), 'b%2Fc', '%3A']) {
      const { status, body: problem } = await send(id, body, sign.github(secret, body))
      expect([id, status, problem.code]).toEqual([id, 404, 'not_found'])
    }
  })

  it('is not taken from a source that was removed', async () => {
    const id = await github()
    await send(id, body, sign.github(secret, body))
    await api.call('DELETE', `/sources/${id}`)
    expect((await send(id, body, sign.github(secret, body))).status).toBe(404)
    const [kept] = await messages(id)
    expect((await message(id, kept.id)).body).toBe(body)
    expect((await replay(id, kept.id)).status).toBe(404)
  })
})

describe('rotating a secret', () => {
  it('takes both while both are live, and then the new one alone', async () => {
    const id = await github()
    const put = (secrets: string[]) =>
      api.call('PUT', `/sources/${id}`, { verify: { scheme: 'github', secrets }, map: byOrder })
    const statusWith = async (used: string) => {
      const body = JSON.stringify({ type: 'paid', order: unique('order') })
      return (await send(id, body, sign.github(used, body))).status
    }
    expect([await statusWith(secret), await statusWith('new')]).toEqual([202, 401])
    await put(['new', secret])
    expect([await statusWith(secret), await statusWith('new')]).toEqual([202, 202])
    await put(['new'])
    expect([await statusWith(secret), await statusWith('new')]).toEqual([401, 202])
  })
})

describe('bodies', () => {
  it('of forms are objects of their fields, with the JSON of a payload', async () => {
    const id = await define(
      { scheme: 'slack', secrets: [secret] },
      { topic: 'slack.{/payload/type}', correlation_id: '{/payload/user/id}', event_id: null },
    )
    const user = unique('U')
    const flowId = await waiting('slack.block_actions', user)
    const payload = JSON.stringify({ type: 'block_actions', user: { id: user } })
    const fields: [string, string][] = [
      ['payload', payload],
      ['a b', 'ü&='],
      ['x', '1'],
      ['x', '2'],
      ['__proto__', 'p'],
    ]
    const body = new URLSearchParams(fields).toString()
    const headers = sign.slack(secret, body, 'application/x-www-form-urlencoded')
    expect((await send(id, body, headers)).body.outcome).toBe('delivered')
    const state = JSON.stringify((await flow(flowId)).state.resume_event)
    expect(JSON.parse(state)).toMatchObject({
      payload: JSON.parse(payload),
      'a b': 'ü&=',
      x: ['1', '2'],
    })
    expect(state).toContain('"__proto__":"p"')
  })

  it('of other types have no members, and can be mapped by their headers', async () => {
    const id = await github({ topic: '{header:x-topic}', correlation_id: '{header:x-about}' })
    const order = unique('order')
    const flowId = await waiting('raw', order)
    for (const type of ['text/plain', 'application/xml', 'application/octet-stream', undefined]) {
      const body = 'type=paid'
      const { 'content-type': _, ...signed } = sign.github(secret, body)
      const answer = await api.app.inject({
        method: 'POST',
        url: `/in/${id}`,
        headers: {
          ...signed,
          'x-topic': 'raw',
          'x-about': order,
          ...(type !== undefined && { 'content-type': type }),
        },
        payload: Buffer.from(body),
      })
      expect(answer.statusCode).toBe(202)
    }
    const { status, state } = await flow(flowId)
    expect(status).toBe('running')
    expect(state).toEqual({})
  })

  it('of any bytes are kept as they are', async () => {
    const id = await define({ scheme: 'bearer', secrets: ['t'] })
    const bytes = Buffer.from([0xff, 0x00, 0xfe, 0x0a])
    const answer = await api.app.inject({
      method: 'POST',
      url: `/in/${id}`,
      headers: { authorization: 'Bearer t', 'content-type': 'application/octet-stream' },
      payload: bytes,
    })
    expect(answer.json()).toEqual({ signal_id: null, outcome: 'unmapped' })
    const [kept] = await messages(id)
    const whole = await message(id, kept.id)
    expect([whole.body, whole.body_encoding]).toEqual([bytes.toString('base64'), 'base64'])
  })

  it('that are too large or compressed are refused', async () => {
    const id = await github()
    const body = JSON.stringify({ x: 'x'.repeat(1_048_576) })
    const large = await send(id, body, sign.github(secret, body))
    expect([large.status, large.body.code]).toEqual([413, 'payload_too_large'])
    const gzip = await send(id, '{}', { ...sign.github(secret, '{}'), 'content-encoding': 'gzip' })
    expect(gzip.status).toBe(415)
  })

  it('of a type that is no type are taken for what they are: bytes', async () => {
    const id = await github({ topic: 't', correlation_id: unique('raw') })
    for (const type of ['json', 'application/', ';', 'application/json; =']) {
      const answer = await send(id, '{}', { ...sign.github(secret, '{}'), 'content-type': type })
      expect([type, answer.status]).toEqual([type, 202])
    }
  })

  it('of JSON under other names are read as well', async () => {
    const id = await github()
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const headers = sign.github(secret, body)
    for (const type of ['application/cloudevents+json; charset=utf-8', 'APPLICATION/JSON']) {
      const answer = await send(id, body, { ...headers, 'content-type': type })
      expect(answer.body.outcome).toBe('buffered')
    }
  })
})

describe('a message that cannot be mapped', () => {
  const order = 'o'.repeat(256)
  it.each([
    ['a missing member', '{"type":"paid"}', 'correlation_id: The body has no /order.'],
    [
      'members of other types',
      '{"type":{},"order":[]}',
      'topic: /type is an object, which is no text. correlation_id: /order is an array, which is no text.',
    ],
    [
      'a text that is too long',
      `{"type":"paid","order":"${order}"}`,
      'correlation_id: It would have more than 255 characters.',
    ],
    ['an empty text', '{"type":"","order":"1"}', 'topic: It would be empty.'],
    ['broken JSON', '{"type":"paid",', 'body: Line 1, column 16: expected'],
    ['a member twice', '{"type":"paid","type":"x"}', 'body: A member is there twice'],
    ['NUL', '{"type":"paid\\u0000"}', 'body: A text holds the NUL character'],
    ['half a surrogate pair', '{"type":"\\ud800"}', 'body: A text holds half a surrogate pair'],
    ['deep nesting', '['.repeat(100), 'body: The JSON is nested'],
    ['no body', '', 'topic: The body has no members'],
    [
      'a payload that is too large',
      JSON.stringify({ type: 'a', order: 'b', x: 'x'.repeat(300_000) }),
      'payload: The payload is larger than',
    ],
  ])('for %s is kept with the reason', async (_name, body, reason) => {
    const id = await github()
    const answer = await send(id, body, sign.github(secret, body))
    expect(answer.status).toBe(202)
    expect(answer.body).toEqual({ signal_id: null, outcome: 'unmapped' })
    const [kept, ...more] = await messages(id, '?outcome=unmapped')
    expect(more).toEqual([])
    expect(kept).toMatchObject({ outcome: 'unmapped', signal_id: null })
    expect(kept.reason.slice(0, reason.length)).toBe(reason)
    expect((await message(id, kept.id)).body).toBe(body)
    expect(await messages(id, '?outcome=accepted')).toEqual([])
  })

  it('is a form with NUL in it as well', async () => {
    const id = await define({ scheme: 'slack', secrets: [secret] })
    const body = 'type=a&order=b%00c'
    const answer = await send(
      id,
      body,
      sign.slack(secret, body, 'application/x-www-form-urlencoded'),
    )
    expect(answer.body.outcome).toBe('unmapped')
  })

  it('goes to its flow once the map was mended', async () => {
    const id = await github({ topic: 'paid', correlation_id: '{/order}' })
    const order = unique('order')
    const body = JSON.stringify({ data: { order } })
    await send(id, body, sign.github(secret, body, 'push', 'd-1'))
    const [kept] = await messages(id)
    const before = await replay(id, kept.id)
    expect(before.body).toEqual({
      signal_id: null,
      outcome: 'unmapped',
      faults: [{ member: 'correlation_id', message: 'The body has no /order.' }],
    })
    const flowId = await waiting('paid', order)
    const map = { topic: 'paid', correlation_id: '{/data/order}' }
    await api.call('PUT', `/sources/${id}`, { verify: { scheme: 'github' }, map })
    const after = await replay(id, kept.id)
    expect(after.status).toBe(200)
    expect(after.body).toMatchObject({ outcome: 'delivered', faults: [] })
    expect((await flow(flowId)).state.resume_event).toEqual({ data: { order } })
    expect(await messages(id)).toEqual([
      { ...kept, outcome: 'accepted', reason: null, signal_id: after.body.signal_id },
    ])
    const again = await replay(id, kept.id)
    expect(again.body).toMatchObject({ outcome: 'duplicate', signal_id: after.body.signal_id })
  })
})

describe('replaying', () => {
  it('tells that a message whose sender sent it again meanwhile has its signal', async () => {
    const id = await github({ topic: 'paid', correlation_id: '{/order}' })
    const order = unique('order')
    const body = JSON.stringify({ data: { order } })
    const headers = sign.github(secret, body, 'push', 'd-1')
    await send(id, body, headers)
    const [kept] = await messages(id)
    const map = { topic: 'paid', correlation_id: '{/data/order}' }
    await api.call('PUT', `/sources/${id}`, { verify: { scheme: 'github' }, map })
    const { signal_id } = (await send(id, body, headers)).body
    expect((await replay(id, kept.id)).body).toMatchObject({ outcome: 'duplicate', signal_id })
    expect(await message(id, kept.id)).toMatchObject({
      outcome: 'accepted',
      reason: null,
      signal_id,
    })
  })

  it('makes another signal of a message without an id of its sender, once per Idempotency-Key', async () => {
    const id = await define({ scheme: 'bearer', secrets: ['t'] })
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const headers = { authorization: 'Bearer t' }
    const first = await send(id, body, headers)
    const [kept] = await messages(id)
    const key = { 'idempotency-key': 'replay-1' }
    const second = await replay(id, kept.id, key)
    expect(second.body).toMatchObject({ outcome: 'buffered' })
    expect(second.body.signal_id).not.toBe(first.body.signal_id)
    const repeat = await replay(id, kept.id, key)
    expect(repeat.headers['idempotency-replayed']).toBe('true')
    expect(repeat.body).toEqual(second.body)
  })

  it('leaves a message accepted that the map of today would not take', async () => {
    const id = await github()
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    await send(id, body, sign.github(secret, body))
    const map = { topic: '{/no}', correlation_id: '{/order}' }
    await api.call('PUT', `/sources/${id}`, { verify: { scheme: 'github' }, map })
    const [kept] = await messages(id)
    expect((await replay(id, kept.id)).body.outcome).toBe('unmapped')
    expect(await messages(id)).toEqual([kept])
  })

  it('answers 404 for what is not there', async () => {
    const [a, b] = [await github(), await github()]
    const body = '{}'
    await send(a, body, sign.github(secret, body))
    const [kept] = await messages(a)
    for (const path of [
      `${b}/messages/${kept.id}`,
      `${a}/messages/x`,
      `absent/messages/${kept.id}`,
    ]) {
      expect((await api.call('GET', `/sources/${path}`)).status).toBe(404)
      expect((await api.call('POST', `/sources/${path}/replay`, {})).status).toBe(404)
    }
    expect((await api.call('GET', '/sources/absent/messages')).status).toBe(404)
  })
})

describe('the messages of a source', () => {
  it('are listed newest first, in pages, by outcome', async () => {
    const id = await github()
    for (const body of ['{"type":"a","order":"1"}', '{}', '{"type":"a","order":"2"}', '[]']) {
      await send(id, body, sign.github(secret, body))
    }
    const all = await messages(id)
    expect(all.map((one: { outcome: string }) => one.outcome)).toEqual([
      'unmapped',
      'accepted',
      'unmapped',
      'accepted',
    ])
    const paged: unknown[] = []
    let query = '?limit=1'
    for (;;) {
      const { body } = await api.call('GET', `/sources/${id}/messages${query}`)
      paged.push(...body.items)
      if (body.next_cursor === null) break
      query = `?limit=1&cursor=${body.next_cursor}`
    }
    expect(paged).toEqual(all)
    expect(await messages(id, '?outcome=unmapped')).toEqual([all[0], all[2]])
    expect(await messages(id, '?outcome=rejected')).toEqual([])
    const { body } = await api.call('GET', `/sources/${id}/messages?limit=1`)
    const other = `/sources/${id}/messages?outcome=unmapped&cursor=${body.next_cursor}`
    expect((await api.call('GET', other)).body.code).toBe('cursor_mismatch')
  })

  it('of the NATS bridge need no source, and are not replayed', async () => {
    expect(await messages('nats')).toEqual([])
    const db = openDatabase({
      connectionString: api.databaseUrl,
      writers: 1,
      readers: 1,
      applicationName: 'taskflow-test',
      onError: () => {},
    })
    const id = '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b00'
    await keepMessage(db.scope, {
      id,
      shard: 60,
      namespace: 'default',
      source: 'nats',
      headers: {},
      body: Buffer.from('poison'),
      received_at: null,
      outcome: 'rejected',
      reason: 'not JSON',
      signal_id: null,
    })
    await db.close()
    expect(await messages('nats', '?outcome=rejected')).toMatchObject([{ id, reason: 'not JSON' }])
    expect((await message('nats', id)).body).toBe('poison')
    expect((await replay('nats', id)).status).toBe(400)
    expect((await send('nats', '{}', {})).status).toBe(404)
  })

  it('are deleted when their retention is over', async () => {
    const id = await github()
    for (const body of ['{}', '[]']) await send(id, body, sign.github(secret, body))
    const [, older] = await messages(id)
    await session.query(
      `update inbound_messages set received_at = now() - interval '2 hours' where id = $1`,
      [older.id],
    )
    const db = openDatabase({
      connectionString: api.databaseUrl,
      writers: 1,
      readers: 1,
      applicationName: 'taskflow-test',
      onError: () => {},
    })
    expect(await deleteOldMessages(db.scope, 3 * 3_600_000, 10)).toBe(0)
    expect(await deleteOldMessages(db.scope, 3_600_000, 10)).toBe(1)
    await db.close()
    expect((await messages(id)).map((one: { id: string }) => one.id)).not.toContain(older.id)
  })
})

describe('the question of Slack', () => {
  const body = JSON.stringify({ token: 'x', challenge: 'c-1', type: 'url_verification' })

  it('is answered when it is signed, and leaves nothing', async () => {
    const id = await define({ scheme: 'slack', secrets: [secret] })
    const asked = await send(id, body, sign.slack(secret, body))
    expect([asked.status, asked.body]).toEqual([200, { challenge: 'c-1' }])
    expect((await send(id, body, sign.slack('x', body))).status).toBe(401)
    expect(await messages(id)).toEqual([])
  })

  it('means nothing to other sources', async () => {
    const id = await github()
    expect((await send(id, body, sign.github(secret, body))).body.outcome).toBe('unmapped')
  })
})

describe('trying out a sample', () => {
  const test = async (id: string, sample: object) =>
    (await api.call('POST', `/sources/${id}/test`, sample)).body

  it('shows what it maps to and matches, and does nothing', async () => {
    const id = await github()
    const order = unique('order')
    const sample = { body: { type: 'paid', order }, headers: { 'X-GitHub-Delivery': 'd-9' } }
    const mapped = { topic: 'paid', correlation_id: order, event_id: 'd-9' }
    expect(await test(id, sample)).toEqual({
      verified: null,
      mapped,
      faults: [],
      would: 'keep',
      matches: [],
    })
    const flowId = await waiting('paid', order)
    const { wait } = await flow(flowId)
    const report = await test(id, sample)
    expect(report).toMatchObject({
      would: 'deliver',
      matches: [{ flow_id: flowId, wait_id: wait.id }],
    })
    expect((await flow(flowId)).wait.id).toBe(wait.id)
    expect(await messages(id)).toEqual([])

    const body = JSON.stringify(sample.body)
    await send(id, body, sign.github(secret, body, 'push', 'd-9'))
    expect(await test(id, sample)).toMatchObject({ would: 'duplicate', matches: [] })
  })

  it('judges a signature over the text to the byte', async () => {
    const id = await github()
    const body_text = '{ "type": "paid", "order": "1" }'
    const headers = sign.github(secret, body_text)
    expect(await test(id, { headers, body_text })).toMatchObject({ verified: true, would: 'keep' })
    expect(await test(id, { headers, body_text: `${body_text} ` })).toMatchObject({
      verified: false,
      would: 'refuse',
      mapped: { topic: 'paid' },
    })
  })

  it('says what the sample lacks', async () => {
    const id = await github({ topic: '{header:x-topic}', correlation_id: '{/order}' })
    expect(await test(id, {})).toEqual({
      verified: null,
      mapped: null,
      faults: [
        { member: 'topic', message: 'The message has no header x-topic.' },
        { member: 'correlation_id', message: 'The body has no members, so there is no /order.' },
      ],
      would: 'unmapped',
      matches: [],
    })
    const broken = await test(id, { body_text: '{' })
    expect(broken.faults).toMatchObject([{ member: 'body' }])
  })

  it('knows that a source keeps nothing', async () => {
    const id = await github(byOrder, { ttl: 'PT0S' })
    const sample = { body: { type: 'paid', order: unique('order') } }
    expect(await test(id, sample)).toMatchObject({ would: 'drop' })
  })

  it('takes one body, and knows its source', async () => {
    const id = await github()
    const both = await api.call('POST', `/sources/${id}/test`, { body: 1, body_text: '1' })
    expect([both.status, both.body.errors[0].pointer]).toEqual([400, '/body_text'])
    expect((await api.call('POST', '/sources/absent/test', {})).status).toBe(404)
  })
})

describe('a source of another namespace', () => {
  it('has its namespace in its address, and is not seen from here', async () => {
    const caller = { namespace: 'team', actor: 'tester' }
    const id = unique('s')
    await api.engine.sources.create(caller, id, {
      verify: { scheme: 'github' },
      secrets: [secret],
      map: byOrder,
      ttl_ms: null,
      deliver: 'one',
    })
    expect((await api.call('GET', `/sources/${id}`)).status).toBe(404)
    const body = JSON.stringify({ type: 'paid', order: unique('order') })
    const headers = sign.github(secret, body)
    expect((await send(id, body, headers)).status).toBe(404)
    for (const address of [`team:${id}`, `team%3A${id}`]) {
      expect((await send(address, body, headers)).status).toBe(202)
    }
    expect((await api.call('GET', `/sources/${id}/messages`)).status).toBe(404)
    const seen = await api.engine.messages.list(caller, id, {}, { limit: 10 })
    expect(seen.items).toHaveLength(2)
  })
})

describe('unverified sources, where the configuration allows them', () => {
  it('take everything, and nothing any more when it does not', async () => {
    const open = await startApi({ allowUnsigned: true, publicUrl: 'https://flows.example.com' })
    try {
      const source = { id: 'open', verify: { scheme: 'none' }, map: byOrder }
      const { status, body } = await open.call('POST', '/sources', source)
      expect(status).toBe(201)
      expect(body.verify).toMatchObject({ scheme: 'none', secret_count: 0, secrets: [] })
      expect(body.url).toBe('https://flows.example.com/in/open')
      const message = { type: 'paid', order: '1' }
      expect((await open.call('POST', '/in/open', message)).status).toBe(202)
    } finally {
      await open.close()
    }
    const id = unique('s')
    await session.query(
      `insert into sources (namespace, id, verify, map, secrets, deliver, created_at, updated_at)
       values ('default', $1, '{"scheme": "none"}', $2, '{}', 'one', now(), now())`,
      [id, JSON.stringify(byOrder)],
    )
    expect((await send(id, '{"type":"a","order":"b"}', {})).status).toBe(401)
  })
})

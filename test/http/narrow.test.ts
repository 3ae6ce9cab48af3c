// Callers that see some flows of their namespace: what they send reaches these alone, and the feed tells of
// these alone.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiAnswer, startApi } from '../support/api.ts'
import { until } from '../support/service.ts'
import { openStream } from '../support/sse.ts'

const adminKey = 'admin-key-for-tests-0123456789'

let api: Api
beforeAll(async () => {
  api = await startApi({ adminKey })
})
afterAll(() => api?.close())

type Method = Parameters<Api['call']>[0]
const call = (key: string, method: Method, path: string, body?: unknown): Promise<ApiAnswer> =>
  api.call(method, path, body, { authorization: `Bearer ${key}` })

let named = 0
/** A key of a new binding. */
async function keyFor(more: object): Promise<string> {
  const binding = { name: `n${++named}`, actions: ['*'], requester_origin: 'u', ...more }
  const { body } = await call(adminKey, 'POST', '/bindings', binding)
  return (await call(adminKey, 'POST', `/bindings/${body.id}/keys`, {})).body.key
}

let topics = 0
const newTarget = () => ({ topic: `topic-${++topics}`, correlation_id: 'c' })
type Target = ReturnType<typeof newTarget>

/** A running flow of the key's owner that waits for an event. */
async function waiting(key: string, target: Target, more: object = {}): Promise<string> {
  const flow = { controller_id: 'c', goal: 'g', start: true, ...more }
  const { body } = await call(key, 'POST', '/flows', flow)
  await call(key, 'POST', `/flows/${body.id}/wait`, { kind: 'external_event', ...target })
  return body.id
}

let base: Promise<string> | null = null
const listening = () => (base ??= api.app.listen({ port: 0, host: '127.0.0.1' }))

const statusOf = async (id: string) =>
  (await call(adminKey, 'GET', `/flows/${id}`)).body.status as string

describe('a key that is minted for another owner', () => {
  it('does not share the answers that are kept for repeats', async () => {
    const made = await keyFor({ requester_origin: 'u' })
    const mint = async (owner_session_key: string) => {
      const asked = { expires_in: 'PT1H', owner_session_key }
      return (await call(made, 'POST', '/bindings/self/keys', asked)).body.key as string
    }
    const [one, same, other] = [await mint('mint-1'), await mint('mint-1'), await mint('mint-2')]
    const create = (key: string) =>
      api.call(
        'POST',
        '/flows',
        { controller_id: 'c', goal: 'g' },
        { authorization: `Bearer ${key}`, 'idempotency-key': 'once' },
      )
    const first = await create(one)
    // Another key that sees the same flows repeats; one that sees others does not.
    expect((await create(same)).body.id).toBe(first.body.id)
    const apart = await create(other)
    expect(apart.status).toBe(201)
    expect(apart.body.id).not.toBe(first.body.id)
    expect(apart.body.owner_session_key).toBe('mint-2')
  })
})

describe('what takes long', () => {
  it('ends when its key is revoked', async () => {
    const { body: binding } = await call(adminKey, 'POST', '/bindings', {
      name: 'brief',
      actions: ['events:read', 'flows:read'],
    })
    const { body: made } = await call(adminKey, 'POST', `/bindings/${binding.id}/keys`, {})
    const base = await listening()
    const stream = await openStream(`${base}/events/stream`, {
      authorization: `Bearer ${made.key}`,
    })
    expect(stream.status).toBe(200)
    await call(adminKey, 'DELETE', `/bindings/${binding.id}/keys/${made.id}`)
    await until(() => stream.ended(), 5_000, 'the stream of a revoked key ends')
  })
})

describe('a signal of a key with an owner', () => {
  let a: string
  let b: string
  beforeAll(async () => {
    a = await keyFor({ owner_session_key: 'owner-a' })
    b = await keyFor({ owner_session_key: 'owner-b' })
  })

  it('ends waits of that owner, past those of others that began before', async () => {
    const target = newTarget()
    const others = await Promise.all(Array.from({ length: 12 }, () => waiting(b, target)))
    const own = await waiting(a, target)
    const { body } = await call(a, 'POST', '/signals', target)
    expect(body.outcome).toBe('delivered')
    expect(body.deliveries.map(({ flow_id }: { flow_id: string }) => flow_id)).toEqual([own])
    for (const id of others) expect(await statusOf(id)).toBe('waiting')
  })

  it('wakes all of that owner, and no other', async () => {
    const target = newTarget()
    const other = await waiting(b, target)
    const own = [await waiting(a, target), await waiting(a, target)]
    const { body } = await call(a, 'POST', '/signals', { ...target, deliver: 'all' })
    expect(body.deliveries.map(({ flow_id }: { flow_id: string }) => flow_id)).toEqual(own)
    expect(await statusOf(other)).toBe('waiting')
  })

  it('is kept for a wait of that owner, and no other takes it', async () => {
    const target = newTarget()
    expect((await call(a, 'POST', '/signals', target)).body.outcome).toBe('buffered')
    const other = await waiting(b, target)
    expect(await statusOf(other)).toBe('waiting')
    const own = await waiting(a, target)
    expect(await statusOf(own)).toBe('running')
    const unowned = { ...target, payload: { from: 'the namespace' } }
    expect((await call(adminKey, 'POST', '/signals', unowned)).body.outcome).toBe('delivered')
    expect(await statusOf(other)).toBe('running')
  })

  it('that was kept goes to nobody else when it is sent again', async () => {
    const target = newTarget()
    const { body: sent } = await call(a, 'POST', '/signals', target)
    const other = await waiting(b, target)
    // The operator sends it again, and still it is what its sender may.
    const again = await call(adminKey, 'POST', `/signals/${sent.id}/redeliver`, {})
    expect(again.body.outcome).toBe('buffered')
    expect(await statusOf(other)).toBe('waiting')
  })

  it('is no duplicate of what others sent, and tells nothing of it', async () => {
    const target = newTarget()
    const signal = { ...target, id: 'evt-1' }
    const other = await waiting(b, target)
    expect((await call(b, 'POST', '/signals', signal)).body.outcome).toBe('delivered')
    const { body, text } = await call(a, 'POST', '/signals', signal)
    expect(body.outcome).toBe('buffered')
    expect(text).not.toContain(other)
    expect((await call(a, 'POST', '/signals', signal)).body.outcome).toBe('duplicate')
  })

  it('is seen by that owner alone', async () => {
    const target = newTarget()
    const { body: sent } = await call(a, 'POST', '/signals', target)
    const { body: unowned } = await call(adminKey, 'POST', '/signals', target)
    const seen = async (key: string) => {
      const { body } = await call(key, 'GET', `/signals?topic=${target.topic}`)
      return body.items.map(({ id }: { id: string }) => id)
    }
    expect(await seen(a)).toEqual([sent.id])
    expect(await seen(b)).toEqual([])
    expect(await seen(adminKey)).toEqual([unowned.id, sent.id])
    expect((await call(a, 'GET', `/signals/${sent.id}`)).body.source).toBeNull()
    for (const id of [sent.id, unowned.id]) {
      expect((await call(b, 'GET', `/signals/${id}`)).status).toBe(404)
      expect((await call(b, 'POST', `/signals/${id}/redeliver`, {})).status).toBe(404)
    }
  })

  it('starts no flow under a key that another owner has', async () => {
    const target = newTarget()
    const start_if_absent = { controller_id: 'c', goal: 'g', key: `key-${target.topic}` }
    const other = (await call(b, 'POST', '/flows', start_if_absent)).body
    const { status, body, text } = await call(a, 'POST', '/signals', { ...target, start_if_absent })
    expect([status, body.code]).toEqual([409, 'key_conflict'])
    expect(text).not.toContain(other.id)
    const own = { ...start_if_absent, key: `own-${target.topic}` }
    const made = await call(a, 'POST', '/signals', { ...target, start_if_absent: own })
    expect(made.status).toBe(201)
  })

  it('is not among the near misses of others', async () => {
    const id = await waiting(a, { topic: 'near', correlation_id: 'order-7' })
    await call(b, 'POST', '/signals', { topic: 'near', correlation_id: 'order-07-of-b' })
    await call(adminKey, 'POST', '/signals', { topic: 'near', correlation_id: 'order-07-of-all' })
    await call(a, 'POST', '/signals', { topic: 'near', correlation_id: 'ORDER-7' })
    const { text } = await call(a, 'GET', `/flows/${id}/explain`)
    expect(text).toContain('ORDER-7')
    expect(text).not.toMatch(/of-b|of-all/)
    // The operator sees what could have met the wait: not what goes to another owner anyway.
    const whole = (await call(adminKey, 'GET', `/flows/${id}/explain`)).text
    expect(whole).not.toContain('of-b')
  })
})

it('a signal of a key with controllers reaches flows of these alone', async () => {
  const target = newTarget()
  const key = await keyFor({ controllers: ['mine'] })
  const owner = { owner_session_key: 'somebody', requester_origin: 'u' }
  const other = await waiting(adminKey, target, { ...owner, controller_id: 'theirs' })
  expect((await call(key, 'POST', '/signals', target)).body.outcome).toBe('buffered')
  const own = await waiting(adminKey, target, { ...owner, controller_id: 'mine' })
  expect(await statusOf(own)).toBe('running')
  expect(await statusOf(other)).toBe('waiting')
  const { body } = await call(key, 'GET', '/signals')
  expect(body.items).toHaveLength(1)
})

describe('the feed of a key with an owner', () => {
  interface Feed {
    items: { flow_id: string }[]
    next_cursor: string | null
    position: string
  }
  /** All pages from a place on, with every text that was answered. */
  async function readAll(key: string, query: string): Promise<{ ids: string[]; text: string }> {
    const ids: string[] = []
    let text = ''
    let cursor: string | null = null
    do {
      const more: string = cursor === null ? '' : `&cursor=${encodeURIComponent(cursor)}`
      const answer = await call(key, 'GET', `/events?${query}${more}`)
      expect(answer.status).toBe(200)
      const page: Feed = answer.body
      ids.push(...page.items.map(({ flow_id }) => flow_id))
      cursor = page.next_cursor
      text += answer.text
      for (const place of [page.next_cursor, page.position]) {
        if (place !== null) text += Buffer.from(place, 'base64url').toString()
      }
    } while (cursor !== null)
    return { ids, text }
  }

  it('has the events of its flows, however many others there are between', async () => {
    const a = await keyFor({ owner_session_key: 'feed-a' })
    const others: string[] = []
    const own: string[] = []
    const flow = { controller_id: 'c', goal: 'g', owner_session_key: 'x', requester_origin: 'u' }
    const make = async (key: string, body: object, ids: string[]) => {
      const made = await call(key, 'POST', '/flows', body)
      ids.push(made.body.id)
    }
    await make(a, { controller_id: 'c', goal: 'g' }, own)
    // More than one look goes through.
    for (let i = 0; i < 60; i++) {
      const items = Array.from({ length: 100 }, () => flow)
      const { body } = await call(adminKey, 'POST', '/flows/batch', { items })
      for (const { flow_id } of body.results) others.push(flow_id)
    }
    await make(a, { controller_id: 'c', goal: 'g' }, own)
    // The feed trails transactions that are open anywhere on the server.
    await expect.poll(async () => (await readAll(a, 'limit=10')).ids).toEqual(own)
    const { ids, text } = await readAll(a, 'limit=10')
    expect(ids).toEqual(own)
    expect(others.length).toBe(6_000)
    expect(others.filter((id) => text.includes(id))).toEqual([])
    expect((await readAll(a, 'limit=1')).ids).toEqual(own)
  })

  it('streams them, and those of others to nobody', async () => {
    const a = await keyFor({ owner_session_key: 'stream-a' })
    const b = await keyFor({ owner_session_key: 'stream-b' })
    const base = await listening()
    const stream = await openStream(`${base}/events/stream`, { authorization: `Bearer ${a}` })
    const plain = { controller_id: 'c', goal: 'g' }
    await call(b, 'POST', '/flows', plain)
    const own = (await call(a, 'POST', '/flows', plain)).body.id
    await call(b, 'POST', '/flows', plain)
    await call(a, 'POST', `/flows/${own}/start`, {})
    await until(() => stream.events.length >= 2, 10_000, 'both events came')
    expect(stream.events.map(({ data }) => [data.flow_id, data.kind])).toEqual([
      [own, 'created'],
      [own, 'started'],
    ])
    // Who comes back late reads what was missed, and no more.
    const late = await openStream(`${base}/events/stream`, {
      authorization: `Bearer ${b}`,
      'last-event-id': stream.events[0]?.id ?? '',
    })
    await until(() => late.events.length >= 1, 10_000, 'the missed event came')
    expect(late.events.some(({ data }) => data.flow_id === own)).toBe(false)
    stream.cut()
    late.cut()
  })
})

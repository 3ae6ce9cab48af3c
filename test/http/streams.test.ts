// Event streams over real sockets: what they send, where they begin and end, and that nothing of them stays behind.

import { connect } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { type Api, type ApiOptions, startApi } from '../support/api.ts'
import { until } from '../support/engine.ts'
import { type EventStreamClient, openStream } from '../support/sse.ts'

const input = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
  start: true,
}

let api: Api
let base: string
const clients: EventStreamClient[] = []

async function start(options: ApiOptions): Promise<void> {
  api = await startApi(options)
  base = await api.app.listen({ port: 0, host: '127.0.0.1' })
}

async function open(path: string, headers: Record<string, string> = {}) {
  const client = await openStream(base + path, headers)
  clients.push(client)
  return client
}

async function create(more: object = {}): Promise<string> {
  return (await api.call('POST', '/flows', { ...input, ...more })).body.id
}

async function patch(id: string, value: unknown): Promise<void> {
  const { status } = await api.call('PATCH', `/flows/${id}/state`, { patch: { value } })
  expect(status).toBe(200)
}

const finish = (id: string) => api.call('POST', `/flows/${id}/finish`)
const label = (id: string) => api.call('PATCH', `/flows/${id}`, { labels: { a: 'b' } })
const revisions = ({ events }: EventStreamClient) => events.map(({ data }) => data.revision)
const kinds = ({ events }: EventStreamClient) => events.map(({ data }) => data.kind)
const streams = () => api.engine.status().streams

afterEach(async () => {
  for (const client of clients.splice(0)) client.cut()
  await until('all streams are given back', () => streams() === 0)
})

describe('a stream', () => {
  beforeAll(() => start({ sse: { heartbeat: 40 } }))
  afterAll(() => api.close())

  it('of a flow begins with its first event and shows what the list shows, as it happens', async () => {
    const id = await create()
    const client = await open(`/flows/${id}/events/stream`)
    expect(client.status).toBe(200)
    expect(client.headers).toMatchObject({
      'content-type': 'text/event-stream',
      'cache-control': 'no-store',
      'x-accel-buffering': 'no',
    })
    expect(client.headers).not.toHaveProperty('content-encoding')
    await until('the past is there', () => client.events.length === 2)
    await patch(id, { z: 1, a: ['ü\n'] })
    await finish(id)
    await until('it ends', client.ended)
    const list = await api.call('GET', `/flows/${id}/events`)
    expect(client.events.map(({ data }) => data)).toEqual(list.body.items)
    expect(client.events.map((event) => event.id)).toEqual(['0', '1', '2', '3'])
    expect(client.text().match(/^retry: \d+$/gm)).toHaveLength(1)
    expect(client.text()).not.toMatch(/^event:/m)
  })

  it('of a flow that has ended gives the rest and no more; then 204', async () => {
    const id = await create()
    await finish(id)
    await label(id)
    const client = await open(`/flows/${id}/events/stream`, { 'last-event-id': '0' })
    await until('it ends', client.ended)
    expect(kinds(client)).toEqual(['started', 'finished'])
    const last = client.lastEventId()
    for (const headers of [{ 'last-event-id': last }, { 'last-event-id': '3' }]) {
      const again = await api.call('GET', `/flows/${id}/events/stream`, undefined, headers)
      expect(again.status).toBe(204)
      expect(again.text).toBe('')
    }
    expect((await api.call('GET', `/flows/${id}/events/stream?after=2`)).status).toBe(204)
    const list = await api.call('GET', `/flows/${id}/events?after=2`)
    expect(list.body.items).toMatchObject([{ kind: 'labels_updated' }])
  })

  it('sends the kinds that were asked for, and remembers how far it got', async () => {
    const id = await create()
    const client = await open(`/flows/${id}/events/stream?kind=state_updated&kind=cancelled`)
    await patch(id, 1)
    await label(id)
    await patch(id, 2)
    await until('both are there', () => client.events.length === 2)
    await finish(id)
    await until('it ends', client.ended)
    expect(kinds(client)).toEqual(['state_updated', 'state_updated'])
    expect(client.lastEventId()).toBe('5')
    const again = `/flows/${id}/events/stream?kind=state_updated&after=4`
    expect((await api.call('GET', again)).status).toBe(204)
    const never = `/flows/${id}/events/stream?kind=failed`
    expect((await api.call('GET', never)).status).toBe(204)
  })

  it('goes on behind Last-Event-ID, which wins over after', async () => {
    const id = await create()
    for (let n = 2; n <= 5; n++) await patch(id, n)
    const byQuery = await open(`/flows/${id}/events/stream?after=3`)
    const byHeader = await open(`/flows/${id}/events/stream?after=1`, { 'last-event-id': '3' })
    const empty = await open(`/flows/${id}/events/stream?after=3`, { 'last-event-id': '' })
    for (const client of [byQuery, byHeader, empty]) {
      await until('the rest is there', () => client.events.length === 2)
      expect(revisions(client)).toEqual([4, 5])
    }
  })

  it('catches up over many events, some of them large', async () => {
    const id = await create()
    const large = 'x'.repeat(60_000)
    for (let n = 0; n < 260; n++) await patch(id, n % 10 === 0 ? large : n)
    const client = await open(`/flows/${id}/events/stream`)
    await until('all is there', () => client.events.length === 262)
    expect(revisions(client)).toEqual(Array.from({ length: 262 }, (_, n) => n))
    await patch(id, 'after that')
    await until('it goes on', () => client.events.length === 263)
  })

  it('sends a sign of life with its position while nothing happens', async () => {
    const id = await create()
    const client = await open(`/flows/${id}/events/stream?kind=failed`)
    await until('it beats', () => (client.text().match(/^:/gm) ?? []).length > 2)
    expect(client.events).toEqual([])
    expect(client.lastEventId()).toBe('1')
    const feed = await open('/events/stream')
    const first = feed.lastEventId()
    await create()
    await until('the position moves on', () => feed.lastEventId() !== first)
  })

  it('of the feed begins now, in commit order, and goes on where it was cut', async () => {
    // What is older may be shown as well, while an older transaction is open.
    const of = ({ events }: EventStreamClient, ...flows: string[]) =>
      events.filter(({ data }) => flows.includes(data.flow_id))
    const past = await create()
    await until('it can be seen', async () => {
      const { body } = await api.call('GET', '/events?limit=200&kind=created')
      return body.items.some((event: { flow_id: string }) => event.flow_id === past)
    })
    const client = await open('/events/stream')
    const [a, b] = [await create(), await create()]
    await until('it is all there', () => of(client, a, b).length === 4)
    const seen = of(client, a, b).map(({ data }) => `${data.flow_id} ${data.revision}`)
    expect(seen).toEqual([`${a} 0`, `${a} 1`, `${b} 0`, `${b} 1`])
    expect(of(client, past)).toEqual([])
    client.cut()
    await finish(a)
    const third = of(client, a, b)[2]?.id ?? ''
    const again = await open('/events/stream', { 'last-event-id': third })
    await until('the rest is there', () => again.events.length === 2)
    expect(again.events.map(({ data }) => data.kind)).toEqual(['started', 'finished'])
    const list = await api.call('GET', `/events?after=${third}`)
    expect(list.body.items).toEqual(again.events.map(({ data }) => data))
    const next = await open(`/events/stream?after=${list.body.position}&kind=created`)
    const c = await create()
    await until('it came', () => next.events.length === 1)
    expect(next.events[0]?.data).toMatchObject({ flow_id: c, kind: 'created' })
  })

  it('of the feed loses nothing when it is cut before its first event', async () => {
    const client = await open('/events/stream')
    await until('it has begun', () => client.lastEventId() !== '')
    client.cut()
    const id = await create()
    const again = await open('/events/stream', { 'last-event-id': client.lastEventId() })
    const own = () => again.events.filter(({ data }) => data.flow_id === id)
    await until('it came', () => own().length === 2)
    expect(own().map(({ data }) => data.revision)).toEqual([0, 1])
  })
})

describe('a refused stream', () => {
  beforeAll(() => start({}))
  afterAll(() => api.close())

  it.each([
    ['abc', 'malformed'],
    ['-1', 'malformed'],
    ['1.5', 'malformed'],
    ['99999999999', 'malformed'],
    ['7', 'out_of_range'],
  ])('of a flow, behind %s', async (last, code) => {
    const id = await create()
    const { status, headers, body } = await api.call(
      'GET',
      `/flows/${id}/events/stream`,
      undefined,
      { 'last-event-id': last },
    )
    expect(status).toBe(400)
    expect(headers['content-type']).toContain('application/problem+json')
    expect(body.errors).toMatchObject([{ pointer: 'last-event-id', code }])
  })

  it.each(['abc', 'W10', Buffer.from('["x","1","y",0]').toString('base64url')])(
    'of the feed, behind %s',
    async (last) => {
      for (const [path, headers, pointer] of [
        ['/events/stream', { 'last-event-id': last }, 'last-event-id'],
        [`/events/stream?after=${last}`, {}, '?after'],
      ] as const) {
        const { status, body } = await api.call('GET', path, undefined, { ...headers })
        expect(status).toBe(400)
        expect(body.errors[0].pointer).toBe(pointer)
      }
    },
  )

  it('is told of a position of another server, or one that lies ahead of this one', async () => {
    await create()
    await until('it can be seen', async () => {
      return (await api.call('GET', '/events')).body.items.length > 0
    })
    const { position } = (await api.call('GET', '/events')).body
    const [place, xid, id, revision, epoch] = JSON.parse(
      Buffer.from(position, 'base64url').toString(),
    )
    expect(epoch).toMatch(/^.{12}$/)
    const forged = (...parts: unknown[]) =>
      Buffer.from(JSON.stringify([place, ...parts])).toString('base64url')
    const status = async (path: string) => (await api.call('GET', path)).status
    const foreign = forged(xid, id, revision, 'elsewhere')
    expect(await status(`/events?after=${foreign}`)).toBe(400)
    expect(await status(`/events/stream?after=${foreign}`)).toBe(400)
    expect(await status(`/events/stream?after=${forged('99999999999', id, revision)}`)).toBe(400)
    // As they were before they named their server.
    const old = forged(xid, id, revision)
    expect(await status(`/events?after=${old}`)).toBe(200)
    const client = await open(`/events/stream?after=${old}`)
    expect(client.status).toBe(200)
  })

  it('of an unknown flow, or with an unknown parameter', async () => {
    const absent = '/flows/00000000-0000-7000-8000-000000000000/events/stream'
    expect((await api.call('GET', absent)).status).toBe(404)
    expect((await api.call('GET', '/flows/x/events/stream')).status).toBe(404)
    expect((await api.call('GET', '/events/stream?limit=5')).status).toBe(400)
    expect((await api.call('GET', '/events/stream?kind=nothing')).status).toBe(400)
    expect((await api.call('HEAD', '/events/stream')).status).toBe(405)
    expect(streams()).toBe(0)
  })
})

describe('the status', () => {
  beforeAll(() => start({}))
  afterAll(() => api.close())

  it('counts streams, and tells that nobody listens here', async () => {
    await open('/events/stream')
    const { body } = await api.call('GET', '/engine')
    expect(body).toMatchObject({ streams: 1, listen: 'degraded' })
  })
})

describe('caps', () => {
  it('past the number for a caller: 429, until one is closed', async () => {
    await start({ quota: { total: 10, perCaller: 2 } })
    const id = await create()
    const first = await open(`/flows/${id}/events/stream`)
    await open('/events/stream')
    for (const path of ['/events/stream', `/flows/${id}/events/stream`]) {
      const { status, headers, body } = await api.call('GET', path)
      expect(status).toBe(429)
      expect(headers['retry-after']).toBe('5')
      expect(body).toMatchObject({
        code: 'quota_exceeded',
        limit: 'streams_per_caller',
        maximum: 2,
      })
    }
    first.cut()
    await until('its place is free', () => streams() === 1)
    expect((await open('/events/stream')).status).toBe(200)
    await api.close()
  })

  it('past the number for the process: 503', async () => {
    await start({ quota: { total: 1, perCaller: 10 } })
    await open('/events/stream')
    const { status, body } = await api.call('GET', '/events/stream')
    expect(status).toBe(503)
    expect(body.code).toBe('overloaded')
    await api.close()
  })
})

describe('the end', () => {
  beforeAll(() => start({ sse: { heartbeat: 20, lifetime: 150, buffer_bytes: 100_000 } }))
  afterAll(() => api.close())

  it('comes after the lifetime, in good order', async () => {
    const id = await create()
    const client = await open(`/flows/${id}/events/stream`)
    await until('it ends', client.ended)
    expect(client.text()).toMatch(/\n\n$/)
    expect(client.lastEventId()).toBe('1')
  })

  it('comes to receivers that go away, and all of them are noticed', async () => {
    const id = await create()
    const paths = Array.from({ length: 60 }, (_, n) =>
      n % 2 === 0 ? `/flows/${id}/events/stream` : '/events/stream',
    )
    const opened = await Promise.all(paths.map((path) => open(path)))
    for (const client of opened) client.cut()
    // Some do not even wait for the head.
    for (let n = 0; n < 20; n++) {
      const socket = connect(Number(new URL(base).port), '127.0.0.1')
      socket.on('error', () => {})
      socket.write(`GET /flows/${id}/events/stream HTTP/1.1\r\nhost: x\r\n\r\n`, () =>
        socket.destroy(),
      )
    }
    await until('all are given back', () => streams() === 0)
  })
})

describe('a receiver that does not read', () => {
  beforeAll(() => start({ sse: { buffer_bytes: 100_000 } }))
  afterAll(() => api.close())

  it('is let go, and comes back without a gap', async () => {
    const id = await create()
    const slow = await open(`/flows/${id}/events/stream`)
    await until('it has begun', () => slow.events.length === 2)
    slow.pause()
    const large = 'x'.repeat(200_000)
    let sent = 1
    await until('it is let go', async () => {
      await patch(id, large)
      sent++
      return streams() === 0
    })
    slow.resume()
    await until('it notices', slow.ended)
    const seen = revisions(slow)
    expect(seen).toEqual(seen.map((_, n) => n))
    const again = await open(`/flows/${id}/events/stream`, { 'last-event-id': slow.lastEventId() })
    await until('it has the rest', () => revisions(again).at(-1) === sent)
    expect([...seen, ...revisions(again)]).toEqual(Array.from({ length: sent + 1 }, (_, n) => n))
  })
})

describe('a shutdown', () => {
  it('ends all streams, and those that do not read', async () => {
    await start({})
    const id = await create()
    const all = [await open(`/flows/${id}/events/stream`), await open('/events/stream')]
    const deaf = await open(`/flows/${id}/events/stream`)
    deaf.pause()
    api.shutDown()
    for (const client of all) await until('it ends', client.ended)
    await until('all are given back', () => streams() === 0)
    await api.close()
  })
})

// What the server does for every route, over a real socket: the routes here are made up.

import { once } from 'node:events'
import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { pino } from 'pino'
import { Type } from 'typebox'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { createServer, redactedPaths, requestFingerprint } from '../../src/http/server.ts'

const lines: Record<string, unknown>[] = []
const logger = pino(
  { level: 'debug', redact: [...redactedPaths] },
  { write: (line: string) => lines.push(JSON.parse(line)) },
)

const Kind = (value: string) => Type.Unsafe<string>({ type: 'string', const: value })
const Timer = Type.Object(
  { kind: Kind('timer'), at: Type.Optional(Type.String({ format: 'date-time' })) },
  { $id: 'Timer', additionalProperties: false },
)
const Manual = Type.Object(
  { kind: Kind('manual'), signal: Type.Optional(Type.String({ minLength: 1 })) },
  { $id: 'Manual', additionalProperties: false },
)
const AnyWait = Type.Unsafe<unknown>({
  $id: 'AnyWait',
  type: 'object',
  required: ['kind'],
  oneOf: [{ $ref: 'Timer' }, { $ref: 'Manual' }],
  discriminator: { propertyName: 'kind', mapping: { timer: '#/components/schemas/Timer' } },
})

let app: FastifyInstance
let port: number

async function demo(): Promise<FastifyInstance> {
  const server = createServer({
    logger,
    requestLogLevel: 'debug',
    limits: { body_bytes: 2048, json_depth: 8, uri_bytes: 1024 },
    timeouts: { request: 900, headers: 500, checkingInterval: 100, handler: 300 },
    schemas: [Timer, Manual, AnyWait],
  })
  server.post(
    '/echo',
    { schema: { body: Type.Object({}, { additionalProperties: true }) } },
    (request) => ({
      body: request.body,
      fingerprint: requestFingerprint(request),
    }),
  )
  server.post('/waits', { schema: { body: { $ref: 'AnyWait' } } }, (request) => request.body)
  server.post('/bodiless', { schema: {} }, () => ({ ok: true }))
  server.put('/echo', { schema: { body: Type.Object({}) } }, (request) => request.body)
  server.get(
    '/list',
    {
      schema: {
        querystring: Type.Object({
          limit: Type.Optional(Type.Integer({ minimum: 1, maximum: 200, default: 50 })),
          status: Type.Optional(Type.Array(Type.String({ enum: ['running', 'waiting'] }))),
          sure: Type.Optional(Type.Boolean()),
          owner: Type.Optional(Type.String()),
        }),
      },
    },
    (request) => request.query,
  )
  server.get('/flows/:flow_id', { schema: {} }, (request) => request.params)
  server.patch('/flows/:flow_id', { schema: { body: Type.Object({}) } }, () => ({}))
  server.post('/flows/:flow_id/start', { schema: {} }, () => ({}))
  server.get('/slow', { schema: {} }, () => sleep(10_000, null, { ref: false }))
  server.get('/gone', { schema: {}, config: { longPoll: true } }, async (request) => {
    await once(request.signal, 'abort')
    lines.push({ gone: true })
    return {}
  })
  server.get('/poll', { schema: {}, config: { longPoll: true } }, async () => {
    await sleep(500)
    return { polled: true }
  })
  server.get('/boom', { schema: {} }, (_request, reply) => {
    reply.header('etag', '"1"')
    throw Object.assign(new Error('relation "flows" does not exist: secret-sql'), { code: '42P01' })
  })
  server.get('/undefined', { schema: {} }, async () => Promise.reject())
  server.get('/busy', { schema: {} }, () => {
    throw new FlowError(
      'overloaded',
      'Too many changes are queued: repeat this one after a second.',
      {
        retry_after: 2,
      },
    )
  })
  server.get('/odd', { schema: { response: { 200: Type.Object({ a: Type.String() }) } } }, () => ({
    a: null,
    extra: 1,
  }))
  await server.listen({ port: 0, host: '127.0.0.1' })
  return server
}

function portOf(server: FastifyInstance): number {
  const address = server.addresses()[0]
  if (typeof address !== 'object') throw new Error('not listening on a port')
  return address.port
}

beforeAll(async () => {
  app = await demo()
  port = portOf(app)
})
afterAll(() => app.close())

const json = { 'content-type': 'application/json' }

async function inject(options: InjectOptions) {
  const answer = await app.inject(options)
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body: answer.body === '' ? undefined : answer.json(),
  }
}

/** Sends bytes as they are and answers all that comes back until the connection closes. */
async function raw(
  bytes: string | Buffer,
  more: { after: number; bytes: string }[] = [],
): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  socket.on('error', () => {})
  const closed = once(socket, 'close')
  socket.write(bytes)
  for (const part of more) {
    await sleep(part.after)
    if (socket.writable) socket.write(part.bytes)
  }
  await closed
  return answer
}

function problemOf(answer: string): {
  status: number
  head: string
  body: Record<string, unknown>
} {
  const [head = '', body = ''] = answer.split('\r\n\r\n')
  const length = Number(/content-length: (\d+)/i.exec(head)?.[1])
  expect(Buffer.byteLength(body)).toBe(length)
  return { status: Number(head.split(' ')[1]), head, body: JSON.parse(body) }
}

describe('bodies', () => {
  test('are parsed strictly and reach the handler as they are', async () => {
    const payload = '{"a":null,"b":"5","c":{"__proto__":1,"constructor":2}}'
    const answer = await app.inject({ method: 'POST', url: '/echo', headers: json, payload })
    expect(answer.body).toContain(payload)
  })

  test.each([
    [{}, undefined],
    [json, ''],
    [{ 'content-type': 'application/x-www-form-urlencoded' }, ''],
  ])('an empty one of a POST counts as {}: %j %j', async (headers, payload) => {
    const answer = await inject({
      method: 'POST',
      url: '/echo',
      headers,
      ...(payload !== undefined && { payload }),
    })
    expect(answer).toMatchObject({ status: 200, body: { body: {} } })
  })

  test('an empty chunked one without a type counts as {}', async () => {
    const answer = await raw(
      'POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
    )
    expect(answer).toContain('200 OK')
  })

  test('a missing one of a PUT is refused', async () => {
    expect(await inject({ method: 'PUT', url: '/echo', headers: json })).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ pointer: '', code: 'required' }] },
    })
  })

  test.each([
    'application/json',
    'application/json; charset=utf-8',
    'Application/JSON;charset="UTF-8"',
  ])('of type %s are read', async (type) => {
    const answer = await inject({
      method: 'POST',
      url: '/echo',
      headers: { 'content-type': type },
      payload: '{"a":1}',
    })
    expect(answer).toMatchObject({ status: 200, body: { body: { a: 1 } } })
  })

  test.each([
    [{ 'content-type': 'text/plain' }],
    [{ 'content-type': 'application/x-www-form-urlencoded' }],
    [{ 'content-type': 'application/json; charset=latin1' }],
    [{ 'content-type': 'application/jsonp' }],
    [{ 'content-type': 'json' }],
    [{ 'content-type': 'application/merge-patch+json' }],
    [{ 'content-type': 'application/json', 'content-encoding': 'gzip' }],
    [{}],
  ])('with %j are refused', async (headers) => {
    // Injected as a stream, since inject names a type for texts.
    const head = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
    const answer = problemOf(
      await raw(
        `POST /echo HTTP/1.1\r\nhost: x\r\nconnection: close\r\n${head.join('')}content-length: 2\r\n\r\n{}`,
      ),
    )
    expect(answer).toMatchObject({
      status: 415,
      body: { code: 'unsupported_media_type', allowed: ['application/json'] },
    })
  })

  test('past the limit are 413, announced or not', async () => {
    const big = `{"a":"${'x'.repeat(3000)}"}`
    expect(
      await inject({ method: 'POST', url: '/echo', headers: json, payload: big }),
    ).toMatchObject({
      status: 413,
      body: { code: 'payload_too_large', limit: 'body_bytes', maximum: 2048 },
    })
    const chunked = await raw(
      `POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n${big.length.toString(16)}\r\n${big}\r\n0\r\n\r\n`,
    )
    expect(problemOf(chunked)).toMatchObject({ status: 413, body: { code: 'payload_too_large' } })
  })

  test('that are not JSON keep the connection', async () => {
    const request = (body: string) =>
      `POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: ${body.length}\r\n\r\n${body}`
    const answer = await raw(request('{"a":}'), [
      { after: 100, bytes: request('{"a":1}').replace('host', 'connection: close\r\nhost') },
    ])
    expect(answer).toContain('"code":"malformed_json"')
    expect(answer).toContain('200 OK')
  })

  test('are refused where a route takes none', async () => {
    expect(
      await inject({ method: 'POST', url: '/bodiless', headers: json, payload: '{"a":1}' }),
    ).toMatchObject({
      status: 400,
      body: { code: 'invalid_request' },
    })
    expect(await inject({ method: 'POST', url: '/bodiless' })).toMatchObject({ status: 200 })
    expect(
      await inject({ method: 'POST', url: '/bodiless', headers: json, payload: '{}' }),
    ).toMatchObject({ status: 200 })
  })

  test('of unions are judged by their tag', async () => {
    const post = (payload: object) => inject({ method: 'POST', url: '/waits', payload })
    expect(await post({ kind: 'manual', signal: 'x' })).toMatchObject({ status: 200 })
    expect(await post({ kind: 'timer', at: '2026-02-30T00:00:00Z' })).toMatchObject({
      status: 400,
      body: {
        detail: 'at names a day that does not exist: 2026-02 has 28 days.',
        errors: [{ pointer: '/at', code: 'format' }],
      },
    })
    expect(await post({ kind: 'tiemr' })).toMatchObject({
      status: 400,
      body: {
        errors: [
          {
            pointer: '/kind',
            code: 'unknown_kind',
            did_you_mean: 'timer',
            allowed: ['timer', 'manual'],
          },
        ],
      },
    })
  })
})

describe('queries and paths', () => {
  test.each([
    ['/list', { limit: 50 }],
    ['/list?limit=5', { limit: 5 }],
    ['/list?status=running', { limit: 50, status: ['running'] }],
    [
      '/list?status=running&status=waiting&sure=true',
      { limit: 50, status: ['running', 'waiting'], sure: true },
    ],
    ['/list?owner=%C3%A9+x', { limit: 50, owner: 'é x' }],
  ])('%s', async (url, query) =>
    expect(await inject({ url })).toMatchObject({ status: 200, body: query }),
  )

  test.each([
    ['/list?limt=5', '?limt', 'unknown_parameter', 'limit'],
    ['/list?__proto__=5', '?__proto__', 'unknown_parameter', undefined],
    ['/list?limit=1&limit=2', '?limit', 'repeated', undefined],
    ['/list?owner=1&owner=2', '?owner', 'repeated', undefined],
    ['/list?limit=x', '?limit', 'wrong_type', undefined],
    ['/list?limit=', '?limit', 'wrong_type', undefined],
    ['/list?limit=0x5', '?limit', 'wrong_type', undefined],
    ['/list?limit=5.0', '?limit', 'wrong_type', undefined],
    ['/list?limit=%205', '?limit', 'wrong_type', undefined],
    ['/list?limit=0', '?limit', 'out_of_range', undefined],
    ['/list?limit=201', '?limit', 'out_of_range', undefined],
    ['/list?sure=1', '?sure', 'wrong_type', undefined],
    ['/list?status=runing', '?status', 'not_allowed', 'running'],
    ['/list?owner=%00', '?owner', 'nul_character', undefined],
    ['/list?owner=%ff', '?owner', 'encoding', undefined],
    ['/list?owner=%zz', '?owner', 'encoding', undefined],
    ['/flows/a%00b', ':flow_id', 'nul_character', undefined],
    ['/flows/a?verbose=1', '?verbose', 'unknown_parameter', undefined],
  ])('%s is refused', async (url, pointer, code, meant) => {
    const answer = await inject({ url })
    expect(answer).toMatchObject({
      status: 400,
      body: { code: 'invalid_request', errors: [{ pointer, code }] },
    })
    expect(answer.body.errors[0].did_you_mean).toBe(meant)
    expect(answer.body.detail.split(' ').length).toBeLessThanOrEqual(25)
  })

  test('a path that cannot be decoded is a problem', async () => {
    const answer = await inject({ url: '/flows/%zz', headers: { 'x-request-id': 'r1' } })
    expect(answer).toMatchObject({
      status: 400,
      headers: { 'x-request-id': 'r1', 'cache-control': 'no-store' },
      body: { code: 'bad_request', request_id: 'r1' },
    })
  })

  test('bytes beyond ASCII must be encoded', async () => {
    const answer = await raw(
      Buffer.from('GET /flows/\u00e9 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n'),
    )
    expect(problemOf(answer)).toMatchObject({ status: 400, body: { code: 'bad_request' } })
  })

  test('an id of any length reaches its route', async () => {
    const id = 'a'.repeat(900)
    expect(await inject({ url: `/flows/${id}` })).toMatchObject({
      status: 200,
      body: { flow_id: id },
    })
  })

  test('a URL past the limit is 414', async () => {
    expect(await inject({ url: `/flows/${'a'.repeat(1100)}` })).toMatchObject({
      status: 414,
      body: { code: 'uri_too_long', maximum: 1024 },
    })
    expect(await inject({ url: `/nowhere?${'a'.repeat(1100)}` })).toMatchObject({ status: 414 })
  })
})

describe('what no route takes', () => {
  test.each([
    ['/flow/abc/start', '/flows/abc/start'],
    ['/v1/flows/abc', '/flows/abc'],
    ['/flows/abc/', '/flows/abc'],
    ['/lists', '/list'],
    ['/problem', '/problems'],
    ['/nothing/like/it', undefined],
    [`/flow/${'a'.repeat(100)}`, '/flows/{flow_id}'],
  ])('%s is 404', async (url, meant) => {
    const answer = await inject({ url })
    expect(answer).toMatchObject({ status: 404, body: { code: 'not_found', instance: url } })
    expect(answer.body.did_you_mean).toBe(meant)
  })

  test('a body that is sent there is not judged', async () => {
    expect(
      await inject({ method: 'POST', url: '/nowhere', headers: json, payload: '{' }),
    ).toMatchObject({ status: 404 })
    const answer = await raw(
      'POST /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: text/x\r\ncontent-length: 2\r\n\r\n{}',
    )
    expect(problemOf(answer).status).toBe(404)
  })

  test('another method is 405 with Allow', async () => {
    expect(await inject({ method: 'DELETE', url: '/flows/abc' })).toMatchObject({
      status: 405,
      headers: { allow: 'GET, HEAD, OPTIONS, PATCH' },
      body: {
        code: 'method_not_allowed',
        allowed: ['GET', 'HEAD', 'OPTIONS', 'PATCH'],
        detail: 'This path takes GET, HEAD, PATCH, not DELETE.',
      },
    })
    const answer = await raw('PROPFIND /list HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n')
    expect(problemOf(answer).status).toBe(405)
  })

  test('HEAD and OPTIONS', async () => {
    const head = await app.inject({ method: 'HEAD', url: '/list' })
    expect([head.statusCode, head.body]).toEqual([200, ''])
    const options = await app.inject({ method: 'OPTIONS', url: '/flows/abc' })
    expect([options.statusCode, options.headers.allow]).toEqual([204, 'GET, HEAD, OPTIONS, PATCH'])
    expect((await app.inject({ method: 'OPTIONS', url: '/nowhere' })).statusCode).toBe(404)
    expect((await app.inject({ method: 'HEAD', url: '/nowhere' })).body).toBe('')
  })
})

describe('failures', () => {
  test('of unknown kind are 500 and say nothing, but the log does', async () => {
    const answer = await inject({ url: '/boom', headers: { 'x-request-id': 'boom-1' } })
    expect(answer).toMatchObject({ status: 500, body: { code: 'internal', request_id: 'boom-1' } })
    expect(JSON.stringify(answer)).not.toMatch(/secret-sql|42P01|at .*\.ts/)
    expect(answer.headers['etag']).toBeUndefined()
    const line = lines.find((each) => each['request_id'] === 'boom-1')
    expect(line).toMatchObject({ level: 50, method: 'GET', path: '/boom', status: 500 })
    expect(JSON.stringify(line)).toContain('secret-sql')
    expect(await inject({ url: '/undefined' })).toMatchObject({
      status: 500,
      body: { code: 'internal' },
    })
  })

  test('that pass say when to come back', async () => {
    expect(await inject({ url: '/busy' })).toMatchObject({
      status: 503,
      headers: { 'retry-after': '2' },
      body: { code: 'overloaded', retry_after: 2, type: '/problems/overloaded' },
    })
  })

  test('handlers that take too long are 503, long polls are not', async () => {
    expect(await inject({ url: '/slow' })).toMatchObject({
      status: 503,
      headers: { 'retry-after': '1' },
      body: { code: 'unavailable' },
    })
    expect(await inject({ url: '/poll' })).toMatchObject({ status: 200, body: { polled: true } })
  })

  test('answers are not bent to their schema', async () => {
    expect(await inject({ url: '/odd' })).toMatchObject({
      status: 200,
      body: { a: null, extra: 1 },
    })
  })
})

describe('below HTTP', () => {
  const cases: [string, string | Buffer, number, string][] = [
    ['no HTTP at all', 'hello\r\n\r\n', 400, 'bad_request'],
    ['TLS', Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 0]), 400, 'bad_request'],
    ['a broken header', 'GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n', 400, 'bad_request'],
    ['no Host', 'GET /list HTTP/1.1\r\nconnection: close\r\n\r\n', 400, 'bad_request'],
    [
      'two lengths',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n',
      400,
      'bad_request',
    ],
    [
      'a broken chunk',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n',
      400,
      'bad_request',
    ],
    [
      'large headers',
      `GET / HTTP/1.1\r\nhost: x\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`,
      431,
      'headers_too_large',
    ],
    [
      'a very long URL',
      `GET /${'a'.repeat(20_000)} HTTP/1.1\r\nhost: x\r\n\r\n`,
      414,
      'uri_too_long',
    ],
    ['headers that never end', 'GET / HTTP/1.1\r\nhost: x\r\n', 408, 'request_timeout'],
    [
      'a body that never ends',
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{',
      408,
      'request_timeout',
    ],
  ]
  test.each(cases)('%s', async (_name, bytes, status, code) => {
    const answer = problemOf(await raw(bytes))
    expect(answer).toMatchObject({
      status,
      body: { code, status, type: `/problems/${code}`, request_id: expect.any(String) },
    })
    expect(answer.head.toLowerCase()).toContain('content-type: application/problem+json')
    expect(answer.head.toLowerCase()).toContain('connection: close')
    expect(answer.head).toContain(String(answer.body['request_id']))
  })

  test('an unknown expectation is ignored', async () => {
    const answer = await raw(
      'GET /list HTTP/1.1\r\nhost: x\r\nexpect: tea\r\nconnection: close\r\n\r\n',
    )
    expect(answer).toContain('200 OK')
  })

  test('a body that breaks off harms nobody', async () => {
    const socket = connect(port, '127.0.0.1')
    socket.on('error', () => {})
    socket.write(
      'POST /echo HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n{',
    )
    await sleep(50)
    socket.destroy()
    await sleep(50)
    expect(await inject({ url: '/list' })).toMatchObject({ status: 200 })
    expect(lines.filter((line) => line['level'] === 50 && line['path'] === '/echo')).toEqual([])
  })
})

test('a long poll learns that its caller has gone', async () => {
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /gone HTTP/1.1\r\nhost: x\r\n\r\n')
  await sleep(50)
  expect(lines.some((line) => line['gone'] === true)).toBe(false)
  socket.destroy()
  await expect.poll(() => lines.some((line) => line['gone'] === true)).toBe(true)
})

describe('every answer', () => {
  test('has its headers and its request id', async () => {
    const answer = await inject({ url: '/list' })
    expect(answer.headers).toMatchObject({
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      'referrer-policy': 'no-referrer',
      'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
    })
  })

  test.each([
    ['abc-123', true],
    ['a'.repeat(128), true],
    ['a'.repeat(129), false],
    ['a b', false],
    ['', false],
  ])('takes over the request id %j: %s', async (id, taken) => {
    const { headers } = await inject({ url: '/list', headers: { 'x-request-id': id } })
    expect(headers['x-request-id'] === id).toBe(taken)
  })

  test('has one log line, without query, body or credentials', async () => {
    const before = lines.length
    await inject({
      method: 'POST',
      url: '/echo?x=s3cret',
      headers: { ...json, authorization: 'Bearer s3cret', 'x-request-id': 'log-1' },
      payload: '{"password":"s3cret"}',
    })
    await inject({ url: '/list?limit=3', headers: { 'x-request-id': 'log-2' } })
    const written = lines.slice(before)
    expect(
      written.map((line) => [line['request_id'], line['level'], line['path'], line['status']]),
    ).toEqual([
      ['log-1', 30, '/echo', 400],
      ['log-2', 20, '/list', 200],
    ])
    expect(JSON.stringify(written)).not.toContain('s3cret')
  })

  test('redacts what is logged by accident', () => {
    logger.info({
      headers: { authorization: 's3cret', cookie: 's3cret' },
      req: { headers: { 'x-api-key': 's3cret' } },
      token: 's3cret',
    })
    expect(JSON.stringify(lines.at(-1))).not.toContain('s3cret')
  })
})

describe('fingerprints', () => {
  const print = async (payload: string, url = '/echo') =>
    (await inject({ method: 'POST', url, headers: json, payload })).body.fingerprint

  test('know a request again whatever the order of its members', async () => {
    const first = await print('{"a":1,"b":{"c":[1,2],"d":null}}')
    expect(await print(' {"b":{"d":null,"c":[1.0,2]},\n"a":1}')).toBe(first)
    expect(await print('{"a":1,"b":{"c":[2,1],"d":null}}')).not.toBe(first)
    expect(await print('{"a":"1","b":{"c":[1,2],"d":null}}')).not.toBe(first)
    expect(first).toMatch(/^[\w-]{43}$/)
  })
})

test('a server that stops answers 503 on open connections', async () => {
  const server = await demo()
  const socket = connect(portOf(server), '127.0.0.1')
  let answer = ''
  socket.on('data', (chunk) => {
    answer += chunk.toString()
  })
  const ended = once(socket, 'close')
  // A request under way keeps the connection from being closed as idle.
  socket.write('GET /poll HTTP/1.1\r\nhost: x\r\n\r\n')
  await sleep(100)
  const closed = server.close()
  socket.write('GET /list HTTP/1.1\r\nhost: x\r\n\r\n')
  await Promise.all([closed, ended])
  expect(answer).toContain('{"polled":true}')
  expect(answer).toMatch(/503 Service Unavailable[\s\S]*"code":"unavailable"/)
})

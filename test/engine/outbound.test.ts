// The sender against real sockets: what it sends, and what it makes of answers and faults.

import type { IncomingMessage } from 'node:http'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { rawReceiver, receiver } from '../support/receiver.ts'
import { at, responded, sender } from '../support/sender.ts'

async function bodyOf(request: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk)
  return Buffer.concat(chunks).toString()
}

describe('what is sent', () => {
  test('one POST with the headers and the body, and nothing that was not asked for', async () => {
    const seen: object[] = []
    const server = await receiver(async (request, response) => {
      const { method, url, headers } = request
      seen.push({ method, url, headers, body: await bodyOf(request) })
      response.writeHead(201, { 'content-type': 'text/plain', 'x-other': 'y' }).end('thanks')
    })
    const headers = { 'content-type': 'application/json', 'webhook-id': 'd1' }
    const body = Buffer.from('{"note":"é"}')
    const answer = await sender()(at(server, '/a/b?c=%20d'), { headers, body })
    expect(answer).toEqual({
      status: 201,
      headers: { 'content-type': 'text/plain' },
      body: Buffer.from('thanks'),
      truncated: false,
      latency_ms: expect.any(Number),
    })
    expect(seen).toEqual([
      {
        method: 'POST',
        url: '/a/b?c=%20d',
        headers: {
          ...headers,
          host: `127.0.0.1:${server.port}`,
          connection: 'keep-alive',
          'content-length': String(body.length),
        },
        body: '{"note":"é"}',
      },
    ])
  })

  test('an empty body, and an answer without one', async () => {
    const lengths: (string | undefined)[] = []
    const server = await receiver((request, response) => {
      lengths.push(request.headers['content-length'])
      response.writeHead(204).end()
    })
    const answer = responded(await sender()(at(server), { body: '' }))
    expect(answer).toMatchObject({ status: 204, truncated: false, headers: {} })
    expect(answer.body.length).toBe(0)
    expect(lengths).toEqual(['0'])
  })

  test('connections are kept for the next request', async () => {
    const server = await receiver((_, response) => response.end('ok'))
    const send = sender()
    for (let i = 0; i < 3; i++) responded(await send(at(server)))
    expect(server.accepted()).toBe(1)
  })

  test('no more idle connections are kept than are allowed', async () => {
    let waiting: (() => void)[] = []
    const server = await receiver((_, response) => {
      waiting.push(() => response.end('ok'))
      // All at once, so that each has a connection of its own.
      if (waiting.length < 5) return
      for (const answer of waiting) answer()
      waiting = []
    })
    const send = sender({ idleConnections: 2 })
    const answers = await Promise.all(Array.from({ length: 5 }, () => send(at(server))))
    expect(answers.map((answer) => responded(answer).status)).toEqual(Array(5).fill(200))
    await vi.waitFor(() => expect(server.sockets.size).toBe(2))
  })

  test('a connection that the receiver closes is not used again', async () => {
    const server = await receiver((_, response) => {
      response.writeHead(200, { connection: 'close' }).end('ok')
    })
    const send = sender()
    for (let i = 0; i < 3; i++) responded(await send(at(server)))
    expect(server.accepted()).toBe(3)
  })

  test('no proxy of the environment is asked', async () => {
    const proxy = await receiver((_, response) => response.end('proxy'))
    const server = await receiver((_, response) => response.end('server'))
    for (const name of ['http_proxy', 'HTTP_PROXY', 'all_proxy', 'NODE_USE_ENV_PROXY']) {
      vi.stubEnv(name, name.startsWith('NODE') ? '1' : at(proxy))
    }
    onTestFinished(() => {
      vi.unstubAllEnvs()
    })
    expect(responded(await sender()(at(server))).body.toString()).toBe('server')
    expect(proxy.accepted()).toBe(0)
  })

  test.each([
    ['a line break in a value', { 'x-note': 'a\r\nx-injected: 1' }],
    ['a line break in a name', { 'x-note: 1\r\nx-injected': '1' }],
    ['a zero byte', { 'x-note': 'a\u0000b' }],
  ])('%s is never sent', async (_, headers) => {
    const server = await receiver((_, response) => response.end())
    await expect(sender()(at(server), { headers })).rejects.toThrow(/header/)
    expect(server.accepted()).toBe(0)
  })
})

describe('what comes back', () => {
  test.each([301, 302, 303, 307, 308])(
    'a redirect (%s) is an answer and is not followed',
    async (status) => {
      const inside = await receiver((_, response) => response.end('secret'))
      const server = await receiver((_, response) =>
        response.writeHead(status, { location: at(inside) }).end(),
      )
      expect(await sender()(at(server))).toMatchObject({ status, headers: {} })
      expect(inside.accepted()).toBe(0)
    },
  )

  test('Retry-After is kept, once; interim answers are passed over', async () => {
    const server = await receiver((_, response) => {
      response.writeEarlyHints({ link: '</a>; rel=preload', 'content-encoding': 'gzip' }, () => {
        response.setHeader('retry-after', ['7', '9']).writeHead(503).end('later')
      })
    })
    const answer = responded(await sender()(at(server)))
    expect(answer).toMatchObject({ status: 503, headers: { 'retry-after': '7' } })
    expect(answer.body.toString()).toBe('later')
  })

  test('a body of exactly the maximum is whole', async () => {
    const server = await receiver((_, response) => response.end('x'.repeat(65_536)))
    const answer = responded(await sender()(at(server)))
    expect([answer.body.length, answer.truncated]).toEqual([65_536, false])
  })

  test('an endless body is cut, its connection destroyed, the answer kept', async () => {
    const server = await receiver((_, response) => {
      const write = () => {
        while (!response.destroyed && response.write(Buffer.alloc(10_000, 'x'))) {}
      }
      response.on('drain', write)
      write()
    })
    const answer = responded(await sender()(at(server), { max_answer_bytes: 1_000 }))
    expect(answer).toMatchObject({ status: 200, truncated: true })
    expect(answer.body.equals(Buffer.alloc(1_000, 'x'))).toBe(true)
    await vi.waitFor(() => expect(server.sockets.size).toBe(0))
  })

  test('nothing of the body is read when nothing is wanted', async () => {
    const server = await receiver((_, response) => response.end('hello'))
    const answer = responded(await sender()(at(server), { max_answer_bytes: 0 }))
    expect([answer.status, answer.body.length, answer.truncated]).toEqual([200, 0, true])
  })

  test.each(['gzip', 'br', 'GZIP', 'identity, gzip'])(
    'an answer in %s is not unpacked',
    async (encoding) => {
      const server = await receiver((_, response) => {
        response.writeHead(200, { 'content-encoding': encoding }).end('packed')
      })
      expect(await sender()(at(server))).toMatchObject({ failure: 'protocol' })
    },
  )

  test('one that says identity is an answer', async () => {
    const server = await receiver((_, response) => {
      response.writeHead(200, { 'content-encoding': 'Identity' }).end('plain')
    })
    expect(responded(await sender()(at(server))).body.toString()).toBe('plain')
  })

  test.each([
    ['what is not HTTP', 'SSH-2.0-OpenSSH_9.6\r\n', 'protocol'],
    ['endless headers', `HTTP/1.1 200 OK\r\n${'x-a: b\r\n'.repeat(5_000)}\r\n`, 'protocol'],
    ['two lengths', 'HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab', 'reset'],
    ['a body that breaks off', 'HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab', 'reset'],
    [
      'chunks that end with the connection',
      'HTTP/1.1 200 OK\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab',
      'reset',
    ],
    [
      'chunks that break off',
      'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nab',
      'reset',
    ],
    ['headers that break off', 'HTTP/1.1 200 OK\r\ncontent-le', 'reset'],
    ['an upgrade', 'HTTP/1.1 101 Switching\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n', 'reset'],
    ['nothing', '', 'reset'],
  ])('%s: a value', async (_, bytes, failure) => {
    const server = await rawReceiver((socket) => {
      socket.once('data', () => socket.end(bytes))
    })
    const answer = await sender()(at(server))
    expect(answer).toMatchObject({ failure })
    expect(answer).not.toHaveProperty('status')
  })

  test('a connection that is reset', async () => {
    const server = await rawReceiver((socket) => {
      socket.once('data', () => socket.resetAndDestroy())
    })
    expect(await sender()(at(server))).toMatchObject({ failure: 'reset' })
  })

  test('a port where nobody listens', async () => {
    const answer = await sender()('http://127.0.0.1:1/')
    expect(answer).toEqual({
      failure: 'connect',
      message: 'No connection (ECONNREFUSED).',
      latency_ms: expect.any(Number),
    })
  })

  test('the next request is answered after any of these', async () => {
    let broken = true
    const server = await receiver((request, response) => {
      if (broken) request.socket.destroy()
      else response.end('fine')
    })
    const send = sender()
    expect(await send(at(server))).toMatchObject({ failure: 'reset' })
    broken = false
    expect(responded(await send(at(server))).body.toString()).toBe('fine')
  })
})

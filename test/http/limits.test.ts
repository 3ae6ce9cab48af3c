// What stands before every route: rates, shedding, CORS, and who may read the documentation.

import { type FastifyInstance, fastify } from 'fastify'
import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { addressGroup } from '../../src/http/address.ts'
import { type AppOptions, createApp } from '../../src/http/app.ts'
import { createCors } from '../../src/http/cors.ts'
import { problemType } from '../../src/http/problems.ts'
import { limitAddresses } from '../../src/http/rates.ts'
import { type Api, startApi } from '../support/api.ts'
import { idleEngine } from '../support/idle-engine.ts'

const adminKey = 'admin-key-for-tests-0123456789'

async function idle(more: Partial<AppOptions>): Promise<FastifyInstance> {
  const app = createApp(idleEngine(), {
    logger: pino({ level: 'silent' }),
    version: '0.0.0',
    shutdown: new AbortController().signal,
    limits: { body_bytes: 1_048_576, json_depth: 32 },
    ...more,
  })
  await app.ready()
  return app
}

describe('the rate of a binding', () => {
  let api: Api
  beforeAll(async () => {
    api = await startApi({ adminKey })
  })
  afterAll(() => api?.close())
  const call = (
    key: string,
    method: Parameters<Api['call']>[0],
    path: string,
    body?: unknown,
  ): ReturnType<Api['call']> => api.call(method, path, body, { authorization: `Bearer ${key}` })

  async function bound(name: string, rate: object | null): Promise<{ id: string; keys: string[] }> {
    const binding = { name, actions: ['*'], rate }
    const { id } = (await call(adminKey, 'POST', '/bindings', binding)).body
    const keys: string[] = []
    for (let i = 0; i < 2; i++) {
      keys.push((await call(adminKey, 'POST', `/bindings/${id}/keys`, {})).body.key)
    }
    return { id, keys }
  }

  it('is one for all its keys, is told on every answer, and refuses beyond', async () => {
    const { keys } = await bound('rated', { per_minute: 6, burst: 4 })
    const [one = '', two = ''] = keys
    const first = await call(one, 'GET', '/flows')
    expect(first.headers['ratelimit-policy']).toBe('"key";q=6;w=60')
    expect(first.headers['ratelimit']).toMatch(/^"key";r=3;t=10$/)
    await call(two, 'GET', '/flows')
    await call(two, 'GET', '/flows')
    // A refusal of the route counts as well.
    expect((await call(one, 'GET', '/flows/none')).status).toBe(404)
    const over = await call(one, 'GET', '/flows')
    expect([over.status, over.body.code, over.body.limit]).toEqual([429, 'rate_limited', 'key'])
    expect(Number(over.headers['retry-after'])).toBeGreaterThan(5)
    expect(Number(over.headers['retry-after'])).toBeLessThanOrEqual(10)
    expect(over.headers['ratelimit']).toMatch(/^"key";r=0;t=\d+$/)
    expect((await call(two, 'GET', '/flows')).status).toBe(429)
    expect((await call(adminKey, 'GET', '/flows')).headers).not.toHaveProperty('ratelimit')
  })

  it('bounds what is minted, together with a narrower one of its own', async () => {
    const { keys } = await bound('minting', { per_minute: 60, burst: 10 })
    const [own = ''] = keys
    const mint = async (body: object) => {
      const asked = { expires_in: 'PT1H', ...body }
      return (await call(own, 'POST', '/bindings/self/keys', asked)).body.key as string
    }
    const narrow = await mint({ rate: { per_minute: 6, burst: 2 } })
    const plain = await mint({})
    const statuses = async (key: string, times: number) => {
      const found: number[] = []
      for (let i = 0; i < times; i++) found.push((await call(key, 'GET', '/flows')).status)
      return found
    }
    expect(await statuses(narrow, 3)).toEqual([200, 200, 429])
    // Two for making them, three by the narrow one: five are left for all.
    expect(await statuses(plain, 6)).toEqual([200, 200, 200, 200, 200, 429])
    expect(await statuses(own, 1)).toEqual([429])
  })
})

describe('the rate of an address', () => {
  it('holds who has a key and who has none, each address by itself, and leaves health alone', async () => {
    const app = await idle({ addressRate: { per_minute: 60, burst: 2 } })
    const get = (url: string, remoteAddress: string) => app.inject({ url, remoteAddress })
    const seen: number[] = []
    for (let i = 0; i < 3; i++) seen.push((await get('/problems', '192.0.2.1')).statusCode)
    expect(seen).toEqual([200, 200, 429])
    const refused = await get('/bindings/self', '192.0.2.1')
    expect(refused.json()).toMatchObject({ code: 'rate_limited', limit: 'address' })
    expect(refused.headers['content-type']).toContain(problemType)
    expect((await get('/problems', '192.0.2.2')).statusCode).toBe(200)
    expect((await get('/health/live', '192.0.2.1')).statusCode).toBe(200)
    await app.close()
  })

  it('comes back with time', async () => {
    const app = fastify()
    let now = 0
    app.setErrorHandler((error, _request, reply) =>
      reply.code('code' in Object(error) ? 429 : 500).send(),
    )
    limitAddresses(app, { per_minute: 60, burst: 1 }, () => now)
    app.get('/', () => 'in')
    const status = async () => (await app.inject('/')).statusCode
    expect([await status(), await status()]).toEqual([200, 429])
    now = 1_000
    expect(await status()).toBe(200)
    await app.close()
  })

  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:0DB8:0001:0002::9', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['::1', '0:0:0:0::/64'],
    ['fe80::1%eth0', 'fe80:0:0:0::/64'],
    ['64:ff9b::192.0.2.33', '64:ff9b:0:0::/64'],
    ['1:2:3:4:5:6:7::', '1:2:3:4::/64'],
  ])('%s counts as %s', (address, group) => {
    expect(addressGroup(address)).toBe(group)
  })
})

describe('shedding', () => {
  it('does not mind one stall, however long', async () => {
    const app = await idle({ maxLoopDelay: 30 })
    const end = performance.now() + 1_200
    while (performance.now() < end);
    const until = performance.now() + 1_500
    while (performance.now() < until) {
      expect((await app.inject('/problems')).statusCode).toBe(200)
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    await app.close()
  })

  it('refuses while the event loop is late, and takes requests again after', async () => {
    const app = await idle({ maxLoopDelay: 30 })
    const get = async (url: string) => app.inject(url)
    const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))
    expect((await get('/problems')).statusCode).toBe(200)
    const block = (ms: number) => {
      const end = performance.now() + ms
      while (performance.now() < end);
    }
    const deadline = performance.now() + 10_000
    let refused = await get('/problems')
    while (refused.statusCode === 200 && performance.now() < deadline) {
      for (let i = 0; i < 8; i++) {
        block(100)
        await pause(0)
      }
      refused = await get('/problems')
    }
    expect(refused.json()).toMatchObject({ code: 'overloaded', status: 503 })
    expect(Number(refused.headers['retry-after'])).toBeGreaterThanOrEqual(1)
    expect((await get('/health/live')).statusCode).toBe(200)
    let status = 503
    while (status === 503 && performance.now() < deadline) {
      await pause(100)
      status = (await get('/problems')).statusCode
    }
    expect(status).toBe(200)
    await app.close()
  }, 20_000)
})

describe('CORS', () => {
  const origin = 'https://app.example.com'
  const preflight = { 'access-control-request-method': 'PATCH' }

  it('is off unless it is configured', async () => {
    const app = await idle({})
    const answer = await app.inject({ method: 'OPTIONS', url: '/flows', headers: { origin } })
    expect(answer.statusCode).toBe(204)
    expect(Object.keys(answer.headers).filter((name) => name.includes('allow-origin'))).toEqual([])
    await app.close()
  })

  it('lets pages of the configured origins in, and no others', async () => {
    const app = await idle({ cors: createCors([origin]) })
    const ask = (headers: Record<string, string>, method: 'GET' | 'OPTIONS' = 'GET') =>
      app.inject({ method, url: '/flows/x', headers })
    const asked = await ask({ origin, ...preflight }, 'OPTIONS')
    expect(asked.statusCode).toBe(204)
    expect(asked.headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-methods': expect.stringContaining('PATCH'),
      'access-control-allow-headers': expect.stringContaining('authorization'),
      vary: 'origin',
    })
    // Also of a refusal: a page shall be able to read what is wrong.
    const refused = await app.inject({ url: '/nowhere', headers: { origin } })
    expect(refused.statusCode).toBe(404)
    expect(refused.headers['access-control-allow-origin']).toBe(origin)
    expect(refused.headers['access-control-expose-headers']).toContain('retry-after')
    for (const other of ['https://app.example.com.evil.test', 'http://app.example.com', 'null']) {
      const answer = await ask({ origin: other, ...preflight }, 'OPTIONS')
      expect(answer.headers).not.toHaveProperty('access-control-allow-origin')
    }
    const page = await app.inject({ url: '/problems', headers: { origin } })
    expect(page.headers.vary).toBe('origin, accept')
    expect(page.headers).not.toHaveProperty('access-control-allow-credentials')
    await app.close()
  })
})

describe('the documentation', () => {
  const pages = ['/docs/', '/docs/json', '/openapi.json', '/openapi-3.0.json']

  it('is for nobody when it is off', async () => {
    const app = await idle({ docs: 'off' })
    for (const url of pages) expect((await app.inject(url)).statusCode, url).toBe(404)
    expect((await app.inject('/')).statusCode).toBe(404)
    expect(app.openApi().info.title).toBe('Taskflow')
    await app.close()
  })

  it('asks for a key when it is told to', async () => {
    const engine = idleEngine()
    const app = createApp(
      { ...engine, credentials: { ...engine.credentials, anonymous: null } },
      {
        logger: pino({ level: 'silent' }),
        version: '0.0.0',
        shutdown: new AbortController().signal,
        limits: { body_bytes: 1_048_576, json_depth: 32 },
        docs: 'key',
      },
    )
    for (const url of pages) expect((await app.inject(url)).statusCode, url).toBe(401)
    expect((await app.inject('/problems')).statusCode).toBe(200)
    await app.close()
  })

  it('tells browsers to keep to TLS when there is nothing else', async () => {
    const app = await idle({ tls: true })
    const { headers } = await app.inject('/problems')
    expect(headers['strict-transport-security']).toBe('max-age=31536000')
    expect(headers['cross-origin-resource-policy']).toBe('same-origin')
    expect(headers['x-frame-options']).toBe('DENY')
    await app.close()
  })
})

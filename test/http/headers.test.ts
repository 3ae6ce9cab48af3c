// How preconditions, idempotency keys and waits are read from a request, and what the engine is told.

import { pino } from 'pino'
import { afterAll, beforeEach, describe, expect, it } from 'vitest'
import { createFlow } from '../../src/domain/create.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { ChangeOptions } from '../../src/engine/change.ts'
import { createApp } from '../../src/http/app.ts'
import { limits, newFlow, place, start } from '../support/flow-samples.ts'
import { idleEngine } from '../support/idle-engine.ts'

const flow: FlowRecord = { ...createFlow(place, newFlow, start, limits).flow, revision: 3 }
const asked: { options?: ChangeOptions | undefined; until?: unknown; ms?: number }[] = []
let aborted = false
const shutdown = new AbortController()
const engine = idleEngine()
const app = createApp(
  {
    ...engine,
    flows: {
      ...engine.flows,
      create: async (_caller, _input, options) => {
        asked.push({ options })
        return { outcome: 'existing', flow, replayed: true }
      },
      change: async (_caller, _id, _command, options) => {
        asked.push({ options })
        return { outcome: 'changed', flow, replayed: false }
      },
      get: async () => flow,
      waitFor: async (_caller, _id, until, ms, signal) => {
        asked.push({ until, ms })
        aborted = signal.aborted
        return flow
      },
    },
  },
  {
    logger: pino({ level: 'silent' }),
    version: '0.0.0',
    shutdown: shutdown.signal,
    limits: { body_bytes: 1_048_576, json_depth: 32 },
  },
)
afterAll(() => app.close())
beforeEach(() => {
  asked.length = 0
})

const url = `/flows/${flow.id}`
const change = (headers: Record<string, string>) =>
  app.inject({ method: 'POST', url: `${url}/start`, headers })
const read = (headers: Record<string, string>, query = '') =>
  app.inject({ url: `${url}${query}`, headers })

describe('If-Match', () => {
  it('is one strong tag with a revision', async () => {
    const { statusCode, headers } = await change({ 'if-match': '"12"' })
    expect([statusCode, headers.etag]).toEqual([200, '"3"'])
    expect(asked).toEqual([{ options: { if_match: 12 } }])
  })

  it.each(['*', 'W/"3"', '"3", "4"', '3', '"x"', '"03"', '""'])('is not %s', async (value) => {
    const answer = await change({ 'if-match': value })
    expect(answer.statusCode).toBe(400)
    expect(answer.json()).toMatchObject({
      code: 'invalid_request',
      errors: [{ pointer: 'if-match' }],
    })
    expect(asked).toEqual([])
  })

  it('has no place where there is no flow yet', async () => {
    const payload = { ...newFlow }
    const answer = await app.inject({
      method: 'POST',
      url: '/flows',
      headers: { 'if-match': '"0"' },
      payload,
    })
    expect(answer.json()).toMatchObject({ status: 400, errors: [{ pointer: 'if-match' }] })
  })
})

describe('Idempotency-Key', () => {
  it('goes to the engine with the fingerprint of the request', async () => {
    await change({ 'idempotency-key': 'a key of mine' })
    expect(asked).toEqual([
      {
        options: {
          idempotency: { key: 'a key of mine', fingerprint: expect.stringMatching(/^\S{43}$/) },
        },
      },
    ])
  })

  it.each(['', 'schlüssel', 'x'.repeat(256)])('is not "%s"', async (value) => {
    const answer = await change({ 'idempotency-key': value })
    expect(answer.json()).toMatchObject({ status: 400, code: 'idempotency_key_invalid' })
    expect(asked).toEqual([])
  })

  it('tells when the answer is a stored one', async () => {
    const { headers, statusCode } = await app.inject({
      method: 'POST',
      url: '/flows',
      payload: { ...newFlow },
    })
    expect([statusCode, headers['idempotency-replayed']]).toEqual([200, 'true'])
  })
})

describe('If-None-Match', () => {
  it.each(['"3"', 'W/"3"', '"2", "3"', '*'])('spares the body for %s', async (value) => {
    const answer = await read({ 'if-none-match': value })
    expect([answer.statusCode, answer.body, answer.headers.etag]).toEqual([304, '', '"3"'])
  })

  it.each(['"2"', '"abc"', '"2", W/"4"'])('does not for %s', async (value) => {
    expect((await read({ 'if-none-match': value })).statusCode).toBe(200)
  })

  it('must be tags', async () => {
    expect((await read({ 'if-none-match': '3' })).json()).toMatchObject({
      status: 400,
      errors: [{ pointer: 'if-none-match' }],
    })
  })
})

describe('wait', () => {
  it('waits for another revision, or for the end', async () => {
    expect((await read({ 'if-none-match': '"3"' }, '?wait=PT0.5S')).statusCode).toBe(304)
    expect((await read({}, '?wait=PT1M&until=terminal')).statusCode).toBe(200)
    expect(asked).toEqual([
      { until: { revision: 3 }, ms: 500 },
      { until: { terminal: true }, ms: 60_000 },
    ])
  })

  it.each([
    ['?wait=PT1S', {}, '?wait'],
    ['?wait=PT1S', { 'if-none-match': '*' }, '?wait'],
    ['?wait=PT1S', { 'if-none-match': '"1", "2"' }, '?wait'],
    ['?wait=PT61S&until=terminal', {}, '?wait'],
    ['?wait=soon&until=terminal', {}, '?wait'],
    ['?until=terminal', {}, '?until'],
    ['?wait=PT1S&until=later', {}, '?until'],
  ])('is not %s with %j', async (query, headers, pointer) => {
    expect((await read({ ...headers }, query)).json()).toMatchObject({
      status: 400,
      errors: [{ pointer }],
    })
    expect(asked).toEqual([])
  })

  it('is let go when the service stops', async () => {
    expect(aborted).toBe(false)
    shutdown.abort()
    expect((await read({}, '?wait=PT1M&until=terminal')).statusCode).toBe(200)
    expect(aborted).toBe(true)
  })
})

it.each(['abc', flow.id.toUpperCase(), `${flow.id}0`, '%20'])(
  'answers 404 to an id that no flow can have: %s',
  async (id) => {
    const answer = await app.inject(`/flows/${id}`)
    expect(answer.json()).toMatchObject({ status: 404, code: 'not_found' })
  },
)

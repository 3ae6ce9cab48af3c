// Every code has a problem and a page, and what a problem proposes can be done.

import { pino } from 'pino'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Command, DecidedFlow } from '../../src/domain/command.ts'
import { decide } from '../../src/domain/decide.ts'
import { type ErrorCode, FlowError } from '../../src/domain/errors.ts'
import { flowStatuses, isTerminal } from '../../src/domain/flow.ts'
import { asFlowError } from '../../src/http/errors.ts'
import { type NextAction, nextActions } from '../../src/http/next-actions.ts'
import { problemCodes, problemKinds } from '../../src/http/problem-catalogue.ts'
import { retryAfter, toProblem } from '../../src/http/problems.ts'
import { createServer } from '../../src/http/server.ts'
import { flowIn, id, limits, start, waitId, waits } from '../support/flow-samples.ts'

const app = createServer({
  logger: pino({ level: 'silent' }),
  limits: { body_bytes: 1024, json_depth: 32 },
})
beforeAll(() => app.ready())
afterAll(() => app.close())

describe('the catalogue', () => {
  test.each(problemCodes)('%s', (code) => {
    const { status, title, explanation, example } = problemKinds[code]
    expect(code).toMatch(/^[a-z]+(_[a-z]+)*$/)
    expect(status).toBeGreaterThanOrEqual(400)
    expect(title.split(' ').length).toBeLessThanOrEqual(12)
    expect(explanation.length).toBeGreaterThan(0)
    expect(example.split(/\s+/).length).toBeLessThanOrEqual(25)
  })

  test('titles tell codes apart', () => {
    expect(new Set(problemCodes.map((code) => problemKinds[code].title)).size).toBe(
      problemCodes.length,
    )
  })
})

describe('the pages', () => {
  test.each(problemCodes)('/problems/%s', async (code) => {
    const html = await app.inject({
      url: `/problems/${code}`,
      headers: { accept: 'text/html,*/*;q=0.8' },
    })
    expect(html.statusCode).toBe(200)
    expect(html.headers['content-type']).toBe('text/html; charset=utf-8')
    expect(html.headers['content-security-policy']).toContain("default-src 'none'")
    expect(html.body).toContain(code)
    expect(html.body).not.toMatch(/<script|https?:\/\/(?!\S*`)|src=|<link/)
    const text = await app.inject({ url: `/problems/${code}` })
    expect(text.headers['content-type']).toBe('text/plain; charset=utf-8')
    expect(text.headers['vary']).toBe('accept')
    expect(text.body).toContain(problemKinds[code].title)
  })

  test('the index lists them all', async () => {
    const html = await app.inject({ url: '/problems', headers: { accept: 'text/html' } })
    const text = await app.inject({ url: '/problems' })
    for (const code of problemCodes) {
      expect(html.body).toContain(`href="/problems/${code}"`)
      expect(text.body).toContain(`/problems/${code} `)
    }
  })

  test('an unknown code is a problem with the nearest one', async () => {
    const answer = await app.inject({ url: '/problems/notfound' })
    expect(answer.statusCode).toBe(404)
    expect(answer.json()).toMatchObject({ code: 'not_found', did_you_mean: '/problems/not_found' })
    expect((await app.inject({ url: '/problems/constructor' })).json().code).toBe('not_found')
    expect((await app.inject({ url: `/problems/${'x'.repeat(300)}` })).statusCode).toBe(404)
  })
})

describe('a problem', () => {
  test('has what RFC 9457 and the contract ask for', () => {
    const error = new FlowError(
      'revision_mismatch',
      'The flow is at revision 4, not 3: read it and decide anew.',
      {
        flow_id: id(1),
        expected: 3,
        actual: 4,
      },
    )
    expect(toProblem(error, { request_id: 'r', path: '/flows/x/start' })).toEqual({
      type: '/problems/revision_mismatch',
      title: 'The flow has another revision',
      status: 412,
      detail: 'The flow is at revision 4, not 3: read it and decide anew.',
      instance: '/flows/x/start',
      code: 'revision_mismatch',
      flow_id: id(1),
      expected: 3,
      actual: 4,
      next_actions: [{ rel: 'flow', method: 'GET', href: `/flows/${id(1)}` }],
      request_id: 'r',
    })
  })

  test('says when a repeat has a chance', () => {
    expect(retryAfter(new FlowError('overloaded', '', { retry_after: 0.2 }))).toBe(1)
    expect(retryAfter(new FlowError('unavailable', '', { retry_after: 2.5 }))).toBe(3)
    expect(retryAfter(new FlowError('internal', '', {}))).toBeUndefined()
  })
})

const now = '2026-04-23T15:00:01.000Z'

/** The command that a proposed request comes to; null for a read. */
function commandOf(action: NextAction): Command | null {
  if (action.method === 'GET') return null
  const verb = action.href.split('/').slice(3).join('/')
  const body = action.body ?? {}
  switch (verb) {
    case 'start':
      return { type: 'start' }
    case 'cancel':
      return { type: 'cancel' }
    case 'finish':
      return { type: 'finish' }
    case 'wait':
      return { type: 'wait', wait_id: id(9), wait: { kind: 'timer', after: 3_600_000 } }
    case 'resume':
      return {
        type: 'resume',
        ...(typeof body['wait_id'] === 'string' && { wait_id: body['wait_id'] }),
      }
    case 'resume-external': {
      const { topic, correlation_id } = body
      if (typeof topic !== 'string' || typeof correlation_id !== 'string')
        throw new Error('no target')
      return {
        type: 'signal',
        signal_id: id(8),
        target: { kind: 'external_event', topic, correlation_id },
      }
    }
    default:
      expect(verb).toMatch(/^signals\//)
      return {
        type: 'signal',
        signal_id: id(8),
        target: { kind: 'manual', signal: decodeURIComponent(verb.slice('signals/'.length)) },
      }
  }
}

describe('next actions', () => {
  const flows: DecidedFlow[] = [
    ...flowStatuses.map((status) => flowIn(status)),
    ...Object.values(waits).map((wait) => flowIn('waiting', { wait })),
    flowIn('waiting', { wait: { id: waitId, kind: 'manual', since: start } }),
    flowIn('waiting', { wait: { id: waitId, kind: 'manual', signal: 'a/b ü?', since: start } }),
    flowIn('running', { cancel_requested: true }),
    flowIn('waiting', { cancel_requested: true }),
  ]
  const commands: Command[] = [
    { type: 'start' },
    { type: 'resume' },
    { type: 'resume', wait_id: id(77) },
    { type: 'wait', wait_id: id(9), wait: { kind: 'manual' } },
    { type: 'finish' },
    { type: 'fail', reason: 'x' },
    { type: 'move_timer', at: now },
    { type: 'update_state', patch: { a: 1 } },
    { type: 'request_cancel' },
    { type: 'cancel' },
  ]
  const refusals = flows.flatMap((flow) =>
    commands.flatMap((command) => {
      try {
        decide(flow, command, 'a', now, limits)
        return []
      } catch (error) {
        return error instanceof FlowError
          ? [{ flow, error, name: `${flow.status} ${flow.wait?.kind ?? ''} ${command.type}` }]
          : []
      }
    }),
  )

  test('there are refusals to look at', () => {
    expect(refusals.length).toBeGreaterThan(40)
    const codes = new Set<ErrorCode>(refusals.map(({ error }) => error.code))
    expect([...codes].sort()).toEqual([
      'already_terminal',
      'cancel_pending',
      'illegal_transition',
      'stale_wait',
      'wait_conflict',
    ])
  })

  test.each(refusals)('after $name all of them are legal', ({ flow, error }) => {
    expect(error.message.split(/\s+/).length).toBeLessThanOrEqual(25)
    const actions = nextActions(error)
    expect(actions.length).toBeGreaterThan(0)
    for (const action of actions) {
      expect(action.href).toMatch(new RegExp(`^/flows/${flow.id}`))
      const command = commandOf(action)
      if (command === null) continue
      const decision = decide(flow, command, 'a', now, limits)
      expect(decision.outcome).toMatch(/changed|delivered/)
    }
    if (isTerminal(flow.status)) expect(actions.map(({ method }) => method)).toEqual(['GET', 'GET'])
  })

  test('a key conflict offers the flow, and the same request with use_existing', () => {
    const error = new FlowError('key_conflict', 'x', { flow_id: id(1), key: 'k' })
    expect(nextActions(error, { key: 'k', goal: 'g' })).toEqual([
      { rel: 'flow', method: 'GET', href: `/flows/${id(1)}` },
      {
        rel: 'use-existing',
        method: 'POST',
        href: '/flows',
        body: { key: 'k', goal: 'g', on_conflict: 'use_existing' },
      },
    ])
    expect(nextActions(error, { state: 'x'.repeat(5000) })).toHaveLength(1)
    expect(nextActions(error)).toHaveLength(1)
  })
})

test('errors that are not ours say nothing of themselves', async () => {
  const request = await new Promise<Parameters<typeof asFlowError>[1]>((resolve) => {
    const other = createServer({
      logger: pino({ level: 'silent' }),
      limits: { body_bytes: 9, json_depth: 9 },
    })
    other.get('/x', (each) => {
      resolve(each)
      return {}
    })
    void other.inject({ url: '/x' })
  })
  const sizes = { body_bytes: 9, uri_bytes: 9 }
  for (const error of [
    new Error('select 1'),
    'text',
    undefined,
    null,
    { code: 5 },
    { statusCode: 500 },
  ]) {
    const shown = asFlowError(error, request, sizes)
    expect([shown.code, shown.message]).toEqual([
      'internal',
      'The service failed on this request. Report the request id.',
    ])
  }
  const coded = (code: string, statusCode?: number) =>
    asFlowError(Object.assign(new Error('x'), { code, statusCode }), request, sizes)
  for (const code of [
    'FST_ERR_CTP_BODY_TOO_LARGE',
    'FST_ERR_CTP_INVALID_MEDIA_TYPE',
    'FST_ERR_CTP_INVALID_CONTENT_LENGTH',
    'FST_ERR_HANDLER_TIMEOUT',
    'FST_ERR_BAD_URL',
    'FST_ERR_MAX_PARAM_LENGTH',
  ]) {
    const shown = coded(code)
    expect(shown.code).not.toBe('internal')
    expect(shown.message.split(/\s+/).length).toBeLessThanOrEqual(25)
  }
  expect(coded('ENOENT', 404).code).toBe('not_found')
  expect(coded('OTHER', 418).code).toBe('bad_request')
})

// Why a flow stands still: a table of stuck flows. Each answer must name the true cause, and each
// request that it suggests must move the flow.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { WireExplanation } from '../../src/contract/explain.ts'
import { type Api, startApi } from '../support/api.ts'
import { caller, codeOf, openSession, type Session, until } from '../support/engine.ts'

const input = {
  controller_id: 'shop/orders',
  goal: 'ship order 42',
  owner_session_key: 'customer-7',
  requester_origin: 'checkout',
}
const topic = 'payment.settled'

/** One whose clock runs, and one whose clock stands still, so that what is due stays due. */
let live: Api
let still: Api
let sessions: Map<Api, Session>
beforeAll(async () => {
  live = await startApi()
  still = await startApi({ loops: false })
  sessions = new Map([
    [live, await openSession(live.databaseUrl)],
    [still, await openSession(still.databaseUrl)],
  ])
})
afterAll(async () => {
  for (const session of sessions?.values() ?? []) await session.end()
  await live?.close()
  await still?.close()
})

let orders = 0
/** A correlation id that no other case has. Its digits differ, so none is like another. */
const newOrder = () => `order-${++orders}-x`

interface Seed {
  api: Api
  /** Sends a request that must succeed; answers its body. */
  // biome-ignore lint/suspicious/noExplicitAny: `call` checks bodies against the document.
  send: (path: string, body?: object, method?: 'POST' | 'PUT' | 'PATCH') => Promise<any>
  create: (over?: object) => Promise<string>
  running: (over?: object) => Promise<string>
  waiting: (wait: object, over?: object) => Promise<string>
  sql: (text: string, ...values: unknown[]) => Promise<unknown>
  order: string
}

function seedOn(api: Api): Seed {
  const send: Seed['send'] = async (path, body, method = 'POST') => {
    const answer = await api.call(method, path, body)
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.text}`)
    return answer.body
  }
  const create = async (over = {}) => (await send('/flows', { ...input, ...over })).id as string
  const running = (over = {}) => create({ start: true, ...over })
  return {
    api,
    send,
    create,
    running,
    waiting: async (wait, over) => {
      const id = await running(over)
      await send(`/flows/${id}/wait`, wait)
      return id
    },
    sql: async (text, ...values) => sessions.get(api)?.query(text, values),
    order: newOrder(),
  }
}

const event = (correlation_id: string, over: object = {}) => ({
  kind: 'external_event',
  topic,
  correlation_id,
  ...over,
})

async function explain(api: Api, id: string): Promise<WireExplanation> {
  const answer = await api.call('GET', `/flows/${id}/explain`)
  expect(answer.status).toBe(200)
  return answer.body
}

interface Case {
  name: string
  /** Makes the stuck flow; answers its id. */
  seed: (seed: Seed) => Promise<string>
  /** Its clock stands still. */
  still?: boolean
  blocked_by: object
  summary: RegExp
  /** What is suggested, in this order. */
  moves: string[]
  automatic?: object
  near?: (string | RegExp)[]
}

/** A flow whose only step a worker has. */
async function worked(
  { create, send }: Seed,
  over: object = {},
): Promise<{ id: string; report: (outcome: object) => Promise<void> }> {
  const controller_id = `worked-${newOrder()}`
  const id = await create({ controller_id, steps: [{ task: 'pack', run_id: 'a', ...over }] })
  const claim = { worker_id: 'w7', controllers: [controller_id], lease: 'PT1H' }
  const [step] = (await send('/steps/claim', claim)).items
  return {
    id,
    async report(outcome) {
      const { lease_token } = step
      await send(`/steps/${step.id}/outcome`, { lease_token, outcome })
    },
  }
}

const link = (ttl: number | null) => ({ token_hash: 'ab'.repeat(32), ttl, schema: null })
/** Lets a flow wait with a link, as the engine is asked for it. */
async function waitWithLink(seed: Seed, ttl: number | null): Promise<string> {
  const id = await seed.running()
  const wait_id = crypto.randomUUID()
  const token_hash = (wait_id.replaceAll('-', '') + wait_id.replaceAll('-', '')).slice(0, 64)
  const command = {
    type: 'wait',
    wait_id,
    wait: { kind: 'manual' },
    link: { ...link(ttl), token_hash },
  }
  await seed.api.engine.flows.change(caller, id, command as never)
  return id
}
/** Sets a flow aside as the wait engine does after too many failures. */
async function quarantine(seed: Seed, id: string): Promise<void> {
  const reason = 'it could not be fired 5 times'
  await seed.api.engine.flows.change(caller, id, { type: 'quarantine', reason })
}
async function expired(seed: Seed, body: object): Promise<void> {
  const { id } = await seed.send('/signals', { ...body, ttl: 'PT0.001S' })
  await until('it has expired', async () => {
    const { outcome } = (await seed.api.call('GET', `/signals/${id}`)).body
    return outcome === 'expired'
  })
}

const cases: Case[] = [
  {
    name: 'created, and nobody has started it',
    seed: ({ create }) => create(),
    blocked_by: { kind: 'not_started' },
    summary: /nobody has started it/,
    moves: ['start', 'cancel'],
  },
  {
    name: 'running without a step',
    seed: ({ running }) => running(),
    blocked_by: { kind: 'controller', controller_id: 'shop/orders', open_steps: [] },
    summary: /up to its controller "shop\/orders"/,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with mirrored steps that have not ended',
    seed: async ({ running, send }) => {
      const id = await running({ mode: 'mirrored' })
      await send(`/flows/${id}/steps/a`, { task: 'pack', status: 'running' }, 'PUT')
      await send(`/flows/${id}/steps/b`, { task: 'pack', status: 'succeeded' }, 'PUT')
      await send(`/flows/${id}/steps/c`, { task: 'send', status: 'pending' }, 'PUT')
      return id
    },
    blocked_by: {
      kind: 'controller',
      open_steps: [
        { run_id: 'a', status: 'running' },
        { run_id: 'c', status: 'pending' },
      ],
    },
    summary: /Its step "a" is running, and 1 more/,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with a step that nobody claims',
    seed: ({ create }) => create({ steps: [{ task: 'pack', run_id: 'a' }, { task: 'send' }] }),
    blocked_by: {
      kind: 'controller',
      open_steps: [{ run_id: 'a', runtime: 'managed', status: 'pending', attempt: 0 }, {}],
    },
    summary: /Its step "a" waits for a worker to claim it, task "pack", and 1 more\./,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with a step that a worker has',
    seed: async (seed) => (await worked(seed)).id,
    blocked_by: {
      kind: 'controller',
      open_steps: [{ run_id: 'a', status: 'running', attempt: 1, worker_id: 'w7' }],
    },
    summary: /Its step "a" is run by worker "w7", who has it until 20/,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with a step that rests between two attempts',
    seed: async (seed) => {
      const { id, report } = await worked(seed)
      await report({ kind: 'error', message: 'busy', retry_after: 'PT1H' })
      return id
    },
    blocked_by: {
      kind: 'controller',
      open_steps: [{ run_id: 'a', status: 'pending', error: { message: 'busy' } }],
    },
    summary: /Its step "a" is tried again at 20/,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with a step that is to be run later',
    seed: ({ create }) => create({ steps: [{ task: 'pack', run_id: 'a', delay: 'PT1H' }] }),
    blocked_by: { kind: 'controller', open_steps: [{ run_id: 'a' }] },
    summary: /Its step "a" is to be run at 20/,
    moves: ['wait', 'finish', 'cancel'],
  },
  {
    name: 'running with a step that is dead and parked',
    seed: async (seed) => {
      const { id, report } = await worked(seed, { on_dead: 'park' })
      await report({ kind: 'error', message: 'no such mailbox', retryable: false })
      return id
    },
    blocked_by: {
      kind: 'dead_steps',
      controller_id: expect.any(String),
      steps: [{ run_id: 'a', status: 'failed', error: { message: 'no such mailbox' } }],
    },
    summary: /its step "a" is dead \(no such mailbox\): somebody must decide/,
    moves: ['retry', 'skip', 'result', 'wait', 'finish', 'cancel'],
  },
  {
    name: 'failed because its step died',
    seed: async (seed) => {
      const { id, report } = await worked(seed)
      await report({ kind: 'error', message: 'no such mailbox', retryable: false })
      return id
    },
    blocked_by: { kind: 'ended', status: 'failed', dead_step: { run_id: 'a', status: 'failed' } },
    summary: /It is failed .* it can only be reopened, at its step "a"/,
    moves: ['reopen'],
  },
  {
    name: 'to be cancelled while its step runs',
    seed: async (seed) => {
      const { id } = await worked(seed)
      await seed.send(`/flows/${id}/request-cancel`)
      return id
    },
    blocked_by: { kind: 'cancel_requested', carried_out_by: 'steps' },
    summary: /A cancel was requested .* it ends when its running steps have reported/,
    moves: ['cancel'],
  },
  {
    name: 'to be cancelled while its step runs, for some time',
    seed: async (seed) => {
      const { id } = await worked(seed)
      await seed.send(`/flows/${id}/request-cancel`, { grace: 'PT1H' })
      return id
    },
    blocked_by: { kind: 'cancel_requested', carried_out_by: 'steps' },
    summary: /have reported\. In (59 minutes|1 hour), at 20.* it is cancelled/,
    moves: ['cancel'],
    automatic: { change: 'cancelled', by: 'cancel_request', engine_running: true },
  },
  {
    name: 'running while a signal is kept for it',
    seed: async ({ running, send, order }) => {
      const id = await running()
      await send(`/flows/${id}/resume-external`, { topic, correlation_id: order })
      return id
    },
    blocked_by: { kind: 'controller' },
    summary: /One signal almost matched: kept for this flow, which does not wait yet/,
    moves: ['wait', 'finish', 'cancel'],
    near: [/does not wait yet: it carries "payment.settled" for "order-/],
  },
  {
    name: 'waiting for a time',
    seed: ({ waiting }) => waiting({ kind: 'timer', after: 'PT1H' }),
    blocked_by: { kind: 'wait', wait: { kind: 'timer' }, open: [{ kind: 'timer' }], link: 'none' },
    summary: /for the time 20.*In (59 minutes|1 hour), at .* it goes on/,
    moves: ['resume', 'move-timer', 'cancel'],
    automatic: { change: 'resumed', by: 'timer', engine_running: true },
  },
  {
    name: 'waiting for a time that never comes while the clock stands still',
    still: true,
    seed: ({ waiting }) => waiting({ kind: 'timer', after: 'PT1H' }),
    blocked_by: { kind: 'wait' },
    summary: /The wait engine of this process does not run/,
    moves: ['resume', 'move-timer', 'cancel'],
    automatic: { change: 'resumed', by: 'timer', engine_running: false },
  },
  {
    name: 'waiting for a signal that nobody has sent',
    seed: ({ waiting, order }) => waiting(event(order)),
    blocked_by: { kind: 'wait', wait: { kind: 'external_event', topic } },
    summary: /a signal with topic "payment.settled" and correlation_id "order-/,
    moves: ['resume-external', 'resume', 'cancel'],
  },
  {
    name: 'waiting with a deadline',
    seed: ({ waiting, order }) => waiting(event(order, { timeout: 'P2D', on_timeout: 'fail' })),
    blocked_by: { kind: 'wait', wait: { on_timeout: 'fail' } },
    summary: /In (1 day|2 days), at .* it fails, because the wait times out/,
    moves: ['resume-external', 'resume', 'cancel'],
    automatic: { change: 'failed', by: 'timeout' },
  },
  {
    name: 'a signal with a trailing space',
    seed: async ({ waiting, send, order }) => {
      const id = await waiting(event(order))
      await send('/signals', { topic, correlation_id: `${order} ` })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /One signal almost matched: same topic, its correlation_id has a trailing space/,
    moves: ['resume-external', 'resume', 'cancel'],
    near: ['same topic, its correlation_id has a trailing space'],
  },
  {
    name: 'a signal with a misspelt topic',
    seed: async ({ waiting, send, order }) => {
      const id = await waiting(event(order))
      await send('/signals', { topic: 'payment.setled', correlation_id: order })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /almost matched/,
    moves: ['resume-external', 'resume', 'cancel'],
    near: ['same correlation_id, its topic is "payment.setled" instead of "payment.settled"'],
  },
  {
    name: 'signals in other case, and with a part of the id',
    seed: async ({ waiting, send, order }) => {
      const id = await waiting(event(order))
      await send('/signals', { topic, correlation_id: order.toUpperCase() })
      await send('/signals', { topic, correlation_id: order.slice('order-'.length) })
      await send('/signals', { topic, correlation_id: newOrder() })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /2 signals almost matched; the nearest/,
    moves: ['resume-external', 'resume', 'cancel'],
    near: [
      /same topic, its correlation_id is "\d+-x" instead of "order-/,
      'same topic, its correlation_id differs in upper and lower case',
    ],
  },
  {
    name: 'a signal aimed at another flow',
    seed: async ({ waiting, running, send, order }) => {
      const id = await waiting(event(order))
      const other = await running()
      await send(`/flows/${other}/resume-external`, { topic, correlation_id: order })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /aimed at another flow/,
    moves: ['resume-external', 'resume', 'cancel'],
    near: [/^aimed at another flow, [0-9a-f-]{36}$/],
  },
  {
    name: 'a signal that expired before the wait',
    seed: async (seed) => {
      await expired(seed, { topic, correlation_id: seed.order })
      return seed.waiting(event(seed.order))
    },
    blocked_by: { kind: 'wait' },
    summary: /expired .* before this wait began/,
    moves: ['redeliver', 'resume-external', 'resume', 'cancel'],
    near: [/^expired (less than a second|\d+ seconds?) before this wait began$/],
  },
  {
    name: 'a signal that a flow took which had waited longer',
    seed: async ({ waiting, send, order }) => {
      await waiting(event(order))
      const id = await waiting(event(order))
      await send('/signals', { topic, correlation_id: order })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /ended the wait of another flow/,
    moves: ['resume-external', 'resume', 'cancel'],
    near: [/^ended the wait of another flow, /],
  },
  {
    name: 'a kept signal for which the state has no room',
    seed: async ({ waiting, send, order }) => {
      const id = await waiting(event(order), { state: { a: 'a'.repeat(200_000) } })
      await send('/signals', { topic, correlation_id: order, payload: 'b'.repeat(100_000) })
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /the state had no room for its payload/,
    moves: ['redeliver', 'resume-external', 'resume', 'cancel'],
    near: [/^matches and is kept/],
  },
  {
    name: 'waiting for a named decision',
    seed: ({ waiting }) => waiting({ kind: 'manual', signal: 'approved by/ada' }),
    blocked_by: { kind: 'wait', wait: { kind: 'manual' } },
    summary: /for a signal named "approved by\/ada"/,
    moves: ['signal', 'resume', 'cancel'],
  },
  {
    name: 'a decision of another name',
    seed: async ({ waiting, send }) => {
      const id = await waiting({ kind: 'manual', signal: 'approved' })
      await send(`/flows/${id}/signals/aproved`)
      return id
    },
    blocked_by: { kind: 'wait' },
    summary: /its name is "aproved" instead of "approved"/,
    moves: ['signal', 'resume', 'cancel'],
    near: ['its name is "aproved" instead of "approved"'],
  },
  {
    name: 'waiting for anybody',
    seed: ({ waiting }) => waiting({ kind: 'manual' }),
    blocked_by: { kind: 'wait', open: [{ kind: 'manual' }] },
    summary: /a signal of any name/,
    moves: ['resume', 'cancel'],
  },
  {
    name: 'waiting for the first of several things',
    seed: ({ waiting, order }) =>
      waiting({ kind: 'any', of: [event(order), { kind: 'timer', after: 'P1D' }] }),
    blocked_by: { kind: 'wait', open: [{ kind: 'external_event' }, { kind: 'timer' }] },
    summary: /for the first of a signal .*, or the time 20/,
    moves: ['resume-external', 'resume', 'move-timer', 'cancel'],
    automatic: { change: 'resumed', by: 'timer' },
  },
  {
    name: 'waiting for the rest of several things',
    seed: async ({ waiting, send, order }) => {
      const id = await waiting({
        kind: 'all',
        of: [event(order), { kind: 'manual' }, { kind: 'timer', after: 'P1D' }],
      })
      await send('/signals', { topic, correlation_id: order })
      return id
    },
    blocked_by: {
      kind: 'wait',
      wait: { satisfied: [true, false, false] },
      open: [{ kind: 'manual' }, { kind: 'timer' }],
    },
    summary: /for 2 of 3 things that are still open, a signal of any name, and the time/,
    moves: ['signal', 'resume', 'move-timer', 'cancel'],
    automatic: { change: 'wait_progressed', by: 'timer' },
  },
  {
    name: 'waiting with a link that works',
    seed: (seed) => waitWithLink(seed, null),
    blocked_by: { kind: 'wait', link: 'open' },
    summary: /A link can end the wait/,
    moves: ['resume', 'cancel'],
  },
  {
    name: 'waiting with a link that has expired',
    seed: async (seed) => {
      const id = await waitWithLink(seed, 1)
      await until('the link has expired', async () => {
        const { blocked_by } = await explain(seed.api, id)
        return blocked_by.kind === 'wait' && blocked_by.link === 'expired'
      })
      return id
    },
    blocked_by: { kind: 'wait', link: 'expired' },
    summary: /The link that could end the wait has expired/,
    moves: ['resume', 'cancel'],
  },
  {
    name: 'overdue, as the clock stands still',
    still: true,
    seed: ({ waiting }) => waiting({ kind: 'timer', at: '2020-01-01T00:00:00Z' }),
    blocked_by: { kind: 'overdue', due_at: '2020-01-01T00:00:00.000Z' },
    summary: /It was due \d+ days ago.*the wait engine has not fired it/,
    moves: ['tick', 'resume', 'cancel'],
    automatic: { change: 'resumed', by: 'timer', engine_running: false },
  },
  {
    name: 'past its deadline, as the clock stands still',
    still: true,
    seed: ({ waiting, order }) =>
      waiting(event(order, { timeout_at: '2020-01-01T00:00:00Z', on_timeout: 'cancel' })),
    blocked_by: { kind: 'overdue' },
    summary: /With the next tick it is cancelled, because the wait times out/,
    moves: ['tick', 'resume-external', 'resume', 'cancel'],
    automatic: { change: 'cancelled', by: 'timeout' },
  },
  {
    name: 'to be cancelled by the clock, before its start',
    still: true,
    seed: async ({ create, send }) => {
      const id = await create()
      await send(`/flows/${id}/request-cancel`, { reason: 'withdrawn' })
      return id
    },
    blocked_by: { kind: 'cancel_requested', reason: 'withdrawn', carried_out_by: 'service' },
    summary: /the next tick carries it out/,
    moves: ['tick', 'cancel'],
    automatic: { change: 'cancelled', by: 'cancel_request', engine_running: false },
  },
  {
    name: 'to be cancelled by the clock, while it waits',
    still: true,
    seed: async ({ waiting, send, order }) => {
      const id = await waiting(event(order))
      await send(`/flows/${id}/request-cancel`)
      return id
    },
    blocked_by: { kind: 'cancel_requested', reason: null, carried_out_by: 'service' },
    summary: /A cancel was requested/,
    moves: ['tick', 'cancel'],
    automatic: { change: 'cancelled', by: 'cancel_request' },
  },
  {
    name: 'to be cancelled by its controller',
    seed: async ({ running, send }) => {
      const id = await running()
      await send(`/flows/${id}/request-cancel`)
      await send(`/flows/${id}`, { labels: { tier: 'gold' } }, 'PATCH')
      return id
    },
    blocked_by: { kind: 'cancel_requested', carried_out_by: 'controller' },
    summary: /only its controller can carry it out/,
    moves: ['cancel'],
  },
  {
    name: 'set aside with its timer',
    seed: async (seed) => {
      const id = await seed.waiting({ kind: 'timer', after: 'PT1H' })
      await quarantine(seed, id)
      return id
    },
    blocked_by: { kind: 'set_aside', reason: 'it could not be fired 5 times' },
    summary: /It was set aside .* the clock leaves it alone/,
    moves: ['move-timer', 'resume', 'cancel'],
  },
  {
    name: 'set aside with its deadline',
    seed: async (seed) => {
      const id = await seed.waiting(event(seed.order, { timeout: 'PT1H' }))
      await quarantine(seed, id)
      return id
    },
    blocked_by: { kind: 'set_aside', wait: { kind: 'external_event' } },
    summary: /It was set aside/,
    moves: ['resume-external', 'resume', 'cancel'],
  },
  ...[
    '{"kind": "timer"}',
    '{"kind": "any"}',
    '{"kind": "all", "id": "1", "of": [{"kind": "timer"}]}',
  ].map(
    (damaged): Case => ({
      name: `set aside with a row that was damaged by hand: ${damaged}`,
      seed: async (seed) => {
        const id = await seed.waiting({ kind: 'timer', after: 'PT1H' })
        await seed.sql('update flows set wait = $1, wake_at = now() where id = $2', damaged, id)
        await seed.send('/engine/tick')
        return id
      },
      blocked_by: { kind: 'set_aside', wait: null },
      summary: /because the wait (has no|is due)/,
      moves: ['resume', 'cancel'],
    }),
  ),
  {
    name: 'set aside with its cancel',
    still: true,
    seed: async (seed) => {
      const id = await seed.waiting({ kind: 'timer', after: 'PT1H' })
      await seed.send(`/flows/${id}/request-cancel`)
      await quarantine(seed, id)
      return id
    },
    blocked_by: { kind: 'set_aside' },
    summary: /It was set aside/,
    moves: ['cancel'],
  },
  {
    name: 'finished',
    seed: async ({ running, send }) => {
      const id = await running()
      await send(`/flows/${id}/finish`)
      await send(`/flows/${id}`, { labels: { tier: 'gold' } }, 'PATCH')
      return id
    },
    blocked_by: { kind: 'ended', status: 'finished', by: 'anonymous', reason: null },
    summary: /It is finished since .*, by anonymous: nothing moves it any more/,
    moves: [],
  },
  {
    name: 'failed',
    seed: async ({ running, send }) => {
      const id = await running()
      await send(`/flows/${id}/fail`, { reason: 'downstream answered 503' })
      return id
    },
    blocked_by: { kind: 'ended', status: 'failed', reason: 'downstream answered 503' },
    summary: /It is failed/,
    moves: [],
  },
]

describe.each(cases)('$name', (one) => {
  const api = () => (one.still === true ? still : live)

  it('is told with its cause, and what comes by itself', async () => {
    const id = await one.seed(seedOn(api()))
    const told = await explain(api(), id)
    const flow = await api().engine.flows.get(caller, id)
    expect(told).toMatchObject({
      flow_id: id,
      status: flow.status,
      revision: flow.revision,
      blocked_by: one.blocked_by,
      automatic: one.automatic ?? null,
    })
    expect(told.summary).toMatch(one.summary)
    expect(Date.parse(told.since)).toBeLessThanOrEqual(Date.now() + 1_000)
    expect(told.next_actions.map(({ rel }) => rel)).toEqual(one.moves)
    const wanted = one.near ?? []
    expect(told.near_misses).toHaveLength(wanted.length)
    for (const [i, difference] of wanted.entries()) {
      expect(told.near_misses[i]?.difference).toEqual(
        typeof difference === 'string' ? difference : expect.stringMatching(difference),
      )
    }
  })

  it.skipIf(one.moves.length === 0).each(one.moves.map((rel, i) => ({ rel, i })))(
    'is moved by $rel',
    async ({ i }) => {
      const id = await one.seed(seedOn(api()))
      const before = await explain(api(), id)
      const action = before.next_actions[i]
      if (action === undefined) throw new Error('there is no such action')
      const answer = await api().call(action.method as 'POST', action.href, action.body)
      expect(answer.status, answer.text).toBeLessThan(300)
      // A timer that was moved fires with the next tick.
      if (action.rel === 'move-timer') await api().call('POST', '/engine/tick')
      const promised = action.note?.startsWith('Changes nothing') !== true
      const moved = async () => {
        const after = await explain(api(), id)
        return after.status !== before.status || openOf(after) < openOf(before)
      }
      if (promised) await until('it has moved', moved)
      else expect(await moved()).toBe(false)
    },
  )
})

/** How many things a flow still waits for, or somebody has to decide on. */
function openOf({ blocked_by }: WireExplanation): number {
  if (blocked_by.kind === 'dead_steps') return blocked_by.steps.length
  return blocked_by.kind === 'wait' ? blocked_by.open.length : 0
}

it('names the right signal, with its fate and its times', async () => {
  const { waiting, send, order } = seedOn(live)
  const id = await waiting(event(order))
  const sent = await send('/signals', { topic: 'Payment.Settled', correlation_id: order })
  const { near_misses } = await explain(live, id)
  expect(near_misses).toEqual([
    {
      signal_id: sent.id,
      outcome: 'buffered',
      topic: 'Payment.Settled',
      correlation_id: order,
      name: null,
      flow_id: null,
      received_at: expect.stringMatching(/Z$/),
      expires_at: sent.expires_at,
      difference: 'same correlation_id, its topic differs in upper and lower case',
    },
  ])
})

it('shows nothing of another namespace', async () => {
  const { waiting, send, order, sql } = seedOn(live)
  const id = await waiting(event(order))
  const sent = [
    await send('/signals', { topic: 'payment.setled', correlation_id: order }),
    await send('/signals', { topic, correlation_id: `${order} ` }),
    await send(`/flows/${id}/resume-external`, { topic: 'other', correlation_id: 'other' }),
  ].map((one) => one.id ?? one.signal_id)
  expect((await explain(live, id)).near_misses).toHaveLength(3)
  await sql(`update signals set namespace = 'foreign' where id = any($1::uuid[])`, sent)
  expect((await explain(live, id)).near_misses).toEqual([])
  const foreign = { namespace: 'foreign', actor: 'somebody' }
  expect(await codeOf(live.engine.explain.flow(foreign, id))).toBe('not_found')
})

it('shows ten near misses at most, the nearest first', async () => {
  const { waiting, send, order } = seedOn(live)
  const id = await waiting(event(order))
  for (let i = 0; i < 12; i++) {
    await send(`/flows/${id}/resume-external`, { topic: `other.${i}`, correlation_id: `x${i}` })
  }
  await send('/signals', { topic, correlation_id: ` ${order}` })
  const { near_misses } = await explain(live, id)
  expect(near_misses).toHaveLength(10)
  expect(near_misses[0]?.difference).toBe('same topic, its correlation_id has a leading space')
  expect(near_misses[1]?.topic).toBe('other.11')
})

it('is not the only read that lives with a damaged row', async () => {
  const { waiting, sql } = seedOn(live)
  for (const damaged of ['{"kind": "any"}', '{"kind": "all", "of": []}', '{"kind": "timer"}']) {
    const id = await waiting({ kind: 'manual' })
    await sql('update flows set wait = $1 where id = $2', damaged, id)
    // Past the check against the document, which such a row cannot pass.
    for (const url of [`/flows/${id}`, '/flows?limit=1']) {
      expect((await live.app.inject(url)).statusCode).toBe(200)
    }
  }
})

it('answers 404 for a flow that does not exist', async () => {
  for (const id of ['nothing', '00000000-0000-7000-8000-000000000000']) {
    const answer = await live.call('GET', `/flows/${id}/explain`)
    expect(answer).toMatchObject({ status: 404, body: { code: 'not_found' } })
  }
})

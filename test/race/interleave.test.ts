// Every pair of operations that can meet on one flow and one match key, with their SQL statements in every order: one fate for each signal, one end for each wait.
//
// A run samples the orders, by a seed that it prints. TEST_SCHEDULES sets how many of each pair:
// a number, or `all`. TEST_SEED repeats a run.

import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BranchSpec, WaitSpec } from '../../src/domain/wait.ts'
import { mintId } from '../../src/engine/ids.ts'
import type { SignalInput } from '../../src/engine/signals.ts'
import { expireSignals } from '../../src/store/signal-lists.ts'
import { createFlow, newFlow, openSession, type Session } from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import {
  type Answer,
  as,
  clear,
  judge,
  type Operation,
  openPlayer,
  type Player,
  play,
  type Stage,
  someOrders,
} from '../support/race.ts'

const asked = process.env['TEST_SCHEDULES'] ?? '1'
const perPair = asked === 'all' ? Number.POSITIVE_INFINITY : Number(asked)
const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31)

let place: TestDatabase
let players: Player[]
let session: Session
let schedules = 0
let blocked = 0
const outcomes = new Map<string, number>()

beforeAll(async () => {
  place = await createTestDatabase()
  players = [1, 2, 3].map(() => openPlayer(place.url))
  session = await openSession(place.url)
})

afterAll(async () => {
  process.stdout.write(
    `interleavings: ${schedules} schedules, ${blocked} steps blocked, seed ${seed}\n`,
  )
  await Promise.all(players.map(({ engine }) => engine.close()))
  await session.end()
  await place.drop()
})

const event: BranchSpec = { kind: 'external_event', topic: 't', correlation_id: 'c' }
const target = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
const hour = 3_600_000
const deadline = { timeout: { after: hour }, on_timeout: 'resume' } as const
const afterDeadline = () => new Date(Date.now() + 2 * hour).toISOString()

const waitFor =
  (wait: WaitSpec): Operation =>
  ({ flows }, { flow_id }) =>
    flows.change(as('waiter'), flow_id, { type: 'wait', wait_id: mintId(), wait })

const signal =
  (more: Omit<Partial<SignalInput>, 'flow_id'> = {}, aimed = false): Operation =>
  ({ signals }, { flow_id }) =>
    signals.send(as('sender'), { target, payload: 1, ...(aimed && { flow_id }), ...more })

const key = 'the-key'
const idempotency = { key: 'again', fingerprint: 'f' }
const operations: Record<string, Operation> = {
  wait: waitFor({ ...event, ...deadline }),
  'wait for any': waitFor({ kind: 'any', of: [{ kind: 'manual', signal: 'go' }, event] }),
  'wait for all': waitFor({ kind: 'all', of: [event, { kind: 'manual' }], ...deadline }),
  signal: signal(),
  'signal for all': signal({ deliver: 'all' }),
  'signal not to be kept': signal({ ttl: 0 }),
  'aimed signal': signal({}, true),
  'named signal': signal({ target: { kind: 'manual', signal: 'go' } }, true),
  'signal with an id': signal({ sender_id: 'evt-1' }),
  'aimed signal with an id': signal({ sender_id: 'evt-1' }, true),
  'start if absent': signal({ start_if_absent: { ...newFlow, key, start: true } }),
  resume: ({ flows }, { flow_id }) => flows.change(as('hand'), flow_id, { type: 'resume' }),
  'resume this wait': ({ flows }, { flow_id, wait_id }) =>
    flows.change(as('hand'), flow_id, { type: 'resume', wait_id: wait_id ?? mintId() }),
  cancel: ({ flows }, { flow_id }) => flows.change(as('hand'), flow_id, { type: 'cancel' }),
  'request cancel': ({ flows }, { flow_id }) =>
    flows.change(as('hand'), flow_id, { type: 'request_cancel' }),
  timeout: ({ waitEngine }) => waitEngine.tick(afterDeadline()),
  redeliver: ({ signals }, { kept }) => signals.redeliver(as('operator'), kept ?? mintId()),
  // Answered before, so that it touches the signal's row and nothing else.
  'redeliver again': ({ signals }, { kept }) =>
    signals.redeliver(as('operator'), kept ?? mintId(), { idempotency }),
  expiry: ({ database }) => expireSignals(database.scope, 10),
}
/** Those of an operation's kind would only repeat it. */
const names = Object.keys(operations)

/** What the stage is like when the operations begin. */
const stages: Record<string, (engine: Player['engine']) => Promise<Stage>> = {
  async running(engine) {
    const { id } = await createFlow(engine, { key })
    return { flow_id: id, wait_id: null, kept: null }
  },
  async waiting(engine) {
    const { id } = await createFlow(engine, { key })
    const wait_id = mintId()
    const wait: WaitSpec = { ...event, ...deadline }
    await engine.flows.change(as('first'), id, { type: 'wait', wait_id, wait })
    return { flow_id: id, wait_id, kept: null }
  },
  async kept(engine) {
    const { id } = await createFlow(engine, { key })
    await engine.signals.send(as('early'), { target, payload: 0 })
    await session.query(`update signals set expires_at = now() - interval '1 minute'`)
    const { signal_id } = await engine.signals.send(as('early'), { target, payload: 0 })
    await engine.signals.send(as('early'), { target, payload: 0, flow_id: id })
    await engine.signals.redeliver(as('operator'), signal_id, { idempotency })
    return { flow_id: id, wait_id: null, kept: signal_id }
  },
  async 'waiting for all'(engine) {
    const { id } = await createFlow(engine, { key })
    const wait_id = mintId()
    const wait: WaitSpec = { kind: 'all', of: [event, { kind: 'manual' }, event], ...deadline }
    await engine.flows.change(as('first'), id, { type: 'wait', wait_id, wait })
    return { flow_id: id, wait_id, kept: null }
  },
}

/** Runs one schedule from a clean slate and judges it. */
async function run(stageName: string, chosen: string[], order: readonly number[]) {
  const stageOf = stages[stageName] as (typeof stages)[string]
  const [first] = players as [Player]
  const stage = await stageOf(first.engine)
  const acts = chosen.map((name) => operations[name] as Operation)
  const played = await play(players, acts, stage, order)
  schedules++
  blocked += played.blocked
  for (const [i, answer] of played.answers.entries()) countAnswer(chosen[i] ?? '', answer)
  try {
    await judge(session, played.answers)
  } catch (error) {
    throw new Error(
      `${stageName}: ${chosen.join(' and ')} in the order ${order.join('')}: ${error}\n${JSON.stringify(played.answers)}`,
    )
  }
  await clear(session)
  return played
}

function countAnswer(name: string, answer: Answer): void {
  const what =
    answer.type === 'fate' ? answer.fate.outcome : answer.type === 'refused' ? answer.code : 'done'
  const text = `${name}: ${what}`
  outcomes.set(text, (outcomes.get(text) ?? 0) + 1)
}

/** How many steps an operation takes when it is alone. */
const alone = new Map<string, number>()

beforeAll(async () => {
  for (const stage of Object.keys(stages)) {
    for (const name of names) {
      const { steps } = await run(stage, [name], [])
      alone.set(`${stage} ${name}`, steps[0] ?? 0)
    }
  }
}, 120_000)

const pairs = names.flatMap((a, i) => names.slice(i).map((b) => [a, b] as const))

describe.each(Object.keys(stages))('on a flow that is %s', (stage) => {
  test.each(names)(
    '%s against each other operation',
    async (name) => {
      for (const [a, b] of pairs.filter((pair) => pair[0] === name)) {
        const counts = [a, b].map((one) => alone.get(`${stage} ${one}`) ?? 0)
        for (const order of someOrders(counts, perPair, seed)) await run(stage, [a, b], order)
      }
    },
    3_600_000,
  )
})

test('three at once', async () => {
  const triples: [string, string, string][] = [
    ['wait', 'signal', 'signal for all'],
    ['wait', 'signal', 'timeout'],
    ['wait', 'aimed signal', 'signal'],
    ['signal', 'resume', 'wait'],
    ['signal', 'timeout', 'cancel'],
    ['wait for all', 'named signal', 'signal'],
    ['signal with an id', 'aimed signal with an id', 'wait'],
    ['redeliver', 'wait', 'expiry'],
    ['start if absent', 'cancel', 'start if absent'],
  ]
  const most = Number.isFinite(perPair) ? perPair * 2 : 500
  for (const stage of Object.keys(stages)) {
    for (const triple of triples) {
      const counts = triple.map((one) => alone.get(`${stage} ${one}`) ?? 0)
      for (const order of someOrders(counts, most, seed)) await run(stage, triple, order)
    }
  }
}, 3_600_000)

test('what was tried has met every fate', () => {
  const wanted = [
    'signal: delivered',
    'signal: buffered',
    'signal for all: delivered',
    'signal not to be kept: unmatched',
    'signal with an id: duplicate',
    'aimed signal: delivered',
    'aimed signal: buffered',
    'named signal: delivered',
    'resume: illegal_transition',
    'resume this wait: stale_wait',
    'wait: illegal_transition',
    'wait: done',
    'start if absent: delivered',
    'start if absent: buffered',
  ]
  expect(wanted.filter((one) => !outcomes.has(one))).toEqual([])
  expect(blocked).toBeGreaterThan(0)
})

// Workers, the sweeper and hands on one step at one instant: one accepted report for each claim, none from a stale lease, nothing stuck.
//
// TEST_SCHEDULES and TEST_SEED as in interleave.test.ts; TEST_ROUNDS sets the rounds of the second test.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { leaseToken } from '../../src/domain/lease.ts'
import type { ClaimedStep } from '../../src/engine/step-queue.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import {
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
import { age, claim, claimOne, settle, tokenOf } from '../support/steps.ts'

const asked = process.env['TEST_SCHEDULES'] ?? '1'
const perPair = asked === 'all' ? Number.POSITIVE_INFINITY : Number(asked)
const rounds = Number(process.env['TEST_ROUNDS'] ?? 500)
const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31)

let place: TestDatabase
let players: Player[]
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  players = [1, 2].map(() => openPlayer(place.url))
  session = await openSession(place.url)
})

afterAll(async () => {
  await Promise.all(players.map(({ engine }) => engine.close()))
  await session.end()
  await place.drop()
})

/** The step that everything is about, and its newest claim. */
interface StepStage extends Stage {
  step_id: string
  token: string
}

const token = (stage: Stage) => (stage as StepStage).token
const stepId = (stage: Stage) => (stage as StepStage).step_id
const report =
  (outcome: Parameters<typeof settle>[2]): Operation =>
  ({ steps }, stage) =>
    steps.settle(as('worker'), stepId(stage), token(stage), outcome)

const operations: Record<string, Operation> = {
  succeed: report({ kind: 'succeed' }),
  complete: report({ kind: 'complete', result: 1 }),
  continue: report({ kind: 'continue', next: { task: 'next', run_id: 'next' } }),
  'wait then': report({
    kind: 'wait',
    wait: { kind: 'external_event', topic: 't', correlation_id: 'c' },
    next: { task: 'after' },
  }),
  error: report({ kind: 'error', message: 'oops', retryable: true }),
  'final error': report({ kind: 'error', message: 'oops', retryable: false }),
  heartbeat: ({ queue }, stage) =>
    queue.heartbeat(as('worker'), stepId(stage), token(stage), { checkpoint: 1 }),
  release: ({ queue }, stage) => queue.release(as('worker'), stepId(stage), token(stage), 0),
  claim: (engine) => claim(engine, { worker_id: 'rival', max: 5 }),
  sweep: ({ stepSweeper }) => stepSweeper.sweep(),
  enqueue: ({ steps }, { flow_id }) =>
    steps.enqueue(as('hand'), flow_id, { task: 'next', run_id: 'next' }),
  retry: ({ steps }, stage) => steps.retry(as('operator'), stepId(stage)),
  skip: ({ steps }, stage) =>
    steps.resolve(as('operator'), stepId(stage), { skipped: true, result: null }),
  reopen: ({ steps }, stage) => steps.reopen(as('operator'), stage.flow_id, stepId(stage)),
  signal: ({ signals }) =>
    signals.send(as('sender'), {
      target: { kind: 'external_event', topic: 't', correlation_id: 'c' },
      payload: 1,
    }),
  'request cancel': ({ flows }, { flow_id }) =>
    flows.change(as('hand'), flow_id, { type: 'request_cancel' }),
  cancel: ({ flows }, { flow_id }) => flows.change(as('hand'), flow_id, { type: 'cancel' }),
  tick: ({ waitEngine }) => waitEngine.tick(),
}
const names = Object.keys(operations)

async function claimed(engine: Player['engine'], more = {}): Promise<StepStage> {
  const flow = await createFlow(engine)
  const { step } = await engine.steps.enqueue(caller, flow.id, { task: 'work', ...more })
  await engine.steps.enqueue(caller, flow.id, { task: 'other' })
  const mine = await claimOne(engine, { tasks: ['work'], lease: 60_000 })
  return { flow_id: flow.id, wait_id: null, kept: null, step_id: step.id, token: tokenOf(mine) }
}

const stages: Record<string, (engine: Player['engine']) => Promise<StepStage>> = {
  running: (engine) => claimed(engine),
  async 'late with its lease'(engine) {
    const stage = await claimed(engine)
    await age(session, stage.step_id, 61_000)
    return stage
  },
  async 'rescued and claimable'(engine) {
    const stage = await claimed(engine)
    await age(session, stage.step_id, 61_000)
    await engine.stepSweeper.sweep()
    await age(session, stage.step_id, 600_000)
    await engine.stepSweeper.sweep()
    return stage
  },
  async 'dead and parked'(engine) {
    const stage = await claimed(engine, { on_dead: 'park' })
    await engine.steps.settle(caller, stage.step_id, stage.token, {
      kind: 'error',
      message: 'x',
      retryable: false,
    })
    return stage
  },
  async 'running in a flow that is to end'(engine) {
    const stage = await claimed(engine)
    await engine.flows.change(caller, stage.flow_id, { type: 'request_cancel' })
    return stage
  },
}

async function run(stageName: string, chosen: string[], order: readonly number[]) {
  const [first] = players as [Player]
  const stage = await (stages[stageName] as (typeof stages)[string])(first.engine)
  const acts = chosen.map((name) => operations[name] as Operation)
  const played = await play(players, acts, stage, order)
  try {
    await judge(session, played.answers)
    const { rows } = await session.query<{ accepted: number }>(
      `select count(*)::integer as accepted from flow_events
       where kind in ('step_settled', 'step_dead') and actor = 'worker'
         and payload->>'step_id' = $1`,
      [stage.step_id],
    )
    if ((rows[0]?.accepted ?? 0) > 1) throw new Error('two reports of one claim were accepted')
  } catch (error) {
    throw new Error(
      `${stageName}: ${chosen.join(' and ')} in the order ${order.join('')}: ${error}\n${JSON.stringify(played.answers)}`,
    )
  }
  await clear(session)
  return played
}

describe.each(Object.keys(stages))('a step that is %s', (stage) => {
  const alone = new Map<string, number>()
  beforeAll(async () => {
    for (const name of names) alone.set(name, (await run(stage, [name], [])).steps[0] ?? 0)
  }, 120_000)

  test.each(names)(
    '%s against each other operation',
    async (name) => {
      for (const other of names.slice(names.indexOf(name))) {
        const counts = [name, other].map((one) => alone.get(one) ?? 0)
        for (const order of someOrders(counts, perPair, seed))
          await run(stage, [name, other], order)
      }
    },
    3_600_000,
  )
})

describe('workers that stand still and come back', () => {
  const engines: TestEngine[] = []
  afterAll(async () => {
    await Promise.all(engines.map((engine) => engine.close()))
  })

  test(`${rounds} rounds: no report of a stale lease is accepted`, async () => {
    engines.push(openEngine(place.url), openEngine(place.url))
    const [a, b] = engines as [TestEngine, TestEngine]
    const tally = new Map<string, number>()
    const count = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1)
    const tell = async (what: string, work: Promise<{ discarded: boolean } | object>) => {
      try {
        const done = await work
        const kind = 'discarded' in done && done.discarded ? 'discarded' : 'ok'
        count(`${what}: ${kind}`)
        return kind === 'ok'
      } catch (error) {
        if (!(error instanceof FlowError)) throw error
        count(`${what}: ${error.code}`)
        return false
      }
    }
    const plan = fc.sample(
      fc.record({
        late: fc.constantFrom('settle', 'heartbeat', 'release', 'error' as const),
        reclaim: fc.boolean(),
        atOnce: fc.boolean(),
      }),
      { numRuns: rounds, seed },
    )
    const lane = async (lane: number) => {
      for (let n = lane; n < rounds; n += 8) {
        const { late, reclaim, atOnce } = plan[n] as (typeof plan)[number]
        const task = `t-${n}`
        const flow = await createFlow(a)
        const { step } = await a.steps.enqueue(caller, flow.id, { task })
        const zombie = await claimOne(a, { tasks: [task], lease: 60_000 })
        await age(session, step.id, 61_000)
        await b.stepSweeper.sweep()
        await age(session, step.id, 600_000)
        await b.stepSweeper.sweep()
        let rival: ClaimedStep | undefined
        const take = async () => {
          if (reclaim) rival = (await claim(b, { tasks: [task], worker_id: 'rival' }))[0]
        }
        if (!atOnce) await take()
        const old = leaseToken({ flow_id: flow.id, token: zombie.lease_token ?? '' })
        const comeBack = () => {
          if (late === 'heartbeat') return a.queue.heartbeat(caller, step.id, old, {})
          if (late === 'release') return a.queue.release(caller, step.id, old, 0)
          return late === 'error'
            ? settle(a, zombie, { kind: 'error', message: 'late', retryable: false })
            : settle(a, zombie, { kind: 'succeed', result: 'zombie' })
        }
        const [accepted] = await Promise.all([tell(`zombie ${late}`, comeBack()), atOnce && take()])
        if (rival === undefined) continue
        // Whoever has the newest claim is heard; the other, in whatever order, is not.
        expect(accepted, `round ${n}`).toBe(false)
        expect(await tell('rival', settle(b, rival, { kind: 'succeed', result: 'rival' }))).toBe(
          true,
        )
      }
    }
    await Promise.all(Array.from({ length: 8 }, (_, i) => lane(i)))
    await checkInvariants(session)
    const told = [...tally].sort().map(([what, times]) => `${what} ${times}`)
    process.stdout.write(`${rounds} rounds of zombies, seed ${seed}: ${told.join(', ')}\n`)
    expect(tally.get('rival: ok') ?? 0).toBeGreaterThan(rounds / 4)
    expect(tally.get('zombie settle: lease_lost') ?? 0).toBeGreaterThan(rounds / 20)
    expect(tally.get('zombie settle: ok') ?? 0).toBeGreaterThan(rounds / 40)
  }, 600_000)
})

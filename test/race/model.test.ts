// Flows, waits and signals against a model of the contract: one after another every answer is as the model says; side by side the invariants hold.
//
// TEST_MODEL_RUNS sets how many histories of each.

import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { timeoutActions, type WaitSpec } from '../../src/domain/wait.ts'
import { mintId } from '../../src/engine/ids.ts'
import type { SignalInput } from '../../src/engine/signals.ts'
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
import { clear } from '../support/race.ts'
import {
  type Action,
  createModel,
  type ModelAnswer,
  type ModelBranch,
  type ModelWait,
} from '../support/signal-model.ts'

const runs = Number(process.env['TEST_MODEL_RUNS'] ?? 30)
const flowCount = 3

let place: TestDatabase
let engines: [TestEngine, TestEngine]
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  engines = [openEngine(place.url), openEngine(place.url)]
  session = await openSession(place.url)
})

afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.close()))
  await session.end()
  await place.drop()
})

const flow = fc.nat(flowCount - 1)
const topic = fc.constantFrom('t', 'u')
const correlation_id = fc.constantFrom('c', 'd')
const sender = fc.option(fc.constantFrom('s-1', 's-2'), { freq: 3 })
const payload = fc.nat(99)
const hours = fc.constantFrom(1, 2, 3)

const branch: fc.Arbitrary<ModelBranch> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: fc.constant('external_event' as const), topic, correlation_id }),
  },
  {
    weight: 2,
    arbitrary: fc.record(
      { kind: fc.constant('manual' as const), signal: fc.constantFrom('go', 'no') },
      { requiredKeys: ['kind'] },
    ),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('timer' as const), hours }) },
)
const timeout = fc.option(fc.record({ hours, action: fc.constantFrom(...timeoutActions) }))
const wait: fc.Arbitrary<ModelWait> = fc.oneof(
  fc.record({ kind: fc.constant('single' as const), of: branch.map((one) => [one]), timeout }),
  fc.record({
    kind: fc.constantFrom('any' as const, 'all' as const),
    of: fc.array(branch, { minLength: 1, maxLength: 3 }),
    timeout,
  }),
)

const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('wait' as const), flow, wait }) },
  {
    weight: 8,
    arbitrary: fc.record({
      type: fc.constant('signal' as const),
      flow: fc.option(flow, { freq: 2 }),
      topic,
      correlation_id,
      payload,
      sender,
      keep: fc.boolean(),
      all: fc.boolean(),
    }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('named' as const),
      flow,
      name: fc.constantFrom('go', 'no'),
      payload,
      sender,
      keep: fc.boolean(),
    }),
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('resume' as const), flow }) },
  {
    weight: 1,
    arbitrary: fc.record({
      type: fc.constantFrom('cancel' as const, 'request_cancel' as const),
      flow,
    }),
  },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('redeliver' as const), nth: fc.nat(9) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('tick' as const), hours: fc.nat(4) }) },
)

const hour = 3_600_000

function specOf({ kind, of, timeout: limit }: ModelWait): WaitSpec {
  const branches = of.map((one) =>
    one.kind === 'timer' ? { kind: 'timer' as const, after: one.hours * hour } : one,
  )
  return {
    ...(kind === 'single' ? (branches[0] as (typeof branches)[number]) : { kind, of: branches }),
    ...(limit !== null && { timeout: { after: limit.hours * hour }, on_timeout: limit.action }),
  }
}

/** What actions run on: flows and signals by number, and the hour that counts as zero. */
interface Stage {
  flows: string[]
  signals: string[]
  zero: number
}

/** Does in the service what an action says; answers in the words of the model. */
async function run(engine: TestEngine, stage: Stage, act: Action): Promise<ModelAnswer> {
  const idOf = (n: number) => stage.flows[n] as string
  const send = async (input: SignalInput): Promise<ModelAnswer> => {
    const { outcome, signal_id, deliveries } = await engine.signals.send(caller, input)
    if (outcome === 'delivered' || outcome === 'buffered') stage.signals.push(signal_id)
    if (outcome === 'duplicate') return { said: outcome, woken: [] }
    return { said: outcome, woken: wokenBy(stage, deliveries) }
  }
  try {
    switch (act.type) {
      case 'tick':
        // Half an hour past, so that what the test itself takes makes no difference.
        await engine.waitEngine.tick(
          new Date(stage.zero + act.hours * hour + hour / 2).toISOString(),
        )
        return { said: 'done', woken: [] }
      case 'redeliver': {
        const id = stage.signals[act.nth % Math.max(1, stage.signals.length)] ?? mintId()
        const before = await engine.signals.get(caller, id)
        const { outcome, signal } = await engine.signals.redeliver(caller, id)
        const fresh = signal.deliveries.slice(before.deliveries.length)
        return { said: outcome, woken: wokenBy(stage, fresh) }
      }
      case 'signal':
        return await send({
          target: { kind: 'external_event', topic: act.topic, correlation_id: act.correlation_id },
          payload: act.payload,
          deliver: act.all ? 'all' : 'one',
          ...(act.flow !== null && { flow_id: idOf(act.flow) }),
          ...(act.sender !== null && { sender_id: act.sender }),
          ...(!act.keep && { ttl: 0 }),
        })
      case 'named':
        return await send({
          target: { kind: 'manual', signal: act.name },
          payload: act.payload,
          flow_id: idOf(act.flow),
          ...(act.sender !== null && { sender_id: act.sender }),
          ...(!act.keep && { ttl: 0 }),
        })
      default: {
        const command =
          act.type === 'wait'
            ? { type: act.type, wait_id: mintId(), wait: specOf(act.wait) }
            : { type: act.type }
        const { outcome } = await engine.flows.change(caller, idOf(act.flow), command)
        return { said: outcome, woken: [] }
      }
    }
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    return { said: error.code, woken: [] }
  }
}

function wokenBy(stage: Stage, deliveries: { flow_id: string; revision: number }[]) {
  return deliveries.map(({ flow_id, revision }) => ({
    flow: stage.flows.indexOf(flow_id),
    revision,
  }))
}

async function prepare(): Promise<Stage> {
  await clear(session)
  const made = Array.from({ length: flowCount }, () => createFlow(engines[0]))
  const flows = (await Promise.all(made)).map(({ id }) => id)
  return { flows, signals: [], zero: Date.now() }
}

test('one after another, every answer is the one that the contract gives', async () => {
  const said = new Map<string, number>()
  const wanted = ['signal delivered', 'signal buffered', 'signal unmatched', 'signal duplicate']
  wanted.push('named delivered', 'wait changed', 'resume changed', 'signal cancel_pending')
  const served = () => wanted.every((one) => (said.get(one) ?? 0) > 3)
  // Chance decides what is tried: it goes on until everything was, or something cannot come.
  for (let rounds = 0; rounds === 0 || (!served() && rounds < 10); rounds++) await play(said)
  for (const one of wanted) expect(said.get(one) ?? 0, one).toBeGreaterThan(3)
}, 3_600_000)

async function play(said: Map<string, number>): Promise<void> {
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 40 }), async (acts) => {
      const stage = await prepare()
      const model = createModel(flowCount)
      for (const [n, act] of acts.entries()) {
        const engine = engines[n % 2] as TestEngine
        // The model counts in whole hours, its ticks lie between them.
        const timed = act.type === 'tick' ? { ...act, hours: act.hours + 0.5 } : act
        const expected = model.act(timed)
        const what = `${n}: ${JSON.stringify(act)}`
        expect(await run(engine, stage, act), what).toEqual(expected)
        said.set(
          `${act.type} ${expected.said}`,
          (said.get(`${act.type} ${expected.said}`) ?? 0) + 1,
        )
        for (const [i, id] of stage.flows.entries()) {
          const { status, revision, state, wait: present } = await engine.flows.get(caller, id)
          const told = model.flows[i]
          const satisfied = present?.kind === 'all' ? present.satisfied : null
          if ('failure' in state) state['failure'] = 'told'
          expect({ status, revision, state, satisfied }, what).toEqual({
            status: told?.status,
            revision: told?.revision,
            state: told?.state,
            satisfied: told?.wait?.kind === 'all' ? told.wait.satisfied : null,
          })
        }
      }
      await checkInvariants(session)
    }),
    { numRuns: runs },
  )
}

test('side by side on two engines, the invariants hold', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(action, { minLength: 4, maxLength: 12 }), { minLength: 6, maxLength: 6 }),
      async (clients) => {
        const stage = await prepare()
        const answers = await Promise.all(
          clients.map(async (acts, client) => {
            const own: ModelAnswer[] = []
            for (const act of acts) {
              own.push(await run(engines[client % 2] as TestEngine, stage, act))
            }
            return own
          }),
        )
        const faults = ['unavailable', 'internal', 'overloaded']
        expect(answers.flat().filter(({ said }) => faults.includes(said))).toEqual([])
        await checkInvariants(session)
      },
    ),
    { numRuns: runs },
  )
}, 3_600_000)

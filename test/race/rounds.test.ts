// One wait and all that can end it, at one instant over two engines, thousands of times: nothing is lost and nothing happens twice.
//
// TEST_ROUNDS sets how many; a run prints what its rounds came to.

import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import type { WaitSpec } from '../../src/domain/wait.ts'
import { mintId } from '../../src/engine/ids.ts'
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

const rounds = Number(process.env['TEST_ROUNDS'] ?? 500)
const seed = Number(process.env['TEST_SEED'] ?? Date.now() % 2 ** 31)
/** Rounds side by side: more would only queue for the same cores. */
const lanes = 8

let place: TestDatabase
let engines: [TestEngine, TestEngine]
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  engines = [
    openEngine(place.url, { tick: { interval: 5, batchSize: 100 } }),
    openEngine(place.url, { tick: { interval: 7, batchSize: 100 } }),
  ]
  session = await openSession(place.url)
  // Pause points: who writes or deletes here stands still for a moment that its row decides, with its
  // locks held, so that rivals meet in every part of a transaction.
  await session.query(`
    create function pause() returns trigger language plpgsql as $$
      declare n integer := abs(hashtext(coalesce(new::text, old::text)::text)) % 8;
      begin
        if n < 3 then perform pg_sleep(n * 0.004); end if;
        return coalesce(new, old);
      end $$;
    create trigger pause before insert on flow_events for each row execute function pause();
    create trigger pause before insert or delete on match_keys for each row execute function pause();
    create trigger pause before insert or update on signals for each row execute function pause()`)
})

afterAll(async () => {
  await Promise.all(engines.map((engine) => engine.close()))
  await session.end()
  await place.drop()
})

interface Round {
  /** Which engine does what: wait, signal, a second signal, hand. */
  by: number[]
  /** Milliseconds before each of them. */
  delays: number[]
  deadline: number
  hand: 'cancel' | 'resume' | 'request_cancel' | 'none'
  aimed: boolean
  ttl: number
}

const round: fc.Arbitrary<Round> = fc.record({
  by: fc.array(fc.nat(1), { minLength: 4, maxLength: 4 }),
  delays: fc.array(fc.nat(25), { minLength: 4, maxLength: 4 }),
  deadline: fc.constantFrom(10, 20, 30, 60_000),
  hand: fc.constantFrom('cancel', 'resume', 'request_cancel', 'none'),
  aimed: fc.boolean(),
  ttl: fc.constantFrom(0, 86_400_000),
})

const tally = new Map<string, number>()
const count = (what: string) => tally.set(what, (tally.get(what) ?? 0) + 1)

const after = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

async function run(n: number, { by, delays, deadline, hand, aimed, ttl }: Round): Promise<void> {
  const engineOf = (i: number) => engines[by[i] as 0 | 1]
  const { id } = await createFlow(engineOf(0))
  const target = { kind: 'external_event', topic: 't', correlation_id: `c-${n}` } as const
  const wait: WaitSpec = { ...target, timeout: { after: deadline }, on_timeout: 'resume' }
  const tell = async (name: string, work: Promise<{ outcome: string }>) => {
    try {
      count(`${name}: ${(await work).outcome}`)
    } catch (error) {
      if (!(error instanceof FlowError)) throw error
      count(`${name}: ${error.code}`)
    }
  }
  const send = (i: number, payload: string) =>
    engineOf(i).signals.send(caller, { target, payload, ttl, ...(aimed && { flow_id: id }) })
  const begin = () =>
    engineOf(0).flows.change(caller, id, { type: 'wait', wait_id: mintId(), wait })
  await Promise.all([
    after(delays[0] ?? 0).then(() => tell('wait', begin())),
    after(delays[1] ?? 0).then(() => tell('signal', send(1, 'first'))),
    after(delays[2] ?? 0).then(() => tell('signal', send(2, 'second'))),
    ...(hand === 'none'
      ? []
      : [
          after(delays[3] ?? 0).then(() =>
            tell(hand, engineOf(3).flows.change(caller, id, { type: hand })),
          ),
        ]),
  ])
}

test(`${rounds} rounds of wait, signals, deadline and a hand`, async () => {
  const plan = fc.sample(round, { numRuns: rounds, seed })
  for (const engine of engines) engine.start()
  let next = 0
  const lane = async () => {
    for (let n = next++; n < rounds; n = next++) await run(n, plan[n] as Round)
  }
  await Promise.all(Array.from({ length: lanes }, lane))
  await Promise.all(engines.map((engine) => engine.stop()))
  // Deadlines of the last rounds may still be to come.
  await engines[0].waitEngine.tick(new Date(Date.now() + 3_600_000).toISOString())
  const { kinds, signals, logs } = await checkInvariants(session)
  for (const log of logs.values()) {
    const end = log.find(({ kind, payload }) => kind === 'resumed' || payload['by'] === 'request')
    count(`ended by ${end?.payload['by'] ?? 'nothing'}`)
  }
  const told = [...tally].sort().map(([what, times]) => `${what} ${times}`)
  process.stdout.write(`${rounds} rounds, seed ${seed}: ${told.join(', ')}\n`)
  const sum = (name: string) => tally.get(name) ?? 0
  // What was answered is what is stored: none lost, none doubled.
  expect(signals.length).toBe(sum('signal: delivered') + sum('signal: buffered'))
  expect(kinds.get('created')).toBe(rounds)
  for (const code of ['unavailable', 'internal', 'overloaded']) {
    expect([...tally.keys()].filter((one) => one.endsWith(code))).toEqual([])
  }
  for (const way of ['signal', 'manual', 'timeout']) {
    expect(sum(`ended by ${way}`), way).toBeGreaterThan(rounds / 250)
  }
}, 3_600_000)

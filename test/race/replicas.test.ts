// Several engines on one database do everything to a few flows at once; afterwards the log tells one history, with every answer in it.

import fc from 'fast-check'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Command } from '../../src/domain/command.ts'
import type { FlowEvent } from '../../src/domain/event.ts'
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
import {
  checkHistory,
  checkInvariants,
  createHistory,
  type Operation,
} from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engines: TestEngine[]
let session: Session

beforeEach(async () => {
  place = await createTestDatabase()
  engines = [1, 2, 3].map(() => openEngine(place.url, { tick: { interval: 50, batchSize: 20 } }))
  session = await openSession(place.url)
})

afterEach(async () => {
  await Promise.all(engines.map((engine) => engine.close()))
  await session.end()
  await place.drop()
})

const names = fc.constantFrom('x', 'y')

/** Mostly what keeps a flow going; now and then what ends it. */
const command: fc.Arbitrary<() => Command | SignalInput> = fc.oneof(
  { weight: 4, arbitrary: fc.nat(40).map((after) => () => wait({ kind: 'timer', after })) },
  {
    weight: 2,
    arbitrary: fc.tuple(names, names).map(
      ([topic, correlation_id]) =>
        () =>
          wait({ kind: 'external_event', topic, correlation_id }),
    ),
  },
  { weight: 1, arbitrary: fc.constant(() => wait({ kind: 'manual' })) },
  { weight: 3, arbitrary: fc.constant((): Command => ({ type: 'resume' })) },
  {
    weight: 3,
    arbitrary: fc.tuple(names, names).map(
      ([topic, correlation_id]) =>
        (): SignalInput => ({
          target: { kind: 'external_event', topic, correlation_id },
          payload: topic,
          ttl: 0,
        }),
    ),
  },
  {
    weight: 4,
    arbitrary: fc.tuple(names, fc.nat(9), fc.subarray(['x', 'y'])).map(
      ([name, n, unset]) =>
        (): Command => ({ type: 'update_state', patch: { [name]: n }, unset }),
    ),
  },
  {
    weight: 1,
    arbitrary: names.map((x) => (): Command => ({ type: 'update_labels', labels: { x } })),
  },
  {
    weight: 1,
    arbitrary: fc.nat(50).map(
      (ms) => (): Command => ({
        type: 'move_timer',
        at: new Date(Date.now() + ms).toISOString(),
      }),
    ),
  },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom<Command>(
        { type: 'request_cancel' },
        { type: 'cancel' },
        { type: 'finish' },
        { type: 'fail', reason: 'r' },
      )
      .map((made) => () => made),
  },
)

function wait(spec: Extract<Command, { type: 'wait' }>['wait']): Command {
  return { type: 'wait', wait_id: mintId(), wait: spec }
}

test('three engines, forty clients, flows that end and begin anew', async () => {
  const history = createHistory()
  const seed = Date.now() % 2 ** 31
  const wanted = ['waiting', 'resumed', 'state_updated', 'cancelled', 'finished', 'failed']
  const flows: string[] = []
  for (let n = 0; n < 8; n++) flows.push((await createFlow(engines[n % 3] as TestEngine)).id)
  for (const engine of engines) engine.start()
  const rush = async (commands: (() => Command | SignalInput)[]) => {
    const clients = Array.from({ length: 40 }, async (_, client) => {
      const engine = engines[client % 3] as TestEngine
      for (let n = 0; n < 60; n++) {
        const at = (client + n) % flows.length
        const make = commands[client * 60 + n] as () => Command | SignalInput
        const asked = make()
        const { outcome } = await history.run((actor) =>
          'target' in asked
            ? engine.signals.send({ ...caller, actor }, { ...asked, flow_id: flows[at] ?? '' })
            : engine.flows.change({ ...caller, actor }, flows[at] ?? '', asked),
        )
        if (outcome === 'refused' && n % 5 === 0) {
          const fresh = await history.run((actor) =>
            engine.flows.create(
              { ...caller, actor },
              {
                controller_id: 'c',
                goal: 'g',
                owner_session_key: 'o',
                requester_origin: 'r',
                key: `slot-${at}`,
                on_conflict: 'use_existing',
                start: true,
              },
            ),
          )
          if (fresh.flow_id !== undefined) flows[at] = fresh.flow_id
        }
      }
    })
    await Promise.all(clients)
  }
  /** Kinds that chance has not brought about often enough to have been tested. */
  const tooRare = async () => {
    const { rows } = await session.query<{ kind: string }>(
      'select kind from flow_events group by kind having count(*) > 3',
    )
    return wanted.filter((kind) => !rows.some((row) => row.kind === kind))
  }
  let rounds = 0
  do await rush(fc.sample(command, { numRuns: 40 * 60, seed: seed + rounds }))
  while (++rounds < 10 && (await tooRare()).length > 0)
  await Promise.all(engines.map((engine) => engine.stop()))
  const { logs, kinds, flows: rows } = await checkInvariants(session)
  checkHistory(history.operations, logs)
  expect(history.operations.filter(({ outcome }) => outcome === 'unknown')).toEqual([])
  for (const kind of wanted) {
    expect(kinds.get(kind) ?? 0, `${kind}, seed ${seed}`).toBeGreaterThan(3)
  }
  const open = rows.filter(({ key, closed_at }) => key !== null && closed_at === null)
  expect(new Set(open.map(({ key }) => key)).size, 'one open flow a key').toBe(open.length)
})

test('observations of one run from three engines make one step', async () => {
  const { id } = await createFlow(engines[0] as TestEngine)
  const answers = await Promise.all(
    Array.from({ length: 60 }, (_, n) =>
      (engines[n % 3] as TestEngine).steps.observe(caller, id, {
        run_id: `run-${n % 2}`,
        task: 't',
        status: 'running',
        result: { n },
        observed_at: new Date(Date.UTC(2026, 0, 1, 0, 0, n)).toISOString(),
      }),
    ),
  )
  expect(answers.filter(({ step_created }) => step_created)).toHaveLength(2)
  expect(new Set(answers.map(({ step }) => step?.id)).size).toBe(2)
  const { items } = await (engines[0] as TestEngine).steps.list(caller, id, { limit: 10 })
  expect(items.map(({ run_id, result }) => [run_id, result]).sort()).toEqual([
    ['run-0', { n: 58 }],
    ['run-1', { n: 59 }],
  ])
  await checkInvariants(session)
})

test('an If-Match counter that three engines raise loses no step', async () => {
  const { id } = await createFlow(engines[0] as TestEngine, { state: { n: 0 } })
  await Promise.all(
    Array.from({ length: 12 }, async (_, client) => {
      const engine = engines[client % 3] as TestEngine
      for (let raised = 0; raised < 5; ) {
        const flow = await engine.flows.get(caller, id)
        const patch = { n: Number(flow.state['n']) + 1 }
        raised += await engine.flows
          .change(caller, id, { type: 'update_state', patch }, { if_match: flow.revision })
          .then(
            () => 1,
            () => 0,
          )
      }
    }),
  )
  expect((await (engines[0] as TestEngine).flows.get(caller, id)).state).toEqual({ n: 60 })
  await checkInvariants(session)
})

/** Faults planted by hand: what the checks of every test here must find. */
const planted: Record<string, { sql: string; finds: RegExp }> = {
  'a lost event': {
    sql: 'delete from flow_events where revision = 2',
    finds: /follows revision 1/,
  },
  'a revision too many': { sql: 'update flows set revision = revision + 1', finds: /revision: 5/ },
  'another state': { sql: `update flows set state = '{"a":9}'`, finds: /state: \{"a":9\}/ },
  'another status': {
    sql: `update flows set status = 'running', wait = null, wake_at = null`,
    finds: /status: "running"/,
  },
  'a wait that nothing wakes': { sql: 'update flows set wake_at = null', finds: /nothing wakes/ },
  'a wait that ends early': {
    sql: `insert into flow_events (flow_id, revision, shard, at, namespace, kind, actor, payload)
      select flow_id, 5, shard, at, namespace, 'resumed', 'w',
        jsonb_build_object('by', 'timer', 'wait_id', payload->'wait'->'id')
      from flow_events where kind = 'waiting'`,
    finds: /fired at/,
  },
  'a match key for nothing': {
    sql: `insert into match_keys select id, id, shard, shard, now(), namespace, 't', 'c' from flows`,
    finds: /a match key for nothing/,
  },
  'a size that is too small': { sql: 'update flows set state_bytes = 0', finds: /state_bytes 0/ },
  'a flow without events': { sql: 'delete from flow_events', finds: /without any event/ },
  'events without a flow': { sql: 'delete from flows', finds: /events without a flow/ },
  'an event that lies elsewhere': {
    sql: `update flow_events set namespace = 'other' where revision = 1`,
    finds: /lies elsewhere/,
  },
}

test.each(Object.entries(planted))('the check finds %s', async (_, { sql, finds }) => {
  const engine = engines[0] as TestEngine
  const { id } = await createFlow(engine, { state: { a: 1 } })
  await engine.flows.change(caller, id, { type: 'update_state', patch: { a: 2 } })
  await engine.flows.change(caller, id, { type: 'update_state', patch: { a: 3 } })
  await engine.flows.change(caller, id, wait({ kind: 'timer', after: 3_600_000 }))
  await checkInvariants(session)
  await session.query(sql)
  await expect(checkInvariants(session)).rejects.toThrow(finds)
})

test('the check of answers finds lost, doubled, misplaced and forbidden ones', () => {
  const event = (actor: string, revision: number): FlowEvent => ({
    flow_id: 'f',
    revision,
    kind: 'state_updated',
    payload: {},
    actor,
    at: '2026-01-01T00:00:00.000Z',
  })
  const logs = new Map([['f', [event('a', 2), event('b', 3), event('b', 4)]]])
  const check = (operation: Partial<Operation> & { actor: string }) => () =>
    checkHistory([{ outcome: 'changed', flow_id: 'f', revision: 2, ...operation }], logs)
  expect(check({ actor: 'a' })).not.toThrow()
  expect(check({ actor: 'c' })).toThrow('is lost')
  expect(check({ actor: 'a', revision: 3 })).toThrow('was answered revision 3 and is 2')
  expect(check({ actor: 'b', revision: 3 })).toThrow('2 times')
  expect(check({ actor: 'a', outcome: 'refused' })).toThrow('1 times')
  expect(check({ actor: 'b', outcome: 'unknown' })).toThrow('2 times')
  expect(check({ actor: 'c', outcome: 'unknown' })).not.toThrow()
})

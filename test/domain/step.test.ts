// Observations of a mirrored step: newer ones count, older and repeated ones change nothing, absent members stay.

import { expect, test } from 'vitest'
import type { DecidedFlow } from '../../src/domain/command.ts'
import { decide } from '../../src/domain/decide.ts'
import type { FlowStatus } from '../../src/domain/flow.ts'
import type { Observation, StepRecord } from '../../src/domain/step.ts'
import { flowIn, id, later, limits } from '../support/flow-samples.ts'

const seen: Observation = { run_id: 'run-1', task: 'classify', status: 'running' }

function observe(
  known: StepRecord | null,
  observation: Partial<Observation>,
  now = later(1_000),
  flow: DecidedFlow = flowIn('running'),
) {
  return decide(
    flow,
    { type: 'observe', step_id: id(9), observation: { ...seen, ...observation }, known },
    'tester',
    now,
    limits,
  )
}

function firstSeen(observation: Partial<Observation> = {}): StepRecord {
  const { step } = observe(null, observation)
  if (step === undefined) throw new Error('no step')
  return step
}

test('the first observation makes the step, dated by the database when it has no date', () => {
  const { step, events, effects, flow } = observe(null, { result: { a: 1 } })
  expect(step).toMatchObject({
    id: id(9),
    flow_id: id(1),
    shard: flow.shard,
    runtime: 'mirrored',
    run_id: 'run-1',
    task: 'classify',
    status: 'running',
    result: { a: 1 },
    observed_at: later(1_000),
    created_at: later(1_000),
  })
  expect(effects).toEqual([{ reach: 'local', type: 'save_step', step }])
  expect(events[0]).toMatchObject({ kind: 'step_observed', payload: { run_id: 'run-1' } })
  expect(flow.revision).toBe(4)
})

test('an earlier one is stale, an equal one a repeat, a later one counts', () => {
  const known = firstSeen({ observed_at: later(500) })
  expect(observe(known, { observed_at: later(499), status: 'failed' })).toMatchObject({
    outcome: 'stale',
    events: [],
    step: known,
  })
  expect(observe(known, { observed_at: later(500) }).outcome).toBe('unchanged')
  expect(observe(known, { observed_at: later(500), status: 'succeeded' }).outcome).toBe('changed')
  const newer = observe(known, { observed_at: later(501) })
  expect(newer.step).toMatchObject({ observed_at: later(501), created_at: known.created_at })
})

test('one without a date is dated by the database, and stale behind a sender that runs ahead', () => {
  const known = firstSeen({ observed_at: later(60_000) })
  expect(observe(known, { status: 'failed' }, later(9_000)).outcome).toBe('stale')
  expect(observe(known, { status: 'failed' }, later(61_000)).outcome).toBe('changed')
})

test('an identical repeat without a date is a no-op', () => {
  const known = firstSeen({ result: { a: 1, b: [2] }, child_session_key: 'child' })
  expect(observe(known, {}, later(9_000)).outcome).toBe('unchanged')
  expect(observe(known, { result: { b: [2], a: 1 } }, later(9_000)).outcome).toBe('unchanged')
  expect(observe(known, { result: { b: [2], a: 2 } }, later(9_000)).outcome).toBe('changed')
  expect(observe(known, { result: null }, later(9_000)).outcome).toBe('changed')
})

test('absent members keep their value, null is a value', () => {
  const known = firstSeen({ result: { a: 1 }, child_session_key: 'child' })
  const done = observe(known, { status: 'succeeded' }, later(2_000)).step
  expect(done).toMatchObject({ result: { a: 1 }, child_session_key: 'child', status: 'succeeded' })
  expect(observe(known, { result: null }, later(2_000)).step).toMatchObject({
    result: null,
    child_session_key: 'child',
  })
})

test('five minutes ahead is accepted, more is not', () => {
  const ahead = (ms: number) => observe(null, { observed_at: later(1_000 + ms) })
  expect(ahead(300_000).outcome).toBe('changed')
  expect(() => ahead(300_001)).toThrow('five minutes ahead')
})

test('a managed step is not observed', () => {
  expect(() => observe({ ...firstSeen(), runtime: 'managed' }, {})).toThrow('managed step')
})

test.each<FlowStatus>(['created', 'running', 'waiting', 'finished', 'failed', 'cancelled'])(
  'a %s flow is observed and keeps its status',
  (status) => {
    const flow = flowIn(status)
    const { revision, updated_at, ...same } = observe(null, {}, later(1_000), flow).flow
    expect(revision).toBe(flow.revision + 1)
    expect(updated_at).toBe(later(1_000))
    expect(flow).toMatchObject(same)
  },
)

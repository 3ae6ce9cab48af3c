// Which steps are for which claims: by turns, and nothing new before what was ready already.

import { describe, expect, test } from 'vitest'
import { blankStep, type StepRecord } from '../../src/domain/step.ts'
import {
  type ClaimLine,
  claimsBehind,
  matchSteps,
  newLine,
  type WaitingClaim,
} from '../../src/engine/claim-lines.ts'
import { flowIn, id, later } from '../support/flow-samples.ts'

const claimOf = (worker_id: string, max = 1): WaitingClaim => ({
  request: { worker_id, max, lease: 30_000, wait: 1_000 },
  settled: false,
  held: false,
  over: false,
  settle() {},
  fail() {},
})

const lineFor = (more: Partial<ClaimLine['filter']> = {}) =>
  newLine({ namespace: 'default', controllers: null, tasks: null, pushed: false, ...more })

const stepOf = (n: number, more: Partial<StepRecord> = {}): StepRecord => ({
  ...blankStep(flowIn('running'), id(n), later(0)),
  controller_id: 'c1',
  task: 'work',
  ready: true,
  rank: later(0),
  ...more,
})

const matched = (steps: StepRecord[], free: Map<ClaimLine, WaitingClaim[]>) =>
  [...matchSteps(steps, free)].map(([step, { lease }]) => [step, lease.worker_id])

describe('steps go to', () => {
  test('each claim once before any gets its second', () => {
    const claims = [claimOf('a', 3), claimOf('b', 1), claimOf('c', 3)]
    const steps = [1, 2, 3, 4, 5].map((n) => stepOf(n))
    expect(matched(steps, new Map([[lineFor(), claims]]))).toEqual([
      [id(1), 'a'],
      [id(2), 'b'],
      [id(3), 'c'],
      [id(4), 'a'],
      [id(5), 'c'],
    ])
  })

  test('whoever asks for their controller and task, one claim each', () => {
    const free = new Map([
      [lineFor({ tasks: ['else'] }), [claimOf('else')]],
      [lineFor({ controllers: ['c2'] }), [claimOf('c2', 9)]],
      [lineFor(), [claimOf('any', 1)]],
      [lineFor({ namespace: 'far' }), [claimOf('far', 9)]],
    ])
    const steps = [stepOf(1), stepOf(2, { controller_id: 'c2' }), stepOf(3)]
    expect(matched(steps, free)).toEqual([
      [id(2), 'c2'],
      [id(1), 'any'],
    ])
  })

  test('the first in rank first, from each controller in turn', () => {
    const steps = [
      stepOf(1, { rank: later(3) }),
      stepOf(2, { rank: later(1) }),
      stepOf(3, { rank: later(2) }),
      stepOf(4, { rank: later(9), controller_id: 'c2' }),
    ]
    const order = matched(steps, new Map([[lineFor(), [claimOf('a', 9)]]])).map(([step]) => step)
    expect(order).toEqual([id(2), id(4), id(3), id(1)])
  })

  test('each under a token of its own', () => {
    const matches = matchSteps([stepOf(1), stepOf(2)], new Map([[lineFor(), [claimOf('a', 2)]]]))
    const tokens = [...matches.values()].map(({ lease }) => lease.token)
    expect(new Set(tokens).size).toBe(2)
    for (const token of tokens) expect(token).toMatch(/^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/)
  })
})

test.each([
  [0, ['a', 'b', 'c']],
  [1, ['b', 'c']],
  [2, ['b', 'c']],
  [3, ['c']],
  [4, []],
  [null, []],
])('with %s ready already, those are left for new ones: %j', (ready, left) => {
  const claims = [claimOf('a', 2), claimOf('b', 1), claimOf('c', 5)]
  expect(claimsBehind(claims, ready).map(({ request }) => request.worker_id)).toEqual(left)
})

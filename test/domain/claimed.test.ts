// A step as a claim leaves it: counted, leased for no longer than its heartbeat allows, and due by the first of its limits.

import { expect, test } from 'vitest'
import { blankStep, type StepRecord } from '../../src/domain/step.ts'
import { claimed } from '../../src/domain/step-life.ts'
import { flowIn, id, later } from '../support/flow-samples.ts'

const at = later(60_000)
const ready: StepRecord = {
  ...blankStep(flowIn('running'), id(9), later(0)),
  ready: true,
  rank: later(0),
  run_at: later(0),
  scheduled_at: later(0),
  attempt: 1,
  claims: 4,
  progress: { done: 3 },
  checkpoint: { page: 7 },
}
const lease = { worker_id: 'w', lease_ms: 30_000, token: id(8) }

test('it is running, counted, and without the progress of the attempt before; the checkpoint stays', () => {
  expect(claimed(ready, lease, at)).toEqual({
    ...ready,
    status: 'running',
    ready: false,
    attempt: 2,
    claims: 5,
    lease_token: id(8),
    worker_id: 'w',
    lease_ms: 30_000,
    lease_until: later(90_000),
    wake_at: later(90_000),
    started_at: at,
    updated_at: at,
    progress: null,
  })
  expect(ready).toMatchObject({ attempt: 1, progress: { done: 3 } })
})

test.each([
  [{ heartbeat: 10_000 }, { lease_ms: 10_000, lease_until: later(70_000), wake_at: later(70_000) }],
  [{ heartbeat: 40_000 }, { lease_ms: 30_000, lease_until: later(90_000), wake_at: later(90_000) }],
  [{ start_to_close: 5_000 }, { lease_until: later(90_000), wake_at: later(65_000) }],
  [{ schedule_to_close: 61_000 }, { lease_until: later(90_000), wake_at: later(61_000) }],
  // It was claimed: this one is over.
  [{ schedule_to_start: 61_000 }, { lease_until: later(90_000), wake_at: later(90_000) }],
])('with the time-outs %j', (timeouts, seen) => {
  expect(claimed({ ...ready, timeouts }, lease, at)).toMatchObject(seen)
})

// Steps that become ready while somebody waits for them are claimed in the transaction that makes them so, as a look would have claimed them.

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { StepRecord } from '../../src/domain/step.ts'
import type { Offer } from '../../src/engine/handover.ts'
import { createStepClaims } from '../../src/engine/step-claims.ts'
import type { StepInput } from '../../src/engine/step-input.ts'
import type { ClaimedStep, StandingClaim } from '../../src/engine/step-queue.ts'
import {
  caller,
  codeOf,
  createFlow,
  newFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
  untilBlockedBy,
} from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { put } from '../support/pushes.ts'
import { claim, claimOne, flowWithStep, settle, tokenOf } from '../support/steps.ts'

let place: TestDatabase
let engine: TestEngine
let session: Session
const never = new AbortController().signal

beforeAll(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
})
beforeEach(async () => {
  await session.query("update flow_steps set status = 'cancelled', ready = false, wake_at = null")
  await session.query('delete from controllers')
  // One that knows of no claims.
  await engine?.close()
  engine = openEngine(place.url)
})
// Whatever a test that failed has left open.
afterEach(() => session.query('rollback'))
afterAll(async () => {
  await engine.close()
  await session.end()
  await place.drop()
})

/** A claim that waits, and has found nothing. */
async function waiting(
  more: Parameters<typeof claim>[1] = {},
  signal = never,
): Promise<{ claimed: Promise<ClaimedStep[]> }> {
  const before = engine.queue.waiting()
  const request = { worker_id: 'w1', max: 1, lease: 30_000, wait: 20_000, ...more }
  const claimed = engine.queue.claim(caller, request, signal)
  await until('the claim waits', () => engine.queue.waiting() === before + 1)
  // Behind the look of the one before it: both want the same.
  const { controllers, tasks } = more
  expect(
    await claim(engine, { ...(controllers && { controllers }), ...(tasks && { tasks }) }),
  ).toEqual([])
  return { claimed }
}

const withSteps = (steps: StepInput[], more: Partial<typeof newFlow> = {}) =>
  engine.flows.create(caller, { ...newFlow, ...more, start: true, steps })

const rowOf = async (id: string) =>
  (await session.query('select xmin::text as xid, s.* from flow_steps s where id = $1', [id]))
    .rows[0] as StepRecord & { xid: string }
const xidOf = async (flowId: string) =>
  (await session.query('select xmin::text as xid from flows where id = $1', [flowId])).rows[0]?.xid

/** Lets a batch be planned and keeps it from being saved, until the session ends its transaction. */
async function holdSaves(): Promise<void> {
  await session.query('begin')
  await session.query('lock table flow_events in share mode')
}

describe('a claim that waits', () => {
  test('has the step of a new flow claimed with it', async () => {
    const { claimed } = await waiting()
    const { flow } = await withSteps([{ task: 'work', input: { n: 1 } }], {
      labels: { a: 'b' },
      state: { x: 1 },
    })
    const [step] = await claimed
    expect(step).toMatchObject({
      flow_id: flow.id,
      status: 'running',
      attempt: 1,
      claims: 1,
      worker_id: 'w1',
      input: { n: 1 },
      flow: { goal: newFlow.goal, labels: { a: 'b' }, state: { x: 1 } },
    })
    const row = await rowOf(step?.id ?? '')
    expect(row).toMatchObject({ status: 'running', lease_token: step?.lease_token })
    expect(row.xid).toBe(await xidOf(flow.id))
    // The lease is one like any other.
    await engine.queue.heartbeat(caller, row.id, tokenOf(step as ClaimedStep), { progress: 1 })
    expect(await settle(engine, step as ClaimedStep, { kind: 'succeed' })).toMatchObject({
      flow: { status: 'finished' },
    })
  })

  test('has one that is enqueued, with the state of its flow, read or not', async () => {
    const { id } = await createFlow(engine, { state: { x: 1 } })
    const { claimed } = await waiting()
    const { step, flow } = await engine.steps.enqueue(caller, id, { task: 'work' })
    // As it was when the change was made: claimed a moment later.
    expect(step).toMatchObject({ status: 'pending', ready: true })
    expect(await claimed).toMatchObject([{ id: step.id, flow: { state: { x: 1 } } }])
    expect((await rowOf(step.id)).xid).toBe(await xidOf(flow.id))
  })

  test('has what a report goes on with', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine)
    const { claimed } = await waiting()
    const { flow } = await settle(engine, first, {
      kind: 'continue',
      next: { task: 'next' },
      state_patch: { seen: true },
    })
    const [next] = await claimed
    expect(next).toMatchObject({ task: 'next', flow: { state: { seen: true } } })
    expect((await rowOf(next?.id ?? '')).xid).toBe(await xidOf(flow.id))
  })

  test('is given the same as by a look', async () => {
    const input: StepInput = {
      task: 'work',
      priority: 5,
      timeouts: { heartbeat: 7_000, start_to_close: 5_000, schedule_to_close: 60_000 },
      retry: { max_attempts: 3 },
    }
    const looked = await flowWithStep(engine, input)
    await claim(engine, { lease: 20_000 })
    const { claimed } = await waiting({ lease: 20_000 })
    const handed = await flowWithStep(engine, input)
    await claimed
    const shape = async (id: string) => {
      const { xid, ...row } = await rowOf(id)
      const { id: _, shard, flow_id, run_id, lease_token, created_at, ...rest } = row
      expect([xid, shard, flow_id, run_id].map((one) => typeof one)).toEqual([
        'string',
        'number',
        'string',
        'string',
      ])
      expect(lease_token).toMatch(/^[0-9a-f-]{36}$/)
      const began = Number(rest.started_at)
      return Object.fromEntries(
        Object.entries(rest).map(([name, value]: [string, unknown]) => [
          name,
          // Times as they stand to each other; when they were made they do not.
          value instanceof Date
            ? ['lease_until', 'updated_at', 'wake_at'].includes(name)
              ? Number(value) - began
              : typeof created_at
            : value,
        ]),
      )
    }
    const seen = await shape(handed.step.id)
    // What is due first is the end of the attempt.
    expect(seen).toMatchObject({
      lease_ms: 7_000,
      lease_until: 7_000,
      wake_at: 5_000,
      updated_at: 0,
    })
    expect(seen).toEqual(await shape(looked.step.id))
  })

  test('one after the other: each has one before any has a second, and the rest stays ready', async () => {
    const claims = [await waiting({ worker_id: 'a', max: 2 }), await waiting({ worker_id: 'b' })]
    await withSteps(Array.from({ length: 5 }, () => ({ task: 'work' })))
    const [a, b] = await Promise.all(claims.map(({ claimed }) => claimed))
    expect([a?.length, b?.length]).toEqual([2, 1])
    expect(await claim(engine, { max: 10 })).toHaveLength(2)
  })

  test('for other controllers or tasks is left alone', async () => {
    const { claimed: others } = await waiting({ controllers: ['c2'], tasks: ['work'] })
    const { claimed: same } = await waiting({ controllers: ['c1'], tasks: ['work'] })
    await withSteps([{ task: 'else' }, { task: 'work' }], { controller_id: 'c1' })
    expect(await same).toMatchObject([{ controller_id: 'c1', task: 'work' }])
    expect(await claim(engine)).toMatchObject([{ task: 'else' }])
    await withSteps([{ task: 'work' }], { controller_id: 'c2' })
    expect(await others).toMatchObject([{ controller_id: 'c2' }])
  })

  test('of another namespace is left alone', async () => {
    const far = { namespace: 'far', actor: 'tester' }
    const request = { worker_id: 'w', max: 1, lease: 30_000, wait: 20_000 }
    const gone = new AbortController()
    const claimed = engine.queue.claim(far, request, gone.signal)
    await until('the claim waits', () => engine.queue.waiting() === 1)
    await withSteps([{ task: 'work' }])
    expect(await claimOne(engine)).toMatchObject({ task: 'work' })
    gone.abort()
    expect(await claimed).toEqual([])
  })

  test('is not given what is pushed', async () => {
    await put(engine, 'http://127.0.0.1:9/steps', { id: 'c1', tasks: ['pushed'] })
    const { claimed } = await waiting({ controllers: ['c1'] })
    const { flow } = await withSteps([{ task: 'pushed' }, { task: 'pulled' }], {
      controller_id: 'c1',
    })
    expect(await claimed).toMatchObject([{ task: 'pulled' }])
    const { items } = await engine.steps.list(caller, flow.id, { limit: 10 })
    expect(items).toMatchObject([{ task: 'pushed', ready: true }, { task: 'pulled' }])
  })

  test('gets nothing of a flow that did not come in, and waits on', async () => {
    const { flow: earlier } = await withSteps([], { key: 'taken' })
    await engine.flows.change(caller, earlier.id, { type: 'finish' })
    const { claimed } = await waiting()
    await session.query('begin')
    await session.query(
      `insert into flows (id, revision, state_bytes, shard, created_at, updated_at, namespace, status,
        mode, current_step, controller_id, owner_session_key, requester_origin, goal, labels, state, key)
       values (gen_random_uuid(), 0, 2, $1, now(), now(), 'default', 'running', 'managed', 'init', 'c',
        'o', 'r', 'g', '{}', '{}', 'taken')`,
      [earlier.shard],
    )
    const made = withSteps([{ task: 'overtaken' }], { key: 'taken', on_conflict: 'use_existing' })
    await untilBlockedBy(session)
    await session.query('commit')
    expect(await made).toMatchObject({ outcome: 'existing' })
    const { flow } = await withSteps([{ task: 'work' }])
    expect(await claimed).toMatchObject([{ flow_id: flow.id }])
  })

  test('gets nothing of what cannot be saved, and waits on', async () => {
    await session.query(
      "alter table flow_steps add constraint no_poison check (task <> 'poison') not valid",
    )
    try {
      const { claimed } = await waiting()
      expect(await codeOf(withSteps([{ task: 'poison' }]))).toBe('internal')
      const { flow } = await withSteps([{ task: 'work' }])
      expect(await claimed).toMatchObject([{ flow_id: flow.id }])
    } finally {
      await session.query('alter table flow_steps drop constraint no_poison')
    }
  })

  test('whose time ends while its step is on the way still gets it', async () => {
    const { claimed } = await waiting({ wait: 100 })
    await holdSaves()
    const made = withSteps([{ task: 'work' }])
    await untilBlockedBy(session)
    await new Promise((resolve) => setTimeout(resolve, 150))
    await session.query('commit')
    const { flow } = await made
    expect(await claimed).toMatchObject([{ flow_id: flow.id }])
  })

  test('has it when the service stops meanwhile', async () => {
    const { claimed } = await waiting()
    await holdSaves()
    const made = withSteps([{ task: 'work' }])
    await untilBlockedBy(session)
    const stopped = engine.stop()
    await session.query('commit')
    await stopped
    expect(await claimed).toMatchObject([{ flow_id: (await made).flow.id }])
  })

  test('that goes away meanwhile leaves the step to others, its attempt not counted', async () => {
    const gone = new AbortController()
    const { claimed } = await waiting({}, gone.signal)
    await holdSaves()
    const made = withSteps([{ task: 'work' }])
    await untilBlockedBy(session)
    gone.abort()
    expect(await claimed).toEqual([])
    await session.query('commit')
    const { flow } = await made
    const [step] = await claim(engine, { worker_id: 'other', wait: 20_000 })
    expect(step).toMatchObject({ flow_id: flow.id, attempt: 1, worker_id: 'other' })
  })

  test('is not given what is new before what was ready already', async () => {
    const { step: old } = await flowWithStep(engine)
    await holdSaves()
    const made = withSteps([{ task: 'work' }])
    await untilBlockedBy(session)
    const first = claim(engine, { wait: 20_000 })
    await session.query('commit')
    await made
    expect(await first).toMatchObject([{ id: old.id }])
  })
})

test('a claim that gets nothing has what became ready while it was held', async () => {
  let offer: Offer = () => null
  const committer = {
    onOffer: (asked: Offer) => {
      offer = asked
    },
    onSteps() {},
  }
  const hints = { publish() {}, subscribe() {} }
  const claims = createStepClaims(
    engine.database.scope,
    committer,
    hints,
    () => {},
    () => {},
  )
  const request = { worker_id: 'w1', max: 1, lease: 30_000, wait: 20_000 }
  const claimed = claims.claim(caller, request, never)
  await claims.claim(caller, { ...request, wait: 0 }, never)
  const { step } = await flowWithStep(engine)
  const offered = offer([{ ...step, id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c00' }], new Map())
  expect(offered?.leases.size).toBe(1)
  claims.nudge([step])
  // It is kept for the other.
  expect(await claims.claim(caller, { ...request, glance: true, wait: 0 }, never)).toHaveLength(1)
  await session.query("update flow_steps set ready = true, status = 'pending' where id = $1", [
    step.id,
  ])
  offered?.settle([])
  expect(await claimed).toMatchObject([{ id: step.id }])
})

describe('a claim beside a report', () => {
  const standBy = (filter: { tasks?: string[] } = { tasks: ['next'] }): StandingClaim =>
    engine.queue.standBy(caller, ([settled]) =>
      settled === undefined ? null : { worker_id: 'w1', max: 1, lease: 30_000, wait: 0, ...filter },
    )
  const report = (step: ClaimedStep, standby: StandingClaim) =>
    engine.steps.settle(
      caller,
      step.id,
      tokenOf(step),
      { kind: 'continue', next: { task: 'next' } },
      { standby },
    )

  test('has what becomes ready with the report, in the same transaction', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine)
    expect(await claim(engine, { tasks: ['next'] })).toEqual([])
    const standby = standBy()
    const { flow } = await report(first, standby)
    const steps = standby.take(never)
    expect(steps).toMatchObject([{ flow_id: flow.id, task: 'next', status: 'running', attempt: 1 }])
    expect((await rowOf(steps?.[0]?.id ?? '')).xid).toBe(await xidOf(flow.id))
    // It is given out once.
    expect(standby.take(never)).toBeNull()
  })

  test('has it too when the claim before it took all there was', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine)
    const standby = standBy({})
    await report(first, standby)
    expect(standby.take(never)).toMatchObject([{ task: 'next', status: 'running' }])
  })

  test('has nothing before what was ready already, known or not', async () => {
    const { flow } = await flowWithStep(engine)
    await engine.steps.enqueue(caller, flow.id, { task: 'old' })
    const standby = standBy({})
    await report(await claimOne(engine), standby)
    expect(standby.take(never)).toBeNull()
    expect(await claimOne(engine)).toMatchObject({ task: 'old' })
    expect(await claimOne(engine)).toMatchObject({ task: 'next' })
  })

  test('has nothing when it is not known what else is ready', async () => {
    await flowWithStep(engine)
    const standby = standBy()
    await report(await claimOne(engine), standby)
    expect(standby.take(never)).toBeNull()
    expect(await claim(engine, { tasks: ['next'] })).toHaveLength(1)
  })

  test('has nothing of what comes before those that have waited', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine)
    const { claimed } = await waiting({ worker_id: 'w2', tasks: ['next'] })
    const standby = standBy()
    await report(first, standby)
    expect(await claimed).toMatchObject([{ task: 'next', worker_id: 'w2' }])
    expect(standby.take(never)).toBeNull()
  })

  test('gives back what its caller is no longer there for', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine)
    expect(await claim(engine, { tasks: ['next'] })).toEqual([])
    const standby = standBy()
    await report(first, standby)
    const gone = new AbortController()
    gone.abort()
    standby.take(gone.signal)
    const [step] = await claim(engine, { worker_id: 'other', tasks: ['next'], wait: 20_000 })
    expect(step).toMatchObject({ attempt: 1, worker_id: 'other' })
  })

  test('does not reach beyond what its caller sees', async () => {
    const { id } = await createFlow(engine, { controller_id: 'c1' })
    await engine.steps.enqueue(caller, id, { task: 'work' })
    const first = await claimOne(engine)
    const narrow = { ...caller, controllers: ['c2'] }
    expect(await claim(engine, { tasks: ['next'] })).toEqual([])
    const standby = engine.queue.standBy(narrow, () => ({
      worker_id: 'w1',
      max: 1,
      lease: 30_000,
      wait: 0,
      controllers: ['c1'],
    }))
    await report(first, standby)
    expect(standby.take(never)).toBeNull()
  })
})

test('a glance does without a look when nothing was heard of since the last one', async () => {
  expect(await claim(engine)).toEqual([])
  const elsewhere = openEngine(place.url)
  try {
    // Nobody tells of it.
    const { step } = await flowWithStep(elsewhere)
    expect(await claim(engine, { glance: true })).toEqual([])
    expect(await claim(engine)).toMatchObject([{ id: step.id }])
  } finally {
    await elsewhere.close()
  }
  const { step } = await flowWithStep(engine)
  expect(await claim(engine, { glance: true })).toMatchObject([{ id: step.id }])
})

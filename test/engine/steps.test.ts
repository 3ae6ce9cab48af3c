// Managed steps from enqueue to settlement, on the real database.

import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { leaseToken } from '../../src/domain/lease.ts'
import {
  caller,
  codeOf,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
} from '../support/engine.ts'
import { fold, shownOf } from '../support/fold.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { age, claim, claimOne, flowWithStep, settle, tokenOf } from '../support/steps.ts'

let place: TestDatabase
let engine: TestEngine
let session: Session

beforeAll(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  session = await openSession(place.url)
})
beforeEach(async () => {
  await session.query('delete from controllers')
  await session.query("update flow_steps set status = 'cancelled', ready = false, wake_at = null")
})
afterAll(async () => {
  await engine.close()
  await session.end()
  await place.drop()
})

async function kindsOf(flowId: string): Promise<string[]> {
  const { items } = await engine.events.list(caller, flowId, {}, { limit: 200 })
  const flow = await engine.flows.get(caller, flowId)
  // The log tells all of the row, whatever happened.
  expect(fold(items)).toEqual(shownOf(flow))
  return items.map(({ kind }) => kind)
}

const stepOf = async (id: string) => (await engine.steps.inspect(caller, id)).step

describe('a step', () => {
  test('is enqueued, claimed, settled, and ends its flow in one transaction', async () => {
    const { flow, step } = await flowWithStep(engine, { input: { n: 1 }, run_id: 'work-1' })
    expect(step).toMatchObject({ run_id: 'work-1', status: 'pending', ready: true, attempt: 0 })
    const claimed = await claimOne(engine)
    expect(claimed).toMatchObject({
      id: step.id,
      status: 'running',
      attempt: 1,
      worker_id: 'w1',
      input: { n: 1 },
      flow: { goal: 'triage inbox', state: {}, labels: {} },
    })
    const done = await settle(engine, claimed, {
      kind: 'succeed',
      result: { ok: true },
      state_patch: { a: 1 },
    })
    expect(done).toMatchObject({
      discarded: false,
      repeated: false,
      step: { status: 'succeeded', result: { ok: true } },
      flow: { status: 'finished', state: { a: 1 }, open_steps: 0 },
    })
    expect(await kindsOf(flow.id)).toEqual([
      'created',
      'started',
      'step_enqueued',
      'step_settled',
      'finished',
    ])
  })

  test('of the same run is the same step, whatever else is sent', async () => {
    const { flow, step } = await flowWithStep(engine, { run_id: 'r', input: 1 })
    const again = await engine.steps.enqueue(caller, flow.id, { task: 'other', run_id: 'r' })
    expect(again).toMatchObject({ outcome: 'existing', step_created: false })
    expect(again.step).toEqual(step)
    expect(again.flow.revision).toBe(flow.revision)
  })

  test('comes with the creation of its flow', async () => {
    const { flow } = await engine.flows.create(caller, {
      controller_id: 'c1',
      goal: 'g',
      owner_session_key: 'o',
      requester_origin: 'r',
      steps: [{ task: 'a' }, { task: 'b', run_id: 'b-1' }],
    })
    expect(flow).toMatchObject({ status: 'running', revision: 3, open_steps: 2 })
    const steps = await claim(engine, { controllers: ['c1'], max: 10 })
    expect(steps.map(({ task }) => task)).toEqual(['a', 'b'])
    expect(await kindsOf(flow.id)).toEqual(['created', 'started', 'step_enqueued', 'step_enqueued'])
  })

  test('of a flow that was not started is held until it is', async () => {
    const { flow, step } = await flowWithStep(engine, {}, { start: false })
    expect(step).toMatchObject({ ready: false, wake_at: null })
    expect(await claim(engine)).toEqual([])
    await engine.flows.change(caller, flow.id, { type: 'start' })
    await engine.stepSweeper.sweep()
    expect(await claimOne(engine)).toMatchObject({ id: step.id })
  })

  test('is claimed by one worker, however many ask at once', async () => {
    const made = await Promise.all(Array.from({ length: 20 }, () => flowWithStep(engine)))
    const got = await Promise.all(
      Array.from({ length: 30 }, (_, i) => claim(engine, { worker_id: `w${i}`, max: 3 })),
    )
    const ids = got.flat().map(({ id }) => id)
    expect(new Set(ids).size).toBe(ids.length)
    expect(ids.sort()).toEqual(made.map(({ step }) => step.id).sort())
    for (const [i, steps] of got.entries()) {
      for (const { worker_id } of steps) expect(worker_id).toBe(`w${i}`)
    }
  })
})

describe('the order of claims', () => {
  test('lower priority first, over all tasks of a controller', async () => {
    const flow = await createFlow(engine)
    for (const [task, priority] of [
      ['slow', 10_000],
      ['normal', 1_000],
      ['fast', 100],
    ] as const) {
      await engine.steps.enqueue(caller, flow.id, { task, priority })
    }
    const got = []
    for (let i = 0; i < 3; i++) got.push((await claimOne(engine)).task)
    expect(got).toEqual(['fast', 'normal', 'slow'])
  })

  test('what has waited long enough comes before what is more urgent', async () => {
    const flow = await createFlow(engine)
    const old = await engine.steps.enqueue(caller, flow.id, { task: 'old', priority: 1_000 })
    await engine.steps.enqueue(caller, flow.id, { task: 'urgent', priority: 100 })
    await age(session, old.step.id, 901_000)
    expect((await claimOne(engine)).task).toBe('old')
  })

  test('controllers take turns, also when each claim takes one', async () => {
    const many = await createFlow(engine, { controller_id: 'many' })
    for (let i = 0; i < 6; i++) await engine.steps.enqueue(caller, many.id, { task: 't' })
    const few = await createFlow(engine, { controller_id: 'few' })
    for (let i = 0; i < 2; i++) await engine.steps.enqueue(caller, few.id, { task: 't' })
    const got: string[] = []
    for (let i = 0; i < 4; i++) got.push((await claimOne(engine)).controller_id)
    expect(got.filter((id) => id === 'few')).toHaveLength(2)
    expect(await claim(engine, { max: 10 })).toHaveLength(4)
  })

  test('hundreds of controllers are all reached', async () => {
    const flows = await Promise.all(
      Array.from({ length: 150 }, (_, i) => createFlow(engine, { controller_id: `c-${i}` })),
    )
    await Promise.all(flows.map(({ id }) => engine.steps.enqueue(caller, id, { task: 't' })))
    const seen = new Set<string>()
    for (let i = 0; i < 200 && seen.size < 150; i++) {
      for (const step of await claim(engine)) seen.add(step.controller_id)
    }
    expect(seen.size).toBe(150)
  })

  test('filters by controller and by task', async () => {
    const a = await createFlow(engine, { controller_id: 'a' })
    const b = await createFlow(engine, { controller_id: 'b' })
    for (const task of ['x', 'y']) {
      await engine.steps.enqueue(caller, a.id, { task })
      await engine.steps.enqueue(caller, b.id, { task })
    }
    const told = (steps: { controller_id: string; task: string }[]) =>
      steps.map(({ controller_id, task }) => `${controller_id}/${task}`).sort()
    expect(told(await claim(engine, { controllers: ['a'], tasks: ['y'], max: 9 }))).toEqual(['a/y'])
    expect(told(await claim(engine, { tasks: ['y'], max: 9 }))).toEqual(['b/y'])
    expect(told(await claim(engine, { controllers: ['b', 'none'], max: 9 }))).toEqual(['b/x'])
    expect(told(await claim(engine, { max: 9 }))).toEqual(['a/x'])
  })

  test('what is not due yet is not claimed', async () => {
    const { step } = await flowWithStep(engine, { run_at: { after: 60_000 } })
    expect(step).toMatchObject({ ready: false })
    expect(await claim(engine)).toEqual([])
    await age(session, step.id, 60_000)
    expect(await engine.stepSweeper.sweep()).toMatchObject({ promoted: 1 })
    expect(await claimOne(engine)).toMatchObject({ id: step.id })
  })

  test('the steps of another namespace do not exist', async () => {
    await flowWithStep(engine)
    const other = { namespace: 'other', actor: 'x' }
    const request = { worker_id: 'w', max: 5, lease: 1_000, wait: 0 }
    expect(await engine.queue.claim(other, request, new AbortController().signal)).toEqual([])
    const mine = await claimOne(engine)
    const steal = engine.steps.settle(other, mine.id, tokenOf(mine), { kind: 'complete' })
    expect(await codeOf(steal)).toBe('not_found')
    expect(await codeOf(engine.queue.heartbeat(other, mine.id, tokenOf(mine), {}))).toBe(
      'not_found',
    )
    expect(await codeOf(engine.queue.release(other, mine.id, tokenOf(mine), 0))).toBe('not_found')
    expect((await stepOf(mine.id)).status).toBe('running')
  })
})

describe('waiting for steps', () => {
  test('a claim that waits gets a step as soon as it is enqueued', async () => {
    engine.start()
    const waiting = claim(engine, { wait: 20_000 })
    await until('the claim waits', () => engine.queue.waiting() === 1)
    const { step } = await flowWithStep(engine)
    expect(await waiting).toMatchObject([{ id: step.id }])
  })

  test('each of several that wait gets one', async () => {
    const claims = Array.from({ length: 4 }, (_, i) =>
      claim(engine, { worker_id: `w${i}`, wait: 20_000, max: 10 }),
    )
    const flow = await createFlow(engine)
    for (let i = 0; i < 4; i++) await engine.steps.enqueue(caller, flow.id, { task: 't' })
    const got = await Promise.all(claims)
    expect(got.flat()).toHaveLength(4)
  })

  test('one that comes after an empty look waits like those before it, without a look of its own', async () => {
    expect(await claim(engine)).toEqual([])
    const elsewhere = openEngine(place.url)
    try {
      // Nobody tells of it, and the look of each second is not running.
      const { step } = await flowWithStep(elsewhere)
      expect(await claim(engine, { wait: 50 })).toEqual([])
      expect(await claim(engine)).toMatchObject([{ id: step.id }])
    } finally {
      await elsewhere.close()
    }
  })

  test('one that comes after an empty look has what was enqueued since', async () => {
    expect(await claim(engine)).toEqual([])
    const { step } = await flowWithStep(engine)
    expect(await claim(engine, { wait: 20_000 })).toMatchObject([{ id: step.id }])
  })

  test('one that gives up leaves nothing claimed', async () => {
    const gone = new AbortController()
    const waiting = engine.queue.claim(
      caller,
      { worker_id: 'gone', max: 1, lease: 30_000, wait: 20_000 },
      gone.signal,
    )
    gone.abort()
    expect(await waiting).toEqual([])
    const { step } = await flowWithStep(engine)
    expect(await claimOne(engine)).toMatchObject({ id: step.id })
  })

  test('another process hears of it', async () => {
    const other = openEngine(place.url, { listen: { connectionString: place.url } })
    const here = openEngine(place.url, { listen: { connectionString: place.url } })
    other.start()
    here.start()
    try {
      await until(
        'both listen',
        () => other.status().listen === 'ok' && here.status().listen === 'ok',
      )
      const waiting = claim(other, { wait: 20_000, tasks: ['far'] })
      const { step } = await flowWithStep(here, { task: 'far' })
      expect(await waiting).toMatchObject([{ id: step.id }])
    } finally {
      await other.close()
      await here.close()
    }
  })
})

describe('outcomes', () => {
  const outcome = async (kind: 'complete' | 'succeed' | 'fail' | 'cancel') => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine)
    const reply = await settle(
      engine,
      step,
      kind === 'fail' ? { kind, reason: 'no stock' } : { kind },
    )
    await kindsOf(flow.id)
    return reply
  }

  test('complete leaves the flow running', async () => {
    expect(await outcome('complete')).toMatchObject({
      flow: { status: 'running', open_steps: 0 },
      step: { status: 'succeeded' },
    })
  })

  test('fail is a verdict and no dead step', async () => {
    expect(await outcome('fail')).toMatchObject({
      flow: { status: 'failed', state: { failure: { reason: 'no stock' } } },
      step: { status: 'succeeded', error: null },
    })
  })

  test('cancel ends the flow', async () => {
    expect(await outcome('cancel')).toMatchObject({
      flow: { status: 'cancelled' },
      step: { status: 'cancelled' },
    })
  })

  test('continue goes on with the next step', async () => {
    const { flow } = await flowWithStep(engine)
    const reply = await settle(engine, await claimOne(engine), {
      kind: 'continue',
      next: { task: 'charge', input: { amount: 5 }, run_at: { after: 0 } },
      state_patch: { seen: true },
    })
    expect(reply.flow).toMatchObject({
      status: 'running',
      current_step: 'charge',
      state: { seen: true },
      open_steps: 1,
    })
    expect(await claimOne(engine)).toMatchObject({
      task: 'charge',
      input: { amount: 5 },
      attempt: 1,
    })
    expect((await kindsOf(flow.id)).slice(-2)).toEqual(['step_settled', 'step_enqueued'])
  })

  test('wait, and the signal that ends it begins the next step', async () => {
    const { flow } = await flowWithStep(engine)
    const waiting = await settle(engine, await claimOne(engine), {
      kind: 'wait',
      wait: { kind: 'external_event', topic: 'approval', correlation_id: flow.id },
      next: { task: 'ship', run_id: 'ship-1' },
    })
    expect(waiting.flow.status).toBe('waiting')
    expect(await claim(engine)).toEqual([])
    await engine.signals.send(caller, {
      target: { kind: 'external_event', topic: 'approval', correlation_id: flow.id },
      payload: { by: 'kim' },
    })
    const next = await claimOne(engine)
    expect(next).toMatchObject({
      task: 'ship',
      run_id: 'ship-1',
      signal: { payload: { by: 'kim' } },
    })
    const after = await engine.flows.get(caller, flow.id)
    expect(after).toMatchObject({ status: 'running', current_step: 'ship' })
    expect((await kindsOf(flow.id)).slice(-3)).toEqual(['waiting', 'resumed', 'step_enqueued'])
  })

  test('a kept signal ends such a wait in the same transaction', async () => {
    const { flow } = await flowWithStep(engine)
    const target = { kind: 'external_event', topic: 'early', correlation_id: flow.id } as const
    await engine.signals.send(caller, { target, payload: 1 })
    const reply = await settle(engine, await claimOne(engine), {
      kind: 'wait',
      wait: target,
      next: { task: 'go' },
    })
    expect(reply.flow).toMatchObject({ status: 'running', current_step: 'go' })
    expect(await claimOne(engine)).toMatchObject({ task: 'go', signal: { payload: 1 } })
  })

  test('a wait that times out hands on no signal', async () => {
    const { flow } = await flowWithStep(engine)
    await settle(engine, await claimOne(engine), {
      kind: 'wait',
      wait: { kind: 'manual', signal: 'never', timeout: { after: 0 } },
      next: { task: 'late' },
    })
    await engine.waitEngine.tick()
    expect(await claimOne(engine)).toMatchObject({ task: 'late', signal: {} })
    await kindsOf(flow.id)
  })

  test('a second wait is refused, and the step stays with its worker', async () => {
    const { flow } = await flowWithStep(engine)
    await engine.steps.enqueue(caller, flow.id, { task: 'other' })
    const [a, b] = await claim(engine, { max: 2 })
    if (a === undefined || b === undefined) throw new Error('two steps were expected')
    const wait = { kind: 'wait', wait: { kind: 'manual' } } as const
    await settle(engine, a, wait)
    expect(await codeOf(settle(engine, b, wait))).toBe('wait_conflict')
    const done = await settle(engine, b, { kind: 'succeed' })
    expect(done.flow).toMatchObject({ status: 'finished', wait: null })
    await kindsOf(flow.id)
  })

  test('the same report again is answered again; another is refused', async () => {
    await flowWithStep(engine)
    const step = await claimOne(engine)
    const first = await settle(engine, step, { kind: 'complete', result: { a: 1, b: 2 } })
    const again = await settle(engine, step, { kind: 'complete', result: { b: 2, a: 1 } })
    expect(again).toMatchObject({ repeated: true, step: { result: { a: 1, b: 2 } } })
    expect(again.flow.revision).toBe(first.flow.revision)
    expect(await codeOf(settle(engine, step, { kind: 'complete', result: 3 }))).toBe('lease_lost')
  })

  test('of a closed flow is discarded', async () => {
    const { flow } = await flowWithStep(engine)
    await engine.steps.enqueue(caller, flow.id, { task: 'second' })
    const step = await claimOne(engine)
    const ended = await engine.flows.change(caller, flow.id, { type: 'cancel' })
    const beat = await engine.queue.heartbeat(caller, step.id, tokenOf(step), {})
    expect(beat.cancel_requested).toBe(true)
    const reply = await settle(engine, step, { kind: 'succeed', state_patch: { late: true } })
    expect(reply).toMatchObject({ discarded: true, step: { status: 'cancelled' } })
    expect(reply.flow.revision).toBe(ended.flow.revision)
    const { items } = await engine.steps.list(caller, flow.id, { limit: 10 })
    expect(items.map(({ status }) => status)).toEqual(['cancelled', 'cancelled'])
  })

  test('made-up tokens and steps', async () => {
    await flowWithStep(engine)
    const step = await claimOne(engine)
    const outcome = { kind: 'complete' } as const
    const unknown = step.id.replace(/^.{8}/, '019dbaf3')
    const other = leaseToken({ flow_id: unknown, token: step.lease_token ?? '' })
    expect(await codeOf(engine.steps.settle(caller, step.id, 'no token', outcome))).toBe(
      'lease_lost',
    )
    expect(await codeOf(engine.steps.settle(caller, step.id, other, outcome))).toBe('lease_lost')
    expect(await codeOf(engine.steps.settle(caller, unknown, tokenOf(step), outcome))).toBe(
      'not_found',
    )
    expect(await codeOf(engine.steps.settle(caller, 'x', tokenOf(step), outcome))).toBe('not_found')
    expect(await codeOf(engine.queue.heartbeat(caller, unknown, tokenOf(step), {}))).toBe(
      'not_found',
    )
  })
})

describe('failed attempts', () => {
  test('are tried again after a pause, with their error in sight', async () => {
    const { flow } = await flowWithStep(engine, { retry: { base_ms: 60_000, factor: 1 } })
    const first = await claimOne(engine)
    const reply = await settle(engine, first, {
      kind: 'error',
      message: 'boom',
      code: 'E1',
      retryable: true,
    })
    expect(reply.step).toMatchObject({
      status: 'pending',
      attempt: 1,
      error: { message: 'boom', code: 'E1' },
    })
    expect(await claim(engine)).toEqual([])
    await age(session, first.id, 60_000)
    await engine.stepSweeper.sweep()
    expect(await claimOne(engine)).toMatchObject({ id: first.id, attempt: 2 })
    // A retry is the step's own business.
    expect((await kindsOf(flow.id)).at(-1)).toBe('step_enqueued')
    const { attempts } = await engine.steps.inspect(caller, first.id)
    expect(attempts).toMatchObject([
      { attempt: 1, outcome: 'error', worker_id: 'w1', error: { message: 'boom' } },
    ])
  })

  test('the worker may say when', async () => {
    await flowWithStep(engine)
    const before = Date.now()
    const { step } = await settle(engine, await claimOne(engine), {
      kind: 'error',
      message: 'busy',
      retryable: true,
      retry_after: 120_000,
    })
    expect(Date.parse(step.run_at ?? '') - before).toBeGreaterThan(110_000)
  })

  test.each([
    ['not retryable', { retryable: false }, {}],
    ['of a code that is final', { retryable: true, code: 'card' }, { non_retryable: ['card'] }],
    ['the last of them', { retryable: true }, { max_attempts: 1 }],
  ])('%s: the step is dead and its flow fails', async (_what, error, retry) => {
    const { flow } = await flowWithStep(engine, { run_id: 'pay', retry })
    const { step, flow: after } = await settle(engine, await claimOne(engine), {
      kind: 'error',
      message: 'declined',
      ...error,
    })
    expect(step.status).toBe('failed')
    expect(after).toMatchObject({
      status: 'failed',
      state: { failure: { reason: 'step pay is dead: declined' } },
    })
    expect((await kindsOf(flow.id)).slice(-2)).toEqual(['step_dead', 'failed'])
  })

  test('a step that is to be parked leaves its flow to an operator', async () => {
    const { flow } = await flowWithStep(engine, { on_dead: 'park' })
    const dead = await settle(engine, await claimOne(engine), {
      kind: 'error',
      message: 'odd',
      retryable: false,
    })
    expect(dead.flow).toMatchObject({ status: 'running', open_steps: 0 })
    expect(
      (await engine.steps.find(caller, { status: ['failed'] }, { limit: 9 })).items,
    ).toMatchObject([{ id: dead.step.id }])
    const { step: revived } = await engine.steps.retry(caller, dead.step.id)
    expect(revived).toMatchObject({ status: 'pending', attempt: 0, error: { message: 'odd' } })
    await settle(engine, await claimOne(engine), {
      kind: 'error',
      message: 'odd',
      retryable: false,
    })
    const { step: solved } = await engine.steps.resolve(caller, dead.step.id, {
      skipped: false,
      result: 7,
    })
    expect(solved).toMatchObject({ status: 'succeeded', result: 7 })
    expect((await kindsOf(flow.id)).slice(-4)).toEqual([
      'step_dead',
      'step_enqueued',
      'step_dead',
      'step_settled',
    ])
  })

  test('a failed flow is reopened at its dead step, once and in sight', async () => {
    const { flow } = await flowWithStep(engine, { retry: { max_attempts: 1 } })
    const dead = await settle(engine, await claimOne(engine), {
      kind: 'error',
      message: 'x',
      retryable: true,
    })
    expect(await codeOf(engine.steps.retry(caller, dead.step.id))).toBe('already_terminal')
    const reopened = await engine.steps.reopen(caller, flow.id, dead.step.id)
    expect(reopened.flow).toMatchObject({ status: 'running', closed_at: null, open_steps: 1 })
    expect(reopened.flow.state).not.toHaveProperty('failure')
    expect(await codeOf(engine.steps.reopen(caller, flow.id, dead.step.id))).toBe(
      'illegal_transition',
    )
    await settle(engine, await claimOne(engine), { kind: 'succeed' })
    expect((await kindsOf(flow.id)).slice(-5)).toEqual([
      'failed',
      'reopened',
      'step_enqueued',
      'step_settled',
      'finished',
    ])
  })

  test('what its controller says holds for steps that do not say it', async () => {
    await session.query(
      `insert into controllers (namespace, id, timeout_ms, max_concurrency, created_at, updated_at, retry, on_dead)
       values ('default', 'said', 1000, 1, now(), now(), '{"max_attempts": 7}', 'park')`,
    )
    const a = await flowWithStep(engine, {}, { controller_id: 'said' })
    expect(a.step).toMatchObject({ max_attempts: 7, on_dead: 'park' })
    const b = await flowWithStep(
      engine,
      { retry: { max_attempts: 2 }, on_dead: 'fail' },
      { controller_id: 'said' },
    )
    expect(b.step).toMatchObject({ max_attempts: 2, on_dead: 'fail' })
  })
})

describe('leases', () => {
  test('one that ended without a word: the step is run again, the late report is refused', async () => {
    await flowWithStep(engine)
    const first = await claimOne(engine, { lease: 1_000 })
    await age(session, first.id, 1_001)
    expect(await engine.stepSweeper.sweep()).toMatchObject({ rescued: 1 })
    await age(session, first.id, 60_000)
    await engine.stepSweeper.sweep()
    const second = await claimOne(engine, { worker_id: 'w2' })
    expect(second).toMatchObject({ id: first.id, attempt: 2 })
    expect(await codeOf(settle(engine, first, { kind: 'complete' }))).toBe('lease_lost')
    expect(await codeOf(engine.queue.heartbeat(caller, first.id, tokenOf(first), {}))).toBe(
      'lease_lost',
    )
    expect(await codeOf(engine.queue.release(caller, first.id, tokenOf(first), 0))).toBe(
      'lease_lost',
    )
    expect(await settle(engine, second, { kind: 'complete' })).toMatchObject({ discarded: false })
  })

  test('a late report counts while nobody else has claimed the step', async () => {
    await flowWithStep(engine)
    const step = await claimOne(engine, { lease: 1_000 })
    await age(session, step.id, 1_001)
    await engine.stepSweeper.sweep()
    expect((await stepOf(step.id)).status).toBe('pending')
    expect(await settle(engine, step, { kind: 'succeed' })).toMatchObject({
      discarded: false,
      flow: { status: 'finished' },
    })
  })

  test('workers that are restarted do not use up the last attempt', async () => {
    const { step } = await flowWithStep(engine, { retry: { max_attempts: 1 } })
    for (let i = 0; i < 3; i++) {
      const claimed = await claimOne(engine, { lease: 1_000 })
      expect(claimed.attempt).toBe(1)
      await age(session, step.id, 1_001)
      await engine.stepSweeper.sweep()
      await age(session, step.id, 400_000)
      await engine.stepSweeper.sweep()
    }
    expect((await stepOf(step.id)).status).toBe('pending')
  })

  test('a step that kills every worker dies in the end', async () => {
    const { step, flow } = await flowWithStep(engine, { retry: { max_attempts: 1 } })
    for (let i = 0; i < 10; i++) {
      await claimOne(engine, { lease: 1_000 })
      await age(session, step.id, 1_001)
      await engine.stepSweeper.sweep()
      await age(session, step.id, 400_000)
      await engine.stepSweeper.sweep()
    }
    expect(await stepOf(step.id)).toMatchObject({
      status: 'failed',
      error: { code: 'lease_expired' },
    })
    expect((await engine.flows.get(caller, flow.id)).status).toBe('failed')
    expect((await engine.steps.inspect(caller, step.id)).attempts).toHaveLength(10)
    await kindsOf(flow.id)
  })

  test('heartbeats renew it and hand a checkpoint to the next attempt', async () => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine, { lease: 2_000 })
    await age(session, step.id, 1_500)
    const beat = await engine.queue.heartbeat(caller, step.id, tokenOf(step), {
      progress: { done: 3 },
      checkpoint: { page: 4 },
    })
    expect(beat.cancel_requested).toBe(false)
    await age(session, step.id, 1_500)
    expect(await engine.stepSweeper.sweep()).toMatchObject({ rescued: 0 })
    expect(await stepOf(step.id)).toMatchObject({ status: 'running', progress: { done: 3 } })
    await age(session, step.id, 1_000)
    await engine.stepSweeper.sweep()
    await age(session, step.id, 60_000)
    await engine.stepSweeper.sweep()
    expect(await claimOne(engine)).toMatchObject({ id: step.id, checkpoint: { page: 4 } })
    // Neither is a change of the flow.
    expect((await engine.flows.get(caller, flow.id)).revision).toBe(flow.revision)
  })

  test('a step that was given back is claimable at once, its attempt not counted', async () => {
    await flowWithStep(engine)
    const step = await claimOne(engine)
    const { value: back } = await engine.queue.release(caller, step.id, tokenOf(step), 0)
    expect(back).toMatchObject({ status: 'pending', attempt: 0, ready: true })
    expect(await codeOf(settle(engine, step, { kind: 'complete' }))).toBe('lease_lost')
    expect(await claimOne(engine)).toMatchObject({ id: step.id, attempt: 1 })
  })

  test.each([
    ['start_to_close', 'pending', 'start_to_close'],
    ['schedule_to_close', 'failed', 'schedule_to_close'],
  ] as const)('%s is over whatever heartbeats say', async (name, status, code) => {
    const { step, flow } = await flowWithStep(engine, { timeouts: { [name]: 5_000 } })
    const claimed = await claimOne(engine, { lease: 60_000 })
    await age(session, step.id, 4_000)
    await engine.queue.heartbeat(caller, step.id, tokenOf(claimed), {})
    await age(session, step.id, 1_100)
    await engine.stepSweeper.sweep()
    expect(await stepOf(step.id)).toMatchObject({ status, error: { code } })
    // Its time was up: a late report does not count.
    expect(await codeOf(settle(engine, claimed, { kind: 'complete' }))).toBe('lease_lost')
    await kindsOf(flow.id)
  })

  test('schedule_to_start: a step that nobody claims dies', async () => {
    const { step, flow } = await flowWithStep(engine, { timeouts: { schedule_to_start: 5_000 } })
    await age(session, step.id, 5_001)
    expect(await engine.stepSweeper.sweep()).toMatchObject({ ended: 1 })
    expect(await stepOf(step.id)).toMatchObject({
      status: 'failed',
      error: { code: 'schedule_to_start' },
    })
    expect((await engine.flows.get(caller, flow.id)).status).toBe('failed')
  })

  test('the heartbeat time-out bounds the lease', async () => {
    await flowWithStep(engine, { timeouts: { heartbeat: 2_000 } })
    const step = await claimOne(engine, { lease: 600_000 })
    const ms = Date.parse(step.lease_until ?? '') - Date.parse(step.started_at ?? '')
    expect(ms).toBe(2_000)
  })
})

describe('a requested cancel', () => {
  const requestCancel = (id: string, more: { grace?: number; reason?: string } = {}) =>
    engine.flows.change(caller, id, { type: 'request_cancel', ...more })

  test('of a flow whose steps are all pending: the next tick ends it', async () => {
    const { flow, step } = await flowWithStep(engine)
    await requestCancel(flow.id, { reason: 'withdrawn' })
    expect((await stepOf(step.id)).status).toBe('cancelled')
    await engine.waitEngine.tick()
    expect((await engine.flows.get(caller, flow.id)).status).toBe('cancelled')
    expect((await kindsOf(flow.id)).slice(-2)).toEqual(['cancel_requested', 'cancelled'])
  })

  test('with a running step: told by heartbeat, its outcome discarded, then ended', async () => {
    const { flow } = await flowWithStep(engine)
    await engine.steps.enqueue(caller, flow.id, { task: 'other' })
    const step = await claimOne(engine)
    await requestCancel(flow.id)
    await engine.waitEngine.tick()
    expect((await engine.flows.get(caller, flow.id)).status).toBe('running')
    expect(await claim(engine)).toEqual([])
    const beat = await engine.queue.heartbeat(caller, step.id, tokenOf(step), {})
    expect(beat.cancel_requested).toBe(true)
    const reply = await settle(engine, step, { kind: 'error', message: 'x', retryable: true })
    expect(reply).toMatchObject({ discarded: true, flow: { status: 'cancelled' } })
    expect((await kindsOf(flow.id)).slice(-3)).toEqual([
      'cancel_requested',
      'step_settled',
      'cancelled',
    ])
  })

  test('the worker’s own cancel keeps its reason', async () => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine)
    await requestCancel(flow.id, { reason: 'asked' })
    await settle(engine, step, { kind: 'cancel', reason: 'stopped at page 3' })
    const { items } = await engine.events.list(caller, flow.id, {}, { limit: 20 })
    expect(items.at(-1)).toMatchObject({
      kind: 'cancelled',
      payload: { reason: 'stopped at page 3' },
    })
  })

  test('its worker dies: the sweeper ends the flow', async () => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine, { lease: 1_000 })
    await requestCancel(flow.id)
    await age(session, step.id, 1_001)
    expect(await engine.stepSweeper.sweep()).toMatchObject({ ended: 1, rescued: 0 })
    expect((await engine.flows.get(caller, flow.id)).status).toBe('cancelled')
    await kindsOf(flow.id)
  })

  test('a grace is over: the flow is cancelled by force', async () => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine)
    await requestCancel(flow.id, { grace: 60_000 })
    await engine.waitEngine.tick()
    expect((await engine.flows.get(caller, flow.id)).status).toBe('running')
    await session.query("update flows set wake_at = now() - interval '1 s' where id = $1", [
      flow.id,
    ])
    await engine.waitEngine.tick()
    expect((await engine.flows.get(caller, flow.id)).status).toBe('cancelled')
    expect(await settle(engine, step, { kind: 'succeed' })).toMatchObject({ discarded: true })
    await kindsOf(flow.id)
  })

  test('a step that is given back then ends its flow', async () => {
    const { flow } = await flowWithStep(engine)
    const step = await claimOne(engine)
    await requestCancel(flow.id)
    await engine.queue.release(caller, step.id, tokenOf(step), 0)
    await engine.stepSweeper.sweep()
    expect((await engine.flows.get(caller, flow.id)).status).toBe('cancelled')
  })
})

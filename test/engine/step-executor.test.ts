// The limits of endpoints over all processes, what becomes of those that are slow or dead, and changes
// between pushing and pulling.

import { describe, expect, it } from 'vitest'
import { caller, until } from '../support/engine.ts'
import { type Answering, endpoint, outcome, silence, status } from '../support/push.ts'
import {
  attemptsOf,
  begin,
  controller_id,
  put,
  read,
  untilStatus,
  usePushes,
} from '../support/pushes.ts'

const { open, close, url } = usePushes()

const done = outcome({ kind: 'complete' })

/** Answers that are held back until they are let go. */
function gate() {
  const held: (() => void)[] = []
  let isOpen = false
  const answering: Answering = (pushed, response) => {
    const answer = () => done(pushed, response)
    if (isOpen) answer()
    else held.push(answer)
  }
  return {
    answering,
    held,
    release(count = held.length) {
      for (const answer of held.splice(0, count)) answer()
    },
    open() {
      isOpen = true
      this.release()
    },
  }
}

const many = (count: number) => Array.from({ length: count }, (_, i) => i)
const ofTask = (task: string) => ({
  worker_id: 'w',
  tasks: [task],
  max: 10,
  lease: 30_000,
  wait: 0,
})
const never = new AbortController().signal

describe('how many steps run at an endpoint', () => {
  it('is limited over all processes', async () => {
    const engines = [open(), open()] as const
    const held = gate()
    const site = await endpoint(held.answering)
    await put(engines[0], site.url, { max_concurrency: 5, timeout_ms: 30_000 })
    const steps = await Promise.all(many(40).map((i) => begin(engines[i % 2 === 0 ? 0 : 1])))
    for (let ended = 0; ended < 40; ended++) {
      await until('the limit is used', () => site.steps().length === Math.min(40, ended + 5))
      expect(held.held).toHaveLength(Math.min(5, 40 - ended))
      held.release(1)
    }
    for (const { id } of steps) await untilStatus(engines[0], id, 'succeeded')
    expect(site.peak()).toBe(5)
    expect(new Set(site.steps().map(({ body }) => body.step.id)).size).toBe(40)
  })

  it('counts those that are settled later', async () => {
    const engine = open()
    const site = await endpoint(status(202))
    await put(engine, site.url, { max_concurrency: 2 })
    await Promise.all(many(3).map(() => begin(engine)))
    await until('two run', () => site.steps().length === 2)
    const [first] = site.steps()
    const { id, lease_token } = first?.body.step ?? { id: '', lease_token: '' }
    await until('it was handed over', async () => (await read(engine, id)).lease_ms === 60_000)
    expect(site.steps()).toHaveLength(2)
    await engine.steps.settle(caller, id, lease_token, { kind: 'complete' })
    await until('the third runs', () => site.steps().length === 3)
  })

  it('leaves room for others however slow an endpoint is', async () => {
    const engine = open()
    const slow = await endpoint(silence)
    const slower = await endpoint(silence)
    const quick = await endpoint(done)
    await put(engine, slow.url, { id: 'slow', max_concurrency: 1_000, timeout_ms: 60_000 })
    await put(engine, slower.url, { id: 'slower', max_concurrency: 1_000, timeout_ms: 60_000 })
    await put(engine, quick.url, { id: 'quick', timeout_ms: 60_000 })
    await Promise.all(many(100).map((i) => begin(engine, {}, i % 2 === 0 ? 'slow' : 'slower')))
    await until('as many are sent as may be', () => slow.peak() + slower.peak() >= 42)
    const steps = await Promise.all(many(50).map(() => begin(engine, {}, 'quick')))
    for (const { id } of steps) await untilStatus(engine, id, 'succeeded')
    expect(slow.peak()).toBeLessThanOrEqual(32)
    expect(slow.peak() + slower.peak()).toBeLessThan(64)
  }, 30_000)
})

describe('a dead endpoint', () => {
  it('is left alone, its steps stay pending, and others go on', async () => {
    const engine = open()
    const dead = await endpoint(status(500))
    const alive = await endpoint(done)
    await put(engine, dead.url, {
      id: 'dead',
      max_concurrency: 1,
      retry: { base_ms: 100, cap_ms: 100, max_attempts: 100 },
    })
    await put(engine, alive.url, { id: 'alive' })
    const stuck = await Promise.all(many(20).map(() => begin(engine, {}, 'dead')))
    const healthy = await Promise.all(many(20).map(() => begin(engine, {}, 'alive')))
    for (const { id } of healthy) await untilStatus(engine, id, 'succeeded')
    // After the fifth failure, and after each of two probes.
    await until('it rests for the third time', () =>
      engine.notices.some((one) => one.type === 'push_paused' && one.pause === 4_000),
    )
    expect(dead.steps()).toHaveLength(7)
    const found = await Promise.all(stuck.map(({ id }) => read(engine, id)))
    expect(found.reduce((sum, { attempt }) => sum + attempt, 0)).toBe(7)
    dead.answer(done)
    for (const { id } of stuck) await untilStatus(engine, id, 'succeeded')
    expect(engine.notices).toContainEqual({
      type: 'push_goes_on',
      namespace: 'default',
      controller_id: 'dead',
    })
  }, 30_000)

  it('that cannot be reached costs no attempts beyond the first five', async () => {
    const engine = open()
    await put(engine, 'http://127.0.0.1:1/', {
      max_concurrency: 1,
      retry: { max_attempts: 100, base_ms: 100, cap_ms: 100 },
    })
    const steps = await Promise.all(many(3).map(() => begin(engine)))
    await until('it was probed', async () => {
      const all = await Promise.all(steps.map(({ id }) => attemptsOf(engine, id)))
      return all.flat().some(({ outcome }) => outcome === 'released')
    })
    const found = await Promise.all(steps.map(({ id }) => read(engine, id)))
    expect(found.reduce((sum, { attempt }) => sum + attempt, 0)).toBe(5)
    const site = await endpoint(done)
    await put(engine, site.url)
    for (const { id } of steps) await untilStatus(engine, id, 'succeeded')
  }, 20_000)
})

describe('an endpoint that is replaced', () => {
  it('leaves its failures behind', async () => {
    const engine = open()
    const dead = await endpoint(status(500))
    const retry = { max_attempts: 100, base_ms: 100, cap_ms: 100 }
    await put(engine, dead.url, { max_concurrency: 1, retry })
    const { id } = await begin(engine)
    await until('it rests for long', () =>
      engine.notices.some((one) => one.type === 'push_paused' && one.pause === 4_000),
    )
    const site = await endpoint(done)
    await put(engine, site.url, { retry })
    const asked = performance.now()
    await untilStatus(engine, id, 'succeeded')
    expect(performance.now() - asked).toBeLessThan(3_500)
    expect(dead.steps()).toHaveLength(7)
  }, 20_000)
})

describe('between pushing and pulling', () => {
  it('pulled steps stay with their workers when a controller begins to be pushed to', async () => {
    const engine = open()
    const pulled = await begin(engine)
    const [claimed] = await engine.queue.claim(caller, ofTask('classify'), never)
    const site = await endpoint(done)
    await put(engine, site.url)
    const pushed = await begin(engine)
    await untilStatus(engine, pushed.id, 'succeeded')
    expect(await read(engine, pulled.id)).toMatchObject({ status: 'running', worker_id: 'w' })
    expect(await engine.queue.claim(caller, ofTask('classify'), never)).toEqual([])
    await engine.queue.release(
      caller,
      pulled.id,
      `${pulled.flow_id}${claimed?.lease_token}`.replaceAll('-', ''),
      0,
    )
    // Nobody pulls it any more.
    await untilStatus(engine, pulled.id, 'succeeded')
    expect(site.steps().map(({ body }) => body.step.id)).toEqual([pushed.id, pulled.id])
  })

  it('pushed steps are settled by their endpoint when a controller begins to be pulled', async () => {
    const engine = open()
    const held = gate()
    const site = await endpoint(held.answering)
    await put(engine, site.url, { max_concurrency: 1 })
    const pushed = await begin(engine)
    const next = await begin(engine)
    await until('it was sent', () => held.held.length === 1)
    const waiting = engine.queue.claim(caller, { ...ofTask('classify'), wait: 10_000 }, never)
    await put(engine, null)
    expect((await waiting).map(({ id }) => id)).toEqual([next.id])
    held.open()
    expect(await untilStatus(engine, pushed.id, 'succeeded')).toMatchObject({
      worker_id: `push:${controller_id}`,
    })
    expect(site.steps()).toHaveLength(1)
  })

  it('goes by task', async () => {
    const engine = open()
    const site = await endpoint(done)
    await put(engine, site.url, { tasks: ['reply', 'archive'] })
    const pulled = await begin(engine)
    const pushed = await begin(engine, { task: 'archive' })
    await untilStatus(engine, pushed.id, 'succeeded')
    const found = await engine.queue.claim(
      caller,
      { ...ofTask('classify'), tasks: undefined as never },
      never,
    )
    expect(found.map(({ id }) => id)).toEqual([pulled.id])
    expect(site.steps()).toHaveLength(1)
  })

  it('a disabled controller is pulled', async () => {
    const engine = open()
    const site = await endpoint(done)
    await put(engine, site.url, { enabled: false })
    const { id } = await begin(engine)
    expect((await engine.queue.claim(caller, ofTask('classify'), never)).map((s) => s.id)).toEqual([
      id,
    ])
  })

  it('one that was removed is pulled', async () => {
    const engine = open()
    const site = await endpoint(done)
    await put(engine, site.url)
    await engine.controllers.remove(caller, controller_id)
    const { id } = await begin(engine)
    expect((await engine.queue.claim(caller, ofTask('classify'), never)).map((s) => s.id)).toEqual([
      id,
    ])
  })
})

describe('other processes and restarts', () => {
  it('each step is pushed once, by whichever process', async () => {
    const listen = { connectionString: url(), testEvery: 200 }
    const engines = [open({ listen }), open({ listen })] as const
    const site = await endpoint(done)
    await put(engines[0], site.url, { max_concurrency: 3 })
    const steps = await Promise.all(many(30).map((i) => begin(engines[i % 2 === 0 ? 0 : 1])))
    for (const { id } of steps) await untilStatus(engines[0], id, 'succeeded')
    expect(site.steps()).toHaveLength(30)
    expect(new Set(site.steps().map(({ body }) => body.step.id)).size).toBe(30)
  })

  it('a process that stops lets what it sent end, and sends no more', async () => {
    const engine = open()
    const held = gate()
    const site = await endpoint(held.answering)
    await put(engine, site.url, { max_concurrency: 1 })
    const first = await begin(engine)
    const second = await begin(engine)
    await until('it was sent', () => held.held.length === 1)
    const stopped = close(engine)
    held.open()
    await stopped
    const other = open()
    expect((await read(other, first.id)).status).toBe('succeeded')
    await untilStatus(other, second.id, 'succeeded')
    expect(site.steps()).toHaveLength(2)
  })

  it('an answer whose process is gone is asked for again, under another id', async () => {
    const engine = open()
    const site = await endpoint(silence)
    await put(engine, site.url, { timeout_ms: 1_000 })
    const { id } = await begin(engine)
    await until('it was sent', () => site.steps().length === 1)
    // What a process that is killed leaves behind.
    const later = new Date(Date.now() + 60_000).toISOString()
    site.answer(done)
    await engine.stepSweeper.sweep(later)
    await untilStatus(engine, id, 'succeeded')
    expect(site.steps().map(({ headers }) => headers['webhook-id'])).toEqual([`${id}-1`, `${id}-2`])
    expect((await attemptsOf(engine, id))[0]?.outcome).toBe('lease_expired')
  })
})

// The shape of background jobs: no nudge is lost, failures back off and are told, stop waits for the pass.

import { afterEach, describe, expect, test } from 'vitest'
import { createLoop, type Loop } from '../../src/engine/loop.ts'
import type { Notice } from '../../src/engine/notice.ts'
import { toldTo, until } from '../support/engine.ts'

const loops: Loop[] = []
afterEach(async () => {
  await Promise.all(loops.splice(0).map((loop) => loop.stop()))
})

function open(pass: (n: number) => Promise<number>, interval = 60_000) {
  const notices: Notice[] = []
  let passes = 0
  const loop = createLoop({
    name: 'test',
    interval,
    report: toldTo(notices),
    pass: () => pass(++passes),
  })
  loops.push(loop)
  return { loop, notices, passes: () => passes }
}

function gate() {
  let open: () => void = () => {}
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { open, opened }
}

test('the first pass runs at once, and 0 runs again at once', async () => {
  const { loop, passes } = open(async (n) => (n < 50 ? 0 : 60_000))
  loop.start()
  await until('fifty passes', () => passes() === 50)
})

test('a nudge during a pass is not lost', async () => {
  const { open: finish, opened } = gate()
  const { loop, passes } = open(async (n) => {
    if (n === 1) await opened
    return 60_000
  })
  loop.start()
  await until('the pass runs', () => passes() === 1)
  loop.nudge(0)
  finish()
  await until('the nudge counts', () => passes() === 2)
})

test('a nudge while asleep wakes earlier, never later', async () => {
  const { loop, passes } = open(async () => 60_000)
  loop.start()
  await until('it sleeps', () => passes() === 1)
  loop.nudge(30)
  loop.nudge(50_000)
  await until('it woke', () => passes() === 2)
})

test('the longest sleep is the interval, whatever a pass says', async () => {
  const { loop, passes } = open(async () => Number.POSITIVE_INFINITY, 20)
  loop.start()
  await until('it goes on', () => passes() === 3)
})

test('a sleep past what a timer of Node can hold does not become none', async () => {
  const { loop, passes } = open(async () => 2 ** 40, 2 ** 31 - 1)
  loop.start()
  await until('it sleeps', () => passes() === 1)
  await new Promise((resolve) => setImmediate(resolve))
  expect(passes()).toBe(1)
})

describe('failures', () => {
  test('are told at the 1st, 2nd, 4th …, and the recovery once', async () => {
    const { loop, notices } = open(async (n) => {
      if (n <= 4) throw new Error(`no ${n}`)
      return 60_000
    })
    loop.start()
    await until('it recovered', () => notices.some(({ type }) => type === 'loop_recovered'))
    expect(notices.map((notice) => [notice.type, 'failures' in notice && notice.failures])).toEqual(
      [
        ['loop_failed', 1],
        ['loop_failed', 2],
        ['loop_failed', 4],
        ['loop_recovered', 4],
      ],
    )
  })

  test('back off: a nudge does not turn an outage into a storm', async () => {
    const { loop, passes } = open(async () => {
      for (let n = 0; n < 100; n++) loop.nudge(0)
      throw new Error('no')
    })
    const started = performance.now()
    loop.start()
    await until('three passes', () => passes() === 3)
    // 200 and 400 ms, of which at least half is waited.
    expect(performance.now() - started).toBeGreaterThan(290)
  })
})

describe('stop', () => {
  test('waits for the pass under way, and no other follows', async () => {
    const { open: finish, opened } = gate()
    let ended = false
    const { loop, passes } = open(async () => {
      await opened
      ended = true
      return 0
    })
    loop.start()
    const stopped = loop.stop()
    finish()
    await stopped
    expect([ended, passes()]).toEqual([true, 1])
    loop.nudge(0)
    await new Promise((resolve) => setImmediate(resolve))
    expect(passes()).toBe(1)
  })

  test('ends a sleep at once; twice and before start is safe; it can be started again', async () => {
    const { loop, passes } = open(async () => 60_000)
    await loop.stop()
    loop.start()
    loop.start()
    await until('it sleeps', () => passes() === 1)
    await Promise.all([loop.stop(), loop.stop()])
    loop.start()
    await until('it runs again', () => passes() === 2)
  })
})

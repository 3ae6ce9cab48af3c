// When an endpoint in trouble is left alone, and for how long.

import { describe, expect, it } from 'vitest'
import { createBreaker } from '../../src/engine/push-breaker.ts'

/** Fails so often in a row, at a time. */
function failing(times: number, now = 0) {
  const breaker = createBreaker()
  const pauses = Array.from({ length: times }, () => breaker.record('trouble', now))
  return { breaker, pauses }
}

describe('an endpoint', () => {
  it('may fail four times in a row', () => {
    const { breaker, pauses } = failing(4)
    expect(pauses).toEqual([0, 0, 0, 0])
    expect(breaker.most(0)).toBe(Number.POSITIVE_INFINITY)
    expect(breaker.isOpen()).toBe(false)
  })

  it('is left alone after the fifth failure, then gets one step at a time', () => {
    const { breaker, pauses } = failing(5)
    expect(pauses.at(-1)).toBe(1_000)
    expect(breaker.isOpen()).toBe(true)
    expect(breaker.most(999)).toBe(0)
    expect(breaker.restsFor(400)).toBe(600)
    expect(breaker.most(1_000)).toBe(1)
    expect(breaker.restsFor(1_000)).toBe(0)
  })

  it('rests twice as long with each probe that fails, a minute at most', () => {
    const { breaker } = failing(5)
    let now = 0
    const pauses: number[] = []
    for (let probe = 0; probe < 9; probe++) {
      now += breaker.restsFor(now)
      pauses.push(breaker.record('unreached', now) / 1_000)
    }
    expect(pauses).toEqual([2, 4, 8, 16, 32, 60, 60, 60, 60])
  })

  it('rests no longer for what was under way when it began to', () => {
    const { breaker } = failing(5)
    expect([1, 2, 3].map((now) => breaker.record('trouble', now))).toEqual([0, 0, 0])
    expect(breaker.restsFor(10)).toBe(990)
  })

  it('begins anew when it does well', () => {
    const { breaker } = failing(7)
    expect(breaker.record('ok', 5)).toBe(0)
    expect(breaker.isOpen()).toBe(false)
    expect(breaker.restsFor(5)).toBe(0)
    expect(breaker.record('trouble', 6)).toBe(0)
  })

  it('rests for as long as it asks, a minute at most', () => {
    const asking = (least: number) => failing(4).breaker.record('trouble', 0, least)
    expect([500, 7_000, 3_600_000].map(asking)).toEqual([1_000, 7_000, 60_000])
  })

  it('is not judged by what was given up here', () => {
    const { breaker } = failing(4)
    expect(breaker.record('unknown', 0)).toBe(0)
    expect(breaker.record('trouble', 0)).toBe(1_000)
  })
})

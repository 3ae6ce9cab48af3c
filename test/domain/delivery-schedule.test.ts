// When a delivery is tried again, as tables and as properties.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  deliverySchedule,
  nextAttemptAfter,
  retryAfterMillis,
} from '../../src/domain/delivery-schedule.ts'

const hour = 3_600_000

test('ten attempts in 75 hours and 35 minutes', () => {
  expect(deliverySchedule).toHaveLength(10)
  expect(deliverySchedule.reduce((sum, pause) => sum + pause)).toBe(75 * hour + 35 * 60_000 + 5_000)
})

describe('the next attempt', () => {
  test.each([
    [0, 0],
    [1, 5_000],
    [2, 300_000],
    [3, 1_800_000],
    [4, 2 * hour],
    [9, 24 * hour],
  ])('after %i: %i ms, give or take a fifth', (done, pause) => {
    expect(nextAttemptAfter(done, 0, null)).toBe(pause * 0.8)
    expect(nextAttemptAfter(done, 0.5, null)).toBe(pause)
    expect(nextAttemptAfter(done, 1 - Number.EPSILON, null)).toBe(pause * 1.2)
  })

  test.each([10, 11, 1_000])('none after %i, whatever is asked for', (done) => {
    expect(nextAttemptAfter(done, 0.5, null)).toBeNull()
    expect(nextAttemptAfter(done, 0.5, 60_000)).toBeNull()
  })

  test.each([
    ['sooner than the schedule: the schedule', 1, 1_000, 5_000],
    ['at once: the schedule', 3, 0, 1_800_000],
    ['later: as asked', 1, 60_000, 60_000],
    ['much later: a day', 1, 1_000 * hour, 24 * hour],
  ])('asked for %s', (_, done, asked, pause) => {
    expect(nextAttemptAfter(done, 0.5, asked)).toBe(pause)
  })

  test('is between the schedule and a day, spread included, and whole', () => {
    const asked = fc.option(fc.integer({ min: 0, max: 1e12 }))
    const random = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true })
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 9 }), random, asked, (done, spread, retryAfter) => {
        const pause = deliverySchedule[done] ?? Number.NaN
        const next = nextAttemptAfter(done, spread, retryAfter)
        expect(Number.isInteger(next)).toBe(true)
        expect(next).toBeGreaterThanOrEqual(Math.min(pause * 0.8, 24 * hour))
        expect(next).toBeLessThanOrEqual(Math.max(pause * 1.2, 24 * hour))
        if (retryAfter !== null) {
          expect(next).toBeGreaterThanOrEqual(Math.min(retryAfter, 24 * hour))
        }
      }),
    )
  })
})

describe('Retry-After', () => {
  const now = Date.parse('1994-11-06T08:49:07.000Z')

  test.each([
    ['0', 0],
    ['120', 120_000],
    [' 7 ', 7_000],
    ['Sun, 06 Nov 1994 08:49:37 GMT', 30_000],
    ['Sunday, 06-Nov-94 08:49:37 GMT', 30_000],
    ['Sun Nov  6 08:49:37 1994', 30_000],
    ['Sun, 06 Nov 1994 08:49:07 GMT', 0],
    ['Sat, 05 Nov 1994 08:49:37 GMT', 0],
  ])('%j', (text, ms) => expect(retryAfterMillis(text, now)).toBe(ms))

  test.each([
    '',
    'soon',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '１２０',
    '9'.repeat(13),
    '120, 60',
    '1994-11-06T08:49:37Z',
    'Sun, 06 Nov 1994 08:49:37',
    'Sun, 06 Nov 1994 08:49:37 +0200',
    'Sun, 06 Now 1994 08:49:37 GMT',
    'Sun, 06 Nov 1994 28:49:37 GMT',
    'Sun, 99 Nov 1994 08:49:37 GMT',
  ])('%j cannot be read', (text) => expect(retryAfterMillis(text, now)).toBeNull())
})

// The token bucket: never more than the burst at once, never more than the rate in the long run.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { fullBucket, take } from '../../src/domain/token-bucket.ts'

const rate = { per_minute: 60, burst: 3 }

test('lets a burst through, and then as many as the rate says', () => {
  const bucket = fullBucket(rate, 0)
  const at = (now: number) => take(bucket, rate, now)
  expect([at(0), at(0), at(0)].map(({ allowed }) => allowed)).toEqual([true, true, true])
  expect(at(0)).toEqual({ allowed: false, remaining: 0, retry_after: 1, full_in: 3 })
  expect(at(400)).toMatchObject({ allowed: false, retry_after: 0.6 })
  expect(at(1_000)).toMatchObject({ allowed: true, remaining: 0 })
  expect(at(10_000)).toMatchObject({ allowed: true, remaining: 2, retry_after: 0, full_in: 1 })
})

test('a clock that is set back gives nothing away, and takes nothing', () => {
  const bucket = fullBucket(rate, 60_000)
  for (let i = 0; i < 3; i++) take(bucket, rate, 60_000)
  expect(take(bucket, rate, 0).allowed).toBe(false)
  expect(take(bucket, rate, 1_000).allowed).toBe(true)
})

test('whoever waits for retry_after is let in, and nobody gets more than burst and rate', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 100_000 }),
      fc.integer({ min: 1, max: 1_000 }),
      fc.array(fc.integer({ min: 0, max: 5_000 }), { maxLength: 200 }),
      (per_minute, burst, gaps) => {
        const limits = { per_minute, burst }
        const bucket = fullBucket(limits, 0)
        let now = 0
        let allowed = 0
        for (const gap of gaps) {
          now += gap
          const taken = take(bucket, limits, now)
          if (taken.allowed) allowed++
          else {
            now += taken.retry_after * 1_000 + 1e-3
            expect(take(bucket, limits, now).allowed).toBe(true)
            allowed++
          }
          expect(allowed).toBeLessThanOrEqual(burst + (now * per_minute) / 60_000 + 1e-6)
        }
      },
    ),
  )
})

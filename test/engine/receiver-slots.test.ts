// How many deliveries a receiver is sent at once: fewer when it fails, none for a while when it goes on failing.

import { expect, test } from 'vitest'
import { createReceiverSlots, slotLimits } from '../../src/engine/receiver-slots.ts'

const minute = 60_000
const lane = 'a'

function failing(times: number) {
  const slots = createReceiverSlots(slotLimits)
  for (let i = 0; i < times; i++) {
    slots.take(lane)
    slots.give(lane, false, 0)
  }
  return slots
}

test('a receiver has four slots, and all together 64', () => {
  const slots = createReceiverSlots(slotLimits)
  for (let i = 0; i < 3; i++) slots.take(lane)
  expect(slots.free(lane, 0)).toBe(1)
  slots.take(lane)
  expect(slots.free(lane, 0)).toBe(0)
  expect(slots.free('b', 0)).toBe(4)
  expect(slots.room()).toBe(60)
  slots.give(lane, true, 0)
  expect(slots.free(lane, 0)).toBe(1)
  expect(slots.room()).toBe(61)
})

test('one that fails has a single slot until it succeeds', () => {
  const slots = failing(1)
  expect(slots.free(lane, 0)).toBe(1)
  slots.take(lane)
  expect(slots.free(lane, 0)).toBe(0)
  expect(slots.restsFor(lane, 0)).toBeNull()
  slots.give(lane, true, 0)
  expect(slots.free(lane, 0)).toBe(4)
})

test('what was given back untried changes nothing', () => {
  const slots = failing(9)
  slots.take(lane)
  slots.give(lane, null, 0)
  expect(slots.free(lane, 0)).toBe(1)
  expect(slots.restsFor(lane, 0)).toBeNull()
})

test.each([
  [9, null],
  [10, minute],
  [11, 2 * minute],
  [14, 16 * minute],
  [15, 30 * minute],
  [1_000, 30 * minute],
])('after %i failures in a row it rests for %s ms, then one probe is sent', (times, rest) => {
  const slots = failing(times)
  expect(slots.restsFor(lane, 0)).toBe(rest)
  expect(slots.free(lane, 0)).toBe(rest === null ? 1 : 0)
  expect(slots.free(lane, (rest ?? 0) + 1)).toBe(1)
})

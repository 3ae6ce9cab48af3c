// Minted ids rise within a process, also within a millisecond and when the clock is set back, and carry their shard.

import { afterEach, expect, test, vi } from 'vitest'
import { isId, shardIndexOf } from '../../src/domain/id.ts'
import { mintId } from '../../src/engine/ids.ts'

afterEach(() => {
  vi.restoreAllMocks()
})

function expectRising(ids: readonly string[]): void {
  expect(ids).toEqual([...ids].sort())
  expect(new Set(ids).size).toBe(ids.length)
}

test('20,000 in a row', () => {
  const ids = Array.from({ length: 20_000 }, (_, n) => mintId(n % 64))
  expectRising(ids)
  expect(ids.every(isId)).toBe(true)
  expect(ids.every((id, n) => shardIndexOf(id) === n % 64)).toBe(true)
})

test('a clock that stands still or goes back', () => {
  const first = mintId()
  const clock = vi.spyOn(Date, 'now')
  const now = Date.now() + 1_000
  clock.mockReturnValue(now)
  const still = Array.from({ length: 10_000 }, () => mintId())
  clock.mockReturnValue(now - 3_600_000)
  const back = Array.from({ length: 10_000 }, () => mintId())
  expectRising([first, ...still, ...back])
})

test('without a shard, all of them come up', () => {
  const shards = new Set(Array.from({ length: 2_000 }, () => shardIndexOf(mintId())))
  expect(shards.size).toBe(64)
})

// The shard of a routing key: fixed for ever, evenly spread, and one of 64 fixed tokens.

import { expect, test } from 'vitest'
import { shardCount, shardOf, shardToken, shardTokens } from '../../src/domain/shard.ts'

test('64 distinct tokens that a smallint can hold', () => {
  expect(shardCount).toBe(64)
  expect(shardTokens).toHaveLength(64)
  expect(new Set(shardTokens).size).toBe(64)
  for (const token of shardTokens) {
    expect(Number.isInteger(token) && token >= 0 && token <= 32_767, `${token}`).toBe(true)
  }
  expect(shardTokens.map((_, index) => shardToken(index))).toEqual(shardTokens)
  expect(() => shardToken(64)).toThrow(RangeError)
})

test('the tokens are in stored rows: none may change', () => {
  const sum = shardTokens.reduce((all, token, index) => all + token * (index + 1), 0)
  expect([shardTokens[0], shardTokens[31], shardTokens[63], sum]).toEqual([60, 3, 18, 134714])
})

/** Computed once from the first release. A difference means that stored rows are not found any more. */
const vectors: [namespace: string, key: string, shard: number][] = [
  ['default', '', 48],
  ['default', 'order-42', 30],
  ['default', 'order-43', 5],
  ['tenant-b', 'order-42', 51],
  ['default', 'Grüße', 23],
  ['default', '注文-7', 15],
  ['default', '😀', 21],
  ['', 'a', 59],
  ['default', '0197a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b', 54],
]

test.each(vectors)('%s %s is on shard %i', (namespace, key, shard) => {
  expect(shardOf(namespace, key)).toBe(shard)
})

test('keys spread evenly, also those that differ in one digit', () => {
  const counts = Array.from({ length: shardCount }, () => 0)
  const keys = 64_000
  for (let n = 0; n < keys; n++) {
    const shard = shardOf('default', `order-${n}`)
    counts[shard] = (counts[shard] ?? 0) + 1
  }
  expect(Math.min(...counts)).toBeGreaterThan(850)
  expect(Math.max(...counts)).toBeLessThan(1_150)
})

test('namespace and key are told apart', () => {
  const pairs = [
    ['a', 'bc'],
    ['ab', 'c'],
    ['abc', ''],
    ['', 'abc'],
  ] as const
  expect(new Set(pairs.map(([namespace, key]) => shardOf(namespace, key))).size).toBeGreaterThan(1)
})

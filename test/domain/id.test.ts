// Ids: the layout of a UUIDv7 with the shard in its last six bits.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { isId, makeId, shardIndexOf } from '../../src/domain/id.ts'

const parts = fc.record({
  millis: fc.integer({ min: 0, max: 2 ** 48 - 1 }),
  counter: fc.integer({ min: 0, max: 4_095 }),
  random: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  shard: fc.integer({ min: 0, max: 63 }),
})

test('an id is a canonical UUIDv7 that carries time, counter and shard', () => {
  fc.assert(
    fc.property(parts, ({ millis, counter, random, shard }) => {
      const id = makeId(millis, counter, random, shard)
      expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/)
      expect(isId(id)).toBe(true)
      expect(Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)).toBe(millis)
      expect(Number.parseInt(id.slice(15, 18), 16)).toBe(counter)
      expect(shardIndexOf(id)).toBe(shard)
    }),
  )
})

test('56 random bits stay', () => {
  const bits = (random: number[]) =>
    BigInt(`0x${makeId(0, 0, Uint8Array.from(random), 0).slice(19).replace('-', '')}`)
  const all = bits(Array.from({ length: 8 }, () => 255)) ^ bits(Array.from({ length: 8 }, () => 0))
  expect(all.toString(2).replaceAll('0', '')).toHaveLength(56)
})

test('ids sort by time, then counter', () => {
  fc.assert(
    fc.property(parts, parts, (a, b) => {
      const order = a.millis - b.millis || a.counter - b.counter
      fc.pre(order !== 0)
      const [first, second] = [a, b].map((p) => makeId(p.millis, p.counter, p.random, p.shard))
      expect((first ?? '') < (second ?? '')).toBe(order < 0)
    }),
  )
})

test('the same parts make the same id, for ever', () => {
  const random = Uint8Array.from([1, 2, 3, 4, 5, 6, 7, 8])
  expect(makeId(1_776_956_400_000, 7, random, 42)).toBe('019dbada-e180-7007-8102-03040506072a')
})

test.each([
  ['', false],
  ['019dbac9-8180-7007-8102-03040506072a', true],
  ['019DBAC9-8180-7007-8102-03040506072A', false],
  ['019dbac981807007810203040506072a', false],
  ['{019dbac9-8180-7007-8102-03040506072a}', false],
  ['019dbac9-8180-7007-8102-03040506072a\n', false],
  ['019dbac9-8180-7007-8102-03040506072g', false],
])('%j is an id: %s', (text, expected) => {
  expect(isId(text)).toBe(expected)
})

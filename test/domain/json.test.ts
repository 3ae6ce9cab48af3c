// JSON as the domain sees it: the shallow merge, sizes in bytes and equality, with __proto__ as plain data.

import fc from 'fast-check'
import { expect, test } from 'vitest'
import { applyPatch, jsonBytes, jsonEqual, utf8Bytes } from '../../src/domain/json.ts'

const hostile = ['__proto__', 'constructor', 'toString', 'a', 'b']
const members = fc
  .array(fc.tuple(fc.constantFrom(...hostile), fc.jsonValue()), { maxLength: 4 })
  .map((pairs) => JSON.parse(JSON.stringify(Object.fromEntries(pairs))))

test('members of the patch replace, members of unset go, the rest stays', () => {
  const state = { a: 1, b: { c: 2 }, d: null }
  expect(applyPatch(state, { merge: { b: { e: 3 }, f: 4 }, unset: ['d', 'f', 'none'] })).toEqual({
    a: 1,
    b: { e: 3 },
  })
  expect(state).toEqual({ a: 1, b: { c: 2 }, d: null })
})

test('__proto__ is a member like any other', () => {
  const evil = JSON.parse('{"__proto__": {"polluted": true}}')
  const merged = applyPatch({ a: 1 }, { merge: evil, unset: [] })
  expect(Object.getPrototypeOf(merged)).toBe(Object.prototype)
  expect(JSON.stringify(merged)).toBe('{"a":1,"__proto__":{"polluted":true}}')
  expect(Object.hasOwn(merged, 'polluted')).toBe(false)
  expect('polluted' in {}).toBe(false)
  expect(JSON.stringify(applyPatch(merged, { merge: {}, unset: ['__proto__'] }))).toBe('{"a":1}')
  expect(applyPatch({}, { merge: {}, unset: ['toString'] })).toEqual({})
})

test('a merge has exactly the members it should, whatever they are called', () => {
  fc.assert(
    fc.property(members, members, fc.subarray(hostile), (state, merge, unset) => {
      const before = structuredClone(state)
      const after = new Map(Object.entries(applyPatch(state, { merge, unset })))
      const expected = new Map([...Object.entries(state), ...Object.entries(merge)])
      for (const name of unset) expected.delete(name)
      expect(new Set(after.keys())).toEqual(new Set(expected.keys()))
      for (const [name, value] of expected) expect(after.get(name)).toEqual(value)
      expect(state).toEqual(before)
    }),
  )
})

test('sizes are those of UTF-8, with surrogates of every kind', () => {
  fc.assert(
    fc.property(fc.jsonValue({ stringUnit: 'binary' }), (value) => {
      const plain = JSON.parse(JSON.stringify(value))
      expect(jsonBytes(plain)).toBe(Buffer.byteLength(JSON.stringify(plain)))
    }),
  )
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect(utf8Bytes(text)).toBe(Buffer.byteLength(text))
    }),
  )
})

test('equality does not mind the order of members and minds everything else', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (a, b) => {
      const [left, right] = [JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b))]
      expect(jsonEqual(left, structuredClone(left))).toBe(true)
      expect(jsonEqual(left, right)).toBe(jsonEqual(right, left))
      expect(jsonEqual(left, right)).toBe(JSON.stringify(left) === JSON.stringify(right))
    }),
  )
  expect(jsonEqual({ a: 1, b: [1, { c: 2 }] }, { b: [1, { c: 2 }], a: 1 })).toBe(true)
  for (const [a, b] of [
    [[], {}],
    [[1], { 0: 1 }],
    [{ a: null }, {}],
    [null, {}],
    [{ toString: null }, {}],
    [{ a: 1 }, JSON.parse('{"__proto__": 1}')],
    ['1', 1],
  ]) {
    expect(jsonEqual(a, b), JSON.stringify([a, b])).toBe(false)
  }
})

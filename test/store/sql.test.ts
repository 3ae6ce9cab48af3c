// The sql tag: values become numbered parameters, fragments nest, and equal texts share one name.

import { expect, test } from 'vitest'
import { join, prepared, raw, sql } from '../../src/store/sql.ts'

function parts(query: Parameters<typeof prepared>[0]) {
  const { text, values } = prepared(query)
  return [text, values]
}

test('values are parameters, never text', () => {
  const evil = "'; drop table flows; --"
  expect(parts(sql`select ${1}, ${evil}, ${null}`)).toEqual(['select $1, $2, $3', [1, evil, null]])
})

test('fragments nest at every place and parameters are numbered through', () => {
  const inner = sql`a = ${1} and b = ${2}`
  const middle = sql`(${inner}) or c = ${3}`
  expect(parts(sql`select ${0} where ${middle} and ${inner}${raw(' limit 1')}`)).toEqual([
    'select $1 where (a = $2 and b = $3) or c = $4 and a = $5 and b = $6 limit 1',
    [0, 1, 2, 3, 1, 2],
  ])
  expect(parts(sql`${inner}`)).toEqual(['a = $1 and b = $2', [1, 2]])
  expect(parts(sql`${raw('select')} ${raw('1')}`)).toEqual(['select 1', []])
})

test('join puts a separator of ours between fragments', () => {
  expect(parts(join([sql`a = ${1}`, raw('true'), sql`b = ${2}`], ' and '))).toEqual([
    'a = $1 and true and b = $2',
    [1, 2],
  ])
  expect(parts(join([], ' and '))).toEqual(['', []])
  expect(parts(join([raw('x')], ', '))).toEqual(['x', []])
})

test('one text has one name; another has another; names fit into what the server keeps', () => {
  const query = (n: number) => prepared(sql`select ${n} as name_test`)
  expect(query(1).name).toBe(query(2).name)
  expect(query(1).values).toEqual([1])
  expect(prepared(sql`select ${1} as other_name_test`).name).not.toBe(query(1).name)
  expect(query(1).name.length).toBeLessThan(64)
})

test('building on a fragment leaves it as it was', () => {
  const base = sql`a = ${1}`
  join([base, sql`b = ${2}`], ' and ')
  expect(parts(base)).toEqual(['a = $1', [1]])
})

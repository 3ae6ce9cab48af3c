// What database errors mean to callers: try again, come back later, or never; and when a rollback is certain.

import { expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { errorCode, faultOf, isServerError, toFlowError } from '../../src/store/errors.ts'

function failure(code?: string, message = 'relation "flows" secret detail'): Error {
  return Object.assign(new Error(message), code === undefined ? {} : { code })
}

test.each([
  // The server's own, the transaction is gone for certain.
  ['40001', 'retry', true],
  ['40P01', 'retry', true],
  ['55P03', 'retry', true],
  ['25P03', 'retry', true],
  ['23505', 'refused', true],
  ['23514', 'refused', true],
  ['22P05', 'refused', true],
  ['P0001', 'refused', true],
  ['XX000', 'refused', true],
  ['42P01', 'refused', true],
  ['57014', 'unavailable', true],
  ['53100', 'unavailable', true],
  ['53300', 'unavailable', true],
  ['25006', 'unavailable', true],
  ['58030', 'unavailable', true],
  // A session that was ended may have committed before.
  ['57P01', 'unavailable', false],
  ['57P02', 'unavailable', false],
  ['57P03', 'unavailable', false],
  ['08006', 'unavailable', false],
  // The connection's.
  ['ECONNRESET', 'unavailable', false],
  ['ECONNREFUSED', 'unavailable', false],
  ['ETIMEDOUT', 'unavailable', false],
  ['EPIPE', 'unavailable', false],
  ['ENOTFOUND', 'unavailable', false],
  [undefined, 'unavailable', false],
])('%s is %s', (code, fault, certain) => {
  expect(faultOf(failure(code))).toBe(fault)
  expect(isServerError(failure(code))).toBe(certain)
})

test('codes are read of anything', () => {
  for (const nothing of [null, undefined, 'text', 7, {}, { code: 7 }]) {
    expect(errorCode(nothing)).toBeNull()
    expect(faultOf(nothing)).toBe('unavailable')
    expect(isServerError(nothing)).toBe(false)
  }
})

test('callers never read what the database said', () => {
  for (const code of ['23505', '40001', '57P01', 'ECONNRESET', 'EPIPE', undefined]) {
    const cause = failure(code)
    const shown = toFlowError(cause)
    expect(shown.cause).toBe(cause)
    expect(shown.message).not.toMatch(/relation|secret|flows"/)
    expect(JSON.stringify(shown.detail)).not.toMatch(/secret/)
    expect(shown.code).toBe(code === '23505' ? 'internal' : 'unavailable')
  }
  expect(toFlowError(failure('40001')).detail).toEqual({ retry_after: 1 })
})

test('a refusal stays what it is; a fault of this program is internal', () => {
  const refusal = new FlowError('stale_wait', 'x', { flow_id: 'f', expected: 'a', actual: null })
  expect(toFlowError(refusal)).toBe(refusal)
  expect(toFlowError(new TypeError('x is undefined')).code).toBe('internal')
  expect(toFlowError(new RangeError('9 is past 2^53')).code).toBe('internal')
})

// What counts as near: slips of the pen and other ways to write a name do, other words do not.

import { expect, test } from 'vitest'
import { distance, nearest } from '../../src/domain/nearest.ts'

test.each([
  ['statee', 'state', 1],
  ['tiemr', 'timer', 1],
  ['correlationId', 'correlation_id', 0],
  ['correlation-id', 'correlation_id', 0],
  ['GOAL', 'goal', 0],
  ['ab', 'ba', 1],
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
])('%s and %s are %i apart', (a, b, far) => {
  expect(distance(a, b)).toBe(far)
  expect(distance(b, a)).toBe(far)
})

const names = [
  'controller_id',
  'goal',
  'owner_session_key',
  'requester_origin',
  'state',
  'key',
  'mode',
]

test.each([
  ['statee', 'state'],
  ['controllerId', 'controller_id'],
  ['owner', 'owner_session_key'],
  ['ownerSessionKey', 'owner_session_key'],
  ['requester', 'requester_origin'],
  ['gaol', 'goal'],
  ['id', undefined],
  ['x', undefined],
  ['priority', undefined],
  ['', undefined],
  ['s'.repeat(65), undefined],
])('%s means %s', (word, meant) => expect(nearest(word, names)).toBe(meant))

// How a flow is born: defaults, the events of its first revisions, and the limits.

import { expect, test } from 'vitest'
import { createFlow } from '../../src/domain/create.ts'
import { limits, newFlow, place, start } from '../support/flow-samples.ts'
import { fold, shownOf } from '../support/fold.ts'

test('with only what is needed', () => {
  const { flow, events } = createFlow(place, newFlow, start, limits)
  expect(flow).toEqual({
    ...newFlow,
    id: place.id,
    shard: place.shard,
    namespace: 'default',
    key: null,
    mode: 'managed',
    current_step: 'init',
    status: 'created',
    wait: null,
    cancel_requested: false,
    cancel_reason: null,
    labels: {},
    retain_ms: null,
    hold: null,
    revision: 0,
    wake_at: null,
    last_xid: '0',
    hooked: false,
    traceparent: null,
    state_bytes: 2,
    open_steps: 0,
    created_at: start,
    updated_at: start,
    closed_at: null,
    state: {},
  })
  expect(events.map(({ kind, revision, actor, at }) => [kind, revision, actor, at])).toEqual([
    ['created', 0, 'tester', start],
  ])
})

test.each([
  { mode: 'mirrored' as const },
  { mode: 'mirrored' as const, start: false },
  { start: true },
])('born running: %o', (more) => {
  const { flow, events } = createFlow(place, { ...newFlow, ...more }, start, limits)
  expect(flow).toMatchObject({ status: 'running', revision: 1, state: {} })
  expect(events.map(({ kind, revision }) => [kind, revision])).toEqual([
    ['created', 0],
    ['started', 1],
  ])
})

test('the events tell everything the flow was born with', () => {
  const input = { ...newFlow, state: { a: [1] }, labels: { tier: 'gold' }, key: 'k', start: true }
  const { flow, events } = createFlow(place, input, start, limits)
  expect(fold(events)).toEqual(shownOf(flow))
})

test('limits hold at birth', () => {
  const create = (more: object) => createFlow(place, { ...newFlow, ...more }, start, limits)
  const big = 'x'.repeat(limits.state_bytes - '{"a":""}'.length)
  expect(create({ state: { a: big } }).flow.state_bytes).toBe(limits.state_bytes)
  expect(() => create({ state: { a: `${big}x` } })).toThrow(
    expect.objectContaining({
      code: 'limit_exceeded',
      detail: { limit: 'state_bytes', maximum: 4_096, actual: 4_097 },
    }),
  )
  const labels = { a: '1', b: '2', c: '3', d: '4' }
  expect(Object.keys(create({ labels }).flow.labels)).toHaveLength(limits.labels)
  expect(() => create({ labels: { ...labels, e: '5' } })).toThrow('can have 4 labels')
})

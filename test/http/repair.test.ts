// Sixty slips against the service's own schemas: each answer names the member, and helps.

import { Type } from 'typebox'
import { describe, expect, test } from 'vitest'
import { components } from '../../src/contract/components.ts'
import { pageQuery } from '../../src/contract/kit.ts'
import type { FlowError, InputFault } from '../../src/domain/errors.ts'
import { flowStatuses } from '../../src/domain/flow.ts'
import { validatorCompiler } from '../../src/http/validation.ts'

const compile = validatorCompiler(components)

function judge(schema: unknown, data: unknown, httpPart = 'body'): FlowError | null {
  const result = compile({ schema, httpPart })(data)
  return result === true ? null : result.error
}

function faultOf(schema: unknown, data: unknown, httpPart = 'body'): InputFault {
  const error = judge(schema, data, httpPart)
  const fault = error !== null && 'errors' in error.detail ? error.detail.errors?.[0] : undefined
  if (error === null || fault === undefined) throw new Error(`accepted: ${JSON.stringify(data)}`)
  expect(error.code).toBe(fault.code === 'too_long' ? 'limit_exceeded' : 'invalid_request')
  expect(error.message).toBe(fault.message)
  return fault
}

const create = (more: object) => ({
  controller_id: 'c',
  goal: 'g',
  owner_session_key: 'o',
  requester_origin: 'r',
  ...more,
})
const without = (name: string, more: object = {}) =>
  Object.fromEntries(Object.entries(create(more)).filter(([key]) => key !== name))

/** Schema, body, pointer, code, did_you_mean. */
const slips: [string, unknown, string, string, string?][] = [
  ['CreateFlow', create({ statee: {} }), '/statee', 'unknown_member', 'state'],
  ['CreateFlow', create({ currentStep: 'x' }), '/currentStep', 'unknown_member', 'current_step'],
  [
    'CreateFlow',
    create({ 'on-conflict': 'fail' }),
    '/on-conflict',
    'unknown_member',
    'on_conflict',
  ],
  ['CreateFlow', create({ lables: {} }), '/lables', 'unknown_member', 'labels'],
  ['CreateFlow', create({ idempotency_key: 'x' }), '/idempotency_key', 'unknown_member'],
  ['CreateFlow', create({ id: 'x' }), '/id', 'unknown_member'],
  ['CreateFlow', create({ __proto: 1 }), '/__proto', 'unknown_member'],
  ['CreateFlow', create({ constructor: 1 }), '/constructor', 'unknown_member'],
  ['CreateFlow', create({ 'a/b~c': 1 }), '/a~1b~0c', 'unknown_member'],
  ['CreateFlow', without('goal'), '/goal', 'required'],
  ['CreateFlow', without('goal', { goals: 'g' }), '/goal', 'required', 'goal'],
  [
    'CreateFlow',
    without('controller_id', { controllerId: 'c' }),
    '/controller_id',
    'required',
    'controller_id',
  ],
  ['CreateFlow', without('owner_session_key', { owner: 'o' }), '/owner', 'unknown_member'],
  [
    'CreateFlow',
    without('requester_origin', { requesterOrigin: 'o' }),
    '/requesterOrigin',
    'unknown_member',
    'requester_origin',
  ],
  ['CreateFlow', {}, '/controller_id', 'required'],
  ['CreateFlow', create({ goal: 5 }), '/goal', 'wrong_type'],
  ['CreateFlow', create({ goal: null }), '/goal', 'wrong_type'],
  ['CreateFlow', create({ goal: ['g'] }), '/goal', 'wrong_type'],
  ['CreateFlow', create({ goal: '' }), '/goal', 'too_short'],
  ['CreateFlow', create({ goal: 'g'.repeat(1025) }), '/goal', 'too_long'],
  ['CreateFlow', create({ key: 'k'.repeat(256) }), '/key', 'too_long'],
  ['CreateFlow', create({ state: null }), '/state', 'wrong_type'],
  ['CreateFlow', create({ state: [] }), '/state', 'wrong_type'],
  ['CreateFlow', create({ state: '{}' }), '/state', 'wrong_type'],
  ['CreateFlow', create({ start: 'true' }), '/start', 'wrong_type'],
  ['CreateFlow', create({ start: 1 }), '/start', 'wrong_type'],
  ['CreateFlow', create({ mode: 'mirored' }), '/mode', 'not_allowed', 'mirrored'],
  ['CreateFlow', create({ mode: 'Managed' }), '/mode', 'not_allowed', 'managed'],
  [
    'CreateFlow',
    create({ on_conflict: 'useExisting' }),
    '/on_conflict',
    'not_allowed',
    'use_existing',
  ],
  ['CreateFlow', create({ on_conflict: 'merge' }), '/on_conflict', 'not_allowed'],
  ['CreateFlow', create({ labels: { tier: 5 } }), '/labels/tier', 'wrong_type'],
  ['CreateFlow', create({ labels: { tier: null } }), '/labels/tier', 'wrong_type'],
  ['CreateFlow', create({ labels: { tier: 'x'.repeat(257) } }), '/labels/tier', 'too_long'],
  ['CreateFlow', create({ labels: { '': 'x' } }), '/labels/', 'member_name'],
  ['CreateFlow', create({ labels: ['gold'] }), '/labels', 'wrong_type'],
  ['CreateFlow', null, '', 'wrong_type'],
  ['CreateFlow', [], '', 'wrong_type'],
  ['CreateFlow', 'x', '', 'wrong_type'],
  ['WaitRequest', {}, '/kind', 'required'],
  ['WaitRequest', { Kind: 'timer' }, '/kind', 'required', 'kind'],
  ['WaitRequest', { kind: 'tiemr' }, '/kind', 'unknown_kind', 'timer'],
  ['WaitRequest', { kind: 'externalEvent' }, '/kind', 'unknown_kind', 'external_event'],
  ['WaitRequest', { kind: 'any', of: [] }, '/of', 'too_few'],
  ['WaitRequest', { kind: 'none', of: [] }, '/kind', 'unknown_kind'],
  ['WaitRequest', { kind: 5 }, '/kind', 'unknown_kind'],
  ['WaitRequest', { kind: 'timer', at: 'tomorrow' }, '/at', 'format'],
  ['WaitRequest', { kind: 'timer', at: '2026-02-30T00:00:00Z' }, '/at', 'format'],
  ['WaitRequest', { kind: 'timer', at: 1_766_000_000 }, '/at', 'wrong_type'],
  ['WaitRequest', { kind: 'timer', after: '1h' }, '/after', 'format'],
  ['WaitRequest', { kind: 'timer', after: 'pt1h' }, '/after', 'format', 'PT1H'],
  ['WaitRequest', { kind: 'timer', after: 'P1M' }, '/after', 'format'],
  ['WaitRequest', { kind: 'timer', until: 'x' }, '/until', 'unknown_member'],
  [
    'WaitRequest',
    { kind: 'external_event', topic: 't', correlationId: '1' },
    '/correlation_id',
    'required',
    'correlation_id',
  ],
  [
    'WaitRequest',
    { kind: 'external_event', topic: '', correlation_id: 'c' },
    '/topic',
    'too_short',
  ],
  ['WaitRequest', { kind: 'manual', name: 'approved' }, '/name', 'unknown_member'],
  ['ResumeFlow', { state_patch: null }, '/state_patch', 'wrong_type'],
  ['ResumeFlow', { wait_id: 'w-1' }, '/wait_id', 'format'],
  ['ResumeFlow', { statePatch: {} }, '/statePatch', 'unknown_member', 'state_patch'],
  ['UpdateFlowState', { patch: 5 }, '/patch', 'wrong_type'],
  ['UpdateFlowState', { unset: 'a' }, '/unset', 'wrong_type'],
  ['UpdateFlowState', { unset: ['a', 5] }, '/unset/1', 'wrong_type'],
  ['FailFlow', {}, '/reason', 'required'],
  ['FailFlow', { raeson: 'x' }, '/reason', 'required', 'reason'],
  ['ObserveStep', { task: 't', status: 'done' }, '/status', 'not_allowed'],
  ['ObserveStep', { task: 't', status: 'suceeded' }, '/status', 'not_allowed', 'succeeded'],
]

describe('bodies', () => {
  test('there are sixty slips at least', () => expect(slips.length).toBeGreaterThanOrEqual(60))

  test.each(slips)('%s %j', (id, body, pointer, code, meant) => {
    const fault = faultOf({ $ref: id }, body)
    expect(fault).toMatchObject({ pointer, code })
    if (meant !== undefined) expect(fault.did_you_mean).toBe(meant)
    expect(fault.message.split(/\s+/).length).toBeLessThanOrEqual(25)
    // The sentence alone names the member, unless its name is no text to read.
    const name = pointer.slice(pointer.lastIndexOf('/') + 1)
    if (/^\w+$/.test(name)) expect(fault.message).toContain(name)
  })

  test.each([
    [create({ statee: {} }), '"statee" is not a member here. Did you mean "state"?'],
    [create({ goal: 5 }), 'goal must be a text, not a number. Write "5" with quotes.'],
    [
      create({ start: 'true' }),
      'start must be true or false, not a text. Write true without quotes.',
    ],
    [create({ state: null }), 'state must be an object, not null: send one, or leave it out.'],
    [create({ mode: 'mirored' }), 'mode cannot be "mirored". Did you mean "mirrored"?'],
    [create({ on_conflict: 'merge' }), 'on_conflict cannot be "merge". Send fail or use_existing.'],
    [
      without('controller_id', { controllerId: 'c' }),
      'controller_id is required: you sent controllerId.',
    ],
    [create({ goal: '' }), 'goal must not be empty.'],
    [null, 'The body must be an object, not null: send one.'],
  ])('%j is told: %s', (body, message) =>
    expect(faultOf({ $ref: 'CreateFlow' }, body).message).toBe(message),
  )

  test('what is right passes', () => {
    expect(
      judge({ $ref: 'CreateFlow' }, create({ state: JSON.parse('{"__proto__":{"a":1}}') })),
    ).toBeNull()
    expect(judge({ $ref: 'WaitRequest' }, { kind: 'timer', after: 'PT0.3S' })).toBeNull()
  })

  test('nothing is removed, defaulted or coerced', () => {
    const schema = Type.Object({
      n: Type.Optional(Type.Integer({ default: 5 })),
      m: Type.Optional(Type.String()),
    })
    const body = { extra: 1 }
    expect(judge(schema, body)).toBeNull()
    expect(body).toEqual({ extra: 1 })
    expect(faultOf(schema, { n: '5' }).message).toBe(
      'n must be a whole number, not a text. Write 5 without quotes.',
    )
    expect(faultOf(schema, { n: 1.5 }).code).toBe('wrong_type')
  })

  test('values and names that are long or wordy are not repeated', () => {
    const long = 'x'.repeat(65)
    const wordy = 'a b c d e f g h i j k l m n o p q r s t u v w x y z'
    for (const text of [long, wordy]) {
      expect(faultOf({ $ref: 'CreateFlow' }, create({ mode: text })).message).not.toContain(text)
      expect(faultOf({ $ref: 'CreateFlow' }, create({ [text]: 1 })).message).not.toContain(text)
      expect(
        faultOf({ $ref: 'CreateFlow' }, create({ labels: { [text]: 1 } })).message,
      ).not.toContain(text)
    }
    expect(faultOf({ $ref: 'CreateFlow' }, create({ [long]: 1 })).pointer.length).toBeLessThan(70)
  })

  test('a union without a tag tells of the branch that was meant', () => {
    const A = Type.Object(
      { a: Type.Object({ deep: Type.Integer() }) },
      { additionalProperties: false },
    )
    const schema = {
      type: 'object',
      properties: {
        u: { anyOf: [A, { type: 'null' }] },
        s: { anyOf: [{ type: 'string' }, { type: 'null' }] },
      },
    }
    expect(faultOf(schema, { u: { a: { deep: 'x' } } })).toMatchObject({
      pointer: '/u/a/deep',
      code: 'wrong_type',
    })
    expect(faultOf(schema, { u: 5 }).message).toBe('u must be an object or null, not a number.')
    expect(faultOf(schema, { s: 5 }).message).toBe(
      's must be a text or null, not a number. Write "5" with quotes.',
    )
  })

  test.each([
    [{ type: 'integer', minimum: 1, maximum: 9 }, 10, 'x must be 1 to 9.'],
    [{ type: 'integer', minimum: 1 }, 0, 'x must be 1 or more.'],
    [{ type: 'number', exclusiveMinimum: 0 }, 0, 'x must be more than 0.'],
    [{ type: 'integer', multipleOf: 5 }, 7, 'x must be a multiple of 5.'],
    [
      { type: 'string', pattern: '^a$', examples: ['a'] },
      'b',
      'x has a form that is not allowed. For example: a',
    ],
    [{ type: 'array', minItems: 1 }, [], 'x needs at least one item.'],
    [{ type: 'array', maxItems: 2 }, [1, 2, 3], 'x takes at most 2 items.'],
    [{ type: 'array', uniqueItems: true }, [1, 1], 'x has an item twice: send each once.'],
    [{ type: 'object', minProperties: 1 }, {}, 'x needs at least one member.'],
    [{ type: 'object', maxProperties: 1 }, { a: 1, b: 2 }, 'x takes at most one member.'],
    [{ const: 5 }, 6, 'x cannot be 6. Send 5.'],
    [{ type: 'string', format: 'email' }, 'a', 'x must be of format email.'],
    [{ not: {} }, 1, 'x does not match its schema: see /docs.'],
  ])('%j', (property, value, message) => {
    expect(faultOf({ type: 'object', properties: { x: property } }, { x: value }).message).toBe(
      message,
    )
  })
})

describe('queries', () => {
  const schema = Type.Object({
    ...pageQuery,
    status: Type.Optional(Type.Array(Type.String({ enum: [...flowStatuses] }))),
    created_after: Type.Optional(Type.String({ format: 'date-time' })),
  })

  test.each([
    [{ limit: 'x' }, '?limit', 'wrong_type', 'limit must be a whole number, not "x".'],
    [{ limit: '500' }, '?limit', 'out_of_range', 'limit must be 1 to 200.'],
    [{ limit: ['1', '2'] }, '?limit', 'repeated', 'limit was sent more than once: send it once.'],
    [
      { limits: '1' },
      '?limits',
      'unknown_parameter',
      '"limits" is not a parameter of this request. Did you mean "limit"?',
    ],
    [
      { status: 'runing' },
      '?status',
      'not_allowed',
      'status cannot be "runing". Did you mean "running"?',
    ],
    [
      { created_after: '2026' },
      '?created_after',
      'format',
      'created_after must be a time with a zone, for example 2026-04-23T15:00:00Z.',
    ],
  ])('%j', (query, pointer, code, message) => {
    expect(faultOf(schema, query, 'querystring')).toMatchObject({ pointer, code, message })
  })

  test('a request that takes none says so', () => {
    const none = Type.Object({})
    expect(faultOf(none, { a: '1' }, 'querystring').message).toBe(
      '"a" is not a parameter of this request. None is taken.',
    )
  })

  test('paths and headers have marks of their own', () => {
    const id = Type.Object({ run_id: Type.String({ maxLength: 3 }) })
    expect(faultOf(id, { run_id: 'abcd' }, 'params').pointer).toBe(':run_id')
    const header = Type.Object({ 'if-match': Type.String({ maxLength: 3 }) })
    expect(faultOf(header, { 'if-match': 'abcd' }, 'headers').pointer).toBe('if-match')
  })
})

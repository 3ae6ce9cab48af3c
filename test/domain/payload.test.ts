// Schemas of links and the payloads that fit them, held against ajv on the subset that is allowed.

import { Ajv2020 } from 'ajv/dist/2020.js'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import type { JsonObject, JsonValue } from '../../src/domain/json.ts'
import { payloadFaults } from '../../src/domain/payload.ts'
import { jsonTypes, type PayloadSchema, readSchema } from '../../src/domain/payload-schema.ts'

const ajv = new Ajv2020({ strict: false, addUsedSchema: false, ownProperties: true })

/** The pointer and code of the fault of a schema, or null. */
function faultOf(schema: JsonObject): string | null {
  try {
    readSchema(schema, '')
    return null
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    const { errors = [] } = error.detail as { errors?: { pointer: string; code: string }[] }
    return `${error.code} ${errors[0]?.pointer} ${errors[0]?.code}`
  }
}

const names = fc.constantFrom('a', 'b', 'c', 'constructor', 'a/b', 'ü')
const scalar: fc.Arbitrary<JsonValue> = fc.oneof(
  fc.constant(null),
  fc.boolean(),
  fc.integer({ min: -3, max: 3 }),
  fc.constantFrom(0.5, -1.5, 2.0),
  fc.constantFrom('', 'x', 'xy', '\u{1F600}', '\u{1F600}y', 'xyz'),
)
const object = (value: fc.Arbitrary<JsonValue>): fc.Arbitrary<JsonObject> =>
  fc
    .uniqueArray(fc.tuple(names, value), { selector: ([name]) => name, maxLength: 3 })
    .map((members) => Object.fromEntries(members))
const { payload } = fc.letrec<{ payload: JsonValue }>((tie) => ({
  payload: fc.oneof(
    { maxDepth: 3, depthSize: 'small' },
    scalar,
    fc.array(tie('payload'), { maxLength: 3 }),
    object(tie('payload')),
  ),
}))
const small = fc.integer({ min: 0, max: 3 })
const different = (values: fc.Arbitrary<JsonValue>) =>
  fc.uniqueArray(values, { minLength: 1, maxLength: 4, selector: (one) => JSON.stringify(one) })
const keywords = {
  type: fc.oneof(
    fc.constantFrom<JsonValue>(...jsonTypes),
    different(fc.constantFrom<JsonValue>(...jsonTypes)),
  ),
  enum: different(scalar),
  const: scalar,
  required: fc.uniqueArray(names, { maxLength: 2 }),
  additionalProperties: fc.boolean(),
  minItems: small,
  maxItems: small,
  minLength: small,
  maxLength: small,
  minimum: fc.integer({ min: -3, max: 3 }),
  maximum: fc.integer({ min: -3, max: 3 }),
  title: fc.string(),
  default: scalar,
  examples: fc.array(scalar, { maxLength: 2 }),
}
/** A few keywords each: a schema with all of them fits nothing. */
const few = (made: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(made).filter((_, i, all) => (i * 7 + all.length) % 3 === 0))
const schemaOf = (depth: number): fc.Arbitrary<JsonObject> => {
  const own = fc.record(keywords, { requiredKeys: [] }).map((made) => few(made))
  if (depth === 0) return own
  const inner = fc.record(
    {
      properties: fc
        .uniqueArray(fc.tuple(names, schemaOf(depth - 1)), {
          selector: ([name]) => name,
          maxLength: 3,
        })
        .map((members): JsonObject => Object.fromEntries(members)),
      items: schemaOf(depth - 1),
    },
    { requiredKeys: [] },
  )
  return fc.tuple(own, inner).map(([a, b]): JsonObject => ({ ...a, ...b }))
}
const schema = schemaOf(2)

describe('payloadFaults', () => {
  it('agrees with ajv on every schema of the subset', () => {
    const verdicts = { fits: 0, refused: 0 }
    fc.assert(
      fc.property(schema, fc.array(payload, { minLength: 1, maxLength: 6 }), (rules, payloads) => {
        const read = readSchema(rules, '')
        const validate = ajv.compile(rules)
        for (const one of payloads) {
          const faults = payloadFaults(read, one)
          expect(faults.length === 0, JSON.stringify({ rules, one, faults })).toBe(validate(one))
          if (faults.length === 0) verdicts.fits++
          else verdicts.refused++
        }
      }),
      { numRuns: 600 },
    )
    expect(Math.min(verdicts.fits, verdicts.refused)).toBeGreaterThan(100)
  })

  const refund: PayloadSchema = {
    type: 'object',
    properties: {
      approved: { type: 'boolean' },
      amount: { type: 'integer', minimum: 1, maximum: 10 },
      tags: { type: 'array', items: { enum: ['a', 'b'] }, maxItems: 2 },
      name: { type: 'string', minLength: 2, maxLength: 3 },
    },
    required: ['approved'],
    additionalProperties: false,
  }
  it.each<[JsonValue, string[]]>([
    [{ approved: true, amount: 10, tags: ['a', 'b'], name: '\u{1F600}x' }, []],
    [null, [' wrong_type']],
    [[], [' wrong_type']],
    [{}, ['/approved required']],
    [{ approved: 'true' }, ['/approved wrong_type']],
    [{ approved: true, amount: 10.5 }, ['/amount wrong_type']],
    [{ approved: true, amount: 11 }, ['/amount out_of_range']],
    [{ approved: true, amount: 0 }, ['/amount out_of_range']],
    [{ approved: true, tags: ['a', 'c', 'b'] }, ['/tags too_many', '/tags/1 not_allowed']],
    [{ approved: true, name: '\u{1F600}' }, ['/name too_short']],
    [{ approved: true, name: 'long' }, ['/name too_long']],
    [{ approved: true, 'x/y~z': 1 }, ['/x~1y~0z unknown_member']],
    [JSON.parse('{"approved":true,"__proto__":1}'), ['/__proto__ unknown_member']],
    [
      JSON.parse('{"__proto__":{"approved":true}}'),
      ['/approved required', '/__proto__ unknown_member'],
    ],
  ])('%j: %j', (value, told) => {
    const faults = payloadFaults(refund, value)
    expect(faults.map(({ pointer, code }) => `${pointer} ${code}`)).toEqual(told)
    for (const { message } of faults) expect(message.split(' ').length).toBeLessThanOrEqual(25)
  })

  it('tells a bounded number of faults', () => {
    const many = Array.from({ length: 1000 }, () => 0)
    expect(payloadFaults({ items: { type: 'string' } }, many)).toHaveLength(16)
  })
})

describe('readSchema', () => {
  const nested = (depth: number): JsonObject =>
    depth === 1 ? {} : { type: 'array', items: nested(depth - 1) }

  it.each<[string, JsonObject, string | null]>([
    ['nothing', {}, null],
    ['ten levels', nested(10), null],
    ['eleven levels', nested(11), `limit_exceeded ${'/items'.repeat(10)} out_of_range`],
    ['a large one', { description: 'x'.repeat(16_400) }, 'limit_exceeded  out_of_range'],
    ['a pattern', { pattern: '(a+)+$' }, 'invalid_request /pattern unknown_member'],
    ['a reference', { $ref: '#' }, 'invalid_request /$ref unknown_member'],
    [
      'a branch deep inside',
      { properties: { 'a/b': { items: { oneOf: [] } } } },
      'invalid_request /properties/a~1b/items/oneOf unknown_member',
    ],
    ['a member of every object', { constructor: 1 }, 'invalid_request /constructor unknown_member'],
    ['a strange type', { type: 'text' }, 'invalid_request /type invalid_value'],
    ['a type twice', { type: ['string', 'string'] }, 'invalid_request /type invalid_value'],
    ['no type of several', { type: [] }, 'invalid_request /type invalid_value'],
    ['an empty enum', { enum: [] }, 'invalid_request /enum invalid_value'],
    ['one value twice', { enum: [{ a: 1 }, { a: 1 }] }, 'invalid_request /enum invalid_value'],
    [
      'a schema for other members',
      { additionalProperties: { type: 'string' } },
      'invalid_request /additionalProperties invalid_value',
    ],
    ['a boolean for a schema', { items: true }, 'invalid_request /items invalid_value'],
    [
      'a property that is none',
      { properties: { a: 1 } },
      'invalid_request /properties/a wrong_type',
    ],
    ['properties in a list', { properties: [] }, 'invalid_request /properties invalid_value'],
    ['required by number', { required: [1] }, 'invalid_request /required invalid_value'],
    ['less than nothing', { minLength: -1 }, 'invalid_request /minLength invalid_value'],
    ['half an item', { maxItems: 0.5 }, 'invalid_request /maxItems invalid_value'],
    ['a bound as text', { minimum: '1' }, 'invalid_request /minimum invalid_value'],
    ['a title that is none', { title: null }, 'invalid_request /title invalid_value'],
  ])('%s', (_, given, told) => {
    expect(faultOf(given)).toBe(told)
  })
})

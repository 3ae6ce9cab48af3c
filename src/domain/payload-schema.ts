// Which JSON Schemas payloads can be held to: a bounded subset that is read, never turned into code.

import { FlowError, type InputFault, invalid } from './errors.ts'
import { type JsonObject, type JsonValue, jsonBytes, jsonEqual } from './json.ts'

export const jsonTypes = [
  'object',
  'array',
  'string',
  'number',
  'integer',
  'boolean',
  'null',
] as const
export type JsonType = (typeof jsonTypes)[number]

/** A schema that `readSchema` let through. Keywords for other types than a value's say nothing about it. */
export interface PayloadSchema {
  type?: JsonType | JsonType[]
  enum?: JsonValue[]
  const?: JsonValue
  properties?: Record<string, PayloadSchema>
  required?: string[]
  additionalProperties?: boolean
  items?: PayloadSchema
  minItems?: number
  maxItems?: number
  minLength?: number
  maxLength?: number
  minimum?: number
  maximum?: number
  title?: string
  description?: string
  default?: JsonValue
  examples?: JsonValue[]
}

/** Bounds of a schema, so that judging a payload takes a bounded time. */
const maxBytes = 16_384
const maxDepth = 10
const maxEnum = 256

/** What is wrong with the value of a keyword, as the rest of a sentence; null when nothing is. */
type Rule = (value: JsonValue) => string | null

const count: Rule = (value) =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0
    ? null
    : 'must be a whole number of 0 or more'
const number: Rule = (value) => (typeof value === 'number' ? null : 'must be a number')
const text: Rule = (value) => (typeof value === 'string' ? null : 'must be a text')
const list: Rule = (value) => (Array.isArray(value) ? null : 'must be an array')
const anything: Rule = () => null

const rules: Record<keyof PayloadSchema, Rule> = {
  type: (value) => {
    const types = Array.isArray(value) ? value : [value]
    const known = types.every((type) => jsonTypes.some((one) => one === type))
    return known && types.length > 0 && allDiffer(types)
      ? null
      : `must be one of ${jsonTypes.join(', ')}, or an array of some of them`
  },
  enum: (value) =>
    Array.isArray(value) && value.length > 0 && value.length <= maxEnum && allDiffer(value)
      ? null
      : `must be an array of 1 to ${maxEnum} different values`,
  const: anything,
  properties: (value) => (isObject(value) ? null : 'must be an object of schemas'),
  required: (value) =>
    Array.isArray(value) && value.every((name) => typeof name === 'string') && allDiffer(value)
      ? null
      : 'must be an array of different names',
  additionalProperties: (value) => (typeof value === 'boolean' ? null : 'must be true or false'),
  items: (value) => (isObject(value) ? null : 'must be a schema, which is an object'),
  minItems: count,
  maxItems: count,
  minLength: count,
  maxLength: count,
  minimum: number,
  maximum: number,
  title: text,
  description: text,
  default: anything,
  examples: list,
}

const keywords = Object.keys(rules)

/**
 * Lets a schema through that is in the subset.
 *
 * @throws FlowError `invalid_request` with the pointer of the first fault, below `pointer`;
 *   `limit_exceeded` when it is too large.
 */
export function readSchema(schema: JsonObject, pointer: string): PayloadSchema {
  const actual = jsonBytes(schema)
  if (actual > maxBytes) {
    const message = `The schema is larger than ${maxBytes} bytes: ask for less at once.`
    throw tooLarge('payload_schema_bytes', maxBytes, actual, pointer, message)
  }
  judge(schema, pointer, 1)
  return schema
}

function judge(schema: JsonObject, pointer: string, depth: number): void {
  if (depth > maxDepth) {
    const message = `Schemas are nested more than ${maxDepth} levels deep here: flatten them.`
    throw tooLarge('payload_schema_depth', maxDepth, depth, pointer, message)
  }
  for (const [keyword, value] of Object.entries(schema)) {
    const at = `${pointer}/${escapePointer(keyword)}`
    if (!Object.hasOwn(rules, keyword)) {
      throw invalid(
        at,
        'unknown_member',
        'This keyword is not one that such a schema can have. See allowed.',
        { allowed: keywords },
      )
    }
    const fault = rules[keyword as keyof PayloadSchema](value)
    if (fault !== null) throw invalid(at, 'invalid_value', `${keyword} ${fault}.`)
  }
  const { properties, items } = schema
  if (isObject(items)) judge(items, `${pointer}/items`, depth + 1)
  if (!isObject(properties)) return
  for (const [name, property] of Object.entries(properties)) {
    const at = `${pointer}/properties/${escapePointer(name)}`
    if (!isObject(property)) throw invalid(at, 'wrong_type', 'A property has a schema: an object.')
    judge(property, at, depth + 1)
  }
}

function tooLarge(
  limit: string,
  maximum: number,
  actual: number,
  pointer: string,
  message: string,
): FlowError {
  const errors: InputFault[] = [{ pointer, code: 'out_of_range', message }]
  return new FlowError('limit_exceeded', message, { limit, maximum, actual, errors })
}

function allDiffer(values: readonly JsonValue[]): boolean {
  return values.every((value, i) => !values.slice(0, i).some((other) => jsonEqual(value, other)))
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** A member's name as a part of a JSON Pointer (RFC 6901). */
export function escapePointer(name: string): string {
  return name.replaceAll('~', '~0').replaceAll('/', '~1')
}

/** The types that a schema names; all of them when it names none. */
export function typesOf({ type }: PayloadSchema): readonly JsonType[] {
  return type === undefined ? jsonTypes : [type].flat()
}

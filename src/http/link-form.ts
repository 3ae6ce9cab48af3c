// The form on the page of a link: which fields a schema asks for, and what payload they make.

import type { JsonObject, JsonValue } from '../domain/json.ts'
import { textOf } from '../domain/payload.ts'
import { escapePointer, type PayloadSchema, typesOf } from '../domain/payload-schema.ts'
import { parseJson } from './json.ts'

/** How a field is drawn; `fixed` is one that has one value alone. */
export type FieldLook = 'checkbox' | 'choice' | 'number' | 'line' | 'text' | 'json' | 'fixed'

export interface Field {
  name: string
  /** Where its value stands in the payload, as faults name it. */
  pointer: string
  look: FieldLook
  schema: PayloadSchema
  required: boolean
}

/** The field of a link without a schema. */
const comment: Field = {
  name: 'comment',
  pointer: '/comment',
  look: 'text',
  schema: { type: 'string', title: 'Comment' },
  required: false,
}

/** The one field of a schema that is not of an object. */
const wholePayload = 'payload'

/** Texts longer than this get a box of several lines. */
const lineLength = 100

const jsonDepth = 32
const jsonNumber = /^-?\d{1,30}(\.\d{1,30})?(e[+-]?\d{1,3})?$/i

/** The fields that a schema asks for, in its order. */
export function fieldsOf(schema: PayloadSchema | null): Field[] {
  if (schema === null) return [comment]
  if (!isOfObject(schema)) {
    const look = lookOf(schema)
    return [{ name: wholePayload, pointer: '', look, schema, required: true }]
  }
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    pointer: `/${escapePointer(name)}`,
    look: lookOf(property),
    schema: property,
    required: schema.required?.includes(name) === true,
  }))
}

function isOfObject({ type, properties, enum: values, const: only }: PayloadSchema): boolean {
  if (values !== undefined || only !== undefined) return false
  return type === undefined ? properties !== undefined : [type].flat()[0] === 'object'
}

function lookOf(schema: PayloadSchema): FieldLook {
  if (schema.const !== undefined) return 'fixed'
  if (schema.enum !== undefined) return 'choice'
  switch (mainType(schema)) {
    case 'boolean':
      return 'checkbox'
    case 'integer':
    case 'number':
      return 'number'
    case 'string':
      return (schema.maxLength ?? Number.POSITIVE_INFINITY) <= lineLength ? 'line' : 'text'
    default:
      return 'json'
  }
}

/** The type that a field is drawn for: the first one that is not null, if types are named at all. */
function mainType(schema: PayloadSchema): string | undefined {
  return schema.type === undefined ? undefined : typesOf(schema).find((type) => type !== 'null')
}

/**
 * The payload that a form makes; undefined when there is none. What does not fit stays a text, for
 * the schema to refuse. A field that is left empty is a member that is left out.
 */
export function payloadOf(
  schema: PayloadSchema | null,
  form: ReadonlyMap<string, string>,
): JsonValue | undefined {
  const fields = fieldsOf(schema)
  if (schema !== null && !isOfObject(schema)) {
    const [field] = fields
    return field === undefined ? undefined : memberOf(field, form.get(field.name))
  }
  const members = new Map<string, JsonValue>()
  for (const field of fields) {
    const value = memberOf(field, form.get(field.name))
    if (value !== undefined) members.set(field.name, value)
  }
  // Nothing that was sent is dropped in silence: the schema says whether it may be there.
  for (const [name, text] of form) {
    if (!fields.some((field) => field.name === name)) members.set(name, text)
  }
  if (schema === null && members.size === 0) return undefined
  return Object.fromEntries(members) as JsonObject
}

function memberOf(
  { look, schema, required }: Field,
  text: string | undefined,
): JsonValue | undefined {
  if (schema.const !== undefined) return schema.const
  if (look === 'checkbox') {
    if (text === undefined || /^(|off|false|no|0)$/i.test(text)) return false
    return /^(on|true|yes|1)$/i.test(text) ? true : text
  }
  const chosen = schema.enum?.find((value) => textOf(value) === text)
  if (chosen !== undefined) return chosen
  if (text === undefined || text.trim() === '') {
    return required && schema.type !== undefined && typesOf(schema).includes('null')
      ? null
      : undefined
  }
  if (look === 'number') return jsonNumber.test(text.trim()) ? (finite(Number(text)) ?? text) : text
  return look === 'json' ? readJson(text) : text
}

/** -0 is 0, as in JSON bodies. */
function finite(value: number): number | undefined {
  return Number.isFinite(value) ? value + 0 : undefined
}

function readJson(text: string): JsonValue {
  try {
    return parseJson(Buffer.from(text), { depth: jsonDepth })
  } catch {
    return text
  }
}

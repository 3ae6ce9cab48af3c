// Judges a payload by a schema.

import type { InputFault } from './errors.ts'
import { type JsonValue, jsonEqual } from './json.ts'
import { escapePointer, type JsonType, type PayloadSchema, typesOf } from './payload-schema.ts'

/** Faults that are told at once. */
const maxFaults = 16
/** Names or values that a fault lists as possible. */
const maxAllowed = 20

/** What is wrong with a payload, with pointers into it; nothing when it fits. */
export function payloadFaults(schema: PayloadSchema, payload: JsonValue): InputFault[] {
  const faults: InputFault[] = []
  judge(schema, payload, '', 'The payload')
  return faults

  function tell(pointer: string, code: string, message: string, allowed?: string[]): void {
    if (faults.length >= maxFaults) return
    faults.push({ pointer, code, message, ...(allowed !== undefined && { allowed }) })
  }

  function judge(rules: PayloadSchema, value: JsonValue, pointer: string, name: string): void {
    if (faults.length >= maxFaults) return
    const types = typesOf(rules)
    const { enum: values, const: only } = rules
    if (!types.some((type) => hasType(value, type))) {
      tell(pointer, 'wrong_type', `${name} must be ${types.map(typeName).join(' or ')}.`)
    } else if (values !== undefined && !values.some((one) => jsonEqual(one, value))) {
      const allowed = values.slice(0, maxAllowed).map(textOf)
      tell(pointer, 'not_allowed', `${name} must be one of those in allowed.`, allowed)
    } else if (only !== undefined && !jsonEqual(only, value)) {
      tell(pointer, 'not_allowed', `${name} can have one value alone.`, [textOf(only)])
    } else if (typeof value === 'string') judgeText(rules, value, pointer, name)
    else if (typeof value === 'number') judgeNumber(rules, value, pointer, name)
    else if (Array.isArray(value)) judgeArray(rules, value, pointer, name)
    else if (typeof value === 'object' && value !== null) judgeObject(rules, value, pointer)
  }

  function judgeText(rules: PayloadSchema, value: string, pointer: string, name: string): void {
    const { minLength = 0, maxLength } = rules
    // In characters, as JSON Schema counts: a pair of surrogates is one.
    const length = [...value].length
    if (length < minLength) {
      tell(pointer, 'too_short', `${name} needs at least ${minLength} characters.`)
    }
    if (maxLength !== undefined && length > maxLength) {
      tell(pointer, 'too_long', `${name} can have ${maxLength} characters at most.`)
    }
  }

  function judgeNumber(rules: PayloadSchema, value: number, pointer: string, name: string): void {
    const { minimum, maximum } = rules
    if (minimum !== undefined && value < minimum) {
      tell(pointer, 'out_of_range', `${name} must be ${minimum} or more.`)
    }
    if (maximum !== undefined && value > maximum) {
      tell(pointer, 'out_of_range', `${name} must be ${maximum} or less.`)
    }
  }

  function judgeArray(
    { items, minItems = 0, maxItems }: PayloadSchema,
    value: JsonValue[],
    pointer: string,
    name: string,
  ): void {
    if (value.length < minItems) {
      tell(pointer, 'too_few', `${name} needs at least ${minItems} items.`)
    }
    if (maxItems !== undefined && value.length > maxItems) {
      tell(pointer, 'too_many', `${name} can have ${maxItems} items at most.`)
    }
    if (items === undefined) return
    for (const [i, item] of value.entries()) judge(items, item, `${pointer}/${i}`, `Item ${i + 1}`)
  }

  function judgeObject(
    { properties = {}, required = [], additionalProperties = true }: PayloadSchema,
    value: { [member: string]: JsonValue },
    pointer: string,
  ): void {
    const at = (member: string) => `${pointer}/${escapePointer(member)}`
    for (const member of required) {
      if (!Object.hasOwn(value, member)) {
        tell(at(member), 'required', `${shown(member)} is required.`)
      }
    }
    for (const [member, inner] of Object.entries(value)) {
      const known = Object.hasOwn(properties, member) ? properties[member] : undefined
      if (known !== undefined) judge(known, inner, at(member), shown(member))
      else if (!additionalProperties) {
        const allowed = Object.keys(properties).slice(0, maxAllowed)
        tell(at(member), 'unknown_member', `${shown(member)} is not asked for.`, allowed)
      }
    }
  }
}

function hasType(value: JsonValue, type: JsonType): boolean {
  switch (type) {
    case 'null':
      return value === null
    case 'array':
      return Array.isArray(value)
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value)
    case 'integer':
      return Number.isInteger(value)
    default:
      return typeof value === type
  }
}

const typeNames: Record<JsonType, string> = {
  object: 'an object',
  array: 'an array',
  string: 'a text',
  number: 'a number',
  integer: 'a whole number',
  boolean: 'true or false',
  null: 'null',
}

function typeName(type: JsonType): string {
  return typeNames[type]
}

/** A member's name for a sentence. */
function shown(member: string): string {
  return member.length <= 64 ? member : `${member.slice(0, 64)}…`
}

/** A JSON value as a person would write it into a field: a text without its quotes. */
export function textOf(value: JsonValue): string {
  return typeof value === 'string' ? value : JSON.stringify(value)
}

// Judges the parts of a request by their schemas: bodies as they are, queries and paths from text.

import { Ajv2020, type ErrorObject, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { TSchema } from 'typebox'
import { maxLengths } from '../contract/kit.ts'
import { FlowError, type InputFault } from '../domain/errors.ts'
import { durationFault, timestampFault } from '../domain/formats.ts'
import { type Part, repair } from './repair.ts'

type Schema = Record<string, unknown>

/** What Fastify hands to a validator compiler for each part of each route. */
interface Compilable {
  schema: unknown
  httpPart?: string
}

/** True, or the refusal. Fastify gives the error to the error handler as it is. */
type Judge = (data: unknown) => true | { error: FlowError }

const limitNames = Object.entries(maxLengths)

/** Keywords of the OpenAPI document that say nothing about validity. */
const annotations = ['example', 'externalDocs', 'xml', 'x-extensible-enum', 'x-enum-varnames']

/**
 * The compiler of validators for Fastify.
 *
 * Nothing is removed and nothing is coerced but the text of queries and paths, and that only where
 * the text is exactly how the value would be written (`limit=5`, not `5.0`, `0x5` or a blank).
 * Defaults apply to queries alone: a body means what it says. It stops at the first fault, so that
 * the work for a hostile body is bounded.
 *
 * @param components the named schemas; each has an `$id` that `$ref` can name.
 */
export function validatorCompiler(components: readonly TSchema[]): (route: Compilable) => Judge {
  const strict = makeAjv(components, false)
  const withDefaults = makeAjv(components, true)
  const byId = new Map<string, Schema>()
  for (const component of components) {
    if (isSchema(component) && typeof component['$id'] === 'string') {
      byId.set(component['$id'], component)
    }
  }
  const resolve = (schema: unknown): unknown => {
    if (!isSchema(schema) || typeof schema['$ref'] !== 'string') return schema
    return byId.get(schema['$ref'].replace(/#$/, '')) ?? schema
  }

  return ({ schema, httpPart }) => {
    const part = partOf(httpPart)
    const given = asJson(schema)
    // A query parameter that nobody asked for is a slip: it would be ignored, and a filter lost.
    const closed =
      part === 'query' &&
      isSchema(given) &&
      !('additionalProperties' in given) &&
      'properties' in given
        ? { ...given, additionalProperties: false }
        : given
    if (!isSchema(closed)) throw new TypeError(`The schema of a ${part} is not an object.`)
    const validate: ValidateFunction = (part === 'query' ? withDefaults : strict).compile(closed)
    const coerce = part === 'query' || part === 'path' ? coercer(closed, resolve) : null
    return (data) => {
      coerce?.(data)
      if (validate(data)) return true
      const errors = validate.errors ?? []
      const fault = repair(errors, part, resolve)
      return { error: limitFault(errors, fault) ?? invalidFault(fault) }
    }
  }
}

function invalidFault(fault: InputFault): FlowError {
  return new FlowError('invalid_request', fault.message, { errors: [fault] })
}

/** The refusal of a text that is right but too long, which names the limit; else null. */
function limitFault(errors: readonly ErrorObject[], fault: InputFault): FlowError | null {
  const maximum: unknown = errors[0]?.params['limit']
  if (fault.code !== 'too_long' || typeof maximum !== 'number') return null
  const limit = limitNames.find(([, length]) => length === maximum)?.[0] ?? 'text'
  return new FlowError('limit_exceeded', fault.message, {
    limit: `${limit}_characters`,
    maximum,
    errors: [fault],
  })
}

function makeAjv(components: readonly TSchema[], useDefaults: boolean): Ajv2020 {
  const ajv = new Ajv2020({
    allErrors: false,
    allowUnionTypes: true,
    coerceTypes: false,
    discriminator: true,
    removeAdditional: false,
    strict: true,
    // `required` beside `oneOf` and `discriminator` names members that only the branches define.
    strictRequired: false,
    strictTypes: false,
    useDefaults,
    verbose: true,
  })
  addFormats.default(ajv)
  ajv.addFormat('date-time', { type: 'string', validate: (text) => timestampFault(text) === null })
  ajv.addFormat('duration', { type: 'string', validate: (text) => durationFault(text) === null })
  ajv.addVocabulary(annotations)
  for (const component of components) {
    const schema = asJson(component)
    if (isSchema(schema)) ajv.addSchema(schema)
  }
  return ajv
}

/**
 * A plain copy of a schema, without the `mapping` of discriminators: generators of clients want it,
 * ajv refuses it and finds the branches by their tags.
 */
function asJson(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(asJson)
  if (!isSchema(schema)) return schema
  return Object.fromEntries(
    Object.entries(schema).map(([name, value]) => {
      if (
        name === 'discriminator' &&
        isSchema(value) &&
        typeof value['propertyName'] === 'string'
      ) {
        return [name, { propertyName: value['propertyName'] }]
      }
      return [name, asJson(value)]
    }),
  )
}

function partOf(httpPart: string | undefined): Part {
  switch (httpPart) {
    case 'querystring':
      return 'query'
    case 'params':
      return 'path'
    case 'headers':
      return 'headers'
    default:
      return 'body'
  }
}

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

const wholeNumber = /^(?:0|-?[1-9]\d{0,14})$/

/** Turns texts of a query or path into what their schema wants, in place. What does not fit stays text. */
function coercer(
  schema: Schema,
  resolve: (schema: unknown) => unknown,
): ((data: unknown) => void) | null {
  const convert = (value: unknown, type: unknown, items: unknown): unknown => {
    if (type === 'array') {
      const itemSchema = resolve(items)
      const itemType = isSchema(itemSchema) ? itemSchema['type'] : undefined
      return (Array.isArray(value) ? value : [value]).map((item) =>
        convert(item, itemType, undefined),
      )
    }
    if (typeof value !== 'string') return value
    if (type === 'integer' || type === 'number')
      return wholeNumber.test(value) ? Number(value) : value
    if (type === 'boolean' && (value === 'true' || value === 'false')) return value === 'true'
    return value
  }
  const properties = schema['properties']
  if (!isSchema(properties)) return null
  const rules = Object.entries(properties).flatMap(([name, property]) => {
    const resolved = resolve(property)
    if (!isSchema(resolved)) return []
    const { type, items } = resolved
    return type === 'string' || type === undefined ? [] : [{ name, type, items }]
  })
  if (rules.length === 0) return null
  return (data) => {
    if (!isSchema(data)) return
    for (const { name, type, items } of rules) {
      if (Object.hasOwn(data, name)) data[name] = convert(data[name], type, items)
    }
  }
}

// Says what is wrong with an input so that its sender can mend it: where, what, and what was meant.

import type { ErrorObject } from 'ajv'
import type { InputFault } from '../domain/errors.ts'
import { durationFault, timestampFault } from '../domain/formats.ts'
import { pointerSegment } from '../domain/json-fault.ts'
import { nearest } from '../domain/nearest.ts'
import { branchError, wantedTypes } from './repair-union.ts'
import {
  alternatives,
  canEcho,
  capped,
  counted,
  echo,
  exampleOf,
  rangeOf,
  record,
  typeNames,
  typeOf,
  unescapeSegment,
} from './repair-words.ts'

/** The part of a request that was judged. */
export type Part = 'body' | 'query' | 'path' | 'headers'

/** Resolves a schema that is a `$ref` to a component; answers any other as it is. */
export type Resolve = (schema: unknown) => unknown

type Fault = Omit<InputFault, 'pointer'> & { pointer?: string }

/**
 * The first fault of an input, from the errors of a validator that runs with `verbose`, and with
 * `discriminator` for tagged unions.
 *
 * Its message is at most 25 words, in the names of the caller. A value is repeated in it only when
 * it is at most 64 characters long. The pointer is that of the member at fault, be it there or
 * missing: a JSON Pointer for bodies, `?name`, `:name`, or the name of a header.
 */
export function repair(errors: readonly ErrorObject[], part: Part, resolve: Resolve): InputFault {
  const error = branchError(errors)
  if (error === undefined) {
    return { pointer: '', code: 'invalid', message: 'The request does not match its schema.' }
  }
  const path = error.instancePath.split('/').slice(1).map(unescapeSegment)
  const { pointer, ...fault } = judge(error, errors, path, part, resolve)
  return { pointer: pointer ?? pointerOf(path, part), ...fault }
}

function judge(
  error: ErrorObject,
  errors: readonly ErrorObject[],
  path: string[],
  part: Part,
  resolve: Resolve,
): Fault {
  const name = nameOf(path, part)
  const schema = record(error.parentSchema)
  const limit = Number(record(error.params)['limit'])
  // An error about a member's name stands before the one that says so.
  const named = error.propertyName
  if (named !== undefined || error.keyword === 'propertyNames') {
    const member = named ?? String(record(error.params)['propertyName'] ?? '')
    return {
      pointer: pointerOf([...path, member], part),
      code: 'member_name',
      message: `A member name in ${name} is not allowed: ${nameRule(errors)}.`,
    }
  }
  switch (error.keyword) {
    case 'additionalProperties':
    case 'unevaluatedProperties':
      return unknownMember(error, path, part, resolve)
    case 'required':
    case 'dependentRequired':
      return missingMember(
        String(record(error.params)['missingProperty']),
        error,
        path,
        part,
        resolve,
      )
    case 'discriminator':
      return unknownKind(error, path, part, resolve)
    case 'type':
      return wrongType(error, errors, name, part)
    case 'enum':
    case 'const': {
      const values = error.keyword === 'const' ? [schema['const']] : error.schema
      return notAllowed(error.data, Array.isArray(values) ? values : [], name)
    }
    case 'minLength':
      return limit === 1
        ? { code: 'too_short', message: `${name} must not be empty.` }
        : { code: 'too_short', message: `${name} needs at least ${limit} characters.` }
    case 'maxLength':
      return { code: 'too_long', message: `${name} has more than ${limit} characters: shorten it.` }
    case 'minItems':
      return { code: 'too_few', message: `${name} needs at least ${counted(limit, 'item')}.` }
    case 'maxItems':
      return { code: 'too_many', message: `${name} takes at most ${counted(limit, 'item')}.` }
    case 'minProperties':
      return { code: 'too_few', message: `${name} needs at least ${counted(limit, 'member')}.` }
    case 'maxProperties':
      return { code: 'too_many', message: `${name} takes at most ${counted(limit, 'member')}.` }
    case 'uniqueItems':
      return { code: 'not_unique', message: `${name} has an item twice: send each once.` }
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return { code: 'out_of_range', message: `${name} must be ${rangeOf(schema)}.` }
    case 'multipleOf':
      return {
        code: 'out_of_range',
        message: `${name} must be a multiple of ${String(record(error.params)['multipleOf'])}.`,
      }
    case 'pattern':
      return {
        code: 'pattern',
        message: `${name} has a form that is not allowed.${exampleOf(schema)}`,
      }
    case 'format':
      return formatFault(error, name)
    default:
      return { code: 'invalid', message: `${name} does not match its schema: see /docs.` }
  }
}

function unknownMember(error: ErrorObject, path: string[], part: Part, resolve: Resolve): Fault {
  const params = record(error.params)
  const member = String(params['additionalProperty'] ?? params['unevaluatedProperty'] ?? '')
  const known = membersOf(error.parentSchema, resolve)
  const meant = nearest(member, known)
  const shown = canEcho(member) ? `"${member}"` : 'One name'
  const where = path.length === 0 ? '' : ` of ${nameOf(path, part)}`
  const is =
    part === 'query' ? 'is not a parameter of this request' : `is not a member${where || ' here'}`
  const else_ = known.length === 0 ? ' None is taken.' : ' See allowed.'
  return {
    pointer: pointerOf([...path, member], part),
    code: part === 'query' ? 'unknown_parameter' : 'unknown_member',
    message: `${shown} ${is}.${meant === undefined ? else_ : ` Did you mean "${meant}"?`}`,
    ...(meant !== undefined && { did_you_mean: meant }),
    allowed: capped(known),
  }
}

/** A missing member, joined with the unknown one that was sent in its place. */
function missingMember(
  member: string,
  error: ErrorObject,
  path: string[],
  part: Part,
  resolve: Resolve,
): Fault {
  const known = new Set(membersOf(error.parentSchema, resolve))
  const strangers = Object.keys(record(error.data)).filter((key) => !known.has(key))
  const sent = nearest(member, strangers.filter(canEcho))
  const shown = nameOf([...path, member], part)
  return {
    pointer: pointerOf([...path, member], part),
    code: 'required',
    message:
      sent === undefined ? `${shown} is required.` : `${shown} is required: you sent ${sent}.`,
    ...(sent !== undefined && { did_you_mean: member }),
  }
}

function unknownKind(error: ErrorObject, path: string[], part: Part, resolve: Resolve): Fault {
  const tag = String(record(error.params)['tag'])
  const branches = record(error.parentSchema)['oneOf']
  const kinds = (Array.isArray(branches) ? branches : []).flatMap((branch) => {
    const property = record(record(record(resolve(branch))['properties'])[tag])
    const values = 'const' in property ? [property['const']] : property['enum']
    return Array.isArray(values) ? values.map(String) : []
  })
  const value = record(error.data)[tag]
  if (value === undefined) {
    const known = new Set(
      (Array.isArray(branches) ? branches : []).flatMap((branch) =>
        membersOf(resolve(branch), resolve),
      ),
    )
    const sent = nearest(
      tag,
      Object.keys(record(error.data)).filter((key) => !known.has(key) && canEcho(key)),
    )
    return {
      pointer: pointerOf([...path, tag], part),
      code: 'required',
      message: `${nameOf([...path, tag], part)} is required${sent === undefined ? '' : `: you sent ${sent}`}.`,
      ...(sent !== undefined && { did_you_mean: tag }),
      allowed: capped(kinds),
    }
  }
  const fault = notAllowed(value, kinds, nameOf([...path, tag], part))
  return { ...fault, pointer: pointerOf([...path, tag], part), code: 'unknown_kind' }
}

function notAllowed(value: unknown, allowed: readonly unknown[], name: string): Fault {
  const texts = allowed.map((item) => (typeof item === 'string' ? item : JSON.stringify(item)))
  const meant = typeof value === 'string' ? nearest(value, texts) : undefined
  const hint =
    meant !== undefined
      ? ` Did you mean "${meant}"?`
      : texts.length > 0 && texts.length <= 8 && texts.join().length <= 120
        ? ` Send ${alternatives(texts)}.`
        : ' See allowed.'
  return {
    code: 'not_allowed',
    message: `${name} cannot be ${echo(value)}.${hint}`,
    ...(meant !== undefined && { did_you_mean: meant }),
    allowed: capped(texts),
  }
}

function wrongType(
  error: ErrorObject,
  errors: readonly ErrorObject[],
  name: string,
  part: Part,
): Fault {
  const wanted = wantedTypes(error, errors)
  const expected = alternatives(wanted.map((type) => typeNames[type] ?? type))
  const { data } = error
  if (part !== 'body') {
    return Array.isArray(data)
      ? { code: 'repeated', message: `${name} was sent more than once: send it once.` }
      : { code: 'wrong_type', message: `${name} must be ${expected}, not ${echo(data)}.` }
  }
  if (data === null) {
    const leaveOut = error.instancePath === '' ? 'send one' : 'send one, or leave it out'
    return { code: 'wrong_type', message: `${name} must be ${expected}, not null: ${leaveOut}.` }
  }
  return {
    code: 'wrong_type',
    // What is only ever written is a secret, and is not repeated.
    message: `${name} must be ${expected}, not ${typeOf(data)}.${
      record(error.parentSchema)['writeOnly'] === true ? '' : unquoted(data, wanted)
    }`,
  }
}

/** How to write a number or boolean that was sent as a text. */
function unquoted(data: unknown, wanted: readonly string[]): string {
  if (typeof data === 'number' && wanted.includes('string')) {
    const text = String(data)
    return ` Write "${text}" with quotes.`
  }
  if (typeof data !== 'string' || !canEcho(data)) return ''
  const number =
    /^-?\d+(\.\d+)?$/.test(data) && (wanted.includes('number') || wanted.includes('integer'))
  const truth = (data === 'true' || data === 'false') && wanted.includes('boolean')
  return number || truth ? ` Write ${data} without quotes.` : ''
}

function formatFault(error: ErrorObject, name: string): Fault {
  const format = String(record(error.params)['format'])
  const text = typeof error.data === 'string' ? error.data : ''
  const own =
    format === 'date-time'
      ? timestampFault(text)
      : format === 'duration'
        ? durationFault(text)
        : null
  if (own !== null) {
    const upper = text.toUpperCase()
    const repaired = format === 'duration' && upper !== text && durationFault(upper) === null
    return {
      code: 'format',
      message: `${name} ${own}.`,
      ...(repaired && { did_you_mean: upper }),
    }
  }
  const what = format === 'uuid' ? 'an id of this service, a UUID' : `of format ${format}`
  return {
    code: 'format',
    message: `${name} must be ${what}.${exampleOf(record(error.parentSchema))}`,
  }
}

function nameRule(errors: readonly ErrorObject[]): string {
  const first = errors[0]
  const limit = String(record(first?.params)['limit'])
  if (first?.keyword === 'minLength') return 'it must not be empty'
  if (first?.keyword === 'maxLength') return `it can have ${limit} characters`
  return 'see its schema at /docs'
}

/** The names of the members that a schema knows, also those of its `allOf`. */
function membersOf(schema: unknown, resolve: Resolve): string[] {
  const resolved = record(resolve(schema))
  const parts = Array.isArray(resolved['allOf']) ? resolved['allOf'] : []
  const own = Object.keys(record(resolved['properties']))
  return [...own, ...parts.flatMap((part) => membersOf(part, resolve))]
}

function pointerOf(path: readonly string[], part: Part): string {
  if (part === 'body') return path.map((segment) => `/${pointerSegment(segment)}`).join('')
  // Repeated parameters are one list to the schema and have one name for the caller.
  const mark = part === 'query' ? '?' : part === 'path' ? ':' : ''
  return mark + pointerSegment(path[0] ?? '')
}

function nameOf(path: readonly string[], part: Part): string {
  const last = path[part === 'body' ? path.length - 1 : 0]
  if (last === undefined) return part === 'body' ? 'The body' : `The ${part}`
  if (path.length > 1 && part === 'body' && /^\d+$/.test(last)) {
    return `${nameOf(path.slice(0, -1), part)}[${last}]`
  }
  return canEcho(last) ? last : 'One member'
}

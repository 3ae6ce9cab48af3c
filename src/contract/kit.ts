// The words in which the wire is described: named components, references, tagged unions, nullables
// and the scalars that many schemas share.

import {
  type Static,
  type TObject,
  type TProperties,
  type TSchema,
  type TUnsafe,
  Type,
} from 'typebox'
import type { JsonObject, JsonValue } from '../domain/json.ts'

/** Lengths, in characters, that requests are held to. */
export const maxLengths = {
  /** Ids that callers choose: topics, keys, names. */
  name: 255,
  /** Sentences for people. */
  text: 1024,
  label: 256,
  cursor: 2048,
} as const

/** Items of a page: at most, and when the caller does not say. */
export const pageLimits = { max: 200, default: 50 } as const

/** A schema with a name of its own in the OpenAPI document. */
export type Component<Schema extends TSchema = TSchema> = Schema & { readonly $id: string }

interface About<Value> {
  description: string
  /** Shown in the documentation and used by its snippets; a test validates it. */
  example: Value
}

/** Names a schema. References to it are made by `ref`. */
export function component<Schema extends TSchema>(
  name: string,
  schema: Schema,
  about: About<Static<Schema>>,
): Component<Schema> {
  return Object.assign(schema, {
    $id: name,
    description: about.description,
    examples: [about.example],
  })
}

/** The body of a request: members that it does not name are refused. */
export function requestBody<Properties extends TProperties>(
  name: string,
  properties: Properties,
  about: About<Static<TObject<Properties>>>,
): Component<TObject<Properties>> {
  return component(name, Type.Object(properties, { additionalProperties: false }), about)
}

/** The body of an answer: clients must expect members that it does not name yet. */
export function answerBody<Properties extends TProperties>(
  name: string,
  properties: Properties,
  about: About<Static<TObject<Properties>>>,
): Component<TObject<Properties>> {
  return component(name, Type.Object(properties), about)
}

/** A reference to a component that keeps its static type. */
export function ref<Schema extends TSchema>(target: Component<Schema>): TUnsafe<Static<Schema>> {
  return Type.Unsafe<Static<Schema>>(Type.Ref(target.$id))
}

/**
 * One of several components, told apart by a tag that each of them requires and has one value of.
 *
 * Validators pick the branch by the tag, so a fault is reported in that branch alone. The mapping
 * that generators want is added to the OpenAPI document from the branches themselves.
 */
export function taggedUnion<Branches extends Component[]>(
  name: string,
  tag: string,
  branches: [...Branches],
  about: About<Static<Branches[number]>>,
): Component<TUnsafe<Static<Branches[number]>>> {
  const schema = Type.Unsafe<Static<Branches[number]>>({
    type: 'object',
    oneOf: branches.map((branch) => Type.Ref(branch.$id)),
    discriminator: { propertyName: tag },
  })
  return component(name, schema, about)
}

/** The tag of a branch of a union: a text that has one value. */
export function tag<const Value extends string>(value: Value): TUnsafe<Value> {
  return Type.Unsafe<Value>({ type: 'string', const: value })
}

/** A component or null. */
export function nullable<Schema extends TSchema>(
  target: Component<Schema>,
): TUnsafe<Static<Schema> | null> {
  return Type.Unsafe<Static<Schema> | null>({ oneOf: [Type.Ref(target.$id), { type: 'null' }] })
}

interface TextOptions {
  description?: string
  examples?: string[]
  minLength?: number
  maxLength?: number
  format?: string
}

/** A text or null. */
export function nullableText(options: TextOptions = {}): TUnsafe<string | null> {
  return Type.Unsafe<string | null>({ type: ['string', 'null'], ...options })
}

/** An integer of zero or more, or null. */
export function nullableCount(description: string): TUnsafe<number | null> {
  return Type.Unsafe<number | null>({
    type: ['integer', 'null'],
    minimum: 0,
    maximum: Number.MAX_SAFE_INTEGER,
    description,
  })
}

/** One of a list that is promised never to grow; or, in a request, of those that are known. */
export function oneOfTexts<const Values extends readonly string[]>(
  values: Values,
  description: string,
): TUnsafe<Values[number]> {
  return Type.Unsafe<Values[number]>({ type: 'string', enum: [...values], description })
}

/** One of a list that may grow: clients must live with a value that they do not know. */
export function growingTexts<const Values extends readonly string[]>(
  values: Values,
  description: string,
): TUnsafe<Values[number]> {
  return Type.Unsafe<Values[number]>({
    type: 'string',
    'x-extensible-enum': [...values],
    description: `${description} More may be added; today: ${values.map((value) => `\`${value}\``).join(', ')}.`,
  })
}

/** An id, topic, key or name that the caller chooses. */
export function name(description: string, examples?: string[]) {
  return Type.String({
    minLength: 1,
    maxLength: maxLengths.name,
    description,
    ...(examples && { examples }),
  })
}

/** A sentence for people. */
export function text(description: string) {
  return Type.String({ minLength: 1, maxLength: maxLengths.text, description })
}

/** An id that the service made. */
export function id(description: string) {
  return Type.String({ format: 'uuid', description })
}

/** A point in time. Answers give it in UTC with milliseconds. */
export function timestamp(description: string) {
  return Type.String({ format: 'date-time', description })
}

export function nullableTimestamp(description: string) {
  return nullableText({ format: 'date-time', description })
}

/** An ISO 8601 duration of weeks, days, hours, minutes and seconds. */
export function duration(description: string) {
  return Type.String({ format: 'duration', description, examples: ['PT30S'] })
}

/** An integer of zero or more, as far as every JSON reader can count exactly. */
export function count(description: string) {
  return Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description })
}

/** Texts by name. */
export function textMap(): TUnsafe<Record<string, string>> {
  return Type.Unsafe<Record<string, string>>({
    type: 'object',
    additionalProperties: { type: 'string' },
  })
}

/** Any JSON object. */
export const JsonObjectSchema = component(
  'JsonObject',
  Type.Unsafe<JsonObject>({ type: 'object', additionalProperties: true }),
  { description: 'Any JSON object.', example: { messages: 10 } },
)

/** Any JSON value at all. */
export const JsonValueSchema = component('JsonValue', Type.Unsafe<JsonValue>({}), {
  description: 'Any JSON value.',
  example: { amount: 4200, currency: 'EUR' },
})

/** One page of a list. */
export function page<Item extends TSchema>(
  name: string,
  item: Component<Item>,
  about: { description: string; example: Static<Item> },
) {
  return answerBody(name, pageProperties(item), {
    description: about.description,
    example: { items: [about.example], next_cursor: null },
  })
}

/** The members that every page has. */
export function pageProperties<Item extends TSchema>(item: Component<Item>) {
  return {
    items: Type.Array(ref(item)),
    next_cursor: nullableText({
      description: 'Give it as `cursor` to get the next page; null on the last one.',
    }),
  }
}

/** The query parameters of every list. */
export const pageQuery = {
  limit: Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: pageLimits.max,
      default: pageLimits.default,
      description: `How many items to answer: 1 to ${pageLimits.max}, ${pageLimits.default} when absent.`,
    }),
  ),
  cursor: Type.Optional(
    Type.String({
      minLength: 1,
      maxLength: maxLengths.cursor,
      description: 'The `next_cursor` of the page before, with the same filter and sort.',
    }),
  ),
}

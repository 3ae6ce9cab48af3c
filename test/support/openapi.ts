// Ways through the OpenAPI document for the tests that judge it.

import { pino } from 'pino'
import { createApp } from '../../src/http/app.ts'
import type {
  MediaType,
  OpenApiDocument,
  Operation,
  Parameter,
  Reference,
  SchemaObject,
} from '../../src/http/openapi-types.ts'
import { idleEngine } from './idle-engine.ts'

export const schemaPrefix = '#/components/schemas/'

/** The whole HTTP side on an engine that is never to be asked. */
export function idleApp(version = '0.0.0') {
  return createApp(idleEngine(), {
    logger: pino({ level: 'silent' }),
    version,
    shutdown: new AbortController().signal,
    limits: { body_bytes: 1_048_576, json_depth: 32 },
  })
}

/** A rule that the document is held to. */
export interface Rule {
  title: string
  /** Where the document breaks it; empty when it does not. */
  faults(document: OpenApiDocument): string[]
  /** Breaks it, to show that it can be broken. */
  plant(document: OpenApiDocument): void
}

export interface Found {
  /** Where, for messages: `POST /flows` or `Flow.wait`. */
  at: string
}

/** What is wrong with each of the items, all at once. */
export function complain<Item>(
  items: Item[],
  wrong: (item: Item) => string | false | undefined,
): string[] {
  return items.flatMap((item) => wrong(item) || [])
}

export function operationsOf(
  document: OpenApiDocument,
): (Found & { method: string; path: string; operation: Operation })[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({
      at: `${method.toUpperCase()} ${path}`,
      method,
      path,
      operation,
    })),
  )
}

export function parametersOf(document: OpenApiDocument, operation: Operation): Parameter[] {
  return (operation.parameters ?? []).map((parameter) => {
    if (!('$ref' in parameter)) return parameter
    const shared = document.components.parameters[parameter.$ref.split('/').at(-1) ?? '']
    if (shared === undefined) throw new Error(`there is no ${parameter.$ref}`)
    return shared
  })
}

/** Each schema of the document with all that is inside it; `depth` 0 is a component. */
export function schemasOf(
  document: OpenApiDocument,
): (Found & { schema: SchemaObject; depth: number })[] {
  return Object.entries(document.components.schemas).flatMap(([name, schema]) =>
    within(schema, name, 0),
  )
}

function within(
  schema: SchemaObject,
  at: string,
  depth: number,
): (Found & { schema: SchemaObject; depth: number })[] {
  const children: [string, SchemaObject][] = [
    ...Object.entries(schema.properties ?? {}),
    ...(schema.items === undefined ? [] : ([['[]', schema.items]] as [string, SchemaObject][])),
    ...(typeof schema.additionalProperties === 'object'
      ? ([['*', schema.additionalProperties]] as [string, SchemaObject][])
      : []),
    ...(schema.oneOf ?? []).map((branch, i): [string, SchemaObject] => [`oneOf[${i}]`, branch]),
  ]
  return [
    { at, schema, depth },
    ...children.flatMap(([name, child]) => within(child, `${at}.${name}`, depth + 1)),
  ]
}

/** The bodies that requests and answers have, those of problems left out. */
export function mediaOf(
  document: OpenApiDocument,
  where?: 'requestBody' | 'responses',
): (Found & { media: MediaType })[] {
  return operationsOf(document).flatMap(({ at, operation }) => {
    const sent = Object.values(operation.requestBody?.content ?? {}).map((media) => ({ at, media }))
    const answered = Object.entries(operation.responses).flatMap(([status, response]) =>
      isReference(response)
        ? []
        : Object.values(response.content ?? {}).map((media) => ({ at: `${at} ${status}`, media })),
    )
    return [...(where === 'responses' ? [] : sent), ...(where === 'requestBody' ? [] : answered)]
  })
}

export function schemaNamed(document: OpenApiDocument, name: string): SchemaObject {
  const schema = document.components.schemas[name]
  if (schema === undefined) throw new Error(`there is no schema ${name}`)
  return schema
}

/** The names of the components that requests lead to, directly and by way of others. */
export function sentTo(document: OpenApiDocument): Set<string> {
  return reachable(
    document,
    mediaOf(document, 'requestBody').map(({ media }) => media.schema),
  )
}

/** The names of the components that answers lead to. */
export function answeredBy(document: OpenApiDocument): Set<string> {
  return reachable(document, [
    ...mediaOf(document, 'responses').map(({ media }) => media.schema),
    { $ref: `${schemaPrefix}Problem` },
  ])
}

function reachable(document: OpenApiDocument, from: SchemaObject[]): Set<string> {
  const seen = new Set<string>()
  const visit = (schema: SchemaObject): void => {
    for (const { schema: inner } of within(schema, '', 0)) {
      const name = inner.$ref?.slice(schemaPrefix.length)
      if (name === undefined || seen.has(name)) continue
      seen.add(name)
      visit(schemaNamed(document, name))
    }
  }
  from.forEach(visit)
  return seen
}

/** `oneOf` of a reference and null. */
export function isNullable(branches: SchemaObject[]): boolean {
  return branches.length === 2 && branches[0]?.$ref !== undefined && branches[1]?.type === 'null'
}

export function isReference(value: object): value is Reference {
  return '$ref' in value
}

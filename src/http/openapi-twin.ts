// The OpenAPI 3.0.3 twin of the 3.1 document, for tools that read nothing newer. Made mechanically:
// the 3.1 document is the truth.

import type { OpenApiDocument, SchemaObject } from './openapi-types.ts'

/** What 3.0 says in other words. */
interface TwinSchema extends SchemaObject {
  nullable?: boolean
}

export type TwinDocument = Record<keyof OpenApiDocument, unknown>

/** The same document in the words of OpenAPI 3.0.3. The argument is not changed. */
export function makeTwin(document: OpenApiDocument): TwinDocument {
  const { schemas, ...components } = document.components
  return {
    ...document,
    openapi: '3.0.3',
    // 3.0 knows licenses by name and address only.
    info: { ...document.info, license: { name: document.info.license.name } },
    paths: convert(document.paths),
    components: {
      schemas: mapValues(schemas, convertSchema),
      ...mapValues(components, convert),
    },
  }
}

/** Everything but schemas is the same in both, except that nothing may stand beside a `$ref`. */
function convert(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(convert)
  if (!isRecord(value)) return value
  if (typeof value['$ref'] === 'string') return { $ref: value['$ref'] }
  return Object.fromEntries(
    Object.entries(value).map(([member, inner]) => {
      if (member === 'schema' && isRecord(inner)) return [member, convertSchema(inner)]
      return [member, member === 'example' || member === 'examples' ? inner : convert(inner)]
    }),
  )
}

function convertSchema(schema: SchemaObject): TwinSchema {
  if (schema.$ref !== undefined) return { $ref: schema.$ref }
  // 3.0 has no null type, and nothing may stand beside a `$ref`: only this is null and nothing else.
  if (schema.type === 'null') return { type: 'object', nullable: true, enum: [null] }
  const { type, const: only, examples, propertyNames: _, ...rest } = schema
  const result: TwinSchema = { ...rest }
  if (typeof type === 'string') result.type = type
  if (Array.isArray(type)) {
    const named = type.find((name) => name !== 'null')
    if (named !== undefined) result.type = named
    if (type.includes('null')) result.nullable = true
  }
  if (only !== undefined) result.enum = [only]
  if (examples?.[0] !== undefined) result['example'] = examples[0]
  if (schema.items !== undefined) result.items = convertSchema(schema.items)
  if (schema.properties !== undefined) {
    result.properties = mapValues(schema.properties, convertSchema)
  }
  if (typeof schema.additionalProperties === 'object') {
    result.additionalProperties = convertSchema(schema.additionalProperties)
  }
  if (schema.oneOf !== undefined) result.oneOf = schema.oneOf.map(convertSchema)
  return result
}

function mapValues<Value, Result>(
  record: Record<string, Value>,
  change: (value: Value) => Result,
): Record<string, Result> {
  return Object.fromEntries(Object.entries(record).map(([name, value]) => [name, change(value)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

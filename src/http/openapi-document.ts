// Finishes the OpenAPI document that the routes' schemas give: what holds for every operation of a
// kind (headers, problems, examples, a curl line) is said once, here, and not at each route.

import type { ErrorCode } from '../domain/errors.ts'
import {
  documentHead,
  problemExamples,
  problemResponse,
  securitySchemes,
  sharedHeaders,
  sharedParameters,
} from './openapi-parts.ts'
import type {
  Header,
  MediaType,
  OpenApiDocument,
  Operation,
  Parameter,
  Reference,
  Response,
  SchemaObject,
} from './openapi-types.ts'
import { problemKinds } from './problem-catalogue.ts'
import { problemType } from './problems.ts'

const schemaPrefix = '#/components/schemas/'
const jsonType = 'application/json'

/** What @fastify/swagger makes of the routes, before it is finished. */
export type RawDocument = Pick<OpenApiDocument, 'paths'> & {
  components: { schemas: Record<string, SchemaObject> }
}

/** The whole document. `raw` is used up. */
export function finishDocument(raw: RawDocument, version: string): OpenApiDocument {
  const { schemas } = raw.components
  for (const schema of Object.values(schemas)) finishSchema(schema, schemas)
  for (const [path, methods] of Object.entries(raw.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      finishOperation(operation, method, path, schemas)
    }
  }
  return {
    ...documentHead(version),
    paths: raw.paths,
    components: {
      schemas,
      responses: {
        Problem: {
          ...problemResponse,
          content: {
            [problemType]: {
              schema: { $ref: `${schemaPrefix}Problem` },
              examples: problemExamples,
            },
          },
        },
      },
      parameters: sharedParameters,
      headers: sharedHeaders,
      securitySchemes,
    },
  }
}

/** What no key makes repeatable: nothing is changed, or something else tells a repeat. */
const unkeyed = /^\/(?:engine|in|r)\/|\/test$|^\/steps\/(?:claim|outcomes)$|\/heartbeat$/
const memo = /\/memo\/\{key\}$/
/** Changes of a step that its flow takes part in. */
const settling = /^\/steps\/\{step_id\}\/(?:outcome|retry|skip|result)$/

/** Whether a change makes a revision of one flow, so that it can be made to depend on the present one. */
/** Whether everybody may ask: the health, and what others are given addresses of. */
function isOpen(path: string): boolean {
  return /^\/(health|in|r)\//.test(path)
}

function isRevised(path: string): boolean {
  return (path.includes('{flow_id}') && !memo.test(path)) || settling.test(path)
}

/** Adds what the validators must not see: the mapping of a union, and the pattern of a duration. */
function finishSchema(schema: SchemaObject, schemas: Record<string, SchemaObject>): void {
  if (schema.discriminator !== undefined && schema.oneOf !== undefined) {
    const { propertyName } = schema.discriminator
    const mapping = schema.oneOf.flatMap(({ $ref = '' }): [string, string][] => {
      const tag = schemas[$ref.slice(schemaPrefix.length)]?.properties?.[propertyName]?.const
      return typeof tag === 'string' ? [[tag, $ref]] : []
    })
    schema.discriminator = { propertyName, mapping: Object.fromEntries(mapping) }
  }
  if (schema.format === 'duration') schema.pattern ??= durationPattern
  for (const member of Object.values(schema.properties ?? {})) finishSchema(member, schemas)
  if (schema.items !== undefined) finishSchema(schema.items, schemas)
}

const durationPattern = '^P(?=.)([0-9.]+W)?([0-9.]+D)?(T(?=.)([0-9.]+H)?([0-9.]+M)?([0-9.]+S)?)?$'

function finishOperation(
  operation: Operation,
  method: string,
  path: string,
  schemas: Record<string, SchemaObject>,
): void {
  const changes = ['post', 'put', 'patch', 'delete'].includes(method) && !unkeyed.test(path)
  const declared = (operation.parameters ?? []).map((parameter) => finishParameter(parameter))
  operation.parameters = [
    ...declared,
    ...('304' in operation.responses ? [parameterRef('IfNoneMatch')] : []),
    ...('x-sse-event' in operation ? [parameterRef('LastEventId')] : []),
    ...(method === 'put' && memo.test(path) ? [parameterRef('IfNoneMatchAny')] : []),
    ...(changes && isRevised(path) ? [parameterRef('IfMatch')] : []),
    ...(changes ? [parameterRef('IdempotencyKey')] : []),
  ]
  if (operation.parameters.length === 0) delete operation.parameters

  const body = operation.requestBody?.content[jsonType]
  if (operation.requestBody !== undefined && body !== undefined) {
    const schema = resolve(body.schema, schemas)
    operation.requestBody.required =
      schema.oneOf !== undefined || (schema.required ?? []).length > 0
    giveExample(body, schemas)
  }
  for (const [status, response] of Object.entries(operation.responses)) {
    if (!('$ref' in response)) finishResponse(response, status, changes, path, schemas)
  }

  const codes = problemCodes(operation, method, changes, path)
  operation['x-problems'] = codes
  Object.assign(operation.responses, problemResponses(codes))
  operation.description = [
    operation.description,
    curlLine(operation, method, path, declared, body?.example),
  ].join('\n\n')
}

function finishParameter(parameter: Parameter | Reference): Parameter {
  if ('$ref' in parameter) throw new Error(`a route declares the parameter ${parameter.$ref}`)
  if (parameter.schema !== undefined) finishSchema(parameter.schema, {})
  return parameter.in === 'query' && parameter.schema?.type === 'array'
    ? { ...parameter, style: 'form', explode: true }
    : parameter
}

function finishResponse(
  response: Response,
  status: string,
  changes: boolean,
  path: string,
  schemas: Record<string, SchemaObject>,
): void {
  if (status === '204' || status === '304') delete response.content
  const media = response.content?.[jsonType]
  if (media !== undefined) giveExample(media, schemas)
  const ofFlow =
    status === '304' ||
    (changes && (path === '/flows' || isRevised(path))) ||
    path === '/flows/{flow_id}'
  response.headers = {
    ...(status === '201' && { Location: headerRef('Location') }),
    ...(ofFlow && { ETag: headerRef('ETag') }),
    ...(changes && { 'Idempotency-Replayed': headerRef('IdempotencyReplayed') }),
    'X-Request-Id': headerRef('RequestId'),
    ...response.headers,
  }
}

/** Shows the example of the schema that the medium refers to, unless the route gave one. */
function giveExample(media: MediaType, schemas: Record<string, SchemaObject>): void {
  if (media.example !== undefined || media.examples !== undefined) return
  const example = resolve(media.schema, schemas).examples?.[0]
  if (example !== undefined) media.example = example
}

function resolve(schema: SchemaObject, schemas: Record<string, SchemaObject>): SchemaObject {
  return schemas[schema.$ref?.slice(schemaPrefix.length) ?? ''] ?? schema
}

/** What can go wrong at an operation: what its route declares, and what its kind brings along. */
function problemCodes(
  operation: Operation,
  method: string,
  changes: boolean,
  path: string,
): ErrorCode[] {
  const declared = operation['x-problems'] ?? []
  const codes: ErrorCode[] = ['invalid_request']
  if (operation.requestBody !== undefined) {
    // What third parties send is kept, readable or not.
    if (!path.startsWith('/in/')) codes.push('malformed_json', 'limit_exceeded')
    codes.push('request_timeout', 'payload_too_large', 'unsupported_media_type')
  }
  if (changes) {
    codes.push('idempotency_key_invalid', 'idempotency_in_progress', 'idempotency_mismatch')
    if (isRevised(path)) codes.push('revision_mismatch')
  }
  if (method !== 'get') codes.push('loop_detected')
  if (!isOpen(path)) codes.push('unauthenticated', 'forbidden', 'rate_limited')
  codes.push(...declared, 'overloaded', 'unavailable', 'internal')
  return [...new Set(codes)].sort((a, b) => problemKinds[a].status - problemKinds[b].status)
}

function problemResponses(codes: ErrorCode[]): Record<string, Reference> {
  const byStatus: Record<string, Reference> = {}
  for (const code of codes) {
    const status = String(problemKinds[code].status)
    const known = byStatus[status]?.description
    byStatus[status] = {
      $ref: '#/components/responses/Problem',
      description: known === undefined ? `\`${code}\`` : `${known}, \`${code}\``,
    }
  }
  return byStatus
}

/** A line that works when pasted, against a service on this machine. */
function curlLine(
  operation: Operation,
  method: string,
  path: string,
  parameters: Parameter[],
  body: unknown,
): string {
  const address = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const parameter = parameters.find((candidate) => candidate.name === name)
    return encodeURIComponent(String(parameter?.example ?? name))
  })
  const parts = [
    'curl',
    ...('x-sse-event' in operation ? ['-N'] : []),
    ...(method === 'get' ? [] : ['-X', method.toUpperCase()]),
  ]
  parts.push(`http://localhost:3000${address}`)
  if (operation.requestBody !== undefined && body !== undefined) {
    parts.push(`-H 'content-type: application/json'`, `-d '${JSON.stringify(body)}'`)
  }
  return `\`\`\`sh\n${parts.join(' ')}\n\`\`\``
}

function parameterRef(name: keyof typeof sharedParameters & string): Reference {
  return { $ref: `#/components/parameters/${name}` }
}

function headerRef(name: string): Header | Reference {
  return { $ref: `#/components/headers/${name}` }
}

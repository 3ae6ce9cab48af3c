// The operations of the service, as its OpenAPI document tells them; each can be called by its name.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { nearest } from '../domain/nearest.ts'
import { misuse } from './errors.ts'
import { type Call, type Method, query } from './request.ts'

export interface Parameter {
  name: string
  in: 'path' | 'query' | 'header'
  required: boolean
}

export interface Operation {
  id: string
  method: Method
  path: string
  summary: string
  parameters: readonly Parameter[]
  /** What names of further query parameters begin with, as `label.`. */
  prefixes: readonly string[]
  takesBody: boolean
  streams: boolean
}

interface Document {
  paths: Record<string, Record<string, RawOperation>>
  components: { parameters: Record<string, RawParameter> }
}
interface RawParameter {
  $ref?: string
  name: string
  in: 'path' | 'query' | 'header'
  required?: boolean
}
interface RawOperation {
  operationId: string
  summary?: string
  parameters?: RawParameter[]
  requestBody?: object
  responses: Record<string, { content?: Record<string, object> }>
  'x-query-patterns'?: Record<string, string>
}

/** Reads the document that came with this release. */
export function readOperations(root: string): Operation[] {
  const file = join(root, 'openapi/openapi.json')
  try {
    return operationsOf(JSON.parse(readFileSync(file, 'utf8')))
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'not JSON'
    throw misuse(
      `${file} cannot be read (${code})`,
      'It belongs beside the program and names all operations.',
      'install the release again, or name a path: taskflow api GET /flows',
    )
  }
}

export function operationsOf(document: Document): Operation[] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, raw]) => ({
      id: raw.operationId,
      method: method.toUpperCase() as Method,
      path,
      summary: raw.summary ?? '',
      parameters: (raw.parameters ?? []).map((parameter) => {
        const name = parameter.$ref?.split('/').at(-1)
        const found = name === undefined ? parameter : document.components.parameters[name]
        return { required: false, ...(found ?? parameter) }
      }),
      prefixes: Object.keys(raw['x-query-patterns'] ?? {}).map((name) => name.split('<')[0] ?? ''),
      takesBody: raw.requestBody !== undefined,
      streams: raw.responses['200']?.content?.['text/event-stream'] !== undefined,
    })),
  )
}

export function findOperation(operations: readonly Operation[], id: string): Operation {
  const found = operations.find((operation) => operation.id === id)
  if (found !== undefined) return found
  const guess = nearest(
    id,
    operations.map((operation) => operation.id),
  )
  throw misuse(
    `there is no operation "${id}"`,
    guess === undefined ? 'taskflow api lists all of them.' : `Did you mean ${guess}?`,
    guess === undefined ? 'taskflow api' : `taskflow api ${guess}`,
  )
}

/** The request for an operation. Throws when a parameter is missing, or unknown to it. */
export function callOf(
  operation: Operation,
  given: readonly (readonly [string, string])[],
  body: string | undefined,
): Call {
  let address = operation.path
  const inQuery: Record<string, string[]> = {}
  const headers: Record<string, string> = {}
  for (const [name, value] of given) {
    const known = operation.parameters.find(
      (parameter) => parameter.name.toLowerCase() === name.toLowerCase(),
    )
    const prefixed = operation.prefixes.some((prefix) => name.startsWith(prefix))
    if (known === undefined && !prefixed) throw unknownParameter(operation, name)
    if (known?.in === 'path') {
      address = address.replace(`{${known.name}}`, encodeURIComponent(value))
    } else if (known?.in === 'header') headers[known.name] = value
    else inQuery[known?.name ?? name] = [...(inQuery[known?.name ?? name] ?? []), value]
  }
  const missing = /\{([^}]+)\}/.exec(address)?.[1]
  if (missing !== undefined) {
    throw misuse(
      `${operation.id} needs ${missing}`,
      `Its address is ${operation.method} ${operation.path}.`,
      `taskflow api ${operation.id} -p ${missing}=…`,
    )
  }
  if (body !== undefined && !operation.takesBody) {
    throw misuse(
      `${operation.id} takes no body`,
      `${operation.method} ${operation.path} is told by its parameters alone.`,
      `taskflow api ${operation.id} -p name=value`,
    )
  }
  return {
    method: operation.method,
    path: address + query(inQuery),
    headers,
    ...(body !== undefined && { body }),
    stream: operation.streams,
  }
}

function unknownParameter(operation: Operation, name: string): Error {
  const names = operation.parameters.map((parameter) => parameter.name)
  const guess = nearest(name, names)
  return misuse(
    `${operation.id} has no parameter "${name}"`,
    guess === undefined
      ? `It has ${names.join(', ') || 'none'}. Members of the body are given with -f.`
      : `Did you mean ${guess}?`,
    `taskflow api ${operation.id} -p ${guess ?? names[0] ?? 'name'}=…`,
  )
}

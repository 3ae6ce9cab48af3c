// Reads what third parties send: raw bytes of any type, and what can be mapped from them.

import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyInstance } from 'fastify'
import { FlowError, invalid } from '../domain/errors.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import type { JsonLimits } from '../domain/json-text.ts'
import type { BodyReader } from '../engine/inbound.ts'
import { parseJson } from './json.ts'

/** A body that is left as it came. Wrapped, so that what parses JSON for other routes leaves it alone. */
export interface RawBody {
  bytes: Buffer
}

const mediaType = /^[!#$%&'*+.^_`|~\w-]+\/[!#$%&'*+.^_`|~\w-]+\s*(?:;|$)/

/** From now on the routes of this plugin get `RawBody`, whatever type is sent. */
export function takeRawBodies(app: FastifyInstance): void {
  // Fastify refuses what is no media type before any parser sees it: it counts as none here.
  app.addHook('onRequest', (request, _reply, done) => {
    const { 'content-type': type } = request.headers
    if (type !== undefined && !mediaType.test(type)) delete request.headers['content-type']
    done()
  })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, bytes, done) => {
    const body: RawBody = { bytes: Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes) }
    done(null, body)
  })
}

/** The bytes of a request of such a route; none when it had no body. */
export function rawBytes(body: unknown): Buffer {
  const held = typeof body === 'object' && body !== null && 'bytes' in body ? body.bytes : null
  return Buffer.isBuffer(held) ? held : Buffer.alloc(0)
}

/** Headers as one text each; a repeated one is joined, as lists in headers are. */
export function headerTexts(headers: IncomingHttpHeaders): Record<string, string> {
  return Object.fromEntries(
    Object.entries(headers).flatMap(([name, value]): [string, string][] =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  )
}

/** A reader of bodies: JSON strictly, forms as an object of their fields, of others nothing. */
export function bodyReader(limits: JsonLimits): BodyReader {
  return (body, contentType) => {
    const type = contentType?.split(';')[0]?.trim().toLowerCase() ?? ''
    if (body.length === 0) return undefined
    if (type === 'application/json' || type.endsWith('+json')) return parseJson(body, limits)
    if (type === 'application/x-www-form-urlencoded') return readForm(body, limits)
    return undefined
  }
}

/** The fields of a form; one that is there more than once is a list. */
function readForm(body: Buffer, limits: JsonLimits): JsonObject {
  const fields = new Map<string, string[]>()
  for (const [name, value] of new URLSearchParams(body.toString('utf8'))) {
    if (name.includes('\0') || value.includes('\0')) {
      throw invalid('', 'nul_character', 'A field of the form holds the NUL character: remove it.')
    }
    const known = fields.get(name)
    if (known === undefined) fields.set(name, [value])
    else known.push(value)
  }
  // Defines members and calls no setter, so that a field named __proto__ is one like any other.
  return Object.fromEntries(
    [...fields].map(([name, values]): [string, JsonValue] => {
      const [value = ''] = values
      if (values.length > 1) return [name, values]
      return [name, name === 'payload' ? jsonOr(value, limits) : value]
    }),
  )
}

/** GitHub and Slack put their JSON into a field `payload`. What is not JSON stays a text. */
function jsonOr(text: string, limits: JsonLimits): JsonValue {
  if (!/^\s*[{[]/.test(text)) return text
  try {
    return parseJson(Buffer.from(text), limits)
  } catch (error) {
    if (error instanceof FlowError) return text
    throw error
  }
}

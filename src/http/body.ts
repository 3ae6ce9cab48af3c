// Reads bodies: which types are taken, what an empty one means, and what a repeat is known by.

import { createHash } from 'node:crypto'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { FlowError, invalid } from '../domain/errors.ts'
import { canonicalJson } from '../domain/json.ts'
import type { JsonLimits } from '../domain/json-text.ts'
import { jsonType, unsupportedType } from './errors.ts'
import { parseJson } from './json.ts'

/**
 * Takes JSON and nothing else. The bytes stay bytes until `parseBody`: an error inside a content
 * type parser makes Fastify close the connection, and a typo in a body is no reason for that.
 */
export function readBodies(app: FastifyInstance): void {
  app.removeAllContentTypeParsers()
  app.addContentTypeParser(jsonType, { parseAs: 'buffer' }, (_request, bytes, done) =>
    done(null, bytes),
  )
  // An empty body has no type to be wrong: `curl -d ''` calls it a form.
  app.addContentTypeParser('*', (request, payload, done) => {
    if (Number(request.headers['content-length'] ?? 0) > 0) {
      done(unsupportedType(request))
      return
    }
    const settle = (error: Error | null) => {
      payload.off('data', onData).off('end', onEnd).off('error', settle)
      done(error, undefined)
    }
    const onData = () => settle(unsupportedType(request))
    const onEnd = () => settle(null)
    payload.on('data', onData).on('end', onEnd).on('error', settle)
  })
}

/**
 * Puts the parsed body into the request. An empty body is `{}` for POST, whose bodies are often all
 * optional, and none at all for other methods.
 *
 * @throws FlowError as `parseJson` does; `unsupported_media_type` for another charset than UTF-8.
 */
export function parseBody(request: FastifyRequest, limits: JsonLimits): void {
  const { body } = request
  if (Buffer.isBuffer(body) && body.length > 0) {
    const charset = /;\s*charset\s*=\s*"?([^\s;"]+)/i.exec(
      request.headers['content-type'] ?? '',
    )?.[1]
    if (charset !== undefined && !/^(utf-?8|us-ascii)$/i.test(charset))
      throw unsupportedType(request)
    request.body = parseJson(body, limits)
  } else if (body === undefined || Buffer.isBuffer(body)) {
    if (request.method !== 'POST' && request.routeOptions.schema?.body !== undefined) {
      throw invalid('', 'required', 'This request needs a body: send a JSON object.')
    }
    const absent = request.routeOptions.config.bodyMayBeAbsent === true
    request.body = request.method === 'POST' && !absent ? {} : undefined
  }
}

/** Refuses compressed bodies: what one would unpack to has no limit. */
export function refuseEncoding(request: FastifyRequest): FlowError | undefined {
  const encoding = request.headers['content-encoding']
  if (encoding === undefined || encoding.toLowerCase() === 'identity') return undefined
  return new FlowError(
    'unsupported_media_type',
    'Send the body as it is, without Content-Encoding: compressed bodies are not read.',
    { allowed: [jsonType] },
  )
}

/** For routes without a body: whatever is in one would be lost in silence. */
export function refuseBody(request: FastifyRequest): void {
  const { body } = request
  if (body === undefined) return
  if (
    typeof body === 'object' &&
    body !== null &&
    !Array.isArray(body) &&
    Object.keys(body).length === 0
  ) {
    return
  }
  throw invalid('', 'unknown_member', 'This request takes no body: send none.')
}

/**
 * What a request is known by when it is repeated with an `Idempotency-Key`: a hash (SHA-256, in
 * base64url) over its method, its URL and its body. The order of members in the body does not
 * count, nor does white space. Computed only when asked for.
 */
export function requestFingerprint(request: FastifyRequest): string {
  return createHash('sha256')
    .update(`${request.method} ${request.raw.url ?? ''}\n`)
    .update(canonicalJson(request.body))
    .digest('base64url')
}

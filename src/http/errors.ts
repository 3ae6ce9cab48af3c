// The one place where an error becomes an answer, whoever threw it.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { FlowError } from '../domain/errors.ts'
import { problemType, retryAfter, toProblem } from './problems.ts'

declare module 'fastify' {
  interface FastifyRequest {
    /** The error that was answered with a 5xx, for the request's log line. */
    fault: unknown
    /** The code of the problem that was answered. */
    problem: string | null
  }
}

export const jsonType = 'application/json'

export interface ErrorLimits {
  body_bytes: number
  uri_bytes: number
}

/** What is told of a failure that is nobody's business but the log's. */
const internalMessage = 'The service failed on this request. Report the request id.'

/**
 * The error as callers may know it. What Fastify and its plugins throw is named by its code; all
 * else is `internal`, with the original as `cause` for the log and nothing of it for the caller.
 */
export function asFlowError(
  error: unknown,
  request: FastifyRequest,
  limits: ErrorLimits,
): FlowError {
  if (error instanceof FlowError) return error
  const { code, statusCode } = faceOf(error)
  switch (code) {
    case 'FST_ERR_CTP_BODY_TOO_LARGE': {
      // A route may have a limit of its own.
      const maximum = request.routeOptions.bodyLimit ?? limits.body_bytes
      return new FlowError(
        'payload_too_large',
        `The body is larger than ${maximum} bytes: keep large data elsewhere and send a reference.`,
        { limit: 'body_bytes', maximum },
      )
    }
    case 'FST_ERR_CTP_INVALID_MEDIA_TYPE':
      return unsupportedType(request)
    case 'FST_ERR_CTP_INVALID_CONTENT_LENGTH':
      return new FlowError('bad_request', 'The body is not as long as Content-Length says.', {})
    case 'FST_ERR_HANDLER_TIMEOUT':
      return lateHandler()
    case 'FST_ERR_BAD_URL':
      return new FlowError(
        'bad_request',
        'The path holds a percent sign that encodes nothing: write it as %25.',
        {},
      )
    case 'FST_ERR_MAX_PARAM_LENGTH':
    case 'FST_ERR_NOT_FOUND':
      return new FlowError('not_found', 'There is no such path: all of them are at /docs.', {})
    default:
      return unnamed(error, request, code, statusCode)
  }
}

/** Errors whose code says nothing of its own. */
function unnamed(
  error: unknown,
  request: FastifyRequest,
  code: string | undefined,
  statusCode: number | undefined,
): FlowError {
  if (code === 'ECONNRESET' && request.raw.destroyed) {
    return new FlowError(
      'bad_request',
      'The connection closed before the request was complete.',
      {},
    )
  }
  if (statusCode === 404) {
    return new FlowError('not_found', 'There is nothing at this path: all paths are at /docs.', {})
  }
  if (statusCode !== undefined && statusCode >= 400 && statusCode < 500) {
    return new FlowError(
      'bad_request',
      'This request is not valid: see /docs for what is.',
      {},
      { cause: error },
    )
  }
  return new FlowError('internal', internalMessage, {}, { cause: error })
}

/** A handler had its time and has not answered. What it began may still come to pass. */
export function lateHandler(): FlowError {
  return new FlowError(
    'unavailable',
    'The answer took too long and the outcome is unknown: repeat with the same Idempotency-Key, or read.',
    { retry_after: 1 },
  )
}

function faceOf(error: unknown): { code?: string; statusCode?: number } {
  if (typeof error !== 'object' || error === null) return {}
  return {
    ...('code' in error && typeof error.code === 'string' && { code: error.code }),
    ...('statusCode' in error &&
      typeof error.statusCode === 'number' && { statusCode: error.statusCode }),
  }
}

/** 415: names what was sent and what is read. */
export function unsupportedType(request: FastifyRequest): FlowError {
  const sent = request.headers['content-type']?.split(';')[0]?.trim()
  const known = sent !== undefined && /^[\w.+-]{1,40}\/[\w.+-]{1,40}$/.test(sent)
  const message =
    sent === undefined
      ? 'The body has no type: send the header Content-Type: application/json.'
      : `Send the body as ${jsonType}${known && sent !== jsonType ? `, not ${sent}` : ' in UTF-8'}.`
  return new FlowError('unsupported_media_type', message, { allowed: [jsonType] })
}

/** Headers that a handler may have set before it failed, and that are not true of the problem. */
const answerHeaders = [
  'etag',
  'location',
  'last-modified',
  'content-encoding',
  'idempotency-replayed',
]

/** Answers an error as a problem, and leaves what the log should know in `request.fault`. */
export function sendProblem(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  limits: ErrorLimits,
): FastifyReply {
  const shown = asFlowError(error, request, limits)
  const problem = toProblem(shown, {
    request_id: request.id,
    path: shownPath(request),
    body: request.body,
  })
  request.problem = shown.code
  if (problem.status >= 500) request.fault = shown.cause ?? shown
  for (const header of answerHeaders) reply.removeHeader(header)
  const seconds = retryAfter(shown)
  if (seconds !== undefined) reply.header('retry-after', String(seconds))
  if ('allowed' in shown.detail && shown.code === 'method_not_allowed') {
    reply.header('allow', shown.detail.allowed.join(', '))
  }
  // Sent as text, so that no schema of the route has a say in what a problem looks like.
  return reply
    .code(problem.status)
    .header('cache-control', 'no-store')
    .type(problemType)
    .send(JSON.stringify(problem))
}

/** The path of a request without its query, which may hold what no log and no page should. */
export function pathOf(request: FastifyRequest): string {
  const url = request.raw.url ?? '/'
  const end = url.indexOf('?')
  return end < 0 ? url : url.slice(0, end)
}

/** The path as logs and problems may show it: without the token of a link, also of one that is misspelt. */
export function shownPath(request: FastifyRequest): string {
  const { url, config } = request.routeOptions
  if (config?.secretPath === true && url !== undefined) return url
  return pathOf(request).replace(/^\/+(r|%72|%52)\/+[^/].*/i, '/r/:token')
}

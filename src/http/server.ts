// The HTTP server with all that holds for every route, and without any route of the business.

import {
  type FastifyBaseLogger,
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  fastify,
  LogController,
} from 'fastify'
import type { TSchema } from 'typebox'
import { FlowError } from '../domain/errors.ts'
import type { RequestMetrics } from '../engine/request-metrics.ts'
import { parseBody, readBodies, refuseBody, refuseEncoding } from './body.ts'
import { lateHandler, pathOf, sendProblem, shownPath } from './errors.ts'
import { watchRequests } from './plugins/watch-requests.ts'
import { problemPages } from './problem-pages.ts'
import { answerRawError } from './raw-errors.ts'
import { requestIdHeader, requestIdOf } from './request-id.ts'
import { lateChild } from './request-log.ts'
import { type RouteTable, routeTable, unroutable } from './route-table.ts'
import { refuseBadEncoding, urlFault } from './url.ts'
import { validatorCompiler } from './validation.ts'

export { requestFingerprint } from './body.ts'

declare module 'fastify' {
  interface FastifyContextConfig {
    /**
     * The answer may wait long, as in a long poll or a stream: no handler time-out. The handler
     * must stop by itself when its caller goes away, when its own time is up, and at shutdown: see
     * `whileWanted`.
     */
    longPoll?: boolean
    /** Asked for all the time by machines: no span is made of it. */
    untraced?: boolean
    /** The path holds a secret: logs and problems show the route's pattern instead. */
    secretPath?: boolean
    /** A POST without a body has none, where others have `{}`; every JSON value is a body here. */
    bodyMayBeAbsent?: boolean
  }
  interface FastifyRequest {
    /** Ends a handler that takes too long. */
    handlerTimer: NodeJS.Timeout | undefined
  }
}

export interface ServerOptions {
  /** Receives one line per request, with `request_id`. Make it with `redactedPaths`. */
  logger: FastifyBaseLogger
  /** Counts the requests; nobody does when absent. */
  requests?: RequestMetrics
  /** The level of the lines of requests that went well, `info` when absent. 4xx are `info`, 5xx `error`. */
  requestLogLevel?: 'info' | 'debug'
  limits: {
    /** A body, in bytes; past it 413. */
    body_bytes: number
    /** How deep a body may be nested; past it 400 `limit_exceeded`. */
    json_depth: number
    /** Path and query, 8192 when absent; past it 414. */
    uri_bytes?: number
    /** The request line and all headers, 16384 when absent; past it 431. */
    headers_bytes?: number
    /** Connections at a time, 5000 when absent; more are closed at once. */
    connections?: number
  }
  /** In milliseconds; see `defaultTimeouts`. */
  timeouts?: Partial<typeof defaultTimeouts>
  /** The named schemas that routes refer to; each has an `$id`. */
  schemas?: readonly TSchema[]
  /** Addresses (CIDR) of proxies whose `X-Forwarded-*` headers are believed. None when absent. */
  trustProxy?: string[]
}

/** Milliseconds. */
const defaultTimeouts = {
  /** Until a request has arrived, body and all; past it 408. */
  request: 30_000,
  /** Until its headers have arrived. Must be less than `request`: Node swaps the two otherwise. */
  headers: 10_000,
  /** How often Node looks for requests that are late. Its own 30 s would make every limit 30 s worse. */
  checkingInterval: 1_000,
  /** Above the idle time of usual load balancers (60 s), so that they close first, never we under them. */
  keepAlive: 72_000,
  /** Until a handler has answered; past it 503. Above every time-out of the database. */
  handler: 10_000,
}

/** Paths that a pino logger must redact: whatever is logged by accident, these stay out. */
export const redactedPaths: readonly string[] = [
  'authorization',
  'cookie',
  '["set-cookie"]',
  '["x-api-key"]',
  '["webhook-signature"]',
  'secret',
  'secrets',
  'token',
].flatMap((name) =>
  ['', 'headers', '*', '*.headers'].map((place) =>
    name.startsWith('[') || place === '' ? `${place}${name}` : `${place}.${name}`,
  ),
)

/** Headers of every answer. They cost nothing and keep answers from being guessed at or kept. */
const commonHeaders = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
}

/**
 * Builds the server. Routes are registered on it afterwards, as plugins.
 *
 * What routes can rely on:
 * - `request.body` is strictly parsed JSON, judged by `schema.body` as it is; a POST without a body
 *   has `{}`. Routes that have no body schema are only reached without a body.
 * - `request.query` and `request.params` are judged after their texts were turned into what the
 *   schema says; unknown parameters are refused, also where a route has no schema for them.
 * - `date-time` and `duration` are checked as `formats.ts` reads them.
 * - Any error may be thrown: a `FlowError` is answered as its problem, all else as `internal`.
 * - Answers are written by `JSON.stringify`: response schemas are documentation alone.
 * - `config: { longPoll: true }` exempts a route from the handler time-out.
 */
export function createServer(options: ServerOptions): FastifyInstance {
  const timeouts = { ...defaultTimeouts, ...options.timeouts }
  const limits = { uri_bytes: 8192, headers_bytes: 16_384, connections: 5000, ...options.limits }
  if (timeouts.headers >= timeouts.request) {
    throw new RangeError('The time-out of headers must be less than that of requests.')
  }
  const fail = (error: unknown, request: FastifyRequest, reply: FastifyReply) =>
    sendProblem(error, request, reply, limits)

  const app = fastify({
    loggerInstance: options.logger,
    logController: new LogController({
      disableRequestLogging: true,
      requestIdLogLabel: 'request_id',
    }),
    childLoggerFactory: lateChild,
    genReqId: requestIdOf,
    requestIdHeader: false,
    bodyLimit: limits.body_bytes,
    requestTimeout: timeouts.request,
    keepAliveTimeout: timeouts.keepAlive,
    // No limit of requests per connection: Node answers those beyond it with a bare 503.
    maxRequestsPerSocket: 0,
    forceCloseConnections: 'idle',
    // Fastify's own 503 is no problem document: the hook below answers instead.
    return503OnClosing: false,
    ...(options.trustProxy !== undefined && { trustProxy: options.trustProxy }),
    // Longer ids reach the route, which answers as to any id that it does not know.
    routerOptions: { maxParamLength: limits.headers_bytes },
    http: {
      headersTimeout: timeouts.headers,
      connectionsCheckingInterval: timeouts.checkingInterval,
      maxHeaderSize: limits.headers_bytes,
      // Node answers a missing Host with a bare 400: the hook below answers instead.
      requireHostHeader: false,
    },
    clientErrorHandler(fault, socket) {
      answerRawError(fault, socket, limits, (status, request_id) =>
        options.logger.info({ request_id, status, code: fault.code }, 'connection refused'),
      )
    },
    // Errors before routing, such as a path that cannot be decoded: no hook runs for them.
    frameworkErrors(error, request, reply) {
      setCommonHeaders(request, reply)
      fail(error, request, reply)
      request.log.info({ method: request.method, status: reply.statusCode }, 'request')
    },
  })
  app.server.maxConnections = limits.connections
  // An expectation that is not known may be ignored (RFC 9110 10.1.1); Node would answer a bare 417.
  app.server.on('checkExpectation', (request, response) => app.routing(request, response))

  app.decorateRequest('fault', null)
  app.decorateRequest('problem', null)
  app.decorateRequest('span', null)
  app.decorateRequest('handlerTimer', undefined)
  for (const schema of options.schemas ?? []) app.addSchema(schema)
  app.setValidatorCompiler(validatorCompiler(options.schemas ?? []))
  app.setSerializerCompiler(() => (data) => JSON.stringify(data))
  app.setErrorHandler(fail)
  readBodies(app)

  // First, so that what is refused by the others is seen too.
  if (options.requests !== undefined) watchRequests(app, options.requests)
  const routes = routeTable()
  watchRoutes(app, routes, timeouts.handler)
  let closing = false
  app.addHook('preClose', (done) => {
    closing = true
    done()
  })
  app.addHook('onRequest', (request, reply, done) => {
    setCommonHeaders(request, reply)
    if (closing) {
      return done(
        new FlowError(
          'unavailable',
          'The service is stopping: send the same request again shortly.',
          {
            retry_after: 1,
          },
        ),
      )
    }
    const { raw } = request
    const fault = urlFault(raw.url ?? '', limits.uri_bytes)
    if (fault !== undefined) return done(fault)
    if (raw.headers.host === undefined && raw.httpVersion === '1.1') {
      return done(new FlowError('bad_request', 'The request has no Host header: send one.', {}))
    }
    // Before the body is read: what nobody takes need not arrive.
    if (request.is404) return answerUnroutable(routes, request, reply, done)
    done(refuseEncoding(request))
  })
  app.addHook('preValidation', (request, _reply, done) => {
    refuseBadEncoding(request)
    parseBody(request, { depth: limits.json_depth })
    done()
  })
  const { requestLogLevel = 'info' } = options
  app.addHook('onResponse', (request, reply, done) => {
    clearTimeout(request.handlerTimer)
    logRequest(request, reply, requestLogLevel)
    done()
  })

  app.register(problemPages)
  return app
}

function setCommonHeaders(request: FastifyRequest, reply: FastifyReply): void {
  reply.headers(commonHeaders)
  reply.header(requestIdHeader, request.id)
}

/** Notes every route for 404 and 405, and gives it what it did not ask for itself. */
function watchRoutes(app: FastifyInstance, routes: RouteTable, handlerTimeout: number): void {
  // Counted from the moment that the handler has all it needs. Fastify's own time-out counts from
  // the head of the request, and would answer a slow body with 503 before its 408 is due.
  const limitHandler = (request: FastifyRequest, reply: FastifyReply, done: () => void): void => {
    request.handlerTimer = setTimeout(() => {
      if (!reply.sent) reply.send(lateHandler())
    }, handlerTimeout)
    done()
  }
  app.addHook('onRoute', (route) => {
    routes.add(route.method, route.url)
    if (route.config?.longPoll !== true) {
      route.preHandler = [limitHandler, route.preHandler ?? []].flat()
    }
    const { schema } = route
    // Pages and assets are not of the API, and browsers add to their URLs as they like.
    if (schema === undefined || ('hide' in schema && schema.hide === true)) return
    if (schema.querystring === undefined) {
      const none = { type: 'object', properties: {}, additionalProperties: false }
      route.schema = { ...schema, querystring: none }
    }
    if (schema.body === undefined) {
      route.preValidation = [route.preValidation ?? [], refuseUnreadBody].flat()
    }
  })
}

function refuseUnreadBody(request: FastifyRequest, _reply: FastifyReply, done: () => void): void {
  refuseBody(request)
  done()
}

function answerUnroutable(
  routes: RouteTable,
  request: FastifyRequest,
  reply: FastifyReply,
  done: (error: Error) => void,
): void {
  const path = pathOf(request)
  const allowed = request.method === 'OPTIONS' ? routes.methodsOf(path) : []
  if (allowed.length === 0) done(unroutable(routes, request.method, path))
  else reply.code(204).header('allow', allowed.join(', ')).send()
}

/** The one line of a request, when its answer is out or will never be. */
export function logRequest(
  request: FastifyRequest,
  reply: FastifyReply,
  level: 'info' | 'debug',
): void {
  const status = reply.statusCode
  const line = {
    method: request.method,
    path: shownPath(request),
    status,
    ms: Math.round(reply.elapsedTime * 10) / 10,
    // The caller went away before the answer was out.
    ...(!reply.raw.writableFinished && { aborted: true }),
  }
  if (status >= 500) request.log.error({ ...line, err: request.fault }, 'request')
  else if (status >= 400) request.log.info(line, 'request')
  else request.log[level](line, 'request')
}

// Counts every request, and traces it where spans are taken.

import type { FastifyInstance, FastifyRequest } from 'fastify'
import { readTraceparent, type Traceparent } from '../../domain/trace.ts'
import type { RequestMetrics } from '../../engine/request-metrics.ts'
import { startSpan, type Traced } from '../../engine/tracing.ts'

declare module 'fastify' {
  interface FastifyRequest {
    span: Traced | null
  }
}

/** What it is told of a request that nothing is known of. */
const unmatched = 'unmatched'

/** Watches all requests; to be called before anything else has a say in them. */
export function watchRequests(app: FastifyInstance, metrics: RequestMetrics): void {
  app.addHook('onRequest', (request, reply, done) => {
    const waits = mayWait(request)
    metrics.began(waits)
    const { method } = request
    const { url: route = unmatched, config } = request.routeOptions
    if (config?.untraced !== true) {
      request.span = startSpan(`${method} ${route}`, {
        kind: 'server',
        parent: readTraceparent(request.headers['traceparent']?.toString()),
        attributes: { 'http.request.method': method, 'http.route': route },
      })
    }
    // Of the answer, also when it was taken over or its caller went away: nothing else comes always.
    reply.raw.once('close', () => {
      const { statusCode: status } = reply
      const { problem } = request
      const seconds = reply.elapsedTime / 1000
      const waited = waits && hasWaited(request)
      metrics.ended({ method, route, status, seconds, waits, waited, problem })
      request.span?.end({
        attributes: {
          'http.response.status_code': status,
          ...(problem !== null && { 'error.type': problem }),
        },
        ...(status >= 500 && { error: problem ?? `HTTP ${status}` }),
      })
    })
    done()
  })
}

/** The trace that a request is a part of: its own span where there is one, else that of its caller. */
export function traceOf(request: FastifyRequest): Traceparent | null {
  if (request.span !== null) return request.span.traceparent
  const given = request.headers['traceparent']
  return typeof given === 'string' ? readTraceparent(given) : null
}

/** Whether its answer may be late on purpose. */
function mayWait({ routeOptions, query }: FastifyRequest): boolean {
  if (routeOptions.config?.longPoll !== true) return false
  return routeOptions.method !== 'GET' || isStream(routeOptions.url) || asksToWait(query)
}

/** Whether it was asked to wait, now that its body is known. */
function hasWaited({ routeOptions, query, body }: FastifyRequest): boolean {
  if (routeOptions.method === 'GET') return isStream(routeOptions.url) || asksToWait(query)
  const next = typeof body === 'object' && body !== null && 'claim_next' in body && body.claim_next
  return asksToWait(body) || asksToWait(next)
}

function isStream(url: string | undefined): boolean {
  return url?.endsWith('/stream') === true
}

function asksToWait(words: unknown): boolean {
  return typeof words === 'object' && words !== null && 'wait' in words
}

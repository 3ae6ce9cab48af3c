// Lets pages of some origins use the API from browsers. Written here, and not with @fastify/cors, because OPTIONS is
// answered for every path already, with the methods that it has.

import type { FastifyReply, FastifyRequest } from 'fastify'
import { varyBy } from './vary.ts'

export interface Cors {
  /** Adds what lets the page of a request read the answer, if it is of one of the origins. */
  allow(request: FastifyRequest, reply: FastifyReply): void
}

const sent = [
  'authorization',
  'content-type',
  'idempotency-key',
  'if-match',
  'if-none-match',
  'last-event-id',
  'x-request-id',
].join(', ')
const shown = [
  'etag',
  'location',
  'retry-after',
  'idempotency-replayed',
  'ratelimit',
  'ratelimit-policy',
  'x-request-id',
].join(', ')

/** How long a browser may remember the answer to its question, in seconds. */
const remembered = '600'

/** @param origins as browsers send them, such as `https://app.example.com`. */
export function createCors(origins: readonly string[]): Cors {
  const known = new Set(origins)
  return {
    allow({ headers, method }, reply) {
      // Keys are sent in a header of their own, and cookies mean nothing here: no credentials are allowed.
      varyBy(reply, 'origin')
      const { origin } = headers
      if (origin === undefined || !known.has(origin)) return
      reply.header('access-control-allow-origin', origin)
      reply.header('access-control-expose-headers', shown)
      if (method !== 'OPTIONS' || headers['access-control-request-method'] === undefined) return
      reply.header('access-control-allow-headers', sent)
      reply.header('access-control-max-age', remembered)
    },
  }
}

// How many deliveries of hooks led to a request, one after the other: what stops a hook that causes what
// it is told of.

import type { FastifyRequest } from 'fastify'
import { FlowError } from '../domain/errors.ts'
import { maxDepth } from '../domain/hook.ts'

const safeMethods = ['GET', 'HEAD', 'OPTIONS']

/** What the sender of a request was told of it; 0 for what cannot be read. */
export function depthOf(request: FastifyRequest): number {
  const header = request.headers['taskflow-depth']
  return typeof header === 'string' && /^\d{1,4}$/.test(header) ? Number(header) : 0
}

/** The refusal of a request that would change something at the end of so many deliveries. */
export function loopFault(request: FastifyRequest): FlowError | undefined {
  const depth = depthOf(request)
  if (depth < maxDepth || safeMethods.includes(request.method)) return undefined
  return new FlowError(
    'loop_detected',
    'A hook causes what it is told of: let it ask for fewer kinds of events, or for another controller.',
    { depth, maximum: maxDepth },
  )
}

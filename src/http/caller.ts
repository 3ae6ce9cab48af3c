// Who asks. Until there are credentials, everybody is the same caller.

import type { FastifyRequest } from 'fastify'
import type { Caller } from '../engine/change.ts'
import { depthOf } from './depth.ts'
import { traceOf } from './plugins/watch-requests.ts'

const anonymous: Caller = Object.freeze({ namespace: 'default', actor: 'anonymous' })

/** The caller of a request. Only here does a request turn into a caller. */
export function callerOf(request: FastifyRequest): Caller {
  const depth = depthOf(request)
  const traceparent = traceOf(request)
  if (depth === 0 && traceparent === null) return anonymous
  return {
    ...anonymous,
    ...(depth > 0 && { depth }),
    ...(traceparent !== null && { traceparent }),
  }
}

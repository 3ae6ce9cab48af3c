// Who asks, as routes and the engine know it.

import type { FastifyRequest } from 'fastify'
import type { Grant } from '../domain/binding.ts'
import type { Caller } from '../engine/change.ts'
import type { Identity } from '../engine/credentials.ts'
import { depthOf } from './depth.ts'
import { traceOf } from './plugins/watch-requests.ts'

/** Who sent a request to a route that is not open, with all that it is held to. */
export function identityOf({ identity }: FastifyRequest): Identity {
  if (identity === null) throw new Error('an open route asked who its caller is')
  return identity
}

/** The caller of a request. */
export function callerOf(request: FastifyRequest): Caller {
  const { caller } = identityOf(request)
  const depth = depthOf(request)
  const traceparent = traceOf(request)
  if (depth === 0 && traceparent === null) return caller
  return {
    ...caller,
    ...(depth > 0 && { depth }),
    ...(traceparent !== null && { traceparent }),
  }
}

/** What the caller of a request is allowed. */
export function grantsOf(request: FastifyRequest): readonly Grant[] {
  return identityOf(request).grants
}

// Who calls the tool: the caller of the request, in the session that its header names.

import type { FastifyRequest } from 'fastify'
import { invalid } from '../domain/errors.ts'
import { inSession, sessionFault, type ToolSession } from '../tool/session.ts'
import { callerOf, grantsOf } from './caller.ts'

/**
 * The session of a request. Only here does one become a session of the tool. Throws `invalid_request`
 * for a name that no session can have.
 */
export function toolSession(request: FastifyRequest): ToolSession {
  const header = request.headers['taskflow-session']
  const name = typeof header === 'string' && header !== '' ? header : undefined
  const fault = name === undefined ? null : sessionFault(name)
  if (fault !== null) throw invalid('taskflow-session', 'invalid_value', fault)
  const caller = callerOf(request)
  return { caller: inSession(caller, name), grants: grantsOf(request) }
}

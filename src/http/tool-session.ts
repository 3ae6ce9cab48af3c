// Who calls the tool: the caller of the request, in the session that its header names.

import { createHash } from 'node:crypto'
import type { FastifyRequest } from 'fastify'
import { invalid } from '../domain/errors.ts'
import type { ChangeOptions } from '../engine/change.ts'
import { isNarrow } from '../engine/sight.ts'
import { inSession, sessionFault, type ToolSession } from '../tool/session.ts'
import { callerOf, grantsOf } from './caller.ts'
import { unconditionalOptions } from './headers.ts'

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
  return { caller: inSession(caller, name), grants: grantsOf(request), narrow: isNarrow(caller) }
}

/**
 * The conditions of a call. Its owner is part of its key: two sessions of one credential may choose
 * the same one, and neither may be given the answer to the other.
 */
export function toolOptions(request: FastifyRequest, { caller }: ToolSession): ChangeOptions {
  const { idempotency } = unconditionalOptions(request)
  const { owner_session_key: owner } = caller
  if (idempotency === undefined || owner === undefined) return {}
  const { key, fingerprint } = idempotency
  const owned = createHash('sha256')
    .update(JSON.stringify([owner, key]))
    .digest('base64url')
  return { idempotency: { key: `tool:${owned}`, fingerprint } }
}

// What a caller sees: the flows of its namespace, of its owner and of its controllers. All others do not exist for it.

import { hash } from 'node:crypto'
import { FlowError } from '../domain/errors.ts'
import { refuseFarTime } from '../domain/horizon.ts'
import type { TimeSpec } from '../domain/wait.ts'
import type { Caller } from './change.ts'

/** What of a flow says who sees it. */
interface Seen {
  namespace: string
  owner_session_key: string
  controller_id: string
}

export function sees(caller: Caller, flow: Seen): boolean {
  return (
    flow.namespace === caller.namespace &&
    (caller.owner_session_key === undefined ||
      caller.owner_session_key === flow.owner_session_key) &&
    (caller.controllers === undefined || caller.controllers.includes(flow.controller_id))
  )
}

/** Whether a caller does not see all flows of its namespace. */
export function isNarrow({ owner_session_key, controllers }: Caller): boolean {
  return owner_session_key !== undefined || controllers !== undefined
}

/** What a caller sees, for the `where` of lists. */
export function sightOf({ owner_session_key, controllers }: Caller): {
  owner?: string
  controllers?: readonly string[]
} {
  return {
    ...(owner_session_key !== undefined && { owner: owner_session_key }),
    ...(controllers !== undefined && { controllers }),
  }
}

/** Which flows a signal can reach: those that its sender sees. Null means every one. */
interface Reach {
  owner_session_key: string | null
  controllers: readonly string[] | null
}

export function reachOf({ owner_session_key, controllers }: Caller) {
  return {
    owner_session_key: owner_session_key ?? null,
    controllers: controllers === undefined ? null : [...controllers],
  }
}

/** Whether a flow of its namespace exists for a signal. */
export function reaches({ owner_session_key: owner, controllers }: Reach, flow: Seen): boolean {
  if (owner !== null && owner !== flow.owner_session_key) return false
  return controllers === null || controllers.includes(flow.controller_id)
}

/** Whether a caller sees a signal of its namespace: one that reaches no flow which the caller does not see. */
export function seesSent(caller: Caller, sent: Reach): boolean {
  const { owner_session_key: owner, controllers } = caller
  if (owner !== undefined && owner !== sent.owner_session_key) return false
  if (controllers === undefined) return true
  return sent.controllers?.every((id) => controllers.includes(id)) ?? false
}

/**
 * Tells callers that see other flows apart where what they send must not meet, as under senders' ids. Empty
 * for those that see all.
 */
export function sightMark(caller: Caller): string {
  if (!isNarrow(caller)) return ''
  const { owner_session_key, controllers } = reachOf(caller)
  const text = JSON.stringify([owner_session_key, controllers?.sort() ?? null])
  return `@${hash('sha256', text, 'base64url').slice(0, 22)}`
}

/**
 * The owner and the origin of a flow that a caller makes: what it says, which its key may only repeat, or
 * what its key says.
 *
 * @throws FlowError `forbidden`; `invalid_request` when neither says it; `timer_horizon_exceeded` for its steps.
 */
export function originOf<
  Input extends { controller_id: string; steps?: readonly { run_at?: TimeSpec }[] },
>(
  caller: Caller,
  input: Input & { owner_session_key?: string; requester_origin?: string },
): Input & { owner_session_key: string; requester_origin: string } {
  const { controllers } = caller
  if (controllers !== undefined && !controllers.includes(input.controller_id)) {
    throw notYours('/controller_id', 'This key makes flows of other controllers.')
  }
  const { timer_max_horizon: horizon } = caller
  for (const { run_at } of input.steps ?? []) {
    if (horizon !== undefined && run_at !== undefined) refuseFarTime(run_at, horizon, Date.now())
  }
  return {
    ...input,
    owner_session_key: said(caller, input, 'owner_session_key'),
    requester_origin: said(caller, input, 'requester_origin'),
  }
}

function said(
  caller: Caller,
  input: { owner_session_key?: string; requester_origin?: string },
  member: 'owner_session_key' | 'requester_origin',
): string {
  const own = caller[member]
  const asked = input[member]
  if (own === undefined) {
    if (asked !== undefined) return asked
    const message = `${member} is missing: send it, or use a key whose binding has one.`
    throw new FlowError('invalid_request', message, {
      errors: [{ pointer: `/${member}`, code: 'required', message }],
    })
  }
  if (asked !== undefined && asked !== own) {
    throw notYours(`/${member}`, `This key says ${member} itself: leave it out.`)
  }
  return own
}

function notYours(pointer: string, message: string): FlowError {
  return new FlowError('forbidden', message, { pointer })
}

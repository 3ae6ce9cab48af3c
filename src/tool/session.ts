// Whose flows a caller of the tool sees and makes: said by its credential, or by its session, never by a model.

import type { Grant } from '../domain/binding.ts'
import type { Caller } from '../engine/change.ts'

/** A caller with what it may do. Its owner is absent when nothing says who that is. */
export interface ToolSession {
  caller: Caller
  grants: readonly Grant[]
}

/** A caller whose owner is known. */
export type OwnedCaller = Caller & { owner_session_key: string; requester_origin: string }

/** The name of a session, as a header can carry it. */
const sessionName = /^[\w.:@/-]{1,128}$/

/** What is wrong with the name of a session, or null. */
export function sessionFault(name: string): string | null {
  return sessionName.test(name)
    ? null
    : 'Taskflow-Session takes 1 to 128 letters, digits and . _ : @ / - characters.'
}

/**
 * The caller of a session. A credential with an owner wins: the session then only says who asks. One
 * without gets an owner of its own in each session, whose name begins with the credential's actor, so
 * that no session reaches flows of another credential.
 */
export function inSession(caller: Caller, session: string | undefined): Caller {
  if (session === undefined) return caller
  const owner = caller.owner_session_key ?? `agent:${caller.actor}:session:${session}`
  return {
    ...caller,
    owner_session_key: owner,
    requester_origin: caller.requester_origin ?? session,
    // Two sessions of one credential may choose the same key, and neither may get the answer to the other.
    replay_scope: JSON.stringify([caller.replay_scope ?? caller.actor, owner]),
  }
}

/** The caller with its owner, or null when there is none. */
export function owned(caller: Caller): OwnedCaller | null {
  const { owner_session_key, requester_origin } = caller
  if (owner_session_key === undefined) return null
  return { ...caller, owner_session_key, requester_origin: requester_origin ?? caller.actor }
}

// What a link that ends a wait is to whoever holds it: until when it is open, and what became of it.

import type { EventKind, FlowEvent } from './event.ts'
import type { JsonObject, JsonValue } from './json.ts'
import type { Timestamp } from './time.ts'
import type { Wait } from './wait.ts'

/** Who is named in the audit log when somebody used a link: whoever had it. */
export const linkActor = 'link'

/** A link to be made with a wait. The token itself is known only to whoever asked. */
export interface NewLink {
  /** SHA-256 of the token, in hex. */
  token_hash: string
  /** Milliseconds until it stops working, or null: with its wait. */
  ttl: number | null
  /** A JSON Schema that payloads must fit, or null. */
  schema: JsonObject | null
}

/** What ended a wait, or the link to it. */
export const linkEnders = [
  'link',
  'signal',
  'timer',
  'manual',
  'timeout',
  'expiry',
  'failed',
  'cancelled',
] as const
export type LinkEnder = (typeof linkEnders)[number]

/** How it was decided that a link is dead. Of what others sent or gave as their reasons nothing is told. */
export interface LinkDecision {
  by: LinkEnder
  at: Timestamp
  /** What came in by the link itself. */
  payload?: JsonValue
}

/** Events that end a wait, or doom it. The first of them after the wait's own event is the one that did. */
export const waitEnding: readonly EventKind[] = [
  'resumed',
  'failed',
  'cancelled',
  // A cancel that was requested is never taken back.
  'cancel_requested',
]

/** What the event that ended a wait decided, for whoever holds the link to it. */
export function decisionOf({ kind, payload, at }: FlowEvent): LinkDecision {
  if (payload['by'] === 'timeout') return { by: 'timeout', at }
  switch (kind) {
    case 'resumed': {
      if (payload['link'] !== true) return { by: enderOf(payload['by']), at }
      const patch = payload['state_patch'] as JsonObject | undefined
      const sent = patch?.['resume_event']
      return { by: 'link', at, ...(sent !== undefined && { payload: sent }) }
    }
    case 'failed':
      return { by: 'failed', at }
    default:
      return { by: 'cancelled', at }
  }
}

function enderOf(by: JsonValue | undefined): LinkEnder {
  return linkEnders.find((one) => one === by) ?? 'manual'
}

/** When a wait ends by itself, or its link stops working, whichever comes first; null when neither does. */
export function openUntil(wait: Wait): Timestamp | null {
  const times = [wait.link_expires_at, wait.timeout_at]
  if (wait.kind === 'timer') times.push(wait.at)
  if (wait.kind === 'any') {
    for (const branch of wait.of) if (branch.kind === 'timer') times.push(branch.at)
  }
  return times.reduce<Timestamp | null>(
    (first, at) => (at != null && (first === null || at < first) ? at : first),
    null,
  )
}

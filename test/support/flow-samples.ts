// Flows, waits and limits to begin a test with.

import type { DecidedFlow, DomainLimits } from '../../src/domain/command.ts'
import { createFlow, type NewFlow } from '../../src/domain/create.ts'
import type { FlowStatus } from '../../src/domain/flow.ts'
import { isTerminal } from '../../src/domain/flow.ts'
import { makeId } from '../../src/domain/id.ts'
import { shardToken } from '../../src/domain/shard.ts'
import type { Timestamp } from '../../src/domain/time.ts'
import type { Wait } from '../../src/domain/wait.ts'

export const limits: DomainLimits = { state_bytes: 4_096, labels: 4, open_steps: 100 }

export const start: Timestamp = '2026-04-23T15:00:00.000Z'

/** The instant so many milliseconds after `start`. */
export function later(ms: number): Timestamp {
  return new Date(Date.parse(start) + ms).toISOString()
}

/** A UUIDv7 that says its number, on shard 7. */
export function id(n: number): string {
  return makeId(Date.parse(start), n, new Uint8Array(8), 7)
}

export const newFlow: NewFlow = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
}

export const place = { id: id(1), shard: shardToken(7), namespace: 'default', actor: 'tester' }

export const waitId = id(2)

export const waits = {
  timer: { id: waitId, kind: 'timer', at: later(60_000), since: start },
  event: {
    id: waitId,
    kind: 'external_event',
    topic: 'payment.settled',
    correlation_id: 'order-42',
    since: start,
  },
  manual: { id: waitId, kind: 'manual', signal: 'approved', since: start },
} satisfies Record<string, Wait>

/** A flow in a status, with what belongs to that status. */
export function flowIn(status: FlowStatus, more: Partial<DecidedFlow> = {}): DecidedFlow {
  const { flow } = createFlow(place, { ...newFlow, labels: { tier: 'gold' } }, start, limits)
  const wait = status === 'waiting' ? (more.wait ?? waits.timer) : null
  return {
    ...flow,
    status,
    wait,
    wake_at: wait?.kind === 'timer' ? wait.at : null,
    revision: 3,
    closed_at: isTerminal(status) ? start : null,
    ...more,
  }
}

// A signal and its row: how each becomes the other.

import type { Instant, SignalDelivery, SignalRecord } from '../domain/signal.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { SignalTarget } from '../domain/wait.ts'
import { raw } from './sql.ts'

/** A row as the server sends it: times with microseconds and payloads as text. */
export interface SignalRow {
  id: string
  shard: number
  namespace: string
  kind: SignalTarget['kind']
  topic: string | null
  correlation_id: string | null
  name: string | null
  flow_id: string | null
  wait_id: string | null
  source: string
  sender_id: string | null
  actor: string
  owner_session_key: string | null
  controllers: string[] | null
  payload: string | null
  deliver: SignalRecord['deliver']
  outcome: SignalRecord['outcome']
  deliveries: SignalDelivery[]
  delivered_count: number
  received_at: Instant
  expires_at: Timestamp | null
  traceparent: Traceparent | null
  waking: boolean
  wake_before: Instant | null
  woken_since: Instant | null
  woken_wait: string | null
}

const instant = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`

/** The columns of table alias `s` as a `SignalRow`. */
export const signalColumns = raw(
  [
    's.id, s.shard, s.namespace, s.kind, s.topic, s.correlation_id, s.name, s.flow_id, s.wait_id',
    // As text: SQL null is no payload, and the text null is one.
    's.source, s.sender_id, s.actor, s.owner_session_key, s.controllers, s.payload::text as payload, s.deliver, s.outcome',
    `s.deliveries, s.delivered_count, ${instant('s.received_at')} as received_at, s.expires_at, s.traceparent`,
    `s.waking, ${instant('s.wake_before')} as wake_before, ${instant('s.woken_since')} as woken_since, s.woken_wait`,
  ].join(', '),
)

export function signalOf(row: SignalRow): SignalRecord {
  const { woken_since: since, woken_wait: wait_id } = row
  return {
    id: row.id,
    shard: row.shard,
    namespace: row.namespace,
    target: targetOf(row),
    flow_id: row.flow_id,
    source: row.source,
    sender_id: row.sender_id,
    actor: row.actor,
    owner_session_key: row.owner_session_key,
    controllers: row.controllers,
    ...(row.payload !== null && { payload: JSON.parse(row.payload) }),
    deliver: row.deliver,
    outcome: row.outcome,
    deliveries: row.deliveries,
    delivered_count: row.delivered_count,
    received_at: row.received_at,
    expires_at: row.expires_at,
    traceparent: row.traceparent,
    waking:
      row.waking && row.wake_before !== null
        ? {
            before: row.wake_before,
            after: since === null || wait_id === null ? null : { since, wait_id },
          }
        : null,
  }
}

function targetOf({ kind, topic, correlation_id, name, wait_id }: SignalRow): SignalTarget {
  switch (kind) {
    case 'external_event':
      return { kind, topic: topic ?? '', correlation_id: correlation_id ?? '' }
    case 'manual':
      return { kind, signal: name ?? '' }
    case 'link':
      return { kind, wait_id: wait_id ?? '' }
  }
}

/** A record as the columns that its insert takes. */
export function rowOf(signal: SignalRecord): Omit<SignalRow, 'payload'> & { payload?: string } {
  const { target, waking } = signal
  return {
    id: signal.id,
    shard: signal.shard,
    namespace: signal.namespace,
    kind: target.kind,
    topic: target.kind === 'external_event' ? target.topic : null,
    correlation_id: target.kind === 'external_event' ? target.correlation_id : null,
    name: target.kind === 'manual' ? target.signal : null,
    flow_id: signal.flow_id,
    wait_id: target.kind === 'link' ? target.wait_id : null,
    source: signal.source,
    sender_id: signal.sender_id,
    actor: signal.actor,
    owner_session_key: signal.owner_session_key,
    controllers: signal.controllers,
    ...(signal.payload !== undefined && { payload: JSON.stringify(signal.payload) }),
    deliver: signal.deliver,
    outcome: signal.outcome,
    deliveries: signal.deliveries,
    delivered_count: signal.delivered_count,
    received_at: signal.received_at,
    expires_at: signal.expires_at,
    traceparent: signal.traceparent,
    waking: waking !== null,
    wake_before: waking?.before ?? null,
    woken_since: waking?.after?.since ?? null,
    woken_wait: waking?.after?.wait_id ?? null,
  }
}

// What a signal is: an inbound message that may end a wait, kept as a row with a fate.

import type { JsonValue } from './json.ts'
import type { Timestamp } from './time.ts'
import type { Traceparent } from './trace.ts'
import { branchFor, type SignalTarget, type Wait } from './wait.ts'

export const signalOutcomes = ['buffered', 'delivered', 'expired'] as const
/** The fate of a stored signal: kept for a wait to come, delivered to one, or kept in vain. */
export type SignalOutcome = (typeof signalOutcomes)[number]

export const deliverModes = ['one', 'all'] as const
export type DeliverMode = (typeof deliverModes)[number]

/** Deliveries that a signal's row lists; past it they are only counted. */
export const listedDeliveries = 100

/** One wait that a signal ended or advanced, by the revision that this made. */
export interface SignalDelivery {
  flow_id: string
  wait_id: string
  revision: number
}

/** A time with microseconds (`2026-04-23T15:00:00.000123Z`), which sorts as text: the order of signals. */
export type Instant = string

/** A signal as a row. */
export interface SignalRecord {
  id: string
  shard: number
  namespace: string
  target: SignalTarget
  /** The one flow that it is for, or null. */
  flow_id: string | null
  /** Who vouches for `sender_id`; empty for callers of the API. */
  source: string
  /** The sender's own id: a second one from the same source and for the same correlation is a duplicate. */
  sender_id: string | null
  /** Who sent it: named in the audit log of the flow that takes it. */
  actor: string
  /** Absent when the sender gave none. */
  payload?: JsonValue
  deliver: DeliverMode
  outcome: SignalOutcome
  deliveries: SignalDelivery[]
  delivered_count: number
  received_at: Instant
  /** When it stops being kept; null when it was delivered at once. */
  expires_at: Timestamp | null
  /** The trace of what sent it, or null. */
  traceparent: Traceparent | null
  /** Of `deliver: all`, while there are more waits to wake. */
  waking: Waking | null
}

/** A place in the line of waits under a match key. */
export interface WaitPlace {
  since: Instant
  wait_id: string
}

/** Which waits are still to be woken. */
export interface Waking {
  /** Those that began before this time. */
  before: Instant
  /** And stand behind this place, when it is not null: up to it, each had its turn. */
  after: WaitPlace | null
}

/** Whether one place comes before another. */
export function isAhead(a: WaitPlace, b: WaitPlace): boolean {
  return a.since === b.since ? a.wait_id < b.wait_id : a.since < b.since
}

/** Whether a kept signal can end or advance this wait of this flow. */
export function isFor(signal: SignalRecord, flowId: string, wait: Wait): boolean {
  return (
    (signal.flow_id === null || signal.flow_id === flowId) &&
    branchFor(wait, signal.target) !== null
  )
}

/** Sorts the longest kept first. */
export function byAge(a: SignalRecord, b: SignalRecord): number {
  if (a.received_at !== b.received_at) return a.received_at < b.received_at ? -1 : 1
  return a.id < b.id ? -1 : 1
}

// What a hook is: who is told of which audit events, and what becomes of each delivery.

import type { EventKind } from './event.ts'
import type { FlowStatus } from './flow.ts'
import type { SigningSecret } from './signing-secret.ts'
import type { Timestamp } from './time.ts'

export const payloadStyles = ['thin', 'full'] as const
/** Whether a delivery names what happened, or has the flow and the event's payload as well. */
export type PayloadStyle = (typeof payloadStyles)[number]

export const deliveryStatuses = ['pending', 'delivered', 'failed'] as const
/** `failed` is final: all attempts were made, or there is nobody to deliver to. */
export type DeliveryStatus = (typeof deliveryStatuses)[number]

/** Which events are told to whom, and how. */
export interface HookDefinition {
  url: string
  /** Null for all kinds. */
  kinds: EventKind[] | null
  /** Events of this controller's flows; null for those of all. */
  controller_id: string | null
  /** Events of flows with all of these labels; null for those of all. */
  labels: Record<string, string> | null
  payload: PayloadStyle
  /** Whether a delivery waits for the one before it of the same flow. */
  ordered: boolean
  description: string | null
}

export interface HookRecord extends HookDefinition {
  id: string
  shard: number
  namespace: string
  /** The one flow that it is for; null for all of the namespace. */
  flow_id: string | null
  /** What its deliveries share slots in. */
  lane: string
  enabled: boolean
  disabled_reason: string | null
  disabled_at: Timestamp | null
  secrets: SigningSecret[]
  last_success_at: Timestamp | null
  /** Since when every attempt has failed. */
  first_failure_at: Timestamp | null
  created_at: Timestamp
  updated_at: Timestamp
}

/** Hooks of one flow, at most. */
export const maxFlowHooks = 16

/** A request as deep as this is part of a loop. */
export const maxDepth = 8

/** The type of the delivery by which somebody tries out a hook. */
export const testType = 'hook.test'

const statusesAfter: Partial<Record<EventKind, FlowStatus>> = {
  created: 'created',
  started: 'running',
  waiting: 'waiting',
  resumed: 'running',
  finished: 'finished',
  failed: 'failed',
  cancelled: 'cancelled',
  reopened: 'running',
}

/** The status that a flow has after an event. Most kinds leave it as it was before. */
export function statusAfter(kind: EventKind, before: FlowStatus): FlowStatus {
  return statusesAfter[kind] ?? before
}

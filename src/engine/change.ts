// What stands around every change: who asks, under which conditions, and what is answered.

import type { Outcome } from '../domain/command.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { SignalOutcome, SignalRecord } from '../domain/signal.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { Standby } from './handover.ts'

/** Who asks. The namespace comes from the caller's credential, never from a request. */
export interface Caller {
  namespace: string
  /** Named in audit events, and the scope of idempotency keys when there is no other. */
  actor: string
  /**
   * The scope of its idempotency keys: the same for all keys of a binding that see the same flows, so that a
   * repeat after a rotation is one, and another where a stored answer could show what is not to be seen.
   */
  replay_scope?: string
  /** How many deliveries of hooks led to this request, one after the other; 0 when absent. */
  depth?: number
  /** The trace that the request is a part of; kept with what it changes. None when absent. */
  traceparent?: Traceparent
  /** The only owner whose flows the caller sees and makes; all other flows do not exist for it. Any when absent. */
  owner_session_key?: string
  /** Who asks for the flows that it makes, when its credential says so. */
  requester_origin?: string
  /** The only controllers whose flows and steps the caller sees and works on. Any when absent. */
  controllers?: readonly string[]
  /** How far ahead its timers may be, in milliseconds. Any when absent. */
  timer_max_horizon?: number
}

/** What may stand beside any change. */
export interface ChangeOptions {
  /** The revision that the flow must have (`If-Match`); else `revision_mismatch`. */
  if_match?: number
  /** A repeat with the same key and fingerprint gets the stored answer; another fingerprint is refused. */
  idempotency?: { key: string; fingerprint: string }
  /** Of a report: a claim that is served with it, if something becomes ready in the same transaction. */
  standby?: Standby
}

/** A hook that was made with its flow. */
export interface CreatedHook {
  id: string
  url: string
  /** Null when the caller gave it. */
  secret: string | null
}

/** The answer to a change: the flow as it is after that change's own revision. */
export interface Reply {
  outcome: Outcome
  flow: FlowRecord
  /** The step that the change was about. */
  step?: StepRecord
  /** Whether the change made that step. */
  step_created?: boolean
  /** The hooks of a flow that was made with some. A secret is in no answer but the first, and null then. */
  hooks?: CreatedHook[]
  /** True when this is a stored answer given again. */
  replayed: boolean
}

/** The answer to a signal: its fate. */
export interface SignalReply {
  outcome: SignalOutcome | 'duplicate' | 'unmatched'
  /** As it is stored; the first one of its sender's id for a duplicate, and nowhere for `unmatched`. */
  signal: SignalRecord
  /** The flow that it was for, or that took it, when there is just one. */
  flow: FlowRecord | null
  /** Whether it made that flow. */
  started: boolean
  /** True when this is a stored answer given again. */
  replayed: boolean
}

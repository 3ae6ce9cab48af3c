// What can be asked of a flow, and what a decision on it consists of.

import type { FlowEvent } from './event.ts'
import type { FlowControl } from './flow.ts'
import type { JsonObject, JsonValue, StatePatch } from './json.ts'
import type { Observation, StepRecord } from './step.ts'
import type { Timestamp } from './time.ts'
import type { SignalTarget, WaitSpec } from './wait.ts'

/** A change that somebody asks of one flow. Ids of what it may create come with it: `decide` mints nothing. */
export type Command =
  | { type: 'start' }
  | {
      type: 'wait'
      wait_id: string
      wait: WaitSpec
      /** Asks for a link that ends this wait. */
      link?: NewLink
    }
  | { type: 'move_timer'; at: Timestamp }
  | { type: 'resume'; state_patch?: JsonObject; wait_id?: string }
  | {
      type: 'signal'
      signal_id: string
      /** The sender's own id of the signal. */
      sender_id?: string
      target: SignalTarget
      payload?: JsonValue
    }
  | { type: 'update_state'; patch?: JsonObject; unset?: string[]; next_step?: string }
  | { type: 'update_labels'; labels: Record<string, string | null> }
  | { type: 'finish'; final_state?: JsonObject }
  | { type: 'fail'; reason: string }
  | { type: 'request_cancel'; reason?: string }
  | { type: 'cancel'; reason?: string }
  | {
      type: 'observe'
      /** The id of the step if this observation is its first. */
      step_id: string
      observation: Observation
      /** The step as it is stored, looked up under the flow's lock. */
      known: StepRecord | null
    }
  /** The tick found the flow due. */
  | { type: 'fire' }
  /** The tick could not fire the flow: set it aside. */
  | { type: 'quarantine'; reason: string }

/** A link to be made with a wait. The token itself is known only to whoever asked. */
export interface NewLink {
  /** SHA-256 of the token, in hex. */
  token_hash: string
  /** Milliseconds until it stops working, or null: with its wait. */
  ttl: number | null
  /** A JSON Schema that payloads must fit, or null. */
  schema: JsonObject | null
}

/** A flow as `decide` sees it. The state is there when it had to be read. */
export type DecidedFlow = FlowControl & { state?: JsonObject }

/**
 * A row beside the flow that changes with it. `remote` marks one that lives on another shard than
 * the flow; today both commit in one transaction.
 */
export type Effect = { reach: 'local' | 'remote' } & (
  | {
      type: 'open_match_key'
      shard: number
      topic: string
      correlation_id: string
      wait_id: string
    }
  | {
      type: 'close_match_key'
      shard: number
      topic: string
      correlation_id: string
      wait_id: string
    }
  | {
      type: 'open_link'
      wait_id: string
      token_hash: string
      expires_at: Timestamp | null
      schema: JsonObject | null
    }
  | { type: 'save_step'; step: StepRecord }
)

/** What became of a command that was not refused. */
export type Outcome =
  | 'created'
  | 'existing'
  | 'changed'
  | 'unchanged'
  | 'set_aside'
  | 'delivered'
  | 'unmatched'
  | 'stale'

export interface Decision {
  /** The flow as it is afterwards; the very same object when nothing changed. */
  flow: DecidedFlow
  patch: StatePatch | null
  /** One per revision, in order; empty for a no-op. */
  events: FlowEvent[]
  effects: Effect[]
  outcome: Outcome
  /** The step that an observation was about, as it is afterwards. */
  step?: StepRecord
}

/** Limits that the domain judges. Sizes in bytes of compact JSON. */
export interface DomainLimits {
  state_bytes: number
  labels: number
}

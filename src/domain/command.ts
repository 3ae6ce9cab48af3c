// What can be asked of a flow, and what a decision on it consists of.

import type { FlowEvent } from './event.ts'
import type { FlowControl, FlowHold } from './flow.ts'
import type { JsonObject, JsonValue, StatePatch } from './json.ts'
import type { NewLink } from './link.ts'
import type { StepOutcome } from './outcome.ts'
import type {
  AttemptRecord,
  NewStep,
  Observation,
  PlannedStep,
  StepDefaults,
  StepRecord,
} from './step.ts'
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
      /** The step that the flow goes on with when the wait is over. */
      next?: PlannedStep
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
  | {
      type: 'update_retention'
      /** Changed beside it, as one request. */
      labels?: Record<string, string | null>
      /** In milliseconds; null: the service's own time. */
      retain_ms?: number | null
      hold?: Pick<FlowHold, 'reason'> | null
    }
  | { type: 'finish'; final_state?: JsonObject }
  | { type: 'fail'; reason: string }
  | {
      type: 'request_cancel'
      reason?: string
      /** Milliseconds that running steps are given; then the flow is cancelled whatever they do. */
      grace?: number
      /** The steps of the flow that are not settled, looked up under its lock; none when absent. */
      open?: StepRecord[]
    }
  | { type: 'cancel'; reason?: string }
  | {
      type: 'observe'
      /** The id of the step if this observation is its first. */
      step_id: string
      observation: Observation
      /** The step as it is stored, looked up under the flow's lock. */
      known: StepRecord | null
    }
  | {
      type: 'enqueue'
      step: NewStep
      defaults: StepDefaults | null
      /** The step that has this run already, looked up under the flow's lock. */
      known: StepRecord | null
    }
  | {
      type: 'settle'
      step_id: string
      /** Of the claim that the report is about. */
      token: string
      /** Tells a repeat of the report from another one. */
      hash: string
      outcome: StepOutcome
      defaults: StepDefaults | null
      /** From 0 up to 1, for the pause before a retry. */
      random: number
      /** The step, locked. */
      known: StepRecord | null
      /** The step that has the run which the next step is to have, locked; none when absent. */
      taken?: StepRecord | null
    }
  /** Time has ended an attempt of a step, or its last chance. */
  | { type: 'expire_step'; step_id: string; random: number; known: StepRecord | null }
  /** What an operator does about a dead step. */
  | { type: 'retry_step'; step_id: string; known: StepRecord | null }
  | {
      type: 'resolve_step'
      step_id: string
      known: StepRecord | null
      /** Skipped without a result. */
      skipped: boolean
      result: JsonValue
      reason?: string
    }
  | { type: 'reopen'; step_id: string; known: StepRecord | null }
  /** The tick found the flow due. */
  | { type: 'fire' }
  /** The tick could not fire the flow: set it aside. */
  | { type: 'quarantine'; reason: string }

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
  | { type: 'end_attempt'; attempt: AttemptRecord }
  /** The flow has ended: its open steps are cancelled, and those that run are told. */
  | { type: 'close_steps' }
  /** The flow has started: steps that were held can be run. */
  | { type: 'start_steps' }
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
  /** A report that came too late to count, or was counted before. */
  | 'discarded'
  | 'repeated'

export interface Decision {
  /** The flow as it is afterwards; the very same object when nothing changed. */
  flow: DecidedFlow
  patch: StatePatch | null
  /** One per revision, in order; empty for a no-op. */
  events: FlowEvent[]
  effects: Effect[]
  outcome: Outcome
  /** The step that the command was about, as it is afterwards. */
  step?: StepRecord
}

/** Limits that the domain judges. Sizes in bytes of compact JSON. */
export interface DomainLimits {
  state_bytes: number
  labels: number
  /** Steps of one flow that are not settled. */
  open_steps: number
}

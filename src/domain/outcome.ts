// What a run says when it is done: the outcome of a step.

import type { JsonObject, JsonValue } from './json.ts'
import type { NewLink } from './link.ts'
import type { NewStep } from './step.ts'
import type { WaitSpec } from './wait.ts'

/** Any outcome may patch the state of its flow. */
interface Patching {
  state_patch?: JsonObject
}

/** Outcomes of a step that did its work may have a result. */
interface Done extends Patching {
  result?: JsonValue
}

/** What a run reports. Ids of what it may create come with it: nothing is minted while it is decided. */
export type StepOutcome =
  /** The flow goes on with another step. */
  | ({ kind: 'continue'; next: NewStep } & Done)
  /** The flow waits; when the wait ends it goes on with `then`, or its controller decides. */
  | ({ kind: 'wait'; wait_id: string; wait: WaitSpec; link?: NewLink; next?: NewStep } & Done)
  /** The flow is finished. */
  | ({ kind: 'succeed' } & Done)
  /** The flow has failed: a verdict, not a fault of the step. */
  | ({ kind: 'fail'; reason: string } & Patching)
  | ({ kind: 'cancel'; reason?: string } & Patching)
  /** The step is done and the flow goes on by other means. */
  | ({ kind: 'complete' } & Done)
  /** The attempt failed. */
  | ({
      kind: 'error'
      message: string
      code?: string
      details?: JsonValue
      retryable: boolean
      /** Milliseconds before the next attempt; the retry policy's own when absent. */
      retry_after?: number
    } & Patching)

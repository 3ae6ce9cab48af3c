// Steps as they are asked for: what they may be, and the ids that they get.

import type { NewFlow } from '../domain/create.ts'
import { FlowError } from '../domain/errors.ts'
import { type JsonValue, jsonBytes } from '../domain/json.ts'
import type { NewStep } from '../domain/step.ts'
import { refuseBadTimeouts } from '../domain/step-life.ts'
import { mintId } from './ids.ts'

/** A step as it is asked for. */
export type StepInput = Omit<NewStep, 'step_id'>

/** A flow as it is asked for, before anything is minted for its steps. */
export type FlowInput = Omit<NewFlow, 'steps'> & { steps?: StepInput[] }

/** The same, where the key of who asks may say whose flow it is. */
export type FlowAsked = Omit<FlowInput, 'owner_session_key' | 'requester_origin'> & {
  owner_session_key?: string
  requester_origin?: string
}

/** Refuses a value that a step shall keep and that is too large. */
export function refuseLargeValue(
  name: string,
  value: JsonValue | undefined,
  maximum: number,
): void {
  const actual = value === undefined ? 0 : jsonBytes(value)
  if (actual <= maximum) return
  throw new FlowError(
    'limit_exceeded',
    `The ${name} is larger than ${maximum} bytes: keep large data elsewhere and refer to it.`,
    { limit: 'step_bytes', maximum, actual },
  )
}

/**
 * A step with an id of its flow's shard.
 *
 * @param maximum the largest input, in bytes of compact JSON.
 * @throws FlowError `limit_exceeded`, `invalid_request`.
 */
export function mintStep(step: StepInput, shardIndex: number, maximum: number): NewStep {
  refuseLargeValue('input', step.input, maximum)
  refuseBadTimeouts(step)
  return { ...step, step_id: mintId(shardIndex) }
}

/** A flow with ids for its steps. Throws the same. */
export function mintSteps<Input extends FlowInput>(
  { steps, ...flow }: Input,
  shardIndex: number,
  maximum: number,
): Omit<Input, 'steps'> & { steps?: NewStep[] } {
  if (steps === undefined) return flow
  return { ...flow, steps: steps.map((step) => mintStep(step, shardIndex, maximum)) }
}

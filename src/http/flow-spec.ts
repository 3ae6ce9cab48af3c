// A new flow as the wire asks for it, in the engine's words.

import type { CreateFlow } from '../contract/flow.ts'
import type { NewStepRequest } from '../contract/new-step.ts'
import { invalid } from '../domain/errors.ts'
import type { FlowRequest } from '../engine/flows.ts'
import type { StepInput } from '../engine/step-input.ts'
import { stepInputs } from './step-spec.ts'

interface WithSteps {
  start?: boolean
  steps?: NewStepRequest[]
}

/** What a request asks for. `pointer` says where in its body. */
export function flowInput<Request extends WithSteps>(
  { steps, ...flow }: Request,
  pointer: string,
): Omit<Request, 'steps'> & { steps?: StepInput[] } {
  if (steps === undefined) return flow
  if (flow.start === false) {
    throw invalid(
      `${pointer}/start`,
      'not_together',
      'A flow with steps is running from the start: leave start out, or the steps.',
    )
  }
  return { ...flow, steps: stepInputs(steps, `${pointer}/steps`) }
}

/** A creation, with the hooks that the flow shall have. Pointers of what it throws begin at the creation. */
export function flowRequest({ hooks: asked, ...input }: CreateFlow): FlowRequest {
  if (input.key !== undefined && input.routing_key !== undefined) {
    throw invalid(
      '/routing_key',
      'not_together',
      'Send key or routing_key: a key already says where the flow is stored.',
    )
  }
  const hooks = asked?.map(({ kinds, ...hook }) => ({ ...hook, ...(kinds && { kinds }) }))
  return { ...flowInput(input, ''), ...(hooks && { hooks }) }
}

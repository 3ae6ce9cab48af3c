// A new flow as the wire asks for it, in the engine's words.

import type { NewStepRequest } from '../contract/new-step.ts'
import { invalid } from '../domain/errors.ts'
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

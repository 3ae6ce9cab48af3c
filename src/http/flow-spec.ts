// A new flow as the wire asks for it, in the engine's words.

import type { NewStepRequest } from '../contract/new-step.ts'
import { invalid } from '../domain/errors.ts'
import { parseDuration } from '../domain/formats.ts'
import type { StepInput } from '../engine/step-input.ts'
import { stepInputs } from './step-spec.ts'

interface WithSteps {
  start?: boolean
  retain?: string
  steps?: NewStepRequest[]
}

/** What a request asks for. `pointer` says where in its body. */
export function flowInput<Request extends WithSteps>(
  { steps, retain, ...rest }: Request,
  pointer: string,
): Omit<Request, 'steps' | 'retain'> & { steps?: StepInput[]; retain_ms?: number } {
  const flow = {
    ...rest,
    ...(retain !== undefined && { retain_ms: parseDuration(retain, `${pointer}/retain`) }),
  }
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

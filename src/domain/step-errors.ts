// What is refused about steps.

import { FlowError } from './errors.ts'
import type { StepRecord } from './step.ts'

/** The error for a step that does not exist, or not for this caller. */
export function stepNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'There is no step with this id. Check the id, or list the steps.',
    { resource: 'step', id },
  )
}

/** A request that fits another kind of step, or one in another status. */
export function stepConflict({ flow_id, id, status }: StepRecord, message: string): FlowError {
  return new FlowError('step_conflict', message, { flow_id, step_id: id, step_status: status })
}

/** The refusal of a report whose claim is not the newest any more, or whose step is settled. */
export function leaseLost(step_id: string, known: StepRecord | null): FlowError {
  return new FlowError(
    'lease_lost',
    'This lease is over: the step was given to another worker or is settled. Drop the result.',
    { step_id, ...(known !== null && { attempt: known.attempt }) },
  )
}

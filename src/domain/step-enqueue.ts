// How a step is added to its flow, by whoever asks for it.

import { refuseEnded } from './admission.ts'
import type { Command, DecidedFlow, Decision, Effect } from './command.ts'
import type { Draft } from './draft.ts'
import { FlowError } from './errors.ts'
import type { JsonObject } from './json.ts'
import type { NewStep, PlannedStep, StepRecord } from './step.ts'
import { stepConflict } from './step-errors.ts'
import { newStep, planStep } from './step-life.ts'

/** Adds a step to a flow. The same run again is the same step, whatever else was sent. */
export function enqueue(draft: Draft, command: Extract<Command, { type: 'enqueue' }>): Decision {
  const { flow, limits } = draft
  const { known } = command
  if (known !== null) {
    if (known.runtime === 'managed') return draft.unchanged('existing', known)
    throw stepConflict(known, 'This run is observed, not managed: choose another run_id.')
  }
  refuseEnded(flow)
  refuseReserved(flow, command.step.run_id)
  if (flow.open_steps >= limits.open_steps) {
    throw new FlowError(
      'limit_exceeded',
      `A flow can have ${limits.open_steps} steps that are not settled: wait for some to end.`,
      { limit: 'open_steps', maximum: limits.open_steps, actual: flow.open_steps },
    )
  }
  return enqueued(draft, planStep(command.step, command.defaults))
}

/**
 * Refuses a run that the present wait will go on with: by then it must not be there.
 */
export function refuseReserved(flow: DecidedFlow, run_id: string | undefined): void {
  if (run_id === undefined || flow.wait?.next?.run_id !== run_id) return
  throw new FlowError(
    'wait_conflict',
    'This flow waits, and is to go on with a run of this name: choose another run_id.',
    { flow_id: flow.id },
  )
}

type Plan = Omit<PlannedStep, 'delay'> & Pick<NewStep, 'run_at'>

/** @param follows true for a step that the flow goes on with: it becomes its current step. */
export function enqueued(
  draft: Draft,
  plan: Plan,
  follows = false,
  signal: StepRecord['signal'] = null,
): Decision {
  const { flow, at } = draft
  const step = { ...newStep(flow, plan, at, flow.status === 'created'), signal }
  return draft.change(
    'step_enqueued',
    {
      ...nameOf(step),
      run_at: step.run_at,
      ...(follows && { current_step: step.task }),
    },
    { open_steps: flow.open_steps + 1, ...(follows && { current_step: step.task }) },
    { effects: [saveStep(step)], step },
  )
}

/** Enqueues the step that a wait brought along, once that is over. */
export function enqueueAfterWait(
  draft: Draft,
  next: PlannedStep,
  signal: StepRecord['signal'],
): Decision {
  const { delay, ...plan } = next
  return enqueued(draft, { ...plan, run_at: { after: delay } }, true, signal)
}

export function nameOf({ id, run_id, task }: StepRecord): JsonObject {
  return { step_id: id, run_id, task }
}

export function saveStep(step: StepRecord): Effect {
  return { type: 'save_step', reach: 'local', step }
}

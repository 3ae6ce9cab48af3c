// What the report of a run does to its step and its flow, in one decision.

import type { Command, Decision } from './command.ts'
import { andThen, type Draft, setMembers } from './draft.ts'
import { FlowError } from './errors.ts'
import { changeMatchKeys } from './match-key.ts'
import type { StepOutcome } from './outcome.ts'
import type { NewStep, PlannedStep, StepDefaults, StepRecord } from './step.ts'
import { discarded, failedAttempt, failFlow, ignored } from './step-end.ts'
import { enqueued, nameOf, refuseReserved, saveStep } from './step-enqueue.ts'
import { leaseLost, stepConflict } from './step-errors.ts'
import { ended, orNull, planStep, stepError } from './step-life.ts'
import { beginWait } from './waiting.ts'

/** Takes the report of a run: in one decision what becomes of its step and of its flow. */
export function settle(draft: Draft, command: Extract<Command, { type: 'settle' }>): Decision {
  const { flow, at } = draft
  const { known, token, hash, outcome, random } = command
  if (known !== null && known.settled_token === token && known.settled_hash === hash) {
    return draft.unchanged('repeated', known)
  }
  if (known === null || known.flow_id !== flow.id || known.lease_token !== token) {
    throw leaseLost(command.step_id, known)
  }
  const receipt = { settled_token: token, settled_hash: hash }
  // Its flow ended while it ran.
  if (known.status === 'cancelled') return ignored(draft, { ...known, ...receipt })
  if (flow.cancel_requested) {
    const reason = outcome.kind === 'cancel' ? outcome.reason : undefined
    return discarded(draft, { ...known, ...receipt }, outcome.kind, reason)
  }
  if (outcome.kind === 'error') {
    const error = stepError(outcome, at)
    return failedAttempt(draft, known, 'error', error, random, outcome, receipt)
  }
  if (outcome.kind === 'wait' && flow.status !== 'running') {
    throw new FlowError(
      'wait_conflict',
      'This flow waits already. Settle this step otherwise, for example with complete.',
      { flow_id: flow.id },
    )
  }
  const next = 'next' in outcome ? outcome.next : undefined
  refuseReserved(flow, next?.run_id)
  const taken = command.taken ?? null
  const own = taken?.id === known.id
  if (taken !== null && (own || outcome.kind === 'wait' || taken.runtime !== 'managed')) {
    throw stepConflict(
      taken,
      'This flow has a step with this run_id already: choose another for the next one, or none.',
    )
  }
  const step = ended(known, outcome.kind === 'cancel' ? 'cancelled' : 'succeeded', at, {
    ...receipt,
    error: null,
    ...('result' in outcome && { result: orNull(outcome.result) }),
  })
  const settled = draft.change(
    'step_settled',
    {
      ...nameOf(step),
      attempt: Math.max(1, step.attempt),
      outcome: outcome.kind,
      ...(step.worker_id !== null && { worker_id: step.worker_id }),
      ...(outcome.state_patch && { state_patch: outcome.state_patch }),
    },
    { open_steps: flow.open_steps - 1 },
    { ...setMembers(outcome.state_patch), effects: [saveStep(step)], step },
  )
  // The same run again is the same step: the flow goes on with the one that is there, as when several
  // steps come to one end.
  if (outcome.kind === 'complete' || taken !== null) return settled
  const decision = andThen(settled, (next) => goOn(draft.on(next), outcome, command.defaults, step))
  return { ...decision, step }
}

/** What becomes of a flow whose step is done. */
function goOn(
  draft: Draft,
  outcome: Exclude<StepOutcome, { kind: 'error' | 'complete' }>,
  defaults: StepDefaults | null,
  step: StepRecord,
): Decision {
  const { flow, at } = draft
  const by = { by: 'step', step_id: step.id }
  switch (outcome.kind) {
    case 'continue':
      return enqueued(draft, planStep(outcome.next, defaults), true)
    case 'wait': {
      const { wait_id, wait, link } = outcome
      const next = outcome.next && afterWait(outcome.next, defaults)
      return beginWait(draft, {
        type: 'wait',
        wait_id,
        wait,
        ...(link !== undefined && { link }),
        ...(next !== undefined && { next }),
      })
    }
    case 'succeed':
      return draft.change('finished', by, draft.leave('finished'), {
        effects: changeMatchKeys(flow, null),
      })
    case 'fail': {
      const failure = { reason: outcome.reason, at }
      return failFlow(draft, failure, by)
    }
    case 'cancel': {
      const { reason } = outcome
      return draft.change(
        'cancelled',
        { ...by, ...(reason !== undefined && { reason }) },
        draft.leave('cancelled'),
        { effects: changeMatchKeys(flow, null) },
      )
    }
  }
}

function afterWait(next: NewStep, defaults: StepDefaults | null): PlannedStep {
  const { run_at, ...plan } = planStep(next, defaults)
  return { ...plan, delay: run_at !== undefined && 'after' in run_at ? run_at.after : 0 }
}

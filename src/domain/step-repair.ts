// What an operator does about a dead step.

import { refuseEnded, refuseTerminal } from './admission.ts'
import type { Command, DecidedFlow, Decision } from './command.ts'
import { andThen, type Draft } from './draft.ts'
import { FlowError } from './errors.ts'
import { isTerminal } from './flow.ts'
import type { StepRecord } from './step.ts'
import { nameOf, saveStep } from './step-enqueue.ts'
import { stepConflict, stepNotFound } from './step-errors.ts'
import { ended, revived, scheduled } from './step-life.ts'

type Of<Type extends Command['type']> = Extract<Command, { type: Type }>

/** Runs a dead step anew, or one that rests between two attempts at once. */
export function retryStep(draft: Draft, { step_id, known }: Of<'retry_step'>): Decision {
  const { flow, at } = draft
  refuseClosed(flow, known)
  const step = managed(flow, step_id, known)
  if (step.status === 'pending' && step.attempt + step.interruptions > 0 && !step.ready) {
    const now = scheduled(step, at, at)
    return draft.aside('changed', now, [saveStep(now)])
  }
  if (step.status !== 'failed')
    throw stepConflict(step, 'Only a dead step, which is failed, is retried.')
  return revive(draft, step)
}

function revive(draft: Draft, dead: StepRecord): Decision {
  const step = revived(dead, draft.at)
  return draft.change(
    'step_enqueued',
    { ...nameOf(step), run_at: step.run_at, retried: true },
    { open_steps: draft.flow.open_steps + 1 },
    { effects: [saveStep(step)], step },
  )
}

/** Settles a dead or pending step by an operator's word. */
export function resolveStep(draft: Draft, command: Of<'resolve_step'>): Decision {
  const { flow, at } = draft
  const { step_id, skipped, result, reason } = command
  refuseClosed(flow, command.known)
  const known = managed(flow, step_id, command.known)
  if (known.status !== 'failed' && known.status !== 'pending') {
    throw stepConflict(
      known,
      `This step is ${known.status}: only a dead or pending one is resolved.`,
    )
  }
  const step = ended(known, 'succeeded', at, { result })
  return draft.change(
    'step_settled',
    {
      ...nameOf(step),
      attempt: step.attempt,
      outcome: skipped ? 'skipped' : 'result',
      by: 'operator',
      was: known.status,
      ...(reason !== undefined && { reason }),
    },
    { open_steps: flow.open_steps - (known.status === 'pending' ? 1 : 0) },
    { effects: [saveStep(step)], step },
  )
}

/** Reopens a failed flow at one of its steps: the one way back from an end, and it is told. */
export function reopen(draft: Draft, { step_id, known }: Of<'reopen'>): Decision {
  const { flow } = draft
  if (flow.status !== 'failed') {
    if (isTerminal(flow.status)) refuseTerminal(flow)
    throw new FlowError(
      'illegal_transition',
      `This flow is ${flow.status}. Only one that has failed can be reopened.`,
      { flow_id: flow.id, from: flow.status, to: 'running', allowed: [], wait: flow.wait },
    )
  }
  const step = managed(flow, step_id, known)
  if (step.status !== 'failed' && step.status !== 'cancelled') {
    throw stepConflict(
      step,
      `This step is ${step.status}: reopen the flow at a dead or cancelled one.`,
    )
  }
  const unset = ['failure']
  const decision = draft.change(
    'reopened',
    { ...nameOf(step), unset },
    { status: 'running', closed_at: null },
    { patch: { merge: {}, unset } },
  )
  return andThen(decision, (next) => revive(draft.on(next), step))
}

/** Refuses what comes after the end; of a failed flow it says at which step that is taken back. */
function refuseClosed(flow: DecidedFlow, known: StepRecord | null): void {
  const reopens = known?.status === 'failed' || known?.status === 'cancelled'
  if (flow.status === 'failed' && known?.flow_id === flow.id && reopens) {
    throw new FlowError(
      'already_terminal',
      'This flow has failed, which is final: reopen it at this step to go on.',
      { flow_id: flow.id, flow_status: flow.status, step_id: known.id },
    )
  }
  refuseEnded(flow)
}

function managed(flow: DecidedFlow, id: string, known: StepRecord | null): StepRecord {
  if (known === null || known.flow_id !== flow.id) throw stepNotFound(id)
  if (known.runtime === 'managed') return known
  throw stepConflict(known, 'This step is observed, not managed: whoever runs it decides.')
}

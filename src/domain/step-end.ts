// How attempts and steps end without a result: errors, time-outs, death, and reports that do not count.

import type { Command, Decision, Effect } from './command.ts'
import { andThen, type Draft, setMembers } from './draft.ts'
import type { JsonObject } from './json.ts'
import { changeMatchKeys } from './match-key.ts'
import type { StepError, StepRecord } from './step.ts'
import { nameOf, saveStep } from './step-enqueue.ts'
import { attemptOf, ended, retried, scheduled, stepDue } from './step-life.ts'

/** Fails a flow because of one of its steps. */
export function failFlow(draft: Draft, failure: JsonObject, by: JsonObject): Decision {
  return draft.change('failed', { ...failure, ...by }, draft.leave('failed'), {
    ...setMembers({ failure }),
    effects: changeMatchKeys(draft.flow, null),
  })
}

/** An attempt has failed: the step is tried again, or it is dead. */
export function failedAttempt(
  draft: Draft,
  known: StepRecord,
  outcome: 'error' | 'lease_expired' | 'timed_out',
  error: StepError,
  random: number,
  { retry_after, state_patch }: { retry_after?: number; state_patch?: JsonObject } = {},
  receipt: Partial<StepRecord> = {},
): Decision {
  const { at } = draft
  // One whose lease ran out was told of already: a late report of its error adds nothing to that.
  const attempts: Effect[] =
    known.status === 'running'
      ? [{ type: 'end_attempt', reach: 'local', attempt: attemptOf(known, outcome, error, at) }]
      : []
  const again = retried(known, outcome, error, at, random, retry_after)
  if (again === null) return dead(draft, known, error, attempts, receipt, state_patch)
  const step = { ...again, ...receipt }
  const effects = [saveStep(step), ...attempts]
  if (state_patch === undefined || Object.keys(state_patch).length === 0) {
    return draft.aside('changed', step, effects)
  }
  return draft.change(
    'state_updated',
    { patch: state_patch, ...nameOf(step) },
    {},
    { ...setMembers(state_patch), effects, step },
  )
}

/** A step for which no attempt is left. Its flow fails with it, or stays for an operator to decide. */
function dead(
  draft: Draft,
  known: StepRecord,
  error: StepError,
  effects: Effect[],
  receipt: Partial<StepRecord>,
  state_patch?: JsonObject,
): Decision {
  const { flow, at } = draft
  const step = { ...ended(known, 'failed', at, { error: { ...error } }), ...receipt }
  const decision = draft.change(
    'step_dead',
    {
      ...nameOf(step),
      attempt: step.attempt,
      error: { ...error },
      on_dead: step.on_dead,
      ...(state_patch && { state_patch }),
    },
    { open_steps: flow.open_steps - 1 },
    { ...setMembers(state_patch), effects: [saveStep(step), ...effects], step },
  )
  if (step.on_dead === 'park') return decision
  const reason = `step ${step.run_id} is dead: ${error.message}`
  const by = { by: 'step', step_id: step.id }
  return andThen(decision, (next) => failFlow(draft.on(next), { reason, at }, by))
}

/** A report on a step that was cancelled with its flow: answered, and without any effect. */
export function ignored(draft: Draft, known: StepRecord): Decision {
  const attempt = attemptOf(known, 'discarded', null, draft.at)
  const step: StepRecord = { ...known, lease_token: null, pushed: false, updated_at: draft.at }
  return draft.aside('discarded', step, [
    saveStep(step),
    { type: 'end_attempt', reach: 'local', attempt },
  ])
}

/** A step whose flow is to end: whatever it reports does not count, and it is not tried again. */
export function discarded(
  draft: Draft,
  known: StepRecord,
  outcome: string,
  ownReason?: string,
): Decision {
  const { flow, at } = draft
  const { settled_token, settled_hash } = known
  const step = ended(known, 'cancelled', at, { settled_token, settled_hash })
  const effects: Effect[] = [saveStep(step)]
  if (known.status === 'running') {
    const attempt = attemptOf(known, 'discarded', null, at)
    effects.push({ type: 'end_attempt', reach: 'local', attempt })
  }
  const settled = {
    ...draft.change(
      'step_settled',
      { ...nameOf(step), attempt: step.attempt, outcome, discarded: true },
      { open_steps: flow.open_steps - 1 },
      { effects, step },
    ),
    outcome: 'discarded' as const,
  }
  if (settled.flow.open_steps > 0) return settled
  const reason = ownReason ?? flow.cancel_reason
  return andThen(settled, (next) => {
    const last = draft.on(next)
    return last.change(
      'cancelled',
      { by: 'request', ...(reason !== null && { reason }) },
      last.leave('cancelled'),
      { effects: changeMatchKeys(next, null) },
    )
  })
}

/** Lets time act on a step. */
export function expireStep(
  draft: Draft,
  { known, random }: Extract<Command, { type: 'expire_step' }>,
): Decision {
  const { flow, at } = draft
  if (known === null || known.runtime !== 'managed') return draft.unchanged('unchanged')
  const due = stepDue(known, at)
  if (due.type === 'none') return draft.unchanged('unchanged', known)
  if (flow.cancel_requested) return discarded(draft, known, 'expired')
  if (due.type === 'promote') {
    const step = scheduled(known, known.run_at ?? at, at)
    return draft.aside('changed', step, [saveStep(step)])
  }
  if (due.type === 'attempt_over') {
    return failedAttempt(draft, known, due.outcome, due.error, random)
  }
  const attempt = attemptOf(known, 'timed_out', due.error, at)
  const running = known.status === 'running'
  const effects: Effect[] = running ? [{ type: 'end_attempt', reach: 'local', attempt }] : []
  return dead(draft, known, due.error, effects, {})
}

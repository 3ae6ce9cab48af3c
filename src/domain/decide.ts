// The whole state machine: what a command does to a flow. Pure; there is no second place where a
// flow's status is set.

import { admit, refuseEnded, refuseTerminal } from './admission.ts'
import type { Command, DecidedFlow, Decision, DomainLimits, Effect, Outcome } from './command.ts'
import { FlowError, invalid } from './errors.ts'
import type { EventKind, FlowEvent } from './event.ts'
import { type FlowStatus, isTerminal } from './flow.ts'
import { applyPatch, type JsonObject, jsonBytes, type StatePatch } from './json.ts'
import { mergeLabels } from './labels.ts'
import { closeMatchKeys, openMatchKeys } from './match-key.ts'
import { judgeObservation, observedStep, type StepRecord } from './step.ts'
import type { Timestamp } from './time.ts'
import { makeWait, waitFault } from './timer.ts'
import { matches, type Wait } from './wait.ts'

/** Who is named in the audit log when the service's own clock acts. */
export const waitEngineActor = 'wait-engine'

/**
 * Decides one command on one flow.
 *
 * Total over statuses and commands: it answers a decision or throws a `FlowError`, in the order
 * terminal (`already_terminal`), sticky cancel (`cancel_pending`), not in the graph
 * (`illegal_transition`). Whether the flow exists and has the revision the caller expects is judged
 * before. Every change bumps `revision` by one and has one event; a no-op has none.
 *
 * @param flow is not changed. When its `state` is there, the decision's flow carries the new state;
 *   it must be there when `state_bytes` and the patch together exceed the limit, and for `observe`
 *   nothing of it is needed.
 * @param now the database's time, taken after the flow was locked.
 */
export function decide(
  flow: DecidedFlow,
  command: Command,
  actor: string,
  now: Timestamp,
  limits: DomainLimits,
): Decision {
  // Never before the change that came before it, whatever the clock did meanwhile.
  const at = now > flow.updated_at ? now : flow.updated_at
  const change = (
    kind: EventKind,
    payload: JsonObject,
    next: Partial<DecidedFlow>,
    more: { patch?: StatePatch; effects?: Effect[]; outcome?: Outcome; step?: StepRecord } = {},
  ): Decision => {
    const revision = flow.revision + 1
    const event: FlowEvent = { flow_id: flow.id, revision, kind, payload, actor, at }
    const changed: DecidedFlow = { ...flow, ...next, revision, updated_at: at }
    const patch = more.patch ?? null
    if (patch !== null) patchState(changed, flow, patch, limits)
    return {
      flow: changed,
      patch,
      events: [event],
      effects: more.effects ?? [],
      outcome: more.outcome ?? 'changed',
      ...(more.step === undefined ? {} : { step: more.step }),
    }
  }
  const unchanged = (outcome: Outcome, step?: StepRecord): Decision => ({
    flow,
    patch: null,
    events: [],
    effects: [],
    outcome,
    ...(step === undefined ? {} : { step }),
  })
  /** Ends the present wait, if there is one, and sets the status. */
  const leaveWait = (status: FlowStatus): Partial<DecidedFlow> => ({
    status,
    wait: null,
    wake_at: null,
    ...(isTerminal(status) ? { closed_at: at } : {}),
  })
  const resumed = (
    wait: Wait | null,
    by: 'timer' | 'signal' | 'manual',
    patch: JsonObject | undefined,
    more: JsonObject = {},
    outcome: Outcome = 'changed',
  ): Decision =>
    change(
      'resumed',
      { by, wait_id: wait?.id ?? null, ...more, ...(patch && { state_patch: patch }) },
      leaveWait('running'),
      { ...setMembers(patch), effects: closeMatchKeys(flow), outcome },
    )
  const cancelled = (reason: string | null, by: 'request' | 'caller'): Decision =>
    change('cancelled', { by, ...(reason !== null && { reason }) }, leaveWait('cancelled'), {
      effects: closeMatchKeys(flow),
    })

  switch (command.type) {
    case 'start': {
      admit(flow, 'running', 'created')
      return change('started', {}, { status: 'running' })
    }
    case 'wait': {
      admit(flow, 'waiting')
      const wait = makeWait(command.wait_id, command.wait, at)
      return change(
        'waiting',
        { wait: { ...wait } },
        { status: 'waiting', wait, wake_at: wait.kind === 'timer' ? laterOf(wait.at, at) : null },
        { effects: openMatchKeys(flow, wait) },
      )
    }
    case 'move_timer': {
      refuseEnded(flow)
      if (flow.wait?.kind !== 'timer') {
        throw new FlowError(
          'wait_conflict',
          'Only a timer can be moved, and this flow does not wait on one.',
          { flow_id: flow.id },
        )
      }
      // One that was set aside has no time to wake: moving it, also to where it was, makes it due again.
      if (flow.wait.at === command.at && flow.wake_at !== null) return unchanged('unchanged')
      const wait = { ...flow.wait, at: command.at }
      return change(
        'wait_moved',
        { wait_id: wait.id, from: flow.wait.at, at: wait.at },
        { wait, wake_at: laterOf(wait.at, at) },
      )
    }
    case 'resume': {
      refuseEnded(flow)
      if (command.wait_id !== undefined && command.wait_id !== flow.wait?.id) {
        throw new FlowError(
          'stale_wait',
          'This wait is over. Read the flow for its present wait, or leave wait_id out.',
          { flow_id: flow.id, expected: command.wait_id, actual: flow.wait?.id ?? null },
        )
      }
      admit(flow, 'running', 'waiting')
      return resumed(flow.wait, 'manual', command.state_patch)
    }
    case 'signal': {
      refuseEnded(flow)
      if (flow.wait === null || !matches(flow.wait, command.target)) return unchanged('unmatched')
      return resumed(
        flow.wait,
        'signal',
        command.payload === undefined ? undefined : { resume_event: command.payload },
        {
          signal_id: command.signal_id,
          ...(command.sender_id !== undefined && { sender_id: command.sender_id }),
        },
        'delivered',
      )
    }
    case 'update_state': {
      refuseEnded(flow)
      const { patch = {}, unset = [], next_step } = command
      if (Object.keys(patch).length + unset.length === 0 && next_step === undefined) {
        return unchanged('unchanged')
      }
      return change(
        'state_updated',
        {
          patch,
          ...(unset.length > 0 && { unset }),
          ...(next_step !== undefined && { next_step }),
        },
        next_step === undefined ? {} : { current_step: next_step },
        Object.keys(patch).length + unset.length > 0 ? { patch: { merge: patch, unset } } : {},
      )
    }
    case 'update_labels': {
      const labels = mergeLabels(flow.labels, command.labels, limits.labels)
      const given = Object.entries(command.labels)
      const known = (name: string) => (Object.hasOwn(flow.labels, name) ? flow.labels[name] : null)
      if (given.every(([name, value]) => known(name) === value)) return unchanged('unchanged')
      return change('labels_updated', { labels: { ...command.labels } }, { labels })
    }
    case 'finish': {
      admit(flow, 'finished')
      const patch = command.final_state
      return change(
        'finished',
        patch ? { final_state: patch } : {},
        leaveWait('finished'),
        setMembers(patch),
      )
    }
    case 'fail': {
      admit(flow, 'failed')
      const failure = { reason: command.reason, at }
      return change('failed', failure, leaveWait('failed'), {
        ...setMembers({ failure }),
        effects: closeMatchKeys(flow),
      })
    }
    case 'request_cancel': {
      refuseTerminal(flow)
      if (flow.cancel_requested) return unchanged('unchanged')
      const reason = command.reason ?? null
      return change('cancel_requested', reason === null ? {} : { reason }, {
        cancel_requested: true,
        cancel_reason: reason,
        // Due now: nothing runs for such a flow, so the next tick may cancel it.
        ...(flow.status === 'running' ? {} : { wake_at: at }),
      })
    }
    case 'cancel': {
      refuseTerminal(flow)
      return cancelled(command.reason ?? flow.cancel_reason, 'caller')
    }
    case 'observe':
      return observe(flow, command, at, change, unchanged)
    case 'fire': {
      if (isTerminal(flow.status) || flow.wake_at === null) return unchanged('unchanged')
      if (flow.cancel_requested) {
        return flow.status === 'running'
          ? unchanged('unchanged')
          : cancelled(flow.cancel_reason, 'request')
      }
      const fault =
        flow.status === 'waiting' ? waitFault(flow.wait) : `a ${flow.status} flow has no timer`
      if (fault !== null) return quarantined(fault)
      // A timer that was moved since it was found due is not due any more.
      if (flow.wait?.kind !== 'timer' || flow.wait.at > now) return unchanged('unchanged')
      return resumed(flow.wait, 'timer', undefined)
    }
    case 'quarantine': {
      if (isTerminal(flow.status) || flow.wake_at === null) return unchanged('unchanged')
      return quarantined(command.reason)
    }
  }

  function quarantined(reason: string): Decision {
    return change('quarantined', { reason, wake_at: flow.wake_at }, { wake_at: null })
  }
}

function setMembers(patch: JsonObject | undefined): { patch?: StatePatch } {
  return patch === undefined || Object.keys(patch).length === 0
    ? {}
    : { patch: { merge: patch, unset: [] } }
}

function laterOf(a: Timestamp, b: Timestamp): Timestamp {
  return a > b ? a : b
}

function patchState(
  changed: DecidedFlow,
  before: DecidedFlow,
  patch: StatePatch,
  limits: DomainLimits,
): void {
  if (before.state === undefined) {
    changed.state_bytes = before.state_bytes + jsonBytes(patch.merge)
  } else {
    changed.state = applyPatch(before.state, patch)
    changed.state_bytes = jsonBytes(changed.state)
  }
  if (changed.state_bytes > limits.state_bytes) {
    throw new FlowError(
      'limit_exceeded',
      `The state would grow past ${limits.state_bytes} bytes: unset members or keep large data elsewhere.`,
      { limit: 'state_bytes', maximum: limits.state_bytes, actual: changed.state_bytes },
    )
  }
}

function observe(
  flow: DecidedFlow,
  command: Extract<Command, { type: 'observe' }>,
  at: Timestamp,
  change: (
    kind: EventKind,
    payload: JsonObject,
    next: Partial<DecidedFlow>,
    more: { effects: Effect[]; step: StepRecord },
  ) => Decision,
  unchanged: (outcome: Outcome, step: StepRecord) => Decision,
): Decision {
  const { known, observation } = command
  if (observation.observed_at !== undefined) {
    const ahead = Date.parse(observation.observed_at) - Date.parse(at)
    if (ahead > 5 * 60_000) {
      throw invalid(
        '/observed_at',
        'out_of_range',
        'observed_at is more than five minutes ahead: check the clock of the sender.',
      )
    }
  }
  if (known !== null) {
    if (known.runtime === 'managed') {
      throw new FlowError(
        'wait_conflict',
        'This run is a managed step: its worker reports it, not an observation.',
        { flow_id: flow.id },
      )
    }
    const judged = judgeObservation(known, observation, at)
    if (judged !== 'newer') return unchanged(judged === 'stale' ? 'stale' : 'unchanged', known)
  }
  const step = observedStep(flow, known, observation, command.step_id, at)
  return change(
    'step_observed',
    {
      run_id: step.run_id,
      runtime: step.runtime,
      task: step.task,
      status: step.status,
      observed_at: step.observed_at,
    },
    {},
    { effects: [{ reach: 'local', type: 'save_step', step }], step },
  )
}

// How a decision is put together: one revision, its event, and the flow as it is afterwards.

import type { DecidedFlow, Decision, DomainLimits, Effect, Outcome } from './command.ts'
import { FlowError } from './errors.ts'
import type { EventKind, FlowEvent } from './event.ts'
import { type FlowStatus, isTerminal } from './flow.ts'
import { applyPatch, type JsonObject, jsonBytes, type StatePatch } from './json.ts'
import type { StepRecord } from './step.ts'
import type { Timestamp } from './time.ts'

interface More {
  patch?: StatePatch
  effects?: Effect[]
  outcome?: Outcome
  step?: StepRecord
}

export interface Draft {
  flow: DecidedFlow
  /** Who asks. */
  actor: string
  limits: DomainLimits
  /** When the change happens: never before the one that came before it, whatever the clock did meanwhile. */
  at: Timestamp
  /** One revision with its event. Throws `limit_exceeded` when the state would outgrow its limit. */
  change(kind: EventKind, payload: JsonObject, next: Partial<DecidedFlow>, more?: More): Decision
  /** No revision, no event. */
  unchanged(outcome: Outcome, step?: StepRecord): Decision
  /** Changes of a step that its flow does not notice: no revision, no event. */
  aside(outcome: Outcome, step: StepRecord, effects: Effect[]): Decision
  /** A draft of what comes next, on the flow as a decision leaves it. */
  on(flow: DecidedFlow): Draft
  /** The members that set a status and end the present wait, if there is one. */
  leave(status: FlowStatus): Partial<DecidedFlow>
}

export function createDraft(
  flow: DecidedFlow,
  actor: string,
  now: Timestamp,
  limits: DomainLimits,
): Draft {
  const at = laterOf(now, flow.updated_at)
  return {
    flow,
    actor,
    limits,
    at,
    change(kind, payload, next, more = {}) {
      const revision = flow.revision + 1
      const event: FlowEvent = { flow_id: flow.id, revision, kind, payload, actor, at }
      const changed: DecidedFlow = { ...flow, ...next, revision, updated_at: at }
      const patch = more.patch ?? null
      if (patch !== null) patchState(changed, flow, patch, limits)
      const effects = [...(more.effects ?? []), ...stepEffects(flow, changed)]
      return {
        flow: changed,
        patch,
        events: [event],
        effects,
        outcome: more.outcome ?? 'changed',
        ...(more.step === undefined ? {} : { step: more.step }),
      }
    },
    unchanged: (outcome, step) => ({
      flow,
      patch: null,
      events: [],
      effects: [],
      outcome,
      ...(step === undefined ? {} : { step }),
    }),
    aside: (outcome, step, effects) => ({
      flow,
      patch: null,
      events: [],
      effects,
      outcome,
      step,
    }),
    on: (next) => createDraft(next, actor, now, limits),
    leave: (status) => ({
      status,
      wait: null,
      wake_at: null,
      ...(isTerminal(status) ? { closed_at: at } : {}),
    }),
  }
}

/** What the open steps of a flow learn of its change: that it has started, or that it has ended. */
function stepEffects(before: DecidedFlow, changed: DecidedFlow): Effect[] {
  if (before.status === changed.status || changed.open_steps === 0) return []
  if (isTerminal(changed.status)) {
    changed.open_steps = 0
    return [{ type: 'close_steps', reach: 'local' }]
  }
  return before.status === 'created' ? [{ type: 'start_steps', reach: 'local' }] : []
}

/** Two changes of one request, as one decision. The outcome is that of the first. */
export function andThen(first: Decision, next: (flow: DecidedFlow) => Decision): Decision {
  const second = next(first.flow)
  const step = second.step ?? first.step
  return {
    flow: second.flow,
    patch: joinPatches(first.patch, second.patch),
    events: [...first.events, ...second.events],
    effects: [...first.effects, ...second.effects],
    outcome: first.outcome,
    ...(step !== undefined && { step }),
  }
}

/** One patch that does what two do one after the other. */
function joinPatches(first: StatePatch | null, second: StatePatch | null): StatePatch | null {
  if (first === null || second === null) return first ?? second
  return {
    merge: { ...first.merge, ...second.merge },
    unset: [...first.unset.filter((name) => !Object.hasOwn(second.merge, name)), ...second.unset],
  }
}

export function laterOf(a: Timestamp, b: Timestamp): Timestamp {
  return a > b ? a : b
}

/** A patch that sets members; none when there is nothing to set. */
export function setMembers(patch: JsonObject | undefined): { patch?: StatePatch } {
  return patch === undefined || Object.keys(patch).length === 0
    ? {}
    : { patch: { merge: patch, unset: [] } }
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

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
  /** When the change happens: never before the one that came before it, whatever the clock did meanwhile. */
  at: Timestamp
  /** One revision with its event. Throws `limit_exceeded` when the state would outgrow its limit. */
  change(kind: EventKind, payload: JsonObject, next: Partial<DecidedFlow>, more?: More): Decision
  /** No revision, no event. */
  unchanged(outcome: Outcome, step?: StepRecord): Decision
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
    at,
    change(kind, payload, next, more = {}) {
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
    },
    unchanged: (outcome, step) => ({
      flow,
      patch: null,
      events: [],
      effects: [],
      outcome,
      ...(step === undefined ? {} : { step }),
    }),
    leave: (status) => ({
      status,
      wait: null,
      wake_at: null,
      ...(isTerminal(status) ? { closed_at: at } : {}),
    }),
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

// Steps that become ready in a transaction while somebody waits for one of their kind: they are claimed in that
// same transaction. Saved as ready they would be found and claimed a moment later, in another one.

import type { DecidedFlow } from '../domain/command.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { StepRecord } from '../domain/step.ts'
import { claimed, type Lease } from '../domain/step-life.ts'
import type { Changes, Saved } from '../store/batch.ts'
import type { Locked } from '../store/batch-lock.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { ClaimLine, WaitingClaim } from './claim-lines.ts'
import { keyText } from './entry.ts'

/** A claim beside a report of what a worker was given before: it is served as the report commits, or later. */
export interface Standby {
  /** The claim, if it has been given nothing yet and nothing is on its way to it. */
  enter(settled: readonly StepRecord[]): { claim: WaitingClaim; line: ClaimLine } | null
}

/** Those of a batch, each with what its report has settled. */
export type Standbys = ReadonlyMap<Standby, readonly StepRecord[]>

/** Keeps claims that wait, and those that stand by, for steps that are ready; null when nobody takes any. */
export type Offer = (steps: readonly StepRecord[], standbys: Standbys) => Offered | null

/** Claims that are kept for steps until it is known what became of these. */
export interface Offered {
  /** Who gets which, by the id of the step. Others stay ready. */
  leases: ReadonlyMap<string, Lease>
  /** To be called once: with those that came in, after COMMIT, and with none when nothing did. */
  settle(steps: readonly ClaimedStep[]): void
}

/** Steps of a plan that are claimed with it. */
export interface Handover {
  steps: { step: StepRecord; flow: FlowRecord; born: boolean }[]
  offered: Offered
}

/** Offers what is ready among the changes of a batch, and has those claimed that somebody takes. */
export function handOver(
  changes: Changes,
  locked: Locked,
  standbys: Standbys,
  offer: Offer,
): Handover | null {
  const { new_steps, steps } = changes
  const ready = [...new_steps, ...steps].filter((step) => step.ready)
  if (ready.length === 0) return null
  const flows = new Map<string, { flow: FlowRecord; born: boolean }>()
  // A worker is told of the state: one that only the save statement knows is not told of here.
  for (const { flow } of changes.updates)
    if (isWhole(flow)) flows.set(flow.id, { flow, born: false })
  for (const flow of changes.inserts) flows.set(flow.id, { flow, born: true })
  const closing = new Set(changes.close_steps)
  const pulled = pulledOf(locked)
  const free = ready.filter(
    (step) => flows.has(step.flow_id) && !closing.has(step.flow_id) && pulled(step),
  )
  const offered = offer(free, standbys)
  if (offered === null) return null
  const handed: Handover = { steps: [], offered }
  const take = (step: StepRecord): StepRecord => {
    const lease = offered.leases.get(step.id)
    const home = flows.get(step.flow_id)
    if (lease === undefined || home === undefined) return step
    const taken = claimed(step, lease, locked.now)
    handed.steps.push({ step: taken, ...home })
    return taken
  }
  changes.new_steps = new_steps.map(take)
  changes.steps = steps.map(take)
  return handed
}

/** Tells those who wait what became of it; `saved` is null when nothing did. */
export function settleHandover(handover: Handover | null, saved: Saved | null): void {
  if (handover === null) return
  const { steps, offered } = handover
  const came = steps.filter(
    ({ flow, born }) => saved !== null && (!born || saved.inserted.has(flow.id)),
  )
  offered.settle(
    came.map(({ step, flow: { goal, state, labels } }) =>
      // The record itself, which is nobody else's: to copy it costs as much as to make it.
      Object.assign(step, { flow: { goal, state, labels } }),
    ),
  )
}

function isWhole(flow: DecidedFlow): flow is FlowRecord {
  return flow.state !== undefined
}

/**
 * Whether a step is for those who claim. Of a controller that the batch has not asked about, it is not known: it may be
 * pushed.
 */
function pulledOf(locked: Locked): (step: StepRecord) => boolean {
  const { controllers, flow_ids } = locked.defaults_query
  const asked = new Set(controllers.map(({ namespace, id }) => keyText(namespace, id)))
  for (const id of flow_ids) {
    const flow = locked.flows.get(id)
    if (flow !== undefined) asked.add(keyText(flow.namespace, flow.controller_id))
  }
  const pushing = new Map(
    locked.step_defaults
      .filter(({ pushes }) => pushes)
      .map(({ namespace, id, tasks }) => [keyText(namespace, id), tasks]),
  )
  return ({ namespace, controller_id, task }) => {
    const key = keyText(namespace, controller_id)
    const tasks = pushing.get(key)
    // Null for all of its tasks.
    return asked.has(key) && (tasks === undefined || tasks?.includes(task) === false)
  }
}

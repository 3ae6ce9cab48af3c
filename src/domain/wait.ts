// What a flow can wait for.

import type { PlannedStep } from './step.ts'
import type { Timestamp } from './time.ts'

export const waitKinds = ['timer', 'external_event', 'manual', 'any', 'all'] as const
export type WaitKind = (typeof waitKinds)[number]

/** Branches of an `any` or `all` wait, at most. */
export const maxBranches = 16

export const timeoutActions = ['resume', 'fail', 'cancel'] as const
/** What becomes of a flow whose wait runs into its deadline. */
export type TimeoutAction = (typeof timeoutActions)[number]

/** A point in time, or milliseconds counted from the database's now. */
export type TimeSpec = { at: Timestamp } | { after: number }

/** One thing to wait for, as it is asked for. */
export type BranchSpec =
  | ({ kind: 'timer' } & TimeSpec)
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal?: string }

/** A wait as it is asked for. */
export type WaitSpec = (BranchSpec | { kind: 'any' | 'all'; of: BranchSpec[] }) & {
  timeout?: TimeSpec
  /** `resume` when absent. */
  on_timeout?: TimeoutAction
}

/** One thing to wait for, as it stands. */
export type Branch =
  | { kind: 'timer'; at: Timestamp }
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal?: string }

/**
 * A wait as it stands on a flow. Its `id` is its own: whatever ends a wait names that id, so that a
 * late timer or signal can never end a newer wait.
 */
export type Wait = {
  id: string
  since: Timestamp
  /** When the wait is over whatever happens; then `on_timeout` says what becomes of the flow. */
  timeout_at?: Timestamp
  on_timeout?: TimeoutAction
  /** There is a link that ends this wait; null when it lives as long as the wait. */
  link_expires_at?: Timestamp | null
  /** The step that the flow goes on with. */
  next?: PlannedStep
} & (
  | Branch
  | { kind: 'any'; of: Branch[] }
  /** `satisfied` has one entry for each branch. */
  | { kind: 'all'; of: Branch[]; satisfied: boolean[] }
)

/**
 * What a signal is addressed to: an `external_event` wait by topic and correlation, a `manual` one by
 * name, or by a link one wait alone, whatever its kind.
 */
export type SignalTarget =
  | { kind: 'external_event'; topic: string; correlation_id: string }
  | { kind: 'manual'; signal: string }
  | { kind: 'link'; wait_id: string }

/** A branch that is still open, with its place in `of`; null when the wait is that branch itself. */
export interface OpenBranch {
  branch: Branch
  index: number | null
}

/** The branches that can still end or advance a wait, in their order. A satisfied one is closed for good. */
export function openBranches(wait: Wait): OpenBranch[] {
  if (wait.kind !== 'any' && wait.kind !== 'all') return [{ branch: wait, index: null }]
  // A row that was damaged by hand must not stand in the way of its own end.
  if (!Array.isArray(wait.of) || (wait.kind === 'all' && !Array.isArray(wait.satisfied))) return []
  const open = wait.of.map((branch, index) => ({ branch, index }))
  return wait.kind === 'any' ? open : open.filter(({ index }) => wait.satisfied[index] !== true)
}

/** Whether a signal is for a branch. A nameless manual wait takes any name. */
function matches(branch: Branch, target: SignalTarget): boolean {
  if (branch.kind === 'external_event' && target.kind === 'external_event') {
    return branch.topic === target.topic && branch.correlation_id === target.correlation_id
  }
  if (branch.kind === 'manual' && target.kind === 'manual') {
    return branch.signal === undefined || branch.signal === target.signal
  }
  return false
}

/** The first open branch that a signal is for, or null. */
export function branchFor(wait: Wait, target: SignalTarget): OpenBranch | null {
  return openBranches(wait).find(({ branch }) => matches(branch, target)) ?? null
}

/** The earliest time at which this wait changes by itself, or null when it never does. */
export function wakeTimeOf(wait: Wait): Timestamp | null {
  let first = wait.timeout_at ?? null
  for (const { branch } of openBranches(wait)) {
    if (branch.kind === 'timer' && (first === null || branch.at < first)) first = branch.at
  }
  return first
}

// Claims that wait, in lines of those that ask for the same, and which steps are for which of them.

import { randomUUID } from 'node:crypto'
import type { StepRecord } from '../domain/step.ts'
import type { Lease } from '../domain/step-life.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import type { ClaimedStep, ClaimFilter, ClaimSlot, GroupPlace } from '../store/step-queue.ts'
import { hintKey } from './hints.ts'

export interface ClaimRequest {
  worker_id: string
  /** Any when absent. */
  controllers?: string[]
  tasks?: string[]
  /** Steps at most. */
  max: number
  /** How long they are the worker's without a heartbeat, in milliseconds. */
  lease: number
  /** How long to wait for the first, in milliseconds; 0: not at all. */
  wait: number
  /** To do without a look when the last one left nothing and nothing was heard of since. */
  glance?: boolean
}

export interface WaitingClaim {
  request: ClaimRequest
  settled: boolean
  /** Steps may be on their way to it: from a look, or a transaction that has yet to commit. Until then it gets no others. */
  held: boolean
  /** Its time is over: settled as soon as it is not held. */
  over: boolean
  settle(steps: ClaimedStep[]): void
  fail(error: unknown): void
}

/** Claims that ask for the same. */
export interface ClaimLine {
  filter: ClaimFilter
  /** Those that are not settled, in the order in which they came. */
  claims: Set<WaitingClaim>
  /** Where the next look begins in the circle of groups. */
  after: GroupPlace | null
  looking: boolean
  /** To look again as soon as the look under way is over. */
  again: boolean
  /** Steps that became ready since the look under way began; null when nobody knows how many. */
  told: number | null
  /** Steps that are ready and that no look under way will take; null when nobody knows how many. */
  ready: number | null
  /** When the last look began that saw everything there was. */
  seenAt: number
}

export function newLine(filter: ClaimFilter): ClaimLine {
  const blank = { after: null, looking: false, again: false, told: null, ready: null }
  return { filter, claims: new Set(), seenAt: Number.NEGATIVE_INFINITY, ...blank }
}

/** Whose a slot is. */
export interface OwnedSlot {
  claim: WaitingClaim
  slot: ClaimSlot
}

/** Slots by turns: each claim gets one before any gets its second. */
export function slotsFor(claims: readonly WaitingClaim[], limit: number): OwnedSlot[] {
  const slots: OwnedSlot[] = []
  for (let turn = 0; slots.length < limit; turn++) {
    const before = slots.length
    for (const claim of claims) {
      const { worker_id, lease, max } = claim.request
      if (max > turn && slots.length < limit) {
        slots.push({ claim, slot: { worker_id, lease_ms: lease } })
      }
    }
    if (slots.length === before) break
  }
  return slots
}

/** Claims but the first ones, which will take so many steps; none when it is not known how many. */
export function claimsBehind(
  claims: readonly WaitingClaim[],
  ready: number | null,
): WaitingClaim[] {
  let left = ready ?? Number.POSITIVE_INFINITY
  return claims.filter(({ request }) => {
    if (left <= 0) return true
    left -= request.max
    return false
  })
}

/** A step that is given to a claim before it is there. */
export interface Match {
  claim: WaitingClaim
  line: ClaimLine
  lease: Lease
}

/**
 * Gives steps that are about to be ready to claims of lines where nothing else is: by turns from each
 * controller, from each the first in rank, as a look would. Answers who gets which, by the id of the step.
 */
export function matchSteps(
  steps: readonly StepRecord[],
  free: ReadonlyMap<ClaimLine, readonly WaitingClaim[]>,
): Map<string, Match> {
  const matches = new Map<string, Match>()
  const sorted = inTurns(steps)
  for (const [line, claims] of free) {
    if (matches.size === steps.length) break
    if (claims.length === 0) continue
    const wanted = sorted.filter((step) => !matches.has(step.id) && concerns(line.filter, step))
    for (const [i, { claim, slot }] of slotsFor(claims, wanted.length).entries()) {
      const step = wanted[i] as StepRecord
      matches.set(step.id, { claim, line, lease: { ...slot, token: randomUUID() } })
    }
  }
  return matches
}

function inTurns(steps: readonly StepRecord[]): StepRecord[] {
  const turns = new Map<string, number>()
  return [...steps]
    .sort((a, b) => compare(a.rank ?? '', b.rank ?? '') || compare(a.id, b.id))
    .map((step) => {
      const turn = turns.get(step.controller_id) ?? 0
      turns.set(step.controller_id, turn + 1)
      return { step, turn }
    })
    .sort((a, b) => a.turn - b.turn)
    .map(({ step }) => step)
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

/** Those of a line that can be given something. */
export function freeOf({ claims }: ClaimLine): WaitingClaim[] {
  return [...claims].filter(({ held, over }) => !held && !over)
}

/** What was held may be given something again, unless its time is over. */
export function letGo(claims: Iterable<WaitingClaim>): void {
  for (const claim of claims) {
    claim.held = false
    if (claim.over) claim.settle([])
  }
}

/** What is on its way to a claim still comes, rather than be given back. */
export function endWait(claim: WaitingClaim): void {
  claim.over = true
  if (!claim.held) claim.settle([])
}

export function isBehind(one: GroupPlace, other: GroupPlace): boolean {
  return one.controller_id === other.controller_id
    ? one.task >= other.task
    : one.controller_id > other.controller_id
}

export function keyOf({ namespace, controllers, tasks }: ClaimFilter): string {
  return JSON.stringify([namespace, controllers, tasks])
}

export function groupKey({ namespace, controller_id, task }: ReadyGroup): string {
  return JSON.stringify([namespace, controller_id, task])
}

export function concerns(
  { namespace, controllers, tasks }: ClaimFilter,
  group: ReadyGroup,
): boolean {
  return (
    group.namespace === namespace &&
    (controllers === null || controllers.includes(group.controller_id)) &&
    (tasks === null || tasks.includes(group.task))
  )
}

/** Whether a hint of another process may be about what a line waits for. */
export function mayConcern(filter: ClaimFilter, keys: ReadonlySet<string> | null): boolean {
  const { namespace, controllers, tasks } = filter
  if (keys === null || controllers === null || tasks === null) return true
  if (keys.has(hintKey('*'))) return true
  return controllers.some((controller_id) =>
    tasks.some((task) => keys.has(hintKey(groupKey({ namespace, controller_id, task })))),
  )
}

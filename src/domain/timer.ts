// How a wait begins, what of it is due, and what is wrong with one that cannot be fired.

import { invalid } from './errors.ts'
import { lastInstant, type Timestamp } from './time.ts'
import {
  type Branch,
  type BranchSpec,
  openBranches,
  type TimeSpec,
  type Wait,
  type WaitSpec,
  wakeTimeOf,
} from './wait.ts'

/** The time that is asked for, from now on. Throws when a relative one would leave the calendar. */
export function timeOf(spec: TimeSpec, since: Timestamp, pointer: string): Timestamp {
  if ('at' in spec) return spec.at
  const at = Date.parse(since) + spec.after
  if (at > lastInstant) {
    throw invalid(
      pointer,
      'out_of_range',
      'This would be due after the year 9999: make it shorter.',
    )
  }
  return new Date(at).toISOString()
}

function makeBranch(spec: BranchSpec, since: Timestamp, pointer: string): Branch {
  if (spec.kind !== 'timer') return spec
  return { kind: 'timer', at: timeOf(spec, since, `${pointer}/after`) }
}

/** The wait that a request asks for, from now on. Throws when a relative time would leave the calendar. */
export function makeWait(id: string, spec: WaitSpec, since: Timestamp): Wait {
  const { timeout, on_timeout, ...what } = spec
  const deadline =
    timeout === undefined
      ? {}
      : {
          timeout_at: timeOf(timeout, since, '/timeout'),
          on_timeout: on_timeout ?? ('resume' as const),
        }
  if (!('of' in what)) {
    return { id, ...makeBranch(what, since, ''), since, ...deadline }
  }
  const of = what.of.map((branch, i) => makeBranch(branch, since, `/of/${i}`))
  return what.kind === 'any'
    ? { id, kind: 'any', of, since, ...deadline }
    : { id, kind: 'all', of, satisfied: of.map(() => false), since, ...deadline }
}

/** What of a wait is due: a timer, by its place, or the deadline; null when nothing is. */
export type Due = { by: 'timer'; index: number | null } | { by: 'timeout' } | null

/** The first thing of a wait that is due. A timer that is due with the deadline comes before it. */
export function dueOf(wait: Wait, now: Timestamp): Due {
  let first: { at: Timestamp; index: number | null } | null = null
  for (const { branch, index } of openBranches(wait)) {
    if (branch.kind === 'timer' && branch.at <= now && (first === null || branch.at < first.at)) {
      first = { at: branch.at, index }
    }
  }
  const late = wait.timeout_at !== undefined && wait.timeout_at <= now ? wait.timeout_at : null
  if (first !== null && (late === null || first.at <= late))
    return { by: 'timer', index: first.index }
  return late === null ? null : { by: 'timeout' }
}

/** Why a stored wait cannot be fired, or null. Only rows changed by hand can have such a fault. */
export function waitFault(wait: Wait | null): string | null {
  if (wait === null) return 'a waiting flow has no wait'
  if (typeof wait.id !== 'string') return 'the wait has no id'
  if ((wait.kind === 'any' || wait.kind === 'all') && !Array.isArray(wait.of)) {
    return 'the wait has no branches'
  }
  const at = wakeTimeOf(wait)
  if (at === null) return 'the wait is due, but it has no time'
  return typeof at === 'string' && !Number.isNaN(Date.parse(at))
    ? null
    : 'the wait has no time that can be read'
}

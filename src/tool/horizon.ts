// How far ahead a model may put a timer: far enough for work, not so far that nobody remembers why.

import { spanInWords } from '../domain/time.ts'
import type { BranchSpec, TimeSpec, WaitSpec } from '../domain/wait.ts'
import { ToolRefusal } from './answer.ts'

/**
 * Refuses times that are over, and those past the horizon, in every branch and in the deadline.
 *
 * Judged by this process's clock, which may differ from the database's by a moment: this is a guard
 * against slips, and the wait itself goes by the database.
 */
export function guardTimes(wait: WaitSpec, horizon: number, now: number): void {
  const branches: readonly BranchSpec[] = 'of' in wait ? wait.of : [wait]
  for (const [i, branch] of branches.entries()) {
    if (branch.kind !== 'timer') continue
    const place = 'of' in wait ? `wait_condition.of[${i}]` : 'wait_condition'
    guard(branch, place, 'at' in branch ? 'at' : 'after', horizon, now)
  }
  const { timeout } = wait
  if (timeout !== undefined) {
    guard(timeout, 'wait_condition', 'at' in timeout ? 'timeout_at' : 'timeout', horizon, now)
  }
}

function guard(time: TimeSpec, place: string, name: string, horizon: number, now: number): void {
  const ahead = 'at' in time ? Date.parse(time.at) - now : time.after
  const argument = `${place}.${name}`
  if (ahead <= 0) {
    throw new ToolRefusal(
      'timer_in_past',
      `${argument} must be in the future: it is now ${new Date(now).toISOString()}. Send a later time, or after, as PT1H.`,
      { argument, now: new Date(now).toISOString() },
    )
  }
  if (ahead > horizon) {
    throw new ToolRefusal(
      'timer_horizon_exceeded',
      `${argument} is more than ${spanInWords(horizon)} ahead: ${spanInWords(horizon)} is the most. Wait in several steps.`,
      { argument, limit: spanInWords(horizon) },
    )
  }
}

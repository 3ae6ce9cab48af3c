// A wait as the wire asks for it, in the words of the domain.

import { invalid } from '../domain/errors.ts'
import { parseDuration, parseTimestamp } from '../domain/formats.ts'
import type { BranchSpec, TimeSpec, WaitSpec } from '../domain/wait.ts'
import type { WaitBranchRequest, WaitRequest } from './wait.ts'

/** What a wait request asks for, without its link. `pointer` says where in the body it stands. */
export function waitSpec(request: WaitRequest, pointer = ''): WaitSpec {
  const { timeout, timeout_at, on_timeout, link: _, ...what } = request
  const deadline = timeOf({ after: timeout, at: timeout_at }, pointer, ['timeout', 'timeout_at'])
  if (deadline === undefined && on_timeout !== undefined) {
    throw invalid(
      `${pointer}/on_timeout`,
      'not_applicable',
      'on_timeout needs a timeout: send timeout (PT1H) or timeout_at as well.',
      { allowed: ['timeout', 'timeout_at'] },
    )
  }
  const branch =
    'of' in what
      ? { kind: what.kind, of: what.of.map((one, i) => branchSpec(one, `${pointer}/of/${i}`)) }
      : branchSpec(what, pointer)
  return {
    ...branch,
    ...(deadline !== undefined && { timeout: deadline, on_timeout: on_timeout ?? 'resume' }),
  }
}

function branchSpec(branch: WaitBranchRequest, pointer: string): BranchSpec {
  if (branch.kind !== 'timer') return branch
  const time = timeOf(branch, pointer, ['after', 'at'])
  if (time !== undefined) return { kind: 'timer', ...time }
  throw invalid(
    `${pointer}/at`,
    'required',
    'A timer needs at (a time) or after (a duration such as PT1H).',
    { allowed: ['at', 'after'] },
  )
}

/** One of a duration and a time, named as the request names them; undefined when there is neither. */
function timeOf(
  given: { after?: string | undefined; at?: string | undefined },
  pointer: string,
  [after, at]: readonly [string, string],
): TimeSpec | undefined {
  if (given.at !== undefined && given.after !== undefined) {
    throw invalid(`${pointer}/${after}`, 'not_together', `Send ${at} or ${after}, not both.`)
  }
  if (given.at !== undefined) return { at: parseTimestamp(given.at, `${pointer}/${at}`) }
  if (given.after === undefined) return undefined
  return { after: parseDuration(given.after, `${pointer}/${after}`) }
}

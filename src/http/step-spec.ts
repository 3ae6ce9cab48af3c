// A new step as the wire asks for it, in the engine's words.

import type { NewStepRequest, RetryRequest, StepTimeoutsRequest } from '../contract/new-step.ts'
import { invalid } from '../domain/errors.ts'
import { parseDuration, parseTimestamp } from '../domain/formats.ts'
import type { RetrySpec } from '../domain/retry.ts'
import type { StepTimeouts } from '../domain/step.ts'
import { refuseBadTimeouts } from '../domain/step-life.ts'
import type { TimeSpec } from '../domain/wait.ts'
import type { StepInput } from '../engine/step-input.ts'

const second = 1_000
const hour = 3_600 * second
const day = 24 * hour

/** A duration between bounds, in milliseconds. */
export function boundedDuration(
  text: string,
  pointer: string,
  [least, most]: readonly [number, number],
  range: string,
): number {
  const millis = parseDuration(text, pointer)
  if (millis >= least && millis <= most) return millis
  const name = pointer.slice(pointer.lastIndexOf('/') + 1)
  throw invalid(pointer, 'out_of_range', `${name} must be ${range}.`)
}

/** What a request asks for. `pointer` says where in its body. */
export function stepInput(request: NewStepRequest, pointer = ''): StepInput {
  const { run_at, delay, retry, timeouts, ...rest } = request
  const time = timeSpec(run_at, delay, pointer)
  const step: StepInput = {
    ...rest,
    ...(time !== undefined && { run_at: time }),
    ...(retry !== undefined && { retry: retrySpec(retry, `${pointer}/retry`) }),
    ...(timeouts !== undefined && { timeouts: timeoutsSpec(timeouts, `${pointer}/timeouts`) }),
  }
  refuseBadTimeouts(step, pointer)
  return step
}

/** The steps that a flow begins with, each with a name of its own. */
export function stepInputs(requests: readonly NewStepRequest[], pointer: string): StepInput[] {
  const runs = new Set<string>()
  return requests.map((request, i) => {
    const at = `${pointer}/${i}`
    const { run_id } = request
    if (run_id !== undefined && runs.has(run_id)) {
      throw invalid(
        `${at}/run_id`,
        'duplicate',
        'Two steps have this run_id: give each a name of its own, or none.',
      )
    }
    if (run_id !== undefined) runs.add(run_id)
    return stepInput(request, at)
  })
}

function timeSpec(
  run_at: string | undefined,
  delay: string | undefined,
  pointer: string,
): TimeSpec | undefined {
  if (run_at !== undefined && delay !== undefined) {
    throw invalid(`${pointer}/delay`, 'not_together', 'Send run_at or delay, not both.')
  }
  if (run_at !== undefined) return { at: parseTimestamp(run_at, `${pointer}/run_at`) }
  if (delay === undefined) return undefined
  return { after: parseDuration(delay, `${pointer}/delay`) }
}

export function retrySpec({ base, cap, ...rest }: RetryRequest, pointer: string): RetrySpec {
  const bounds = [0, day] as const
  const range = 'a day at most'
  return {
    ...rest,
    ...(base !== undefined && { base_ms: boundedDuration(base, `${pointer}/base`, bounds, range) }),
    ...(cap !== undefined && { cap_ms: boundedDuration(cap, `${pointer}/cap`, bounds, range) }),
  }
}

function timeoutsSpec(given: StepTimeoutsRequest, pointer: string): StepTimeouts {
  const timeouts: StepTimeouts = {}
  for (const name of ['schedule_to_start', 'start_to_close', 'schedule_to_close'] as const) {
    const text = given[name]
    if (text === undefined) continue
    const bounds = [1, 365 * day] as const
    const range = 'longer than nothing, and 365 days at most'
    timeouts[name] = boundedDuration(text, `${pointer}/${name}`, bounds, range)
  }
  if (given.heartbeat !== undefined)
    timeouts.heartbeat = leaseMillis(given.heartbeat, `${pointer}/heartbeat`)
  return timeouts
}

/** How long a lease is, in milliseconds. */
export function leaseMillis(text: string, pointer: string): number {
  return boundedDuration(text, pointer, [second, hour], 'from PT1S to PT1H')
}

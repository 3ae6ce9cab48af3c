// How long a flow is kept after its end: its own time within bounds, and holds.

import type { Command, Decision } from './command.ts'
import { andThen, type Draft } from './draft.ts'
import { FlowError } from './errors.ts'
import type { FlowControl } from './flow.ts'
import { formatDuration } from './formats.ts'
import type { JsonObject } from './json.ts'
import { updateLabels } from './labels.ts'

/** What a flow may ask for, in milliseconds. */
export interface RetainBounds {
  min: number
  max: number
}

/** Refuses a time outside the bounds. `pointer` says where in the request it stands. */
export function judgeRetain(
  retain: number | null | undefined,
  { min, max }: RetainBounds,
  pointer: string,
): void {
  if (retain === null || retain === undefined || (retain >= min && retain <= max)) return
  const message = `retain must be from ${formatDuration(min)} to ${formatDuration(max)} on this service.`
  throw new FlowError('limit_exceeded', message, {
    limit: 'retain',
    maximum: max,
    actual: retain,
    errors: [{ pointer, code: 'out_of_range', message }],
  })
}

/**
 * Changes how long a flow is kept, and whether it is on hold, in every status. Labels that came with
 * the same request are an event of their own.
 */
export function updateRetention(
  draft: Draft,
  command: Extract<Command, { type: 'update_retention' }>,
): Decision {
  if (command.labels === undefined) return keepFor(draft, command)
  const labelled = updateLabels(draft, command.labels)
  if (labelled.events.length === 0) return keepFor(draft, command)
  return andThen(labelled, (flow) => keepFor(draft.on(flow), command))
}

function keepFor(
  { flow, at, change, unchanged, actor }: Draft,
  { retain_ms, hold }: Extract<Command, { type: 'update_retention' }>,
): Decision {
  const next: Partial<Pick<FlowControl, 'retain_ms' | 'hold'>> = {}
  const payload: JsonObject = {}
  if (retain_ms !== undefined && retain_ms !== flow.retain_ms) {
    next.retain_ms = retain_ms
    payload['retain'] = retain_ms === null ? null : formatDuration(retain_ms)
  }
  const reasonOf = (one: { reason: string | null } | null) =>
    one === null ? undefined : one.reason
  if (hold !== undefined && reasonOf(hold) !== reasonOf(flow.hold)) {
    next.hold = hold === null ? null : { reason: hold.reason, since: at, by: actor }
    payload['hold'] = hold === null ? null : { reason: hold.reason }
  }
  if (Object.keys(payload).length === 0) return unchanged('unchanged')
  return change('retention_updated', payload, next)
}

// What the tool answers: short, for a model, with the calls that make sense next.

import type { ToolAction } from '../domain/binding.ts'
import type { ErrorCode } from '../domain/errors.ts'
import type { JsonObject } from '../domain/json.ts'

/** A call ready to send. */
export type ToolCallOffer = JsonObject & { action: ToolAction }

/** What the tool refuses for reasons of its own. */
export type ToolFault =
  | 'unknown_action'
  | 'missing_argument'
  | 'unknown_argument'
  | 'invalid_argument'
  | 'forbidden'
  | 'no_session'
  | 'timer_in_past'
  | 'timer_horizon_exceeded'

export type ToolAnswer = JsonObject &
  (
    | { ok: true; next_actions: ToolCallOffer[] }
    | { ok: false; error: ToolFault | ErrorCode; message: string; next_actions: ToolCallOffer[] }
  )

/** A refusal on its way to the one place that makes an answer of it. */
export class ToolRefusal extends Error {
  readonly fault: ToolFault
  readonly more: JsonObject
  readonly offers: ToolCallOffer[]

  constructor(
    fault: ToolFault,
    message: string,
    more: JsonObject = {},
    offers: ToolCallOffer[] = [],
  ) {
    super(message)
    this.name = 'ToolRefusal'
    this.fault = fault
    this.more = more
    this.offers = offers
  }
}

export function done(more: JsonObject, next_actions: ToolCallOffer[]): ToolAnswer {
  return { ok: true, ...more, next_actions }
}

export function refused(
  error: ToolFault | ErrorCode,
  message: string,
  more: JsonObject = {},
  next_actions: ToolCallOffer[] = [],
): ToolAnswer {
  return { ok: false, error, message, ...more, next_actions }
}

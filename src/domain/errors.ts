// The one error class of the service, with its closed list of codes and what each of them carries.

import type { FlowStatus } from './flow.ts'
import type { JsonObject } from './json.ts'
import type { LinkDecision } from './link.ts'
import type { StepStatus } from './step.ts'
import type { Wait } from './wait.ts'

/** One fault of an input, with a JSON Pointer (RFC 6901) to the member at fault. */
export interface InputFault {
  /** Where: a pointer into the body, or `?name` for a query parameter, `:name` for a path parameter, the lower-case name for a header. */
  pointer: string
  /** What kind of fault, in snake_case: `unknown_member`, `required`, `wrong_type`, … */
  code: string
  message: string
  did_you_mean?: string
  allowed?: string[]
}

interface InputDetail {
  errors: InputFault[]
}

/** What each code carries beside its sentence. These members appear on the wire, under these names. */
export interface ErrorDetails {
  malformed_json: InputDetail
  invalid_request: InputDetail
  limit_exceeded: { limit: string; maximum: number; actual?: number; errors?: InputFault[] }
  cursor_mismatch: InputDetail
  idempotency_key_invalid: InputDetail
  url_not_allowed: { url_host?: string; reason: string }
  unsupported_media_type: { allowed: string[] }
  payload_too_large: { limit: string; maximum: number }
  uri_too_long: { maximum?: number }
  headers_too_large: { maximum?: number }
  request_timeout: Record<never, never>
  bad_request: Record<never, never>
  not_found: { resource?: string; id?: string; did_you_mean?: string }
  method_not_allowed: { allowed: string[] }
  revision_mismatch: { flow_id: string; expected: number; actual: number }
  illegal_transition: {
    flow_id: string
    from: FlowStatus
    to: FlowStatus
    allowed: FlowStatus[]
    wait: Wait | null
  }
  precondition_failed: { flow_id: string; key: string }
  /** `step_id`: where a failed flow can be reopened. */
  already_terminal: { flow_id: string; flow_status: FlowStatus; step_id?: string }
  cancel_pending: { flow_id: string }
  stale_wait: { flow_id: string; expected: string; actual: string | null }
  wait_conflict: { flow_id: string }
  step_conflict: { flow_id: string; step_id: string; step_status: StepStatus }
  lease_lost: { step_id: string; attempt?: number }
  /** No `flow_id` when the flow does not exist for this caller. */
  key_conflict: { flow_id?: string; key: string }
  already_exists: { resource: string; id: string }
  signature_invalid: Record<never, never>
  unauthenticated: Record<never, never>
  /** What the caller would have to be allowed, or the member that says more than it may. */
  forbidden: { action?: string; pointer?: string }
  /** `limit`: whose rate was used up, that of the `key` or of the `address`. */
  rate_limited: { limit: string; retry_after: number }
  timer_horizon_exceeded: { maximum_ms: number }
  hook_disabled: { hook_id: string; reason: string | null }
  loop_detected: { depth: number; maximum: number }
  idempotency_mismatch: { key: string }
  idempotency_in_progress: { retry_after: number }
  gone: { decided: LinkDecision }
  quota_exceeded: { limit: string; maximum: number; retry_after: number }
  overloaded: { retry_after: number }
  unavailable: { retry_after: number }
  internal: Record<never, never>
}

export type ErrorCode = keyof ErrorDetails

/**
 * A refusal or a fault that the caller shall know of.
 *
 * `message` is what the caller reads: at most 25 words, in the caller's own names, and it says what
 * to do. It never holds SQL, a stack or a secret. `cause` is for the log alone.
 */
export class FlowError<Code extends ErrorCode = ErrorCode> extends Error {
  readonly code: Code
  readonly detail: ErrorDetails[Code]

  constructor(
    code: Code,
    message: string,
    detail: ErrorDetails[Code],
    options?: { cause?: unknown },
  ) {
    super(message, options)
    this.name = 'FlowError'
    this.code = code
    this.detail = detail
  }
}

/** An `invalid_request` about one member. */
export function invalid(
  pointer: string,
  code: string,
  message: string,
  more: { did_you_mean?: string; allowed?: string[] } = {},
): FlowError<'invalid_request'> {
  return new FlowError('invalid_request', message, {
    errors: [{ pointer, code, message, ...more }],
  })
}

/** The error for a flow that does not exist, or not for this caller. */
export function flowNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'There is no flow with this id. Check the id, or list the flows.',
    {
      resource: 'flow',
      id,
    },
  )
}

/** The members of an error as the wire shows them. */
export function errorMembers(error: FlowError): JsonObject {
  return { ...(error.detail as JsonObject) }
}

// Turns an error into what a caller sees of it: a problem of RFC 9457.

import { errorMembers, type FlowError } from '../domain/errors.ts'
import type { JsonValue } from '../domain/json.ts'
import { nextActions } from './next-actions.ts'
import { problemKinds } from './problem-catalogue.ts'

export const problemType = 'application/problem+json'

/** A problem on the wire. Beside these members it has those of its code (`ErrorDetails`). */
export interface Problem {
  /** `/problems/<code>`: a page of this service that explains it. */
  type: string
  title: string
  status: number
  /** At most 25 words that say what to do. */
  detail: string
  /** The path of the request. */
  instance?: string
  code: string
  request_id: string
  [member: string]: JsonValue | undefined
}

/** What is known of the request that failed. */
export interface ProblemContext {
  request_id: string
  /** The path, without its query. */
  path?: string
  /** The body as it was parsed. */
  body?: unknown
}

/** A longer path is not repeated. */
const maxPath = 256

/**
 * The problem of an error. What its code promises comes from the catalogue, so `title` and `status`
 * never vary; `next_actions` is there when a request on the flow's present state can help.
 */
export function toProblem(error: FlowError, context: ProblemContext): Problem {
  const { status, title } = problemKinds[error.code]
  const actions = nextActions(error, context.body)
  return {
    type: `/problems/${error.code}`,
    title,
    status,
    detail: error.message,
    ...(context.path !== undefined && context.path.length <= maxPath && { instance: context.path }),
    code: error.code,
    ...errorMembers(error),
    ...(actions.length > 0 && { next_actions: actions.map((action) => ({ ...action })) }),
    request_id: context.request_id,
  }
}

/** The seconds of `Retry-After`, for errors that pass by themselves. */
export function retryAfter(error: FlowError): number | undefined {
  return 'retry_after' in error.detail
    ? Math.max(1, Math.ceil(error.detail.retry_after))
    : undefined
}

// What a database error means: try again, come back later, or never.

import { FlowError } from '../domain/errors.ts'

/**
 * - `retry`: rolled back for the sake of another transaction; the same again may succeed.
 * - `unavailable`: the server or the way to it is gone for now.
 * - `refused`: the server will refuse the same statement again.
 */
export type Fault = 'retry' | 'unavailable' | 'refused'

/** The SQLSTATE of an error, or the code of a socket error, or null. */
export function errorCode(error: unknown): string | null {
  if (typeof error !== 'object' || error === null || !('code' in error)) return null
  return typeof error.code === 'string' ? error.code : null
}

/** What a SQLSTATE looks like. No class begins with E, but `EPIPE` and its like do. */
const sqlState = /^[0-9A-DF-Z][0-9A-Z]{4}$/

/** Classes and codes of SQLSTATE (PostgreSQL, appendix A) by what they mean to a caller. */
const faults: [RegExp, Fault][] = [
  // A protocol that is not spoken there, as by a pooler in front: waiting does not mend it.
  [/^08P01$/, 'refused'],
  [/^(40001|40P01|55P03|25P03)$/, 'retry'],
  // 25006: read-only, as after a failover. 57014: a statement ran into its time limit.
  [/^(08...|53...|57...|58...|25006)$/, 'unavailable'],
  [sqlState, 'refused'],
]

/** Sorts an error. What the server did not say itself is a fault of the connection. */
export function faultOf(error: unknown): Fault {
  const code = errorCode(error) ?? ''
  return faults.find(([pattern]) => pattern.test(code))?.[1] ?? 'unavailable'
}

/** Whether a row was refused because there is one with its key. */
export function isUniqueViolation(error: unknown): boolean {
  return errorCode(error) === '23505'
}

/** Whether the server itself reported the error, so that the transaction is known to be rolled back. */
export function isServerError(error: unknown): boolean {
  const code = errorCode(error)
  // A session that the server ends (57P01 and its kin) may have ended between COMMIT and its answer.
  return code !== null && sqlState.test(code) && !/^(57P|08)/.test(code)
}

/** The error as callers get to know it. */
export function toFlowError(error: unknown): FlowError {
  if (error instanceof FlowError) return error
  // What is neither the server's nor the connection's is a fault of this program.
  const ours = error instanceof TypeError || error instanceof RangeError
  const fault = ours ? 'refused' : faultOf(error)
  if (fault === 'refused') {
    return new FlowError(
      'internal',
      'The service failed on this request. Report the request id.',
      {},
      { cause: error },
    )
  }
  return new FlowError(
    'unavailable',
    fault === 'retry'
      ? 'This flow is being changed elsewhere. Send the same request again shortly.'
      : 'The database cannot be reached at the moment. Send the same request again shortly.',
    { retry_after: 1 },
    { cause: error },
  )
}

// Why a request outside had no answer, in words that are safe to show to whoever set up the receiver.

import { FlowError } from '../domain/errors.ts'

/**
 * - `timeout`: no whole answer within the total time.
 * - `connect`: no connection, or none within its time.
 * - `dns`: the name does not resolve.
 * - `blocked`: the URL is not allowed, or its host has an address that is not public.
 * - `tls`: no secure connection, mostly because of a certificate.
 * - `reset`: the connection broke before the answer was whole. It may have arrived.
 * - `protocol`: what came back is no HTTP answer that is taken here. It has arrived.
 * - `aborted`: given up by the caller, or the service stops.
 */
export type Failure =
  | 'timeout'
  | 'connect'
  | 'dns'
  | 'blocked'
  | 'tls'
  | 'reset'
  | 'protocol'
  | 'aborted'

export interface FailureReason {
  failure: Failure
  /** One sentence without addresses: they would let outsiders map the network of the service. */
  message: string
}

/** Codes of OpenSSL and of Node's own checks of certificates. */
const tlsCode =
  /^(?:ERR_TLS|ERR_SSL|EPROTO$|CERT_|CRL_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|ERROR_IN_|INVALID_|HOSTNAME_|PATH_LENGTH)/

/** What errors of resolving are told by: their codes depend on the resolver. */
const dnsCall = 'getaddrinfo'

/** @param connected whether the request had a connection already. */
export function failureOf(error: Error, connected: boolean): FailureReason {
  if (error instanceof FlowError) return { failure: 'blocked', message: error.message }
  const code = codeOf(error) ?? error.name
  if ('syscall' in error && error.syscall === dnsCall) {
    return { failure: 'dns', message: `The name of the host does not resolve (${code}).` }
  }
  if (tlsCode.test(code)) return { failure: 'tls', message: `No secure connection (${code}).` }
  if (!connected) return { failure: 'connect', message: `No connection (${code}).` }
  if (isBadAnswer(error, code)) {
    return { failure: 'protocol', message: `The answer is not valid HTTP/1.1 (${code}).` }
  }
  return {
    failure: 'reset',
    message: `The connection broke before the answer was whole (${code}).`,
  }
}

/** The parser names its errors, and gives them no codes. At an end that comes too early the connection is to blame. */
function isBadAnswer(error: Error, code: string): boolean {
  return error.name === 'HTTPParserError'
    ? !/EOF/.test(error.message)
    : code === 'UND_ERR_HEADERS_OVERFLOW'
}

/** The error of a name without addresses, whichever resolver found that out. */
export function unresolved(code: string, cause?: unknown): Error {
  return Object.assign(new Error('the name does not resolve', { cause }), {
    code,
    syscall: dnsCall,
  })
}

/** The code that system, TLS and HTTP errors carry; undefined when there is none. */
export function codeOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string'
    ? error.code
    : undefined
}

// Answers what never became a request: bytes that are not HTTP, too large, or too slow to arrive.

import { randomUUID } from 'node:crypto'
import { ServerResponse, STATUS_CODES } from 'node:http'
import type { Socket } from 'node:net'
import { FlowError } from '../domain/errors.ts'
import { problemType, toProblem } from './problems.ts'
import { requestIdHeader } from './request-id.ts'
import { uriTooLong } from './url.ts'

/** What Node tells of a connection that it gives up. */
export interface ConnectionFault extends Error {
  code?: string
  /** The bytes, a Buffer, that the parser stopped in. */
  rawPacket?: unknown
}

export interface RawLimits {
  uri_bytes: number
  headers_bytes: number
}

/** The answer to a connection fault, or null when nobody is left to answer to. */
function rawError(fault: ConnectionFault, limits: RawLimits): FlowError | null {
  switch (fault.code) {
    case 'ECONNRESET':
    case 'EPIPE':
      return null
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new FlowError(
        'request_timeout',
        'The request did not arrive in time: send it again.',
        {},
      )
    case 'HPE_HEADER_OVERFLOW':
      return overflow(fault.rawPacket, limits)
    default:
      return new FlowError('bad_request', malformed(fault.rawPacket), {})
  }
}

/** The parser counts the request line as a header: the URL is to blame when that line is too long. */
function overflow(packet: unknown, limits: RawLimits): FlowError {
  const line = /^[A-Z]{3,16} \/[^\r\n]*/.exec(headOf(packet))?.[0] ?? ''
  if (line.length > limits.uri_bytes) return uriTooLong(limits.uri_bytes)
  const maximum = limits.headers_bytes
  return new FlowError(
    'headers_too_large',
    `The headers are larger than ${maximum} bytes: send fewer or shorter ones.`,
    { maximum },
  )
}

function malformed(packet: unknown): string {
  // The first byte of a TLS handshake.
  return headOf(packet).startsWith('\x16')
    ? 'This port speaks plain HTTP: use http:// instead of https://.'
    : 'This is not a valid HTTP/1.1 request: check its request line, headers and body length.'
}

function headOf(packet: unknown): string {
  return packet instanceof Uint8Array ? Buffer.from(packet).toString('latin1') : ''
}

/**
 * Writes the answer on the bare socket and closes it. An answer that is under way on the same
 * socket is cut off instead, for two would mix.
 *
 * @param report is told of what was answered, for the log.
 */
export function answerRawError(
  fault: ConnectionFault,
  socket: Socket,
  limits: RawLimits,
  report: (status: number, requestId: string) => void,
): void {
  const error = rawError(fault, limits)
  const answer: unknown = Reflect.get(socket, '_httpMessage')
  if (
    error === null ||
    !socket.writable ||
    (answer instanceof ServerResponse && answer.headersSent)
  ) {
    socket.destroy()
    return
  }
  const requestId = randomUUID()
  const problem = toProblem(error, { request_id: requestId })
  const body = JSON.stringify(problem)
  const head = [
    `HTTP/1.1 ${problem.status} ${STATUS_CODES[problem.status]}`,
    `content-type: ${problemType}`,
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'x-content-type-options: nosniff',
    `${requestIdHeader}: ${requestId}`,
    'connection: close',
  ]
  report(problem.status, requestId)
  // Closing with unread bytes would reset the connection and lose the answer on its way, so the
  // rest is read away until the other side closes, for a second at most.
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`)
  socket.resume()
  setTimeout(() => socket.destroy(), 1000).unref()
}

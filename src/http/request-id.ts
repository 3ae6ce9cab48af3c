// Gives every request an id: the caller's own when it can be trusted in a log, else a new one.

import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export const requestIdHeader = 'x-request-id'

/** Printable ASCII without spaces: nothing that breaks a log line or a header. */
const sane = /^[\x21-\x7e]{1,128}$/

export function requestIdOf(request: IncomingMessage): string {
  const given = request.headers[requestIdHeader]
  return typeof given === 'string' && sane.test(given) ? given : randomUUID()
}

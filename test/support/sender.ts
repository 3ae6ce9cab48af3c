// A sender for tests, closed when the test ends.

import { onTestFinished } from 'vitest'
import {
  createOutbound,
  type OutboundAnswer,
  type OutboundOptions,
  type OutboundRequest,
  type OutboundResponse,
} from '../../src/engine/outbound.ts'

/** Sends small POSTs; to private networks too, unless told otherwise. */
export function sender(options: Partial<OutboundOptions> = {}) {
  const outbound = createOutbound({ allowPrivate: true, ...options })
  onTestFinished(() => outbound.close())
  return (url: string, more: Partial<OutboundRequest> = {}) =>
    outbound.send({ url, headers: {}, body: '{}', timeout_ms: 10_000, ...more })
}

/** The URL of a receiver on the loopback address. */
export const at = ({ port }: { port: number }, path = '/') => `http://127.0.0.1:${port}${path}`

/** The answer, when there is one. */
export function responded(answer: OutboundAnswer): OutboundResponse {
  if ('failure' in answer) throw new Error(`${answer.failure}: ${answer.message}`)
  return answer
}

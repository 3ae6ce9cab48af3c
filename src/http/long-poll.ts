// Waiting on behalf of a caller: for how long, and when to stop early.

import type { FastifyReply } from 'fastify'
import { invalid } from '../domain/errors.ts'
import { parseDuration } from '../domain/formats.ts'

const longest = 60_000

/** How long a `wait` query parameter asks to wait, in milliseconds. */
export function waitMillis(text: string): number {
  const millis = parseDuration(text, '?wait')
  if (millis <= longest) return millis
  throw invalid('?wait', 'out_of_range', 'A read waits for 60 seconds at most: send PT60S or less.')
}

/**
 * Runs `work` with a signal that aborts when the caller has gone away or the service stops.
 *
 * Not `request.signal`: for a request with a body it aborts as soon as that has been read. Not
 * `AbortSignal.any`: on Node 20 each of its results stays reachable from a long-lived source, and the
 * shutdown lives as long as the process.
 */
export async function whileWanted<Value>(
  { raw }: FastifyReply,
  shutdown: AbortSignal,
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  if (shutdown.aborted || raw.destroyed) abort()
  raw.once('close', abort)
  shutdown.addEventListener('abort', abort)
  try {
    return await work(controller.signal)
  } finally {
    raw.off('close', abort)
    shutdown.removeEventListener('abort', abort)
  }
}

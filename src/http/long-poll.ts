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
 * Aborts when the caller has gone, or has been answered.
 *
 * Not `request.signal`: that one aborts as soon as the body of a request has been read.
 */
export function goneSignal(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  if (reply.raw.destroyed) controller.abort()
  reply.raw.once('close', () => controller.abort())
  return controller.signal
}

/**
 * Runs `work` with a signal that aborts when any of the given ones does.
 *
 * Not `AbortSignal.any`: on Node 20 each of its results stays reachable from a long-lived source,
 * and the source here lives as long as the process.
 */
export async function withAnySignal<Value>(
  sources: readonly AbortSignal[],
  work: (signal: AbortSignal) => Promise<Value>,
): Promise<Value> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  for (const source of sources) {
    if (source.aborted) abort()
    source.addEventListener('abort', abort)
  }
  try {
    return await work(controller.signal)
  } finally {
    for (const source of sources) source.removeEventListener('abort', abort)
  }
}

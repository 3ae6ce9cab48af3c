// Answers that stay open: events as Server-Sent Events, with everything that keeps such an answer
// from living on when nobody reads it.

import type { FastifyReply } from 'fastify'
import type { EventStream, StreamItem } from '../engine/stream.ts'
import { presentEvent } from './present.ts'
import { logRequest } from './server.ts'

export interface SseOptions {
  /** A comment is sent so often, in milliseconds: it keeps proxies from closing what is silent. */
  heartbeat: number
  /** A stream ends after so long, in milliseconds, and its client comes back: no load balancer keeps it for ever. */
  lifetime: number
  /** A receiver that lets so many bytes gather is let go; it comes back and reads at its own pace. */
  buffer_bytes: number
}

export const defaultSse: SseOptions = {
  heartbeat: 15_000,
  lifetime: 30 * 60_000,
  buffer_bytes: 1024 * 1024,
}

export interface Sse {
  /** Takes the reply over and sends the stream until one side ends it. */
  answer(reply: FastifyReply, stream: EventStream): void
}

/** How long an end may take to reach a receiver, in milliseconds, before it is cut off. */
const farewell = 2_000
/** Clients wait so long before they come back, in milliseconds, each its own time: after a restart all come. */
const shortestRetry = 1_000
const longestRetry = 3_000

/** @param shutdown ends all streams. */
export function createSse(options: SseOptions, shutdown: AbortSignal): Sse {
  const open = new Set<() => void>()
  shutdown.addEventListener('abort', () => {
    for (const end of open) end()
  })

  return {
    answer(reply, stream) {
      reply.hijack()
      const { raw } = reply
      if (raw.destroyed) return stream.close()
      for (const [name, value] of Object.entries(reply.getHeaders())) {
        if (value !== undefined) raw.setHeader(name, value)
      }
      raw.writeHead(200, {
        'content-type': 'text/event-stream',
        'cache-control': 'no-store',
        'x-accel-buffering': 'no',
      })
      const retry = shortestRetry + Math.random() * (longestRetry - shortestRetry)
      // With its position, so that who is cut off before the first event comes back to the same place.
      raw.write(`retry: ${Math.round(retry)}\n${idLine(stream)}\n`)
      const heart = setInterval(() => {
        if (!tooFull()) raw.write(`:\n${idLine(stream)}\n`)
      }, options.heartbeat)
      // Streams that began together shall not all come back together.
      const life = setTimeout(end, options.lifetime * (0.9 + Math.random() * 0.1))
      let cut: NodeJS.Timeout | undefined
      open.add(end)
      // Of the response: that of the request does not come when the receiver goes away.
      raw.once('close', () => {
        clearInterval(heart)
        clearTimeout(life)
        clearTimeout(cut)
        open.delete(end)
        stream.close()
        // Whoever went away in the middle has no finished answer, which would have been logged.
        if (!raw.writableFinished) logRequest(reply.request, reply, 'info')
      })
      stream.start({
        send(items) {
          if (!tooFull()) raw.write(textOf(items))
        },
        drained: () => drained(reply),
        end() {
          if (!tooFull()) raw.write(`${idLine(stream)}\n`)
          end()
        },
      })
      if (shutdown.aborted) end()

      /** Whether the receiver does not keep up; it is let go then. A large piece alone does not tell. */
      function tooFull(): boolean {
        if (raw.writableEnded || raw.destroyed) return true
        if (raw.writableLength <= options.buffer_bytes) return false
        raw.destroy()
        return true
      }

      function end(): void {
        if (raw.writableEnded || raw.destroyed) return
        raw.end()
        // One that does not read would hold up a shutdown, and its place.
        cut = setTimeout(() => raw.destroy(), farewell)
      }
    },
  }
}

/**
 * The position up to which everything was sent. A client keeps it, also when it comes with no event:
 * behind a filter, or while nothing happens, it comes back to where it is and not to where it began.
 */
function idLine(stream: EventStream): string {
  const position = stream.position()
  return position === null ? '' : `id: ${position}\n`
}

const texts = new WeakMap<readonly StreamItem[], Buffer>()

/** The bytes of items, made once however many receive them. `event` stays unset: `onmessage` gets all. */
function textOf(items: readonly StreamItem[]): Buffer {
  let bytes = texts.get(items)
  if (bytes === undefined) {
    let text = ''
    for (const { position, event } of items) {
      text += `id: ${position}\ndata: ${JSON.stringify(presentEvent(event))}\n\n`
    }
    bytes = Buffer.from(text)
    texts.set(items, bytes)
  }
  return bytes
}

async function drained({ raw }: FastifyReply): Promise<void> {
  if (!raw.writableNeedDrain || raw.destroyed) return
  await new Promise<void>((resolve) => {
    const done = () => {
      raw.off('drain', done)
      raw.off('close', done)
      resolve()
    }
    raw.on('drain', done)
    raw.on('close', done)
  })
}

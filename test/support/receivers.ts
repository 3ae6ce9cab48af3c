// Receivers of hooks without a network: what was sent to each, and what each answers.

import type { Outbound, OutboundAnswer, OutboundRequest } from '../../src/engine/outbound.ts'

/** One request, as a receiver saw it. */
export interface Received {
  url: string
  headers: Record<string, string>
  body: string
}

export type Answering = (request: Received) => Promise<OutboundAnswer> | OutboundAnswer

export interface Receivers {
  outbound: Pick<Outbound, 'send'>
  /** In the order in which they were sent. */
  received: Received[]
  /** Those of one URL. */
  of(url: string): Received[]
  /** Ids of the deliveries that a URL saw, in order and with repeats. */
  ids(url: string): string[]
  /** From now on a URL answers so; `ok` without it. */
  answer(url: string, answering: Answering): void
  /** The most requests that a URL had at a time. */
  peak(url: string): number
}

export function answerOf(
  status: number,
  more: { headers?: Record<string, string>; body?: string } = {},
): OutboundAnswer {
  const { headers = {}, body = 'ok' } = more
  return { status, headers, body: Buffer.from(body), truncated: false, latency_ms: 5 }
}

export function failureOf(failure: 'timeout' | 'connect' | 'reset' = 'connect'): OutboundAnswer {
  return { failure, message: 'nobody listens', latency_ms: 5 }
}

export function createReceivers(): Receivers {
  const received: Received[] = []
  const answers = new Map<string, Answering>()
  const open = new Map<string, number>()
  const peaks = new Map<string, number>()
  const of = (url: string) => received.filter((one) => one.url === url)
  return {
    received,
    of,
    ids: (url) => of(url).map(({ headers }) => headers['webhook-id'] ?? ''),
    answer: (url, answering) => {
      answers.set(url, answering)
    },
    peak: (url) => peaks.get(url) ?? 0,
    outbound: {
      async send({ url, headers, body, signal }: OutboundRequest) {
        const request = { url, headers: { ...headers }, body: body.toString() }
        received.push(request)
        const now = (open.get(url) ?? 0) + 1
        open.set(url, now)
        peaks.set(url, Math.max(now, peaks.get(url) ?? 0))
        let giveUp = () => {}
        const aborted = new Promise<OutboundAnswer>((resolve) => {
          giveUp = () => resolve({ failure: 'aborted', message: 'given up', latency_ms: 5 })
        })
        signal?.addEventListener('abort', giveUp)
        try {
          const answer = answers.get(url) ?? (() => answerOf(200))
          return await Promise.race([answer(request), aborted])
        } finally {
          signal?.removeEventListener('abort', giveUp)
          open.set(url, (open.get(url) ?? 1) - 1)
        }
      },
    },
  }
}

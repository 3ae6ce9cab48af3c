// Requests, as the transport over HTTP counts them.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'

/** A request that was answered, or given up. */
export interface RequestMeasure {
  method: string
  /** The pattern of its route, never its path. */
  route: string
  status: number
  seconds: number
  /** As it was told when it began. */
  waits: boolean
  /** It was to wait, as a long poll or a stream does: its time says nothing of the service. */
  waited: boolean
  /** The code of the problem that it was answered with. */
  problem: string | null
}

export interface RequestMetrics {
  /** @param waits whether it may be answered late on purpose. */
  began(waits: boolean): void
  ended(measure: RequestMeasure): void
}

const buckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5]

export function createRequestMetrics(registry: Registry): RequestMetrics {
  const registers = [registry]
  const requests = new Counter({
    name: 'taskflow_http_requests_total',
    help: 'Requests that were answered, by route and class of status.',
    labelNames: ['method', 'route', 'status'],
    registers,
  })
  const durations = new Histogram({
    name: 'taskflow_http_request_duration_seconds',
    help: 'How long requests took, without those that wait on purpose: long polls and streams.',
    labelNames: ['method', 'route'],
    buckets,
    registers,
  })
  const problems = new Counter({
    name: 'taskflow_http_problems_total',
    help: 'Problems that were answered, by code.',
    labelNames: ['code'],
    registers,
  })
  const open = new Gauge({
    name: 'taskflow_http_requests_in_flight',
    help: 'Requests that are being answered; `waiting` are long polls and streams.',
    labelNames: ['kind'],
    registers,
  })
  const kindOf = (waits: boolean) => (waits ? 'waiting' : 'answering')
  for (const waits of [true, false]) open.set({ kind: kindOf(waits) }, 0)
  return {
    began: (waits) => open.inc({ kind: kindOf(waits) }),
    ended({ method, route, status, seconds, waits, waited, problem }) {
      open.dec({ kind: kindOf(waits) })
      requests.inc({ method, route, status: `${Math.floor(status / 100)}xx` })
      if (!waited) durations.observe({ method, route }, seconds)
      if (problem !== null) problems.inc({ code: problem })
    },
  }
}

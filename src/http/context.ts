// What routes are given to work with.

import type { Engine } from '../engine/engine.ts'
import type { BodyReader } from '../engine/inbound.ts'
import type { Metrics } from '../engine/metrics.ts'
import type { Tool } from '../tool/tool.ts'
import type { Sse } from './sse.ts'

export interface RouteContext {
  engine: Engine
  metrics: Metrics
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
  /** What stands before the paths that third parties are given; empty when it is not configured. */
  publicUrl: string
  /** The largest body of a webhook, in bytes. */
  inboundBytes: number
  /** Reads what webhooks carry. */
  readBody: BodyReader
  /** Streams; they end at the same time. */
  sse: Sse
  /** What agents call. */
  tool: Tool
}

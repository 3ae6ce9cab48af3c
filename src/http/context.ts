// What routes are given to work with.

import type { Engine } from '../engine/engine.ts'
import type { BodyReader } from '../engine/inbound.ts'
import type { Metrics } from '../engine/metrics.ts'
import type { ToolSession } from '../tool/session.ts'
import type { Tool } from '../tool/tool.ts'
import type { ForeignCheck } from './foreign.ts'
import type { Sse } from './sse.ts'

/** What answers requests of MCP, whoever made it: transports do not know each other. */
export interface McpSide {
  handle(asked: {
    request: Request
    /** The body, parsed. */
    body: unknown
    session: ToolSession
    /** Aborts when the client has its answer or has gone away, and when the service stops. */
    signal: AbortSignal
    /** Takes what nobody is told of. */
    log(error: unknown): void
  }): Promise<Response>
}

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
  /** Absent: there is no MCP. */
  mcp?: McpSide
  /** Whether a request names this service, and comes from no foreign page. */
  isForeign: ForeignCheck
}

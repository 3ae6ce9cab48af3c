// The whole HTTP side: the server, all routes, and their documentation.

import { setMaxListeners } from 'node:events'
import type { FastifyInstance } from 'fastify'
import { components } from '../contract/components.ts'
import type { BucketRate } from '../domain/token-bucket.ts'
import type { Engine } from '../engine/engine.ts'
import { createMetrics, type Metrics } from '../engine/metrics.ts'
import { createTool, type Tool } from '../tool/tool.ts'
import { guardRoutes } from './access.ts'
import type { McpSide, RouteContext } from './context.ts'
import { loopFault } from './depth.ts'
import { foreignCheck } from './foreign.ts'
import { bodyReader } from './inbound-body.ts'
import { type DocsAccess, registerOpenApi } from './plugins/openapi.ts'
import { limitAddresses, limitKeys } from './rates.ts'
import { bindingRoutes } from './routes/bindings.ts'
import { controllerRoutes } from './routes/controllers.ts'
import { deliveryRoutes } from './routes/deliveries.ts'
import { engineRoutes } from './routes/engine.ts'
import { eventStreamRoutes } from './routes/event-streams.ts'
import { eventRoutes } from './routes/events.ts'
import { explainRoutes } from './routes/explain.ts'
import { flowActionRoutes } from './routes/flow-actions.ts'
import { flowBatchRoutes } from './routes/flow-batch.ts'
import { flowSignalRoutes } from './routes/flow-signals.ts'
import { flowRoutes } from './routes/flows.ts'
import { healthRoutes } from './routes/health.ts'
import { holdRoutes } from './routes/holds.ts'
import { hookRoutes } from './routes/hooks.ts'
import { inboundRoutes } from './routes/inbound.ts'
import { linkRoutes } from './routes/links.ts'
import { mcpRoutes } from './routes/mcp.ts'
import { memoRoutes } from './routes/memos.ts'
import { messageRoutes } from './routes/messages.ts'
import { metricsRoutes } from './routes/metrics.ts'
import { outcomeRoutes } from './routes/outcomes.ts'
import { rootRoutes } from './routes/root.ts'
import { signalRoutes } from './routes/signals.ts'
import { sourceRoutes } from './routes/sources.ts'
import { stepQueueRoutes } from './routes/step-queue.ts'
import { stepRepairRoutes } from './routes/step-repair.ts'
import { stepRoutes } from './routes/steps.ts'
import { storageRoutes } from './routes/storage.ts'
import { toolRoutes } from './routes/tool.ts'
import { createServer, type ServerOptions } from './server.ts'
import { shedLoad } from './shedding.ts'
import { createSse, defaultSse, type SseOptions } from './sse.ts'
import { validatorCompiler } from './validation.ts'

export interface AppOptions extends Omit<ServerOptions, 'schemas' | 'requests'> {
  version: string
  /** Of its own when absent, and told of nothing but its requests. */
  metrics?: Metrics
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
  /** The address that third parties reach the service under, without a slash at its end. */
  publicUrl?: string
  /** The largest body of a webhook, in bytes; that of other bodies when absent. */
  inboundBytes?: number
  /** How far ahead agents may put timers, in milliseconds; 30 days when absent. */
  toolHorizon?: number
  /** How often one address may ask; as often as it likes when absent. */
  addressRate?: BucketRate
  /** Mean delay of the event loop past which requests are refused, in milliseconds; none is when absent. */
  maxLoopDelay?: number
  /** Who may read the documentation of the API; everybody when absent. */
  docs?: DocsAccess
  /** Makes what answers MCP; there is none when absent. */
  mcp?: (tool: Tool, version: string) => McpSide
  /** Names that `/mcp` is reached by, beside those of this machine. */
  mcpHosts?: readonly string[]
  /** See `defaultSse`. */
  streams?: Partial<SseOptions>
  /**
   * The names of this machine, when only its own programs may ask without a key; null when it does not
   * matter under which name the service is reached.
   */
  hosts?: ReadonlySet<string> | null
}

/** 30 days. */
const defaultHorizon = 30 * 24 * 60 * 60 * 1000

/** A server with every route of the service on the engine. It does not listen yet. */
export function createApp(engine: Engine, options: AppOptions): FastifyInstance {
  const {
    version,
    shutdown,
    publicUrl = '',
    inboundBytes,
    streams,
    hosts = null,
    toolHorizon,
    addressRate,
    maxLoopDelay,
    docs,
    metrics: _,
    mcp,
    mcpHosts = [],
    ...server
  } = options
  const metrics = options.metrics ?? createMetrics(version)
  // Each long poll listens to it; they are bounded by the connections.
  setMaxListeners(0, shutdown)
  const app = createServer({ ...server, requests: metrics.requests, schemas: components })
  const compile = validatorCompiler(components)
  const tool = createTool({
    engine,
    judge: (schema) => compile({ schema, httpPart: 'body' }),
    horizon: toolHorizon ?? defaultHorizon,
  })
  const context: RouteContext = {
    engine,
    metrics,
    shutdown,
    publicUrl,
    inboundBytes: inboundBytes ?? server.limits.body_bytes,
    readBody: bodyReader({ depth: server.limits.json_depth }),
    sse: createSse({ ...defaultSse, ...streams }, shutdown),
    tool,
    ...(mcp !== undefined && { mcp: mcp(tool, version) }),
    isForeign: foreignCheck(
      publicUrl === '' ? mcpHosts : [...mcpHosts, new URL(publicUrl).hostname],
    ),
  }
  // Before the body is read, and before any answer that is kept for repeats.
  app.addHook('onRequest', (request, _reply, next) => next(loopFault(request)))
  if (addressRate !== undefined) limitAddresses(app, addressRate)
  guardRoutes(app, { engine, hosts })
  limitKeys(app)
  if (maxLoopDelay !== undefined) shedLoad(app, maxLoopDelay)
  registerOpenApi(app, version, docs)
  if (docs !== 'off') app.register(rootRoutes)
  // In the order of the document.
  for (const routes of [
    flowRoutes,
    flowBatchRoutes,
    flowActionRoutes,
    holdRoutes,
    flowSignalRoutes,
    explainRoutes,
    signalRoutes,
    linkRoutes,
    sourceRoutes,
    messageRoutes,
    inboundRoutes,
    hookRoutes,
    deliveryRoutes,
    stepRoutes,
    stepQueueRoutes,
    outcomeRoutes,
    stepRepairRoutes,
    memoRoutes,
    controllerRoutes,
    eventRoutes,
    eventStreamRoutes,
    bindingRoutes,
    toolRoutes,
    mcpRoutes,
    engineRoutes,
    storageRoutes,
    healthRoutes,
    metricsRoutes,
  ]) {
    app.register(routes, context)
  }
  return app
}

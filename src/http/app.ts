// The whole HTTP side: the server, all routes, and their documentation.

import type { FastifyInstance } from 'fastify'
import { components } from '../contract/components.ts'
import type { Engine } from '../engine/engine.ts'
import type { RouteContext } from './context.ts'
import { registerOpenApi } from './plugins/openapi.ts'
import { engineRoutes } from './routes/engine.ts'
import { eventRoutes } from './routes/events.ts'
import { flowActionRoutes } from './routes/flow-actions.ts'
import { flowSignalRoutes } from './routes/flow-signals.ts'
import { flowRoutes } from './routes/flows.ts'
import { healthRoutes } from './routes/health.ts'
import { linkRoutes } from './routes/links.ts'
import { rootRoutes } from './routes/root.ts'
import { signalRoutes } from './routes/signals.ts'
import { stepRoutes } from './routes/steps.ts'
import { createServer, type ServerOptions } from './server.ts'

export interface AppOptions extends Omit<ServerOptions, 'schemas'> {
  version: string
  /** Aborts when the service stops: long polls answer at once. */
  shutdown: AbortSignal
  /** Where others reach the service, for links. Without it they are paths. */
  publicUrl?: string
}

/** A server with every route of the service on the engine. It does not listen yet. */
export function createApp(engine: Engine, options: AppOptions): FastifyInstance {
  const { version, shutdown, publicUrl = '', ...server } = options
  const app = createServer({ ...server, schemas: components })
  const context: RouteContext = { engine, shutdown, baseUrl: publicUrl.replace(/\/+$/, '') }
  registerOpenApi(app, version)
  app.register(rootRoutes)
  // In the order of the document.
  for (const routes of [
    flowRoutes,
    flowActionRoutes,
    flowSignalRoutes,
    signalRoutes,
    linkRoutes,
    stepRoutes,
    eventRoutes,
    engineRoutes,
    healthRoutes,
  ]) {
    app.register(routes, context)
  }
  return app
}

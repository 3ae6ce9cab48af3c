// The service itself: how it does, and a tick on demand.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { EngineStatusSchema, TickReportSchema } from '../../contract/engine.ts'
import { EmptySchema } from '../../contract/flow-change.ts'
import { ref } from '../../contract/kit.ts'
import { needsAll } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { noQuery } from '../params.ts'

const tags = ['Engine']

export const engineRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.post(
    '/engine/tick',
    {
      schema: {
        operationId: 'tickEngine',
        tags,
        summary: 'Fire what is due',
        description:
          'Fires due timers and carries out requested cancels now. The service does so by itself: this is for tests and for the impatient.',
        querystring: noQuery,
        body: ref(EmptySchema),
        response: { 200: ref(TickReportSchema) },
      },
      config: needsAll('engine:admin'),
    },
    async () => {
      const { scanned, resumed, cancelled, still_waiting, errors } = await engine.waitEngine.tick()
      return { scanned, resumed, cancelled, still_waiting, errors }
    },
  )

  app.get(
    '/engine',
    {
      schema: {
        operationId: 'getEngine',
        tags,
        summary: 'Get the engine’s status',
        description: 'How the process that answers does: its clock and its writing of changes.',
        querystring: noQuery,
        response: { 200: ref(EngineStatusSchema) },
      },
      config: needsAll('engine:admin'),
    },
    async () => engine.status(),
  )

  done()
}

// Health, for whoever starts and watches the process.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { LivenessSchema, ReadinessSchema } from '../../contract/engine.ts'
import { ref } from '../../contract/kit.ts'
import { ProblemSchema } from '../../contract/problem.ts'
import { FlowError } from '../../domain/errors.ts'
import { open } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { noQuery } from '../params.ts'
import { type Problem, problemType, toProblem } from '../problems.ts'

const tags = ['Engine']

export const healthRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.get(
    '/health/live',
    {
      config: { ...open, untraced: true },
      schema: {
        operationId: 'getLiveness',
        tags,
        summary: 'Is the process alive',
        description:
          'Answers as long as the process can answer at all. Restart it when it does not.',
        querystring: noQuery,
        response: { 200: ref(LivenessSchema) },
      },
    },
    () => ({ status: 'ok' as const }),
  )

  app.get(
    '/health/ready',
    {
      config: { ...open, untraced: true },
      schema: {
        operationId: 'getReadiness',
        tags,
        summary: 'Is the service ready',
        description:
          'Answers 200 when requests will be served, else 503 `unavailable` with the same `ready` and `checks` in the problem.',
        querystring: noQuery,
        response: { 200: ref(ReadinessSchema), 503: Type.Unsafe<Problem>(ref(ProblemSchema)) },
      },
    },
    async (request, reply) => {
      const { ready, checks } = await engine.ready()
      if (ready) return { ready, checks }
      const faults = Object.values(checks).filter((check) => check !== 'ok')
      const error = new FlowError('unavailable', faults.join(' ') || 'The service is not ready.', {
        retry_after: 1,
      })
      const problem = toProblem(error, { request_id: request.id, path: '/health/ready' })
      reply.code(503).header('retry-after', '1').type(problemType)
      return { ...problem, ready, checks }
    },
  )

  done()
}

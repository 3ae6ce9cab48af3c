// Steps of a flow: observations of work that runs elsewhere, and what is known of all of them.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { pageQuery, ref } from '../../contract/kit.ts'
import {
  ObservedStepSchema,
  ObserveStepSchema,
  StepPageSchema,
  StepSchema,
} from '../../contract/step.ts'
import { parseTimestamp } from '../../domain/formats.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { flowIdOf, flowParams, noQuery, pageRequest, stepParams } from '../params.ts'
import { presentPage, presentStep } from '../present.ts'

const tags = ['Steps']

export const stepRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.put(
    '/flows/:flow_id/steps/:run_id',
    {
      schema: {
        operationId: 'observeStep',
        tags,
        summary: 'Report a mirrored step',
        description:
          'Tells how a piece of work that runs elsewhere does: 201 for the first report on it, 200 after. Accepted in every status of the flow, which it never changes. A report older than the newest one changes nothing (`stale`).',
        'x-problems': ['not_found', 'wait_conflict'],
        params: stepParams,
        querystring: noQuery,
        body: ref(ObserveStepSchema),
        response: { 200: ref(ObservedStepSchema), 201: ref(ObservedStepSchema) },
      },
    },
    async (request, reply) => {
      const flowId = flowIdOf(request.params)
      const { run_id } = request.params
      const { observed_at, ...seen } = request.body
      const result = await engine.steps.observe(
        callerOf(request),
        flowId,
        {
          run_id,
          ...seen,
          ...(observed_at !== undefined && {
            observed_at: parseTimestamp(observed_at, '/observed_at'),
          }),
        },
        changeOptions(request),
      )
      if (result.step === undefined) throw new Error('an observation was answered without its step')
      changeHeaders(reply, result)
      const step = { ...presentStep(result.step), stale: result.outcome === 'stale' }
      if (result.step_created !== true) return reply.code(200).send(step)
      const location = `/flows/${flowId}/steps/${encodeURIComponent(run_id)}`
      return reply.code(201).header('location', location).send(step)
    },
  )

  app.get(
    '/flows/:flow_id/steps',
    {
      schema: {
        operationId: 'listSteps',
        tags,
        summary: 'List the steps',
        description: 'Oldest first.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: flowParams,
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: ref(StepPageSchema) },
      },
    },
    async (request) => {
      const flowId = flowIdOf(request.params)
      const page = await engine.steps.list(callerOf(request), flowId, pageRequest(request.query))
      return presentPage(page, presentStep)
    },
  )

  app.get(
    '/flows/:flow_id/steps/:run_id',
    {
      schema: {
        operationId: 'getStep',
        tags,
        summary: 'Get a step',
        description: 'One step of a flow, by the name of its run.',
        'x-problems': ['not_found'],
        params: stepParams,
        querystring: noQuery,
        response: { 200: ref(StepSchema) },
      },
    },
    async (request) => {
      const flowId = flowIdOf(request.params)
      return presentStep(await engine.steps.get(callerOf(request), flowId, request.params.run_id))
    },
  )

  done()
}

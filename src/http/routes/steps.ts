// Steps of a flow: those that workers shall run, observations of work that runs elsewhere, and lists.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { pageQuery, ref } from '../../contract/kit.ts'
import { NewStepSchema } from '../../contract/new-step.ts'
import {
  ObservedStepSchema,
  ObserveStepSchema,
  StepPageSchema,
  StepSchema,
} from '../../contract/step.ts'
import { parseTimestamp } from '../../domain/formats.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { flowIdOf, flowParams, noQuery, pageRequest, stepParams } from '../params.ts'
import { presentPage } from '../present.ts'
import { presentStep } from '../present-step.ts'
import { stepInput } from '../step-spec.ts'

const tags = ['Steps']

export const stepRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.post(
    '/flows/:flow_id/steps',
    {
      schema: {
        operationId: 'enqueueStep',
        tags,
        summary: 'Give a step to workers',
        description:
          'Adds a managed step: 201, or 200 with the step that has this `run_id` already, whatever else was sent. Workers claim it by `POST /steps/claim`. That of a flow which was not started is held until then.',
        'x-problems': [
          'not_found',
          'already_terminal',
          'cancel_pending',
          'step_conflict',
          'limit_exceeded',
          'quota_exceeded',
        ],
        params: flowParams,
        querystring: noQuery,
        body: ref(NewStepSchema),
        response: { 200: ref(StepSchema), 201: ref(StepSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const result = await engine.steps.enqueue(
        callerOf(request),
        flowIdOf(request.params),
        stepInput(request.body),
        changeOptions(request),
      )
      changeHeaders(reply, result)
      const step = presentStep(result.step)
      if (result.step_created !== true) return reply.code(200).send(step)
      return reply.code(201).header('location', placeOf(step)).send(step)
    },
  )

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
      config: needs('steps:work', 'flows:write'),
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
      return reply.code(201).header('location', placeOf(step)).send(step)
    },
  )

  app.get(
    '/flows/:flow_id/steps',
    {
      schema: {
        operationId: 'listFlowSteps',
        tags,
        summary: 'List the steps of a flow',
        description: 'Oldest first.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: flowParams,
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: ref(StepPageSchema) },
      },
      config: needs('steps:read'),
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
        operationId: 'getFlowStep',
        tags,
        summary: 'Get a step by its run',
        description: 'One step of a flow, by the name of its run.',
        'x-problems': ['not_found'],
        params: stepParams,
        querystring: noQuery,
        response: { 200: ref(StepSchema) },
      },
      config: needs('steps:read'),
    },
    async (request) => {
      const flowId = flowIdOf(request.params)
      return presentStep(await engine.steps.get(callerOf(request), flowId, request.params.run_id))
    },
  )

  done()
}

function placeOf({ flow_id, run_id }: { flow_id: string; run_id: string }): string {
  return `/flows/${flow_id}/steps/${encodeURIComponent(run_id)}`
}

// Steps of all flows, and what an operator does about dead ones.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { FlowSchema } from '../../contract/flow.ts'
import { EmptySchema } from '../../contract/flow-change.ts'
import { name, oneOfTexts, pageQuery, ref } from '../../contract/kit.ts'
import {
  ReopenFlowSchema,
  SetStepResultSchema,
  SkipStepSchema,
  StepDetailSchema,
  StepPageSchema,
  StepSchema,
} from '../../contract/step.ts'
import type { ErrorCode } from '../../domain/errors.ts'
import { stepStatuses } from '../../domain/step.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { flowIdOf, flowParams, noQuery, pageRequest, stepIdParams } from '../params.ts'
import { presentFlow, presentPage } from '../present.ts'
import { presentDetail, presentStep } from '../present-step.ts'

const tags = ['Steps']

const listQuery = Type.Object(
  {
    status: Type.Optional(
      Type.Array(oneOfTexts(stepStatuses, 'A status.'), {
        maxItems: stepStatuses.length,
        description: 'Steps in this status; `failed` are the dead ones. Repeat it for several.',
      }),
    ),
    task: Type.Optional(name('Steps with this task.')),
    controller_id: Type.Optional(name('Steps of flows of this controller.')),
    flow_id: Type.Optional(
      Type.String({ format: 'uuid', description: 'Steps of this flow alone.' }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

const mending = { tags, params: stepIdParams, querystring: noQuery }
const refusals: ErrorCode[] = ['not_found', 'already_terminal', 'cancel_pending', 'step_conflict']

export const stepRepairRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.get(
    '/steps',
    {
      schema: {
        operationId: 'listSteps',
        tags,
        summary: 'List steps of all flows',
        description: 'Newest first. All filters must hold.',
        'x-problems': ['cursor_mismatch'],
        querystring: listQuery,
        response: { 200: ref(StepPageSchema) },
      },
      config: needs('steps:read'),
    },
    async (request) => {
      const { limit: _, cursor: __, ...filter } = request.query
      const page = await engine.steps.find(callerOf(request), filter, pageRequest(request.query))
      return presentPage(page, presentStep)
    },
  )

  app.get(
    '/steps/:step_id',
    {
      schema: {
        operationId: 'getStep',
        tags,
        summary: 'Get a step with its attempts',
        description: 'What became of each of its attempts that has ended, the oldest first.',
        'x-problems': ['not_found'],
        params: stepIdParams,
        querystring: noQuery,
        response: { 200: ref(StepDetailSchema) },
      },
      config: needs('steps:read'),
    },
    async (request) => {
      const { step_id } = request.params
      const { step, attempts } = await engine.steps.inspect(callerOf(request), step_id)
      return presentDetail(step, attempts)
    },
  )

  app.post(
    '/steps/:step_id/retry',
    {
      schema: {
        ...mending,
        operationId: 'retryStep',
        summary: 'Run a dead step anew',
        description:
          'The step is pending again, with all its attempts before it. One that rests between two attempts can be claimed at once. That of a failed flow needs `POST /flows/{flow_id}/reopen`.',
        'x-problems': refusals,
        body: ref(EmptySchema),
        response: { 200: ref(StepSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const { step_id } = request.params
      const result = await engine.steps.retry(callerOf(request), step_id, changeOptions(request))
      changeHeaders(reply, result)
      return presentStep(result.step)
    },
  )

  app.post(
    '/steps/:step_id/skip',
    {
      schema: {
        ...mending,
        operationId: 'skipStep',
        summary: 'Settle a step without a result',
        description:
          'A dead or pending step counts as succeeded, with the result null. Its flow goes on as its controller decides.',
        'x-problems': refusals,
        body: ref(SkipStepSchema),
        response: { 200: ref(StepSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const { step_id } = request.params
      const what = { skipped: true, result: null, ...request.body }
      const options = changeOptions(request)
      const result = await engine.steps.resolve(callerOf(request), step_id, what, options)
      changeHeaders(reply, result)
      return presentStep(result.step)
    },
  )

  app.post(
    '/steps/:step_id/result',
    {
      schema: {
        ...mending,
        operationId: 'setStepResult',
        summary: 'Settle a step with a result',
        description:
          'A dead or pending step counts as succeeded, with this result. Its flow goes on as its controller decides.',
        'x-problems': [...refusals, 'limit_exceeded'],
        body: ref(SetStepResultSchema),
        response: { 200: ref(StepSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const { step_id } = request.params
      const what = { skipped: false, result: request.body.result }
      const options = changeOptions(request)
      const result = await engine.steps.resolve(callerOf(request), step_id, what, options)
      changeHeaders(reply, result)
      return presentStep(result.step)
    },
  )

  app.post(
    '/flows/:flow_id/reopen',
    {
      schema: {
        operationId: 'reopenFlow',
        tags: ['Flows'],
        summary: 'Reopen a failed flow',
        description:
          'From `failed` back to `running`, with one of its dead or cancelled steps pending again. `state.failure` goes.',
        'x-problems': [
          'not_found',
          'illegal_transition',
          'already_terminal',
          'step_conflict',
          'key_conflict',
        ],
        params: flowParams,
        querystring: noQuery,
        body: ref(ReopenFlowSchema),
        response: { 200: ref(FlowSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const result = await engine.steps.reopen(
        callerOf(request),
        flowIdOf(request.params),
        request.body.step_id,
        changeOptions(request),
      )
      changeHeaders(reply, result)
      return presentFlow(result.flow)
    },
  )

  done()
}

// What changes a flow: its life cycle, its waits, its state, and the signals aimed at it.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Flow, FlowSchema } from '../../contract/flow.ts'
import {
  CancelFlowSchema,
  EmptySchema,
  FailFlowSchema,
  FinishFlowSchema,
  RequestFlowCancelSchema,
  ResumeFlowSchema,
  UpdateFlowStateSchema,
} from '../../contract/flow-change.ts'
import { ref } from '../../contract/kit.ts'
import { MoveTimerSchema, WaitRequestSchema } from '../../contract/wait.ts'
import { waitSpec } from '../../contract/wait-spec.ts'
import type { Command } from '../../domain/command.ts'
import type { ErrorCode } from '../../domain/errors.ts'
import { parseDuration, parseTimestamp } from '../../domain/formats.ts'
import { shardIndexOf } from '../../domain/id.ts'
import { mintId } from '../../engine/ids.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { linkSpec } from '../link-spec.ts'
import { flowIdOf, flowParams, noQuery } from '../params.ts'
import { presentFlow } from '../present.ts'

const changes = { tags: ['Flows'], params: flowParams, querystring: noQuery }
const waits = { tags: ['Waits'], params: flowParams, querystring: noQuery }
const flow = { 200: ref(FlowSchema) }

const moving: ErrorCode[] = [
  'not_found',
  'illegal_transition',
  'already_terminal',
  'cancel_pending',
]

export const flowActionRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, publicUrl },
  done,
) => {
  const change = async (
    request: FastifyRequest,
    reply: FastifyReply,
    flowId: string,
    command: Command,
  ): Promise<Flow> => {
    const result = await engine.flows.change(
      callerOf(request),
      flowId,
      command,
      changeOptions(request),
    )
    changeHeaders(reply, result)
    return presentFlow(result.flow)
  }

  app.post(
    '/flows/:flow_id/start',
    {
      schema: {
        ...changes,
        operationId: 'startFlow',
        summary: 'Start a flow',
        description: 'From `created` to `running`.',
        'x-problems': moving,
        body: ref(EmptySchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) => change(request, reply, flowIdOf(request.params), { type: 'start' }),
  )

  app.post(
    '/flows/:flow_id/wait',
    {
      schema: {
        ...waits,
        operationId: 'waitFlow',
        summary: 'Let a flow wait',
        description:
          'From `running` to `waiting`. The wait has an id of its own, which whatever ends it names. When a signal was kept for it, the flow is running again in the same step. With `link`, the answer has a link by which others can end the wait, once; no later answer shows it.',
        'x-problems': [...moving, 'limit_exceeded', 'timer_horizon_exceeded'],
        body: ref(WaitRequestSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const flowId = flowIdOf(request.params)
      const wait_id = mintId(shardIndexOf(flowId))
      const wait = waitSpec(request.body)
      const asked = linkSpec(request.body)
      const minted = asked === undefined ? null : engine.links.mint(flowId, asked)
      const answer = await change(request, reply, flowId, {
        type: 'wait',
        wait_id,
        wait,
        ...(minted !== null && { link: minted.link }),
      })
      // Shown once: a repeat of the request is answered with the wait of the first.
      if (minted === null || answer.wait?.id !== wait_id) return answer
      return { ...answer, wait: { ...answer.wait, link: `${publicUrl}/r/${minted.token}` } }
    },
  )

  app.patch(
    '/flows/:flow_id/wait',
    {
      schema: {
        ...waits,
        operationId: 'moveTimer',
        summary: 'Move a pending timer',
        description:
          'Sets another time for the one timer that the flow waits on. The wait keeps its id.',
        'x-problems': [
          'not_found',
          'wait_conflict',
          'already_terminal',
          'cancel_pending',
          'timer_horizon_exceeded',
        ],
        body: ref(MoveTimerSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), {
        type: 'move_timer',
        at: parseTimestamp(request.body.at, '/at'),
      }),
  )

  app.post(
    '/flows/:flow_id/resume',
    {
      schema: {
        ...waits,
        operationId: 'resumeFlow',
        summary: 'Resume a waiting flow',
        description:
          'From `waiting` to `running`, whatever it waits for. With `wait_id` only if that is still its wait.',
        'x-problems': [...moving, 'stale_wait', 'limit_exceeded'],
        body: ref(ResumeFlowSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), { type: 'resume', ...request.body }),
  )

  app.patch(
    '/flows/:flow_id/state',
    {
      schema: {
        ...changes,
        operationId: 'updateFlowState',
        summary: 'Update the state',
        description:
          'A shallow merge of `patch` into the state, then the removal of the members in `unset`. Possible in every status that is not final.',
        'x-problems': ['not_found', 'already_terminal', 'cancel_pending', 'limit_exceeded'],
        body: ref(UpdateFlowStateSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), { type: 'update_state', ...request.body }),
  )

  app.post(
    '/flows/:flow_id/finish',
    {
      schema: {
        ...changes,
        operationId: 'finishFlow',
        summary: 'Finish a flow',
        description: 'From `running` to `finished`, which is final.',
        'x-problems': [...moving, 'limit_exceeded'],
        body: ref(FinishFlowSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), { type: 'finish', ...request.body }),
  )

  app.post(
    '/flows/:flow_id/fail',
    {
      schema: {
        ...changes,
        operationId: 'failFlow',
        summary: 'Fail a flow',
        description:
          'From `running` or `waiting` to `failed`, which is final. The reason is kept in `state.failure`.',
        'x-problems': [...moving, 'limit_exceeded'],
        body: ref(FailFlowSchema),
        response: flow,
      },
      config: needs('flows:write'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), { type: 'fail', ...request.body }),
  )

  app.post(
    '/flows/:flow_id/request-cancel',
    {
      schema: {
        ...changes,
        operationId: 'requestFlowCancel',
        summary: 'Request a cancel',
        description:
          'Asks the flow to end. From then on it accepts `cancel` alone. A created or waiting flow, and one whose steps are all pending, is cancelled at once by the service; one whose steps run when they have reported, or when `grace` is over; another when its controller cancels it. A repeat changes nothing.',
        'x-problems': ['not_found', 'already_terminal'],
        body: ref(RequestFlowCancelSchema),
        response: flow,
      },
      config: needs('flows:cancel'),
    },
    (request, reply) => {
      const { reason, grace } = request.body
      return change(request, reply, flowIdOf(request.params), {
        type: 'request_cancel',
        ...(reason !== undefined && { reason }),
        ...(grace !== undefined && { grace: parseDuration(grace, '/grace') }),
      })
    },
  )

  app.post(
    '/flows/:flow_id/cancel',
    {
      schema: {
        ...changes,
        operationId: 'cancelFlow',
        summary: 'Cancel a flow now',
        description: 'From any status that is not final to `cancelled`, which is.',
        'x-problems': ['not_found', 'already_terminal'],
        body: ref(CancelFlowSchema),
        response: flow,
      },
      config: needs('flows:cancel'),
    },
    (request, reply) =>
      change(request, reply, flowIdOf(request.params), { type: 'cancel', ...request.body }),
  )

  done()
}

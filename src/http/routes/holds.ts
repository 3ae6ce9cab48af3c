// Holds: flows that must not be deleted, however long ago they ended.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { type Flow, FlowSchema } from '../../contract/flow.ts'
import { HoldFlowSchema } from '../../contract/flow-change.ts'
import { ref } from '../../contract/kit.ts'
import type { Command } from '../../domain/command.ts'
import type { ErrorCode } from '../../domain/errors.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { flowIdOf, flowParams, noQuery } from '../params.ts'
import { presentFlow } from '../present.ts'

const problems: ErrorCode[] = ['not_found']
const holds = {
  tags: ['Flows'],
  params: flowParams,
  querystring: noQuery,
  'x-problems': problems,
  response: { 200: ref(FlowSchema) },
}

export const holdRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  const change = async (
    request: FastifyRequest,
    reply: FastifyReply,
    params: { flow_id: string },
    hold: Extract<Command, { type: 'update_retention' }>['hold'] & (object | null),
  ): Promise<Flow> => {
    const command: Command = { type: 'update_retention', hold }
    const options = changeOptions(request)
    const result = await engine.flows.change(callerOf(request), flowIdOf(params), command, options)
    changeHeaders(reply, result)
    return presentFlow(result.flow)
  }

  app.put(
    '/flows/:flow_id/hold',
    {
      schema: {
        ...holds,
        operationId: 'holdFlow',
        summary: 'Put a flow on hold',
        description:
          'It is not deleted until the hold is lifted, however long ago it ended. It can still be changed. Possible in every status; the same reason again changes nothing, another one takes its place.',
        body: ref(HoldFlowSchema),
      },
      config: needs('engine:admin'),
    },
    (request, reply) =>
      change(request, reply, request.params, { reason: request.body.reason ?? null }),
  )

  app.delete(
    '/flows/:flow_id/hold',
    {
      schema: {
        ...holds,
        operationId: 'liftHold',
        summary: 'Lift the hold of a flow',
        description:
          'A flow whose time is over is then deleted by the next pass of the retention. Without a hold, nothing changes.',
      },
      config: needs('engine:admin'),
    },
    (request, reply) => change(request, reply, request.params, null),
  )

  done()
}

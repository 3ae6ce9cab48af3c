// Signals aimed at one flow.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { ref } from '../../contract/kit.ts'
import {
  ResumeFlowExternallySchema,
  SignalFlowSchema,
  type SignalResult,
  SignalResultSchema,
} from '../../contract/signal.ts'
import type { ErrorCode } from '../../domain/errors.ts'
import type { Reply } from '../../engine/change.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions } from '../headers.ts'
import { flowIdOf, flowParams, noQuery, signalParams } from '../params.ts'
import { presentFlow } from '../present.ts'

const tags = ['Signals']
const problems: ErrorCode[] = ['not_found', 'already_terminal', 'cancel_pending', 'limit_exceeded']

export const flowSignalRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.post(
    '/flows/:flow_id/resume-external',
    {
      schema: {
        operationId: 'resumeFlowExternally',
        tags,
        summary: 'Deliver an external event',
        description:
          'Ends the `external_event` wait of this flow when topic and correlation id are those it waits for. When they are not, or it does not wait, the outcome is `unmatched` and nothing changes.',
        'x-problems': problems,
        params: flowParams,
        querystring: noQuery,
        body: ref(ResumeFlowExternallySchema),
        response: { 200: ref(SignalResultSchema) },
      },
    },
    async (request, reply) => {
      const { id, ttl: _, ...event } = request.body
      const result = await engine.signals.resumeExternal(
        callerOf(request),
        flowIdOf(request.params),
        { ...event, ...(id !== undefined && { sender_id: id }) },
        changeOptions(request),
      )
      return present(reply, result)
    },
  )

  app.post(
    '/flows/:flow_id/signals/:name',
    {
      schema: {
        operationId: 'signalFlow',
        tags,
        summary: 'Send a named signal',
        description:
          'Ends the `manual` wait of this flow when it waits for this name, or for none in particular. Otherwise the outcome is `unmatched` and nothing changes.',
        'x-problems': problems,
        params: signalParams,
        querystring: noQuery,
        body: ref(SignalFlowSchema),
        response: { 200: ref(SignalResultSchema) },
      },
    },
    async (request, reply) => {
      const result = await engine.signals.signal(
        callerOf(request),
        flowIdOf(request.params),
        request.params.name,
        request.body.payload,
        changeOptions(request),
      )
      return present(reply, result)
    },
  )

  done()
}

function present(reply: FastifyReply, result: Reply): SignalResult {
  changeHeaders(reply, result)
  return result.outcome === 'delivered'
    ? {
        outcome: 'delivered',
        ...(result.signal_id !== undefined && { signal_id: result.signal_id }),
        flow: presentFlow(result.flow),
      }
    : { outcome: 'unmatched' }
}

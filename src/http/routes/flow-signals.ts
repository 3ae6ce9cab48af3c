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
import { parseDuration } from '../../domain/formats.ts'
import type { JsonValue } from '../../domain/json.ts'
import type { SignalFate, SignalInput } from '../../engine/signals.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { changeOptions, etag, replayHeader } from '../headers.ts'
import { flowIdOf, flowParams, noQuery, signalParams } from '../params.ts'
import { presentFlow } from '../present.ts'

const tags = ['Signals']
const problems: ErrorCode[] = [
  'not_found',
  'already_terminal',
  'cancel_pending',
  'limit_exceeded',
  'quota_exceeded',
]
const answers = { 200: ref(SignalResultSchema), 202: ref(SignalResultSchema) }

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
          'Ends the `external_event` wait of this flow when topic and correlation id are those it waits for. When they are not, or it does not wait (yet), the signal is kept for `ttl` and ends the next wait of this flow that matches: the answer is then 202.',
        'x-problems': problems,
        params: flowParams,
        querystring: noQuery,
        body: ref(ResumeFlowExternallySchema),
        response: answers,
      },
      config: needs('signals:write'),
    },
    async (request, reply) => {
      const { topic, correlation_id, ...carried } = request.body
      const result = await engine.signals.send(
        callerOf(request),
        {
          target: { kind: 'external_event', topic, correlation_id },
          flow_id: flowIdOf(request.params),
          ...carriedBy(carried),
        },
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
          'Ends the `manual` wait of this flow when it waits for this name, or for none in particular. Otherwise the signal is kept for `ttl` and ends the next wait of this flow that takes it: the answer is then 202.',
        'x-problems': problems,
        params: signalParams,
        querystring: noQuery,
        body: ref(SignalFlowSchema),
        response: answers,
      },
      config: needs('signals:write'),
    },
    async (request, reply) => {
      const result = await engine.signals.send(
        callerOf(request),
        {
          target: { kind: 'manual', signal: request.params.name },
          flow_id: flowIdOf(request.params),
          ...carriedBy(request.body),
        },
        changeOptions(request),
      )
      return present(reply, result)
    },
  )

  done()
}

/** What every signal carries, in the engine's words. */
export function carriedBy({
  payload,
  id,
  ttl,
}: {
  payload?: JsonValue
  id?: string
  ttl?: string
}): Pick<SignalInput, 'payload' | 'sender_id' | 'ttl'> {
  return {
    ...(payload !== undefined && { payload }),
    ...(id !== undefined && { sender_id: id }),
    ...(ttl !== undefined && { ttl: parseDuration(ttl, '/ttl') }),
  }
}

function present(reply: FastifyReply, fate: SignalFate): SignalResult {
  replayHeader(reply, fate)
  const { outcome, signal_id, deliveries, expires_at, flow } = fate
  switch (outcome) {
    case 'delivered':
      if (flow === null) throw new TypeError('a signal for one flow was delivered to none')
      reply.header('etag', etag(flow.revision))
      return { outcome, signal_id, flow: presentFlow(flow) }
    case 'buffered':
      reply.code(202)
      return { outcome, signal_id, expires_at: expires_at ?? '' }
    case 'duplicate': {
      const first_outcome = fate.first_outcome ?? 'delivered'
      return { outcome, signal_id, first_outcome, deliveries, expires_at }
    }
    default:
      return { outcome: 'unmatched' }
  }
}

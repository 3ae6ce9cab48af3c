// Signals for whoever waits for them, and their fates.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { name, oneOfTexts, pageQuery, ref } from '../../contract/kit.ts'
import {
  SendSignalSchema,
  SignalPageSchema,
  SignalReceiptSchema,
  SignalSchema,
  signalReceipt,
} from '../../contract/signal.ts'
import { permits } from '../../domain/binding.ts'
import { FlowError } from '../../domain/errors.ts'
import { signalOutcomes } from '../../domain/signal.ts'
import { needs } from '../access.ts'
import { callerOf, grantsOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { flowInput } from '../flow-spec.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { noQuery, pageRequest, signalIdParams } from '../params.ts'
import { presentPage, presentSignal } from '../present.ts'
import { carriedBy } from './flow-signals.ts'

const tags = ['Signals']

const listQuery = Type.Object(
  {
    outcome: Type.Optional(
      Type.Array(oneOfTexts(signalOutcomes, 'A fate.'), {
        maxItems: signalOutcomes.length,
        description: 'Signals with this fate. Repeat it for several.',
      }),
    ),
    topic: Type.Optional(name('Signals with this topic.')),
    correlation_id: Type.Optional(name('Signals with this correlation id.')),
    flow_id: Type.Optional(
      Type.String({ format: 'uuid', description: 'Signals for this flow alone.' }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const signalRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.post(
    '/signals',
    {
      schema: {
        operationId: 'sendSignal',
        tags,
        summary: 'Send a signal',
        description:
          'Ends the oldest wait for this topic and correlation id, or with `deliver: all` every one. When nobody waits, the signal is kept for `ttl` and ends the next wait that matches: an event that comes before its wait is never lost. With `start_if_absent` it goes to the open flow of that key, which is made if there is none.',
        'x-problems': ['cancel_pending', 'limit_exceeded', 'quota_exceeded'],
        querystring: noQuery,
        body: ref(SendSignalSchema),
        response: { 201: ref(SignalReceiptSchema) },
      },
      config: needs('signals:write'),
    },
    async (request, reply) => {
      const { topic, correlation_id, deliver, start_if_absent, ...carried } = request.body
      if (start_if_absent !== undefined && !permits(grantsOf(request), 'flows:write')) {
        throw new FlowError(
          'forbidden',
          'This key does not allow flows:write, which start_if_absent needs.',
          { action: 'flows:write', pointer: '/start_if_absent' },
        )
      }
      const fate = await engine.signals.send(
        callerOf(request),
        {
          target: { kind: 'external_event', topic, correlation_id },
          ...carriedBy(carried),
          ...(deliver !== undefined && { deliver }),
          ...(start_if_absent !== undefined && {
            start_if_absent: flowInput(start_if_absent, '/start_if_absent'),
          }),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, fate)
      if (fate.outcome !== 'unmatched') reply.header('location', `/signals/${fate.signal_id}`)
      return reply.code(201).send(signalReceipt(fate))
    },
  )

  app.get(
    '/signals',
    {
      schema: {
        operationId: 'listSignals',
        tags,
        summary: 'List signals',
        description:
          'Newest first, with their fates: kept (`buffered`), `delivered`, or `expired` because no wait came in time.',
        'x-problems': ['cursor_mismatch'],
        querystring: listQuery,
        response: { 200: ref(SignalPageSchema) },
      },
      config: needs('signals:read'),
    },
    async (request) => {
      const { limit: _, cursor: __, ...filter } = request.query
      const page = await engine.signals.list(callerOf(request), filter, pageRequest(request.query))
      return presentPage(page, presentSignal)
    },
  )

  app.get(
    '/signals/:signal_id',
    {
      schema: {
        operationId: 'getSignal',
        tags,
        summary: 'Read a signal',
        description: 'A signal with its fate.',
        'x-problems': ['not_found'],
        params: signalIdParams,
        querystring: noQuery,
        response: { 200: ref(SignalSchema) },
      },
      config: needs('signals:read'),
    },
    async (request) =>
      presentSignal(await engine.signals.get(callerOf(request), request.params.signal_id)),
  )

  app.post(
    '/signals/:signal_id/redeliver',
    {
      schema: {
        operationId: 'redeliverSignal',
        tags,
        summary: 'Try a signal again',
        description:
          'Delivers a kept or expired signal if somebody waits for it now. When nobody does, or it was delivered before, its fate stays as it is.',
        'x-problems': ['not_found', 'limit_exceeded'],
        params: signalIdParams,
        querystring: noQuery,
        response: { 200: ref(SignalSchema) },
      },
      config: needs('signals:write'),
    },
    async (request, reply) => {
      const result = await engine.signals.redeliver(
        callerOf(request),
        request.params.signal_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return presentSignal(result.signal)
    },
  )

  done()
}

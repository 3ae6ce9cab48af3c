// Deliveries: what hooks were told, what became of it, and once more.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  DeliveryDetailSchema,
  DeliveryPageSchema,
  RedeliverSchema,
  RedeliveryCountSchema,
} from '../../contract/delivery.ts'
import { EmptySchema } from '../../contract/flow-change.ts'
import { oneOfTexts, pageQuery, ref } from '../../contract/kit.ts'
import { parseTimestamp } from '../../domain/formats.ts'
import { deliveryStatuses } from '../../domain/hook.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { deliveryParams, hookParams, noQuery, pageRequest } from '../params.ts'
import { presentPage } from '../present.ts'
import { presentDelivery, presentDeliveryDetail } from '../present-hook.ts'

const tags = ['Hooks']

const listQuery = Type.Object(
  {
    status: Type.Optional(oneOfTexts(deliveryStatuses, 'Deliveries in this status.')),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const deliveryRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.get(
    '/hooks/:hook_id/deliveries',
    {
      schema: {
        operationId: 'listHookDeliveries',
        tags,
        summary: 'List deliveries of a hook',
        description: 'Newest first, as long as they are kept.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: hookParams,
        querystring: listQuery,
        response: { 200: ref(DeliveryPageSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request) => {
      const { status } = request.query
      const page = await engine.deliveries.list(
        callerOf(request),
        request.params.hook_id,
        { ...(status !== undefined && { status }) },
        pageRequest(request.query),
      )
      return presentPage(page, presentDelivery)
    },
  )

  app.post(
    '/hooks/:hook_id/redeliver',
    {
      schema: {
        operationId: 'redeliverHookDeliveries',
        tags,
        summary: 'Send several deliveries once more',
        description:
          'Those that failed, or all of a span of time: under their ids, so that a receiver that remembers these does nothing twice. 10,000 at most by one request, the oldest first.',
        'x-problems': ['not_found', 'hook_disabled'],
        params: hookParams,
        querystring: noQuery,
        body: ref(RedeliverSchema),
        response: { 202: ref(RedeliveryCountSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const { created_after, created_before, status = 'failed' } = request.body
      const result = await engine.deliveries.redeliverRange(
        callerOf(request),
        request.params.hook_id,
        {
          status,
          ...(created_after !== undefined && {
            created_after: parseTimestamp(created_after, '/created_after'),
          }),
          ...(created_before !== undefined && {
            created_before: parseTimestamp(created_before, '/created_before'),
          }),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(202).send(result.value)
    },
  )

  app.get(
    '/deliveries/:delivery_id',
    {
      schema: {
        operationId: 'getDelivery',
        tags,
        summary: 'Get a delivery',
        description: 'With what is sent and what came of every attempt.',
        'x-problems': ['not_found'],
        params: deliveryParams,
        querystring: noQuery,
        response: { 200: ref(DeliveryDetailSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request) =>
      presentDeliveryDetail(
        await engine.deliveries.get(callerOf(request), request.params.delivery_id),
      ),
  )

  app.post(
    '/deliveries/:delivery_id/redeliver',
    {
      schema: {
        operationId: 'redeliverDelivery',
        tags,
        summary: 'Send a delivery once more',
        description:
          'At once, under its id, and with all attempts of the schedule anew. One that is under way is left alone.',
        'x-problems': ['not_found', 'hook_disabled'],
        params: deliveryParams,
        querystring: noQuery,
        body: ref(EmptySchema),
        response: { 202: ref(DeliveryDetailSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const result = await engine.deliveries.redeliver(
        callerOf(request),
        request.params.delivery_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(202).send(presentDeliveryDetail(result.value))
    },
  )

  done()
}

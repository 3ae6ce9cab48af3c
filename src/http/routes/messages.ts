// Raw inbound messages: what came, what became of it, and once more.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EmptySchema } from '../../contract/flow-change.ts'
import {
  InboundMessageDetailSchema,
  InboundMessagePageSchema,
  MessageReplaySchema,
} from '../../contract/inbound.ts'
import { oneOfTexts, pageQuery, ref } from '../../contract/kit.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { messageParams, noQuery, pageRequest, sourceParams } from '../params.ts'
import { presentPage } from '../present.ts'
import { presentMessage, presentMessageDetail } from '../present-source.ts'

const tags = ['Sources']

const listQuery = Type.Object(
  {
    outcome: Type.Optional(
      oneOfTexts(['accepted', 'unmapped', 'rejected'], 'Messages with this outcome.'),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const messageRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, readBody },
  done,
) => {
  app.get(
    '/sources/:source_id/messages',
    {
      schema: {
        operationId: 'listSourceMessages',
        tags,
        summary: 'List messages of a source',
        description:
          'Newest first, as long as they are kept. The source `nats`, which nobody defines, has those that the NATS bridge could not read.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: sourceParams,
        querystring: listQuery,
        response: { 200: ref(InboundMessagePageSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request) => {
      const { outcome } = request.query
      const page = await engine.messages.list(
        callerOf(request),
        request.params.source_id,
        { ...(outcome !== undefined && { outcome }) },
        pageRequest(request.query),
      )
      return presentPage(page, presentMessage)
    },
  )

  app.get(
    '/sources/:source_id/messages/:message_id',
    {
      schema: {
        operationId: 'getSourceMessage',
        tags,
        summary: 'Get a message',
        description: 'With its headers and its body.',
        'x-problems': ['not_found'],
        params: messageParams,
        querystring: noQuery,
        response: { 200: ref(InboundMessageDetailSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request) => {
      const { source_id, message_id } = request.params
      const message = await engine.messages.get(callerOf(request), source_id, message_id)
      return presentMessageDetail(message)
    },
  )

  app.post(
    '/sources/:source_id/messages/:message_id/replay',
    {
      schema: {
        operationId: 'replaySourceMessage',
        tags,
        summary: 'Send a message again',
        description:
          'Maps it by what the source says today and sends it. One that was sent before is a `duplicate` when it has an id of its sender’s.',
        'x-problems': ['not_found'],
        params: messageParams,
        querystring: noQuery,
        body: ref(EmptySchema),
        response: { 200: ref(MessageReplaySchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const { source_id, message_id } = request.params
      const message = await engine.messages.get(caller, source_id, message_id)
      const result = await engine.inbound.replay(
        caller,
        source_id,
        message,
        readBody,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      const { signal_id, outcome, faults } = result
      return { signal_id, outcome, faults }
    },
  )

  done()
}

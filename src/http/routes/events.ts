// The audit log, read: of one flow, and of all flows.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { EventFeedPageSchema, FlowEventPageSchema } from '../../contract/event.ts'
import { maxLengths, oneOfTexts, pageQuery, ref } from '../../contract/kit.ts'
import { eventKinds } from '../../domain/event.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { flowIdOf, flowParams, pageRequest } from '../params.ts'
import { presentEvents, presentFeed } from '../present.ts'

const tags = ['Events']

const kind = Type.Optional(
  Type.Array(oneOfTexts(eventKinds, 'A kind.'), {
    maxItems: eventKinds.length,
    description: 'Events of this kind. Repeat it for several.',
  }),
)

const listQuery = Type.Object(
  {
    kind,
    after: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'Events with a greater revision than this.',
      }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

const feedQuery = Type.Object(
  {
    kind,
    after: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: maxLengths.cursor,
        description: 'The `position` of an earlier page: events committed after it.',
      }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const eventRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.get(
    '/flows/:flow_id/events',
    {
      schema: {
        operationId: 'listFlowEvents',
        tags,
        summary: 'Read the audit log',
        description:
          'Everything that ever changed the flow, oldest first: one event for every revision, from 0 on, without gaps.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: flowParams,
        querystring: listQuery,
        response: { 200: ref(FlowEventPageSchema) },
      },
    },
    async (request) => {
      const flowId = flowIdOf(request.params)
      const { kind, after } = request.query
      const page = await engine.events.list(
        callerOf(request),
        flowId,
        { ...(kind !== undefined && { kind }), ...(after !== undefined && { after }) },
        pageRequest(request.query),
      )
      return presentEvents(page)
    },
  )

  app.get(
    '/events',
    {
      schema: {
        operationId: 'listEvents',
        tags,
        summary: 'Read all events',
        description:
          'The events of all flows in commit order. Keep `position` and give it as `after` to go on from there at any later time; it may trail open transactions by a moment.',
        'x-problems': ['cursor_mismatch'],
        querystring: feedQuery,
        response: { 200: ref(EventFeedPageSchema) },
      },
    },
    async (request) => {
      const { kind, after } = request.query
      const page = await engine.events.feed(
        callerOf(request),
        { ...(kind !== undefined && { kind }), ...(after !== undefined && { after }) },
        pageRequest(request.query),
      )
      return presentFeed(page)
    },
  )

  done()
}

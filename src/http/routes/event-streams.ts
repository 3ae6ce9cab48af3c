// The audit log as it is written: of one flow, and of all flows, as Server-Sent Events.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { exampleEventStream } from '../../contract/event.ts'
import { maxLengths } from '../../contract/kit.ts'
import { invalid } from '../../domain/errors.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { afterPosition, afterRevision, kindFilter } from '../event-query.ts'
import { flowIdOf, flowParams } from '../params.ts'

const tags = ['Events']

const flowQuery = Type.Object(
  { kind: kindFilter, after: afterRevision },
  { additionalProperties: false },
)
const feedQuery = Type.Object(
  { kind: kindFilter, after: afterPosition },
  { additionalProperties: false },
)

const streamContent = {
  'text/event-stream': { schema: { type: 'string' }, example: exampleEventStream },
}

const allSent = Type.Unsafe<undefined>(
  Type.Null({ description: 'The flow has ended and all of it was sent: do not come back.' }),
)

export const eventStreamRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, sse },
  done,
) => {
  app.get(
    '/flows/:flow_id/events/stream',
    {
      schema: {
        operationId: 'streamFlowEvents',
        tags,
        summary: 'Follow the audit log',
        description:
          'Server-Sent Events: `data` is a `FlowEvent`, `id` its revision. Begins with the first event, or behind `Last-Event-ID` (or `after`), without a gap or a repeat; ends after the event that ends the flow. A reconnect after that gets 204.',
        'x-sse-event': 'FlowEvent',
        'x-problems': ['not_found', 'quota_exceeded'],
        params: flowParams,
        querystring: flowQuery,
        response: {
          200: { description: 'The events, as they happen.', content: streamContent },
          204: allSent,
        },
      },
      config: { ...needs('events:read'), longPoll: true },
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const { kind, after } = request.query
      const last = lastEventId(request)
      const from = last === undefined ? after : revisionOf(last)
      const stream = await engine.streams.flow(callerOf(request), flowIdOf(request.params), {
        ...(kind !== undefined && { kind }),
        ...(from !== undefined && { after: from }),
        pointer: last === undefined ? '?after' : 'last-event-id',
      })
      if (stream === null) return reply.code(204).send()
      sse.answer(reply, stream)
      return reply
    },
  )

  app.get(
    '/events/stream',
    {
      schema: {
        operationId: 'streamEvents',
        tags,
        summary: 'Follow all events',
        description:
          'Server-Sent Events of all flows in commit order: `data` is a `FlowEvent`, `id` a position. Begins now, or behind `Last-Event-ID` (or `after`), without a gap or a repeat.',
        'x-sse-event': 'FlowEvent',
        'x-problems': ['cursor_mismatch', 'quota_exceeded'],
        querystring: feedQuery,
        response: {
          200: { description: 'The events, as they are committed.', content: streamContent },
        },
      },
      config: { ...needs('events:read'), longPoll: true },
      exposeHeadRoute: false,
    },
    async (request, reply) => {
      const { kind, after } = request.query
      const last = lastEventId(request)
      const from = last ?? after
      const stream = await engine.streams.feed(callerOf(request), {
        ...(kind !== undefined && { kind }),
        ...(from !== undefined && { after: from }),
        pointer: last === undefined ? '?after' : 'last-event-id',
      })
      sse.answer(reply, stream)
      return reply
    },
  )

  done()
}

/** What a client that comes back says it has. It wins over `after`, which is still in its URL. */
function lastEventId(request: FastifyRequest): string | undefined {
  const header = request.headers['last-event-id']
  if (header === undefined || header === '') return undefined
  if (typeof header === 'string' && header.length <= maxLengths.cursor) return header
  throw invalid('last-event-id', 'malformed', 'Send Last-Event-ID as the `id` of a stream’s event.')
}

function revisionOf(id: string): number {
  if (/^(0|[1-9]\d{0,9})$/.test(id)) return Number(id)
  throw invalid(
    'last-event-id',
    'malformed',
    'Last-Event-ID is the revision of the last event received, such as 3.',
  )
}

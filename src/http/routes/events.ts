// The audit log, read: of one flow, and of all flows.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { EventFeedPageSchema, FlowEventPageSchema } from '../../contract/event.ts'
import { pageQuery, ref } from '../../contract/kit.ts'
import type { Patience } from '../../engine/events.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { afterPosition, afterRevision, kindFilter, waitForEvents } from '../event-query.ts'
import { waitMillis, whileWanted } from '../long-poll.ts'
import { flowIdOf, flowParams, pageRequest } from '../params.ts'
import { presentEvents, presentFeed } from '../present.ts'

const tags = ['Events']

const listQuery = Type.Object(
  { kind: kindFilter, after: afterRevision, wait: waitForEvents, ...pageQuery },
  { additionalProperties: false },
)

const feedQuery = Type.Object(
  { kind: kindFilter, after: afterPosition, wait: waitForEvents, ...pageQuery },
  { additionalProperties: false },
)

export const eventRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, shutdown },
  done,
) => {
  app.get(
    '/flows/:flow_id/events',
    {
      schema: {
        operationId: 'listFlowEvents',
        tags,
        summary: 'Read the audit log',
        description:
          'Everything that ever changed the flow, oldest first: one event for every revision, from 0 on, without gaps. With `wait` it answers as soon as there is one to answer.',
        'x-problems': ['not_found', 'cursor_mismatch'],
        params: flowParams,
        querystring: listQuery,
        response: { 200: ref(FlowEventPageSchema) },
      },
      config: { ...needs('events:read'), longPoll: true },
    },
    async (request, reply) => {
      const flowId = flowIdOf(request.params)
      const { kind, after, wait } = request.query
      const page = await patiently(reply, wait, (patience) =>
        engine.events.list(
          callerOf(request),
          flowId,
          { ...(kind !== undefined && { kind }), ...(after !== undefined && { after }) },
          pageRequest(request.query),
          patience,
        ),
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
          'The events of all flows in commit order. Keep `position` and give it as `after` to go on from there at any later time; it may trail open transactions by a moment. With `wait` it answers as soon as there is an event to answer.',
        'x-problems': ['cursor_mismatch'],
        querystring: feedQuery,
        response: { 200: ref(EventFeedPageSchema) },
      },
      config: { ...needs('events:read'), longPoll: true },
    },
    async (request, reply) => {
      const { kind, after, wait } = request.query
      const page = await patiently(reply, wait, (patience) =>
        engine.events.feed(
          callerOf(request),
          { ...(kind !== undefined && { kind }), ...(after !== undefined && { after }) },
          pageRequest(request.query),
          patience,
        ),
      )
      return presentFeed(page)
    },
  )

  done()

  /** Reads with the patience that the caller asked for, if any. */
  async function patiently<Page>(
    reply: FastifyReply,
    wait: string | undefined,
    read: (patience?: Patience) => Promise<Page>,
  ): Promise<Page> {
    if (wait === undefined) return read()
    const ms = waitMillis(wait)
    return whileWanted(reply, shutdown, (signal) => read({ ms, signal }))
  }
}

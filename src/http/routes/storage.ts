// For operators: the room that the service takes, what will be deleted, and the queues of steps.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { duration, pageLimits, pageQuery, ref } from '../../contract/kit.ts'
import { DeletionPreviewSchema, QueuesSchema, StorageReportSchema } from '../../contract/storage.ts'
import { formatDuration, parseDuration } from '../../domain/formats.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { noQuery } from '../params.ts'

const tags = ['Engine']

const previewQuery = Type.Object(
  {
    retention: Type.Optional(
      duration('What if flows were kept so long? As it is set when absent.'),
    ),
    limit: pageQuery.limit,
  },
  { additionalProperties: false },
)

const asText = (millis: number | null) => (millis === null ? null : formatDuration(millis))

export const storageRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.get(
    '/engine/storage',
    {
      schema: {
        operationId: 'getStorage',
        tags,
        summary: 'Get how much room is taken',
        description:
          'Bytes and rows by table, as the database server keeps its books, and how the deleting of old flows stands. It costs the same at any size.',
        querystring: noQuery,
        response: { 200: ref(StorageReportSchema) },
      },
      config: needsAll('engine:admin'),
    },
    async () => {
      const { database_bytes, tables, retention } = await engine.storage.report()
      const { flows, min, max, due, held, capped, ...status } = retention
      return {
        database_bytes,
        tables,
        retention: {
          retention: asText(flows),
          retain_min: formatDuration(min),
          retain_max: formatDuration(max),
          due,
          held,
          capped,
          ...status,
        },
      }
    },
  )

  app.get(
    '/engine/retention',
    {
      schema: {
        operationId: 'previewRetention',
        tags,
        summary: 'Preview what will be deleted',
        description:
          'The next flows to be deleted, and how many are past their time: under the present retention, or under another one before it is set. Deletes nothing.',
        querystring: previewQuery,
        response: { 200: ref(DeletionPreviewSchema) },
      },
      config: needsAll('engine:admin'),
    },
    async (request) => {
      const { retention, limit = pageLimits.default } = request.query
      const preview = await engine.storage.preview(callerOf(request), {
        limit,
        ...(retention !== undefined && { retention: parseDuration(retention, '?retention') }),
      })
      return {
        retention: asText(preview.retention),
        due: preview.due,
        capped: preview.capped,
        next: preview.next.map(({ id, retain_ms, ...flow }) => ({
          flow_id: id,
          controller_id: flow.controller_id,
          status: flow.status,
          closed_at: flow.closed_at,
          retain: asText(retain_ms),
          delete_after: flow.delete_after,
        })),
      }
    },
  )

  app.get(
    '/engine/queues',
    {
      schema: {
        operationId: 'getQueues',
        tags,
        summary: 'Get the queues of steps',
        description:
          'How many steps of each controller and task can be run, rest, run, and are dead, and since when. Each count goes to 10,000 at most.',
        querystring: noQuery,
        response: { 200: ref(QueuesSchema) },
      },
      config: needsAll('engine:admin'),
    },
    async (request) => engine.storage.queues(callerOf(request)),
  )

  done()
}

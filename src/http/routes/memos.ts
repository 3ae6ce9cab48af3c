// Memos: what steps record under a name, so that a later attempt finds it.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { ref } from '../../contract/kit.ts'
import { MemoSchema, PutMemoSchema } from '../../contract/memo.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { onlyIfAbsent, replayHeader, unconditionalOptions } from '../headers.ts'
import { flowIdOf, memoParams, noQuery } from '../params.ts'
import { presentMemo } from '../present-step.ts'

const tags = ['Steps']

export const memoRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.put(
    '/flows/:flow_id/memo/:key',
    {
      schema: {
        operationId: 'putMemo',
        tags,
        summary: 'Record a value',
        description:
          'Keeps a value under a name of the flow: 201, or 200 when it replaces one. With `If-None-Match: *` only if there is none, else 412: so the first attempt that gets there wins. It changes no revision and makes no event.',
        'x-problems': [
          'not_found',
          'already_terminal',
          'precondition_failed',
          'limit_exceeded',
          'quota_exceeded',
        ],
        params: memoParams,
        querystring: noQuery,
        body: ref(PutMemoSchema),
        response: { 200: ref(MemoSchema), 201: ref(MemoSchema) },
      },
      config: needs('steps:work', 'flows:write'),
    },
    async (request, reply) => {
      const flowId = flowIdOf(request.params)
      const { key } = request.params
      const { value } = request.body
      const written = await engine.memos.put(
        callerOf(request),
        flowId,
        { key, value, onlyNew: onlyIfAbsent(request) },
        unconditionalOptions(request),
      )
      replayHeader(reply, written)
      const memo = presentMemo(written.value.memo)
      if (!written.value.created) return reply.code(200).send(memo)
      const location = `/flows/${flowId}/memo/${encodeURIComponent(key)}`
      return reply.code(201).header('location', location).send(memo)
    },
  )

  app.get(
    '/flows/:flow_id/memo/:key',
    {
      schema: {
        operationId: 'getMemo',
        tags,
        summary: 'Get a recorded value',
        description: 'What was recorded under a name.',
        'x-problems': ['not_found'],
        params: memoParams,
        querystring: noQuery,
        response: { 200: ref(MemoSchema) },
      },
      config: needs('steps:work', 'flows:read'),
    },
    async (request) => {
      const { key } = request.params
      return presentMemo(await engine.memos.get(callerOf(request), flowIdOf(request.params), key))
    },
  )

  done()
}

// Several flows created by one request.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import {
  CreatedFlowsSchema,
  type CreateFlowResult,
  CreateFlowsSchema,
} from '../../contract/flow-batch.ts'
import { ref } from '../../contract/kit.ts'
import type { ChangeOptions } from '../../engine/change.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { flowRequest } from '../flow-spec.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { itemProblem } from '../item-problem.ts'
import { noQuery } from '../params.ts'

export const flowBatchRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.post(
    '/flows/batch',
    {
      schema: {
        operationId: 'createFlows',
        tags: ['Flows'],
        summary: 'Create several flows',
        description:
          'Each creation counts for itself, as if it were sent alone to `POST /flows`: one that is refused is a result with `ok: false` and disturbs no other. A repeat with the same `Idempotency-Key` makes only what was not made yet.',
        querystring: noQuery,
        body: ref(CreateFlowsSchema),
        response: { 200: ref(CreatedFlowsSchema) },
      },
      config: needs('flows:write'),
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const options = unconditionalOptions(request)
      // All at once, in their order: they go into as few transactions as possible.
      const creations = await Promise.allSettled(
        request.body.items.map(async (item, i) =>
          engine.flows.create(caller, flowRequest(item), optionsOf(options, i)),
        ),
      )
      const replayed = creations.every((one) => one.status === 'fulfilled' && one.value.replayed)
      replayHeader(reply, { replayed })
      const results = creations.map((creation, i): CreateFlowResult => {
        if (creation.status === 'rejected') {
          return { ok: false, problem: itemProblem(creation.reason, request.log, `/items/${i}`) }
        }
        const { outcome, flow, hooks } = creation.value
        return {
          ok: true,
          created: outcome !== 'existing',
          flow_id: flow.id,
          revision: flow.revision,
          ...(hooks && { hooks }),
        }
      })
      return { results }
    },
  )

  done()
}

/** Each item has a key of its own, which no caller can send: theirs are printable. */
function optionsOf({ idempotency }: ChangeOptions, item: number): ChangeOptions {
  if (idempotency === undefined) return {}
  return { idempotency: { ...idempotency, key: `${idempotency.key}\u0001${item}` } }
}

// The door for third parties: their webhooks, as they send them.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { WebhookChallengeSchema, WebhookReceiptSchema } from '../../contract/inbound.ts'
import { JsonObjectSchema, ref } from '../../contract/kit.ts'
import { open } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { depthOf } from '../depth.ts'
import { headerTexts, rawBytes, takeRawBodies } from '../inbound-body.ts'
import { noQuery, sourceParams } from '../params.ts'

export const inboundRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, inboundBytes, readBody },
  done,
) => {
  takeRawBodies(app)

  app.post(
    '/in/:source_id',
    {
      bodyLimit: inboundBytes,
      schema: {
        operationId: 'receiveWebhook',
        tags: ['Sources'],
        summary: 'Receive a webhook',
        description:
          'For senders. The body may be of any type; it is verified over its bytes as the source requires. JSON and forms can be mapped from. Answered once it is stored, matched or not: also what cannot be mapped is kept, with the reason.',
        'x-problems': ['signature_invalid', 'not_found'],
        params: sourceParams,
        querystring: noQuery,
        // For the document: the bytes are not judged.
        body: ref(JsonObjectSchema),
        response: { 200: ref(WebhookChallengeSchema), 202: ref(WebhookReceiptSchema) },
      },
      config: open,
    },
    async (request, reply) => {
      const result = await engine.inbound.receive(
        request.params.source_id,
        { headers: headerTexts(request.headers), body: rawBytes(request.body) },
        readBody,
        depthOf(request),
      )
      if ('challenge' in result) return reply.code(200).send({ challenge: result.challenge })
      const { signal_id, outcome } = result
      return reply.code(202).send({ signal_id, outcome })
    },
  )

  done()
}

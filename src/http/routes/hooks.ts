// Hooks: who is told of which events. Make, read, change, remove, try out, and change the secret.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { DeliverySchema } from '../../contract/delivery.ts'
import { EmptySchema } from '../../contract/flow-change.ts'
import {
  CreateHookSchema,
  HookPageSchema,
  HookSchema,
  HookWithSecretSchema,
  RotateSecretSchema,
  UpdateHookSchema,
} from '../../contract/hook.ts'
import { pageQuery, ref } from '../../contract/kit.ts'
import { parseDuration } from '../../domain/formats.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { hookParams, noContent, noQuery, pageRequest } from '../params.ts'
import { presentPage } from '../present.ts'
import { hookPatch, presentDelivery, presentHook } from '../present-hook.ts'

const tags = ['Hooks']

/** How long the secrets of before sign when the caller does not say. */
const usualOverlap = 'P1D'

const listQuery = Type.Object(
  {
    flow_id: Type.Optional(Type.String({ description: 'Hooks of this flow alone.' })),
    enabled: Type.Optional(
      Type.Boolean({ description: 'Those that are enabled, or those that are not.' }),
    ),
    ...pageQuery,
  },
  { additionalProperties: false },
)

export const hookRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { engine }, done) => {
  app.post(
    '/hooks',
    {
      schema: {
        operationId: 'createHook',
        tags,
        summary: 'Make a hook',
        description:
          'From its answer on, every event that fits is posted to `url`, at least once and signed by Standard Webhooks. The `secret` of the answer is shown once.',
        'x-problems': ['url_not_allowed', 'not_found', 'limit_exceeded', 'quota_exceeded'],
        querystring: noQuery,
        body: ref(CreateHookSchema),
        response: { 201: ref(HookWithSecretSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const { url, secret, flow_id = null, ...rest } = request.body
      const { kinds, controller_id, labels, payload, ordered, description } = rest
      const result = await engine.hooks.create(
        callerOf(request),
        {
          url,
          flow_id,
          kinds: kinds ?? null,
          controller_id: controller_id ?? null,
          labels: labels ?? null,
          payload: payload ?? 'thin',
          ordered: ordered ?? false,
          description: description ?? null,
          ...(secret !== undefined && { secret }),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply
        .code(201)
        .header('location', `/hooks/${result.value.id}`)
        .send({ ...presentHook(result.value), secret: result.secret })
    },
  )

  app.get(
    '/hooks',
    {
      schema: {
        operationId: 'listHooks',
        tags,
        summary: 'List hooks',
        description:
          'Those for all flows of the namespace, or with `flow_id` those of one flow. Newest first.',
        'x-problems': ['cursor_mismatch'],
        querystring: listQuery,
        response: { 200: ref(HookPageSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request) => {
      const { flow_id, enabled } = request.query
      const filter = {
        ...(flow_id !== undefined && { flow_id }),
        ...(enabled !== undefined && { enabled }),
      }
      const page = await engine.hooks.list(callerOf(request), filter, pageRequest(request.query))
      return presentPage(page, presentHook)
    },
  )

  app.get(
    '/hooks/:hook_id',
    {
      schema: {
        operationId: 'getHook',
        tags,
        summary: 'Get a hook',
        description: 'Its secrets are not shown.',
        'x-problems': ['not_found'],
        params: hookParams,
        querystring: noQuery,
        response: { 200: ref(HookSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request) =>
      presentHook(await engine.hooks.get(callerOf(request), request.params.hook_id)),
  )

  app.patch(
    '/hooks/:hook_id',
    {
      schema: {
        operationId: 'updateHook',
        tags,
        summary: 'Change a hook',
        description:
          'Holds for what is queued from then on; what is pending goes to the new `url`. `enabled: true` lets a hook that was disabled begin anew.',
        'x-problems': ['not_found', 'url_not_allowed'],
        params: hookParams,
        querystring: noQuery,
        body: ref(UpdateHookSchema),
        response: { 200: ref(HookSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const result = await engine.hooks.update(
        callerOf(request),
        request.params.hook_id,
        hookPatch(request.body),
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return presentHook(result.value)
    },
  )

  app.delete(
    '/hooks/:hook_id',
    {
      schema: {
        operationId: 'deleteHook',
        tags,
        summary: 'Remove a hook',
        description:
          'What is pending for it fails. Its deliveries can be read until their retention is over.',
        'x-problems': ['not_found'],
        params: hookParams,
        querystring: noQuery,
        response: { 204: noContent },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const result = await engine.hooks.remove(
        callerOf(request),
        request.params.hook_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(204).send()
    },
  )

  app.post(
    '/hooks/:hook_id/rotate-secret',
    {
      schema: {
        operationId: 'rotateHookSecret',
        tags,
        summary: 'Give a hook another secret',
        description:
          'Until `overlap` is over the secrets of before sign as well, so that the receiver can change over at any time. The `secret` of the answer is shown once.',
        'x-problems': ['not_found', 'limit_exceeded'],
        params: hookParams,
        querystring: noQuery,
        body: ref(RotateSecretSchema),
        response: { 200: ref(HookWithSecretSchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const { secret, overlap = usualOverlap } = request.body
      const result = await engine.hooks.rotate(
        callerOf(request),
        request.params.hook_id,
        {
          overlap: parseDuration(overlap, '/overlap'),
          ...(secret !== undefined && { secret }),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return { ...presentHook(result.value), secret: result.secret }
    },
  )

  app.post(
    '/hooks/:hook_id/test',
    {
      schema: {
        operationId: 'testHook',
        tags,
        summary: 'Try out a hook',
        description:
          'Sends a delivery of type `hook.test`, signed and tried again like any other. Read it to see what came of it.',
        'x-problems': ['not_found', 'hook_disabled'],
        params: hookParams,
        querystring: noQuery,
        body: ref(EmptySchema),
        response: { 202: ref(DeliverySchema) },
      },
      config: needsAll('hooks:admin'),
    },
    async (request, reply) => {
      const result = await engine.deliveries.test(
        callerOf(request),
        request.params.hook_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(202).send(presentDelivery(result.value))
    },
  )

  done()
}

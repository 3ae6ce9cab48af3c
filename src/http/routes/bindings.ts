// Bindings and their keys, for administrators; and what every key can do with itself.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  BindingDetailSchema,
  BindingPageSchema,
  BindingSchema,
  CreateBindingSchema,
  CreatedKeySchema,
  CreateKeySchema,
  MintKeySchema,
  SelfSchema,
  UpdateBindingSchema,
} from '../../contract/binding.ts'
import { pageQuery, ref } from '../../contract/kit.ts'
import { parseDuration, parseTimestamp } from '../../domain/formats.ts'
import { needsAll, needsKey } from '../access.ts'
import { identityOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { noContent, noQuery, pageRequest } from '../params.ts'
import { presentPage } from '../present.ts'
import {
  bindingPatch,
  boundsAsked,
  presentBinding,
  presentKey,
  presentSelf,
  unbounded,
} from '../present-binding.ts'
import { boundedDuration } from '../step-spec.ts'

const tags = ['Bindings']
const config = needsAll('bindings:admin')
/** The longest that a minted key works, in milliseconds. */
const longestMinted = 90 * 24 * 3_600_000

const bindingParams = Type.Object({
  binding_id: Type.String({
    description: 'The id of a binding.',
    examples: ['019dbaf2-4b10-7e21-9c3d-5f6a7b8c9d15'],
  }),
})
const keyParams = Type.Object({
  ...bindingParams.properties,
  key_id: Type.String({
    description: 'The id of a key.',
    examples: ['019dbaf2-4c20-7f31-8d4e-6a7b8c9d0e15'],
  }),
})

export const bindingRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.post(
    '/bindings',
    {
      schema: {
        operationId: 'createBinding',
        tags,
        summary: 'Create a binding',
        description:
          'Says who a caller is and what it may do. It has no key yet: `POST /bindings/{binding_id}/keys` makes one.',
        'x-problems': ['already_exists'],
        querystring: noQuery,
        body: ref(CreateBindingSchema),
        response: { 201: ref(BindingSchema) },
      },
      config,
    },
    async (request, reply) => {
      const { name, namespace, actions, expires_at, ...bounds } = request.body
      const made = await engine.bindings.create(
        identityOf(request),
        {
          name,
          actions,
          ...(namespace !== undefined && { namespace }),
          ...unbounded,
          ...boundsAsked(bounds),
          expires_at: expires_at ? parseTimestamp(expires_at, '/expires_at') : null,
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, made)
      const binding = presentBinding(made.value)
      return reply.code(201).header('location', `/bindings/${binding.id}`).send(binding)
    },
  )

  app.get(
    '/bindings',
    {
      schema: {
        operationId: 'listBindings',
        tags,
        summary: 'List bindings',
        description:
          'Newest first; those of the caller’s namespace, or all for the first administrator.',
        'x-problems': ['cursor_mismatch'],
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: ref(BindingPageSchema) },
      },
      config,
    },
    async (request) =>
      presentPage(
        await engine.bindings.list(identityOf(request), pageRequest(request.query)),
        presentBinding,
      ),
  )

  app.get(
    '/bindings/self',
    {
      schema: {
        operationId: 'getSelf',
        tags,
        summary: 'Get what the caller may do',
        description: 'Who you are to the service. Every key may ask.',
        querystring: noQuery,
        response: { 200: ref(SelfSchema) },
      },
      config: needsKey,
    },
    async (request) => presentSelf(identityOf(request)),
  )

  app.post(
    '/bindings/self/keys',
    {
      schema: {
        operationId: 'mintKey',
        tags,
        summary: 'Mint a narrower key',
        description:
          'Makes a key that may no more than the one it is minted from, for a time: for a browser, a task, a third party. It ends with that one. What is left out is as that one has it.',
        'x-problems': ['limit_exceeded'],
        querystring: noQuery,
        body: ref(MintKeySchema),
        response: { 201: ref(CreatedKeySchema) },
      },
      config: needsKey,
    },
    async (request, reply) => {
      const { name = null, expires_in, ...bounds } = request.body
      const made = await engine.bindings.mintKey(
        identityOf(request),
        {
          name,
          expires_in: boundedDuration(
            expires_in,
            '/expires_in',
            [1_000, longestMinted],
            'from a second to 90 days',
          ),
          narrowed: boundsAsked(bounds),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, made)
      return reply.code(201).send({ ...presentKey(made.value), key: made.value.key })
    },
  )

  app.get(
    '/bindings/:binding_id',
    {
      schema: {
        operationId: 'getBinding',
        tags,
        summary: 'Get a binding',
        description: 'With its keys, of which only the dates are known.',
        'x-problems': ['not_found'],
        params: bindingParams,
        querystring: noQuery,
        response: { 200: ref(BindingDetailSchema) },
      },
      config,
    },
    async (request) => {
      const found = await engine.bindings.get(identityOf(request), request.params.binding_id)
      return { ...presentBinding(found), keys: found.keys.map(presentKey) }
    },
  )

  app.patch(
    '/bindings/:binding_id',
    {
      schema: {
        operationId: 'updateBinding',
        tags,
        summary: 'Change a binding',
        description: 'Holds for all its keys, in every process within five seconds.',
        'x-problems': ['not_found'],
        params: bindingParams,
        querystring: noQuery,
        body: ref(UpdateBindingSchema),
        response: { 200: ref(BindingSchema) },
      },
      config,
    },
    async (request, reply) => {
      const updated = await engine.bindings.update(
        identityOf(request),
        request.params.binding_id,
        bindingPatch(request.body),
        unconditionalOptions(request),
      )
      replayHeader(reply, updated)
      return presentBinding(updated.value)
    },
  )

  app.delete(
    '/bindings/:binding_id',
    {
      schema: {
        operationId: 'deleteBinding',
        tags,
        summary: 'Delete a binding',
        description: 'Its keys stop to work, in every process within five seconds.',
        'x-problems': ['not_found'],
        params: bindingParams,
        querystring: noQuery,
        response: { 204: noContent },
      },
      config,
    },
    async (request, reply) => {
      const removed = await engine.bindings.remove(
        identityOf(request),
        request.params.binding_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, removed)
      return reply.code(204).send()
    },
  )

  app.post(
    '/bindings/:binding_id/keys',
    {
      schema: {
        operationId: 'createKey',
        tags,
        summary: 'Create a key',
        description:
          'The key is shown once. A binding has two at most that work, so that one replaces the other without a pause.',
        'x-problems': ['not_found', 'limit_exceeded'],
        params: bindingParams,
        querystring: noQuery,
        body: ref(CreateKeySchema),
        response: { 201: ref(CreatedKeySchema) },
      },
      config,
    },
    async (request, reply) => {
      const { name = null, expires_in } = request.body
      const made = await engine.bindings.addKey(
        identityOf(request),
        request.params.binding_id,
        {
          name,
          expires_in: expires_in === undefined ? null : parseDuration(expires_in, '/expires_in'),
        },
        unconditionalOptions(request),
      )
      replayHeader(reply, made)
      return reply.code(201).send({ ...presentKey(made.value), key: made.value.key })
    },
  )

  app.delete(
    '/bindings/:binding_id/keys/:key_id',
    {
      schema: {
        operationId: 'revokeKey',
        tags,
        summary: 'Revoke a key',
        description:
          'It stops to work, in every process within five seconds, and so do those that were minted from it.',
        'x-problems': ['not_found'],
        params: keyParams,
        querystring: noQuery,
        response: { 204: noContent },
      },
      config,
    },
    async (request, reply) => {
      const { binding_id, key_id } = request.params
      const removed = await engine.bindings.removeKey(
        identityOf(request),
        binding_id,
        key_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, removed)
      return reply.code(204).send()
    },
  )

  done()
}

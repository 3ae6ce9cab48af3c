// Controllers: say where their steps are pushed to, and how those are retried.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import {
  ControllerPageSchema,
  ControllerSchema,
  ControllerWithSecretSchema,
  PutControllerSchema,
} from '../../contract/controller.ts'
import { pageQuery, ref } from '../../contract/kit.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { controllerParams, noContent, noQuery, pageRequest } from '../params.ts'
import { presentPage } from '../present.ts'
import { controllerDefinition, presentController } from '../present-controller.ts'

const tags = ['Controllers']

export const controllerRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.put(
    '/controllers/:controller_id',
    {
      schema: {
        operationId: 'putController',
        tags,
        summary: 'Define or replace a controller',
        description:
          'With a `url` its steps are pushed there; without one it says how they are retried, and they are pulled. Steps that run stay with whoever runs them. 201 for a new one.',
        'x-problems': ['url_not_allowed'],
        params: controllerParams,
        querystring: noQuery,
        body: ref(PutControllerSchema),
        response: {
          200: ref(ControllerWithSecretSchema),
          201: ref(ControllerWithSecretSchema),
        },
      },
      config: needsAll('controllers:admin'),
    },
    async (request, reply) => {
      const { controller_id: id } = request.params
      const result = await engine.controllers.put(
        callerOf(request),
        id,
        controllerDefinition(request.body),
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      const { controller, created } = result.value
      const body = { ...presentController(controller), secret: result.secret }
      if (!created) return reply.code(200).send(body)
      return reply
        .code(201)
        .header('location', `/controllers/${encodeURIComponent(id)}`)
        .send(body)
    },
  )

  app.get(
    '/controllers',
    {
      schema: {
        operationId: 'listControllers',
        tags,
        summary: 'List controllers',
        description: 'Those of which something is known, by id.',
        'x-problems': ['cursor_mismatch'],
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: ref(ControllerPageSchema) },
      },
      config: needsAll('controllers:admin'),
    },
    async (request) => {
      const page = await engine.controllers.list(callerOf(request), pageRequest(request.query))
      return presentPage(page, presentController)
    },
  )

  app.get(
    '/controllers/:controller_id',
    {
      schema: {
        operationId: 'getController',
        tags,
        summary: 'Get a controller',
        description: 'Its secrets are not shown.',
        'x-problems': ['not_found'],
        params: controllerParams,
        querystring: noQuery,
        response: { 200: ref(ControllerSchema) },
      },
      config: needsAll('controllers:admin'),
    },
    async (request) => {
      const { controller_id } = request.params
      return presentController(await engine.controllers.get(callerOf(request), controller_id))
    },
  )

  app.delete(
    '/controllers/:controller_id',
    {
      schema: {
        operationId: 'deleteController',
        tags,
        summary: 'Remove a controller',
        description:
          'Its steps are pulled from then on, and have the defaults of the service. What was pushed and runs can still be settled.',
        'x-problems': ['not_found'],
        params: controllerParams,
        querystring: noQuery,
        response: { 204: noContent },
      },
      config: needsAll('controllers:admin'),
    },
    async (request, reply) => {
      const result = await engine.controllers.remove(
        callerOf(request),
        request.params.controller_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(204).send()
    },
  )

  done()
}

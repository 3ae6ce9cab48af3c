// Sources of inbound webhooks: define, read, replace, remove, and try out.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { SourceTestReportSchema, TestSourceSchema } from '../../contract/inbound.ts'
import { pageQuery, ref } from '../../contract/kit.ts'
import {
  CreateSourceSchema,
  ReplaceSourceSchema,
  SourcePageSchema,
  SourceSchema,
} from '../../contract/source.ts'
import { invalid } from '../../domain/errors.ts'
import { needsAll } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { jsonType } from '../errors.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { noContent, noQuery, pageRequest, sourceParams } from '../params.ts'
import { presentPage } from '../present.ts'
import { presentSource, sourceDefinition } from '../present-source.ts'

const tags = ['Sources']

export const sourceRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, publicUrl, readBody },
  done,
) => {
  app.post(
    '/sources',
    {
      schema: {
        operationId: 'createSource',
        tags,
        summary: 'Define a source',
        description:
          'From then on its sender can post to `url`. Verified messages are mapped to a topic and a correlation id, and sent as signals.',
        'x-problems': ['already_exists'],
        querystring: noQuery,
        body: ref(CreateSourceSchema),
        response: { 201: ref(SourceSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request, reply) => {
      const { id, ...definition } = request.body
      const result = await engine.sources.create(
        callerOf(request),
        id,
        sourceDefinition(definition),
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      const location = `/sources/${encodeURIComponent(id)}`
      return reply
        .code(201)
        .header('location', location)
        .send(presentSource(result.value, publicUrl))
    },
  )

  app.get(
    '/sources',
    {
      schema: {
        operationId: 'listSources',
        tags,
        summary: 'List sources',
        description: 'Newest first.',
        'x-problems': ['cursor_mismatch'],
        querystring: Type.Object(pageQuery, { additionalProperties: false }),
        response: { 200: ref(SourcePageSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request) => {
      const page = await engine.sources.list(callerOf(request), pageRequest(request.query))
      return presentPage(page, (source) => presentSource(source, publicUrl))
    },
  )

  app.get(
    '/sources/:source_id',
    {
      schema: {
        operationId: 'getSource',
        tags,
        summary: 'Get a source',
        description: 'Its secrets are not shown.',
        'x-problems': ['not_found'],
        params: sourceParams,
        querystring: noQuery,
        response: { 200: ref(SourceSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request) => {
      const { source_id } = request.params
      return presentSource(await engine.sources.get(callerOf(request), source_id), publicUrl)
    },
  )

  app.put(
    '/sources/:source_id',
    {
      schema: {
        operationId: 'replaceSource',
        tags,
        summary: 'Replace a source',
        description:
          'What is left out gets its default, but `secrets`: without them those of before stay. To rotate, send the new secret beside the old one, and later the new one alone.',
        'x-problems': ['not_found'],
        params: sourceParams,
        querystring: noQuery,
        body: ref(ReplaceSourceSchema),
        response: { 200: ref(SourceSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request, reply) => {
      const result = await engine.sources.replace(
        callerOf(request),
        request.params.source_id,
        sourceDefinition(request.body),
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return presentSource(result.value, publicUrl)
    },
  )

  app.delete(
    '/sources/:source_id',
    {
      schema: {
        operationId: 'deleteSource',
        tags,
        summary: 'Remove a source',
        description:
          'Its sender is answered 404 from then on. Messages that were kept can be read until their retention is over.',
        'x-problems': ['not_found'],
        params: sourceParams,
        querystring: noQuery,
        response: { 204: noContent },
      },
      config: needsAll('sources:admin'),
    },
    async (request, reply) => {
      const result = await engine.sources.remove(
        callerOf(request),
        request.params.source_id,
        unconditionalOptions(request),
      )
      replayHeader(reply, result)
      return reply.code(204).send()
    },
  )

  app.post(
    '/sources/:source_id/test',
    {
      schema: {
        operationId: 'testSource',
        tags,
        summary: 'Try out a sample',
        description:
          'Tells what a message would be mapped to and which waits it would end. Nothing is done, and nothing is kept.',
        'x-problems': ['not_found'],
        params: sourceParams,
        querystring: noQuery,
        body: ref(TestSourceSchema),
        response: { 200: ref(SourceTestReportSchema) },
      },
      config: needsAll('sources:admin'),
    },
    async (request) => {
      const { headers = {}, body, body_text } = request.body
      if (body !== undefined && body_text !== undefined) {
        throw invalid('/body_text', 'not_together', 'Send body or body_text, not both.')
      }
      const text = body_text ?? (body === undefined ? '' : JSON.stringify(body))
      const lower = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])
      return engine.messages.test(
        callerOf(request),
        request.params.source_id,
        {
          headers: { 'content-type': jsonType, ...Object.fromEntries(lower) },
          body: Buffer.from(text),
        },
        readBody,
      )
    },
  )

  done()
}

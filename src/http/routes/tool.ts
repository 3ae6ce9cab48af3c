// The agent tool over HTTP: one path that takes every call, and its description for each kind of host.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { Type } from 'typebox'
import { oneOfTexts, ref } from '../../contract/kit.ts'
import {
  ToolAnswerSchema,
  ToolCallSchema,
  ToolDescriptionSchema,
  toolFormats,
} from '../../contract/tool.ts'
import { invalid } from '../../domain/errors.ts'
import { needsTool } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { unconditionalOptions } from '../headers.ts'
import { noQuery } from '../params.ts'
import { toolSession } from '../tool-session.ts'

const tags = ['Tool']

const formatQuery = Type.Object(
  {
    format: Type.Optional(
      oneOfTexts(
        toolFormats,
        'In whose words: plain JSON Schema (when absent), the function calling of OpenAI or of Anthropic, or the tools of MCP.',
      ),
    ),
  },
  { additionalProperties: false },
)

export const toolRoutes: FastifyPluginCallbackTypebox<RouteContext> = (app, { tool }, done) => {
  const { validatorCompiler } = app
  app.post(
    '/tool/taskflow',
    {
      schema: {
        operationId: 'callTool',
        tags,
        summary: 'Call the agent tool',
        description:
          'For agents: does one action for the owner that the credential or the header `Taskflow-Session` names. Any JSON object is answered with 200: what is wrong with a call is told in the answer, in words by which a model can mend it.',
        'x-problems': ['invalid_request'],
        querystring: noQuery,
        body: ref(ToolCallSchema),
        response: { 200: ref(ToolAnswerSchema) },
      },
      config: needsTool,
      // The tool judges calls itself: it answers a model, which is told differently from a program.
      validatorCompiler: (part) =>
        part.httpPart === 'body' || validatorCompiler === undefined
          ? isCall
          : validatorCompiler(part),
    },
    async (request, reply) => {
      const session = toolSession(request)
      const answer = await tool.call(session, request.body, unconditionalOptions(request))
      if (answer['replayed'] === true) reply.header('idempotency-replayed', 'true')
      return answer
    },
  )

  app.get(
    '/tool/taskflow',
    {
      schema: {
        operationId: 'describeTool',
        tags,
        summary: 'Describe the agent tool',
        description:
          'The tool as a host of models takes it, with only the actions that the caller may use.',
        'x-problems': ['invalid_request'],
        querystring: formatQuery,
        response: { 200: ref(ToolDescriptionSchema) },
      },
      config: needsTool,
    },
    async (request) =>
      tool.describe(request.query.format ?? 'json-schema', toolSession(request).grants),
  )

  done()
}

/** A call is an object; all else about it is for the tool to say. */
function isCall(body: unknown): true | { error: Error } {
  if (typeof body === 'object' && body !== null && !Array.isArray(body)) return true
  return { error: invalid('', 'wrong_type', 'A call is a JSON object with an action.') }
}

// The MCP server: stateless, one for each request, over the tool. All that lasts is in the flows.

import { Server } from '@modelcontextprotocol/sdk/server/index.js'
import { WebStandardStreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js'
import {
  CallToolRequestSchema,
  CancelTaskRequestSchema,
  ErrorCode,
  GetPromptRequestSchema,
  GetTaskPayloadRequestSchema,
  GetTaskRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListTasksRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
} from '@modelcontextprotocol/sdk/types.js'
import { FlowError } from '../domain/errors.ts'
import type { JsonObject } from '../domain/json.ts'
import { ToolRefusal } from '../tool/answer.ts'
import { preamble } from '../tool/describe.ts'
import type { ToolSession } from '../tool/session.ts'
import type { Tool } from '../tool/tool.ts'
import { faultAnswer, isPassing, toResult } from './answer.ts'
import { withProgress } from './progress.ts'
import { getPrompt, prompts } from './prompts.ts'
import { listResources, readResource, resourceTemplates } from './resources.ts'
import { createTasks, taskOf } from './tasks.ts'
import { callTool, listTools, taskTools } from './tools.ts'

export interface McpRequest {
  request: Request
  /** The body, parsed. */
  body: unknown
  session: ToolSession
  /** Aborts when the client has its answer or has gone away, and when the service stops. */
  signal: AbortSignal
  /** Takes what nobody is told of. */
  log(error: unknown): void
}

export interface Mcp {
  /** Answers one request of the Streamable HTTP transport. */
  handle(request: McpRequest): Promise<Response>
}

export function createMcp(tool: Tool, version: string): Mcp {
  return {
    async handle(asked) {
      const { request, body, signal } = asked
      const server = createServer(tool, version, asked)
      const transport = new WebStandardStreamableHTTPServerTransport({
        // One JSON answer, unless there is something to say before it.
        enableJsonResponse: !wantsProgress(body),
      })
      await server.connect(transport)
      signal.addEventListener('abort', () => void server.close(), { once: true })
      return transport.handleRequest(request, { parsedBody: body })
    },
  }
}

function createServer(tool: Tool, version: string, asked: McpRequest): Server {
  const { session, signal, log } = asked
  const tasks = createTasks(tool, session)
  const server = new Server(
    { name: 'taskflow', title: 'Taskflow', version },
    {
      capabilities: {
        tools: {},
        resources: {},
        prompts: {},
        tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } },
      },
      instructions: `${preamble} After a restart begin with taskflow_list_mine.`,
    },
  )

  /** Says what is wrong in the words of JSON-RPC, and nothing of what is nobody's business. */
  async function guarded<Value>(work: () => Value | Promise<Value>): Promise<Value> {
    try {
      return await work()
    } catch (error) {
      if (error instanceof McpError) throw error
      if (error instanceof ToolRefusal) throw new McpError(ErrorCode.InvalidRequest, error.message)
      if (error instanceof FlowError && error.code !== 'internal') {
        const code = isInput(error) ? ErrorCode.InvalidParams : ErrorCode.InternalError
        throw new McpError(code, error.message)
      }
      log(error)
      throw new McpError(ErrorCode.InternalError, 'The service failed on this request.')
    }
  }

  server.setRequestHandler(ListToolsRequestSchema, () =>
    guarded(() => ({ tools: listTools(tool, session) })),
  )
  server.setRequestHandler(CallToolRequestSchema, ({ params }, extra) =>
    guarded(async () => {
      const { name, arguments: args = {}, task } = params
      const progressToken = params._meta?.progressToken
      const channel = { progressToken, send: extra.sendNotification }
      if (task !== undefined && !taskTools.includes(name)) {
        throw new McpError(ErrorCode.MethodNotFound, `${name} cannot be called as a task.`)
      }
      try {
        // A task is there as soon as its flow is: nothing is waited for.
        if (task !== undefined && name === taskTools[1]) {
          return { task: await tasks.get(String(args['flow_id'])) }
        }
        const answer = await withProgress(channel, () =>
          callTool(tool, session, name, args as JsonObject, signal),
        )
        return task === undefined ? toResult(answer) : { task: taskOf(answer) }
      } catch (error) {
        if (task === undefined && isPassing(error)) return toResult(faultAnswer(error))
        throw error
      }
    }),
  )
  server.setRequestHandler(ListResourcesRequestSchema, ({ params }) =>
    guarded(() => listResources(tool, session, params?.cursor)),
  )
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () =>
    guarded(() => ({ resourceTemplates: resourceTemplates(tool, session) })),
  )
  server.setRequestHandler(ReadResourceRequestSchema, ({ params }) =>
    guarded(() => readResource(tool, session, params.uri)),
  )
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts }))
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) =>
    guarded(() => getPrompt(params.name, params.arguments)),
  )
  server.setRequestHandler(GetTaskRequestSchema, ({ params }) =>
    guarded(() => tasks.get(params.taskId)),
  )
  server.setRequestHandler(GetTaskPayloadRequestSchema, ({ params }) =>
    guarded(() => tasks.result(params.taskId, signal)),
  )
  server.setRequestHandler(CancelTaskRequestSchema, ({ params }) =>
    guarded(() => tasks.cancel(params.taskId)),
  )
  server.setRequestHandler(ListTasksRequestSchema, ({ params }) =>
    guarded(() => tasks.list(params?.cursor)),
  )
  return server
}

function isInput({ code }: FlowError): boolean {
  return code === 'invalid_request' || code === 'cursor_mismatch' || code === 'not_found'
}

/** Whether any message of a request asks for signs of life. */
function wantsProgress(body: unknown): boolean {
  return [body].flat().some((message) => {
    const { params } = (message ?? {}) as { params?: { _meta?: { progressToken?: unknown } } }
    return params?._meta?.progressToken !== undefined
  })
}

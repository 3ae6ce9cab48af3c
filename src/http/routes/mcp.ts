// MCP over HTTP: stateless, so that there are only POSTs, and any process can answer any of them.

import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify'
import { needsTool } from '../access.ts'
import type { RouteContext } from '../context.ts'
import { toolSession } from '../tool-session.ts'

export const mcpRoutes: FastifyPluginCallback<RouteContext> = (
  app,
  { mcp, isForeign, shutdown },
  done,
) => {
  if (mcp === undefined) return done()
  app.post(
    '/mcp',
    { schema: { hide: true }, config: { ...needsTool, longPoll: true } },
    async (request, reply) => {
      const foreign = isForeign(request)
      if (foreign !== null) {
        return reply
          .code(403)
          .send({ jsonrpc: '2.0', error: { code: -32_000, message: foreign }, id: null })
      }
      const response = await mcp.handle({
        request: webRequest(request),
        body: request.body,
        session: toolSession(request),
        signal: untilAnswered(reply, shutdown),
        log: (error) => request.log.error({ err: error }, 'mcp'),
      })
      return reply.send(response)
    },
  )
  done()
}

/** What the SDK looks at: the method, the headers and an address. The body is parsed already. */
function webRequest({ headers, raw: { url = '/mcp' } }: FastifyRequest): Request {
  const pairs = Object.entries(headers).flatMap(([name, value]): [string, string][] =>
    value === undefined ? [] : [[name, [value].flat().join(', ')]],
  )
  return new Request(new URL(url, 'http://localhost'), { method: 'POST', headers: pairs })
}

/** Aborts when the connection has no more use for the answer, and when the service stops. */
function untilAnswered({ raw }: FastifyReply, shutdown: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const abort = () => {
    shutdown.removeEventListener('abort', abort)
    controller.abort()
  }
  if (shutdown.aborted || raw.destroyed) abort()
  raw.once('close', abort)
  shutdown.addEventListener('abort', abort)
  return controller.signal
}

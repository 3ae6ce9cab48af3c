// MCP over stdio: hands each message to a running service and its answer back. It keeps nothing: what
// a client began before it or the service was restarted is found again.

import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'
import {
  ErrorCode,
  isInitializeRequest,
  isJSONRPCRequest,
  type JSONRPCMessage,
} from '@modelcontextprotocol/sdk/types.js'

export interface ProxyOptions {
  /** The address of the service, without `/mcp`. */
  url: string
  key?: string
  /** Names the flows' owner where the key has none. The same at every start, or flows are lost from sight. */
  session?: string
  /** The side of the client: stdin and stdout. */
  client: Transport
  /** Takes what goes wrong; never to stdout, which belongs to the protocol. */
  log(line: string): void
}

/** Resolves when the client has gone. */
export async function runProxy(options: ProxyOptions): Promise<void> {
  const { url, key, session, client, log } = options
  const endpoint = new URL('mcp', url.endsWith('/') ? url : `${url}/`)
  const service = new StreamableHTTPClientTransport(endpoint, {
    requestInit: {
      headers: {
        ...(key !== undefined && { authorization: `Bearer ${key}` }),
        ...(session !== undefined && { 'taskflow-session': session }),
      },
    },
  })
  /** Requests whose answers say which version of the protocol is spoken from then on. */
  const initializing = new Set<string | number>()

  service.onmessage = (message) => {
    const version = initialized(message, initializing)
    if (version !== undefined) service.setProtocolVersion(version)
    answer(message)
  }
  client.onmessage = (message) => {
    if (isInitializeRequest(message) && 'id' in message) initializing.add(message.id as string)
    service.send(message).catch((error: unknown) => {
      log(`${endpoint.href}: ${reasonOf(error)}`)
      // Nobody waits for an answer to a notification.
      if (!isJSONRPCRequest(message)) return
      const text = `The service at ${endpoint.origin} did not answer (${reasonOf(error)}). Is it running? Nothing is lost: call again.`
      answer({
        jsonrpc: '2.0',
        id: message.id,
        error: { code: ErrorCode.ConnectionClosed, message: text },
      })
    })
  }
  await service.start()
  return new Promise((resolve, reject) => {
    client.onclose = () => {
      service.close().finally(resolve)
    }
    client.start().catch(reject)
  })

  function answer(message: JSONRPCMessage): void {
    client.send(message).catch((error: unknown) => log(`stdout: ${reasonOf(error)}`))
  }
}

function initialized(
  message: JSONRPCMessage,
  initializing: Set<string | number>,
): string | undefined {
  if (!('result' in message) || !initializing.delete(message.id)) return undefined
  const { protocolVersion } = message.result
  return typeof protocolVersion === 'string' ? protocolVersion : undefined
}

/** A `fetch` that failed says why in its cause. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const { cause } = error
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined
  return typeof code === 'string' ? code : error.message.slice(0, 200)
}

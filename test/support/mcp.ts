// Clients of MCP: the official one, over HTTP and over stdio.

import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/sdk/client/index.js'
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js'
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js'
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js'

const checkout = join(import.meta.dirname, '../..')

export interface ToolResult {
  isError?: boolean
  content: { type: string; text: string }[]
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect in it.
  structuredContent?: any
}

export interface McpClient {
  client: Client
  call(name: string, args?: Record<string, unknown>): Promise<ToolResult>
  /** Like `call`, for calls that must succeed: what is in the answer. */
  // biome-ignore lint/suspicious/noExplicitAny: tests say what they expect in it.
  ok(name: string, args?: Record<string, unknown>): Promise<any>
  close(): Promise<void>
}

async function connect(transport: Transport): Promise<McpClient> {
  const client = new Client({ name: 'test', version: '1.0.0' })
  await client.connect(transport)
  const call = async (name: string, args: Record<string, unknown> = {}) =>
    (await client.callTool({ name: `taskflow_${name}`, arguments: args })) as unknown as ToolResult
  return {
    client,
    call,
    async ok(name, args) {
      const result = await call(name, args)
      if (result.isError) throw new Error(`${name}: ${result.content[0]?.text}`)
      return result.structuredContent
    },
    close: () => client.close(),
  }
}

export function connectHttp(base: string, session: string): Promise<McpClient> {
  const requestInit = { headers: { 'taskflow-session': session } }
  return connect(new StreamableHTTPClientTransport(new URL('/mcp', base), { requestInit }))
}

/** Starts the built proxy as a client does. */
export function connectStdio(base: string, session: string): Promise<McpClient> {
  return connect(
    new StdioClientTransport({
      command: process.execPath,
      args: [join(checkout, 'dist/cli.js'), 'mcp'],
      env: { TASKFLOW_URL: base, TASKFLOW_SESSION: session },
      stderr: 'ignore',
    }),
  )
}

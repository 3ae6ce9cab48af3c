// MCP on the standard streams of this process, for clients that know stdio alone: it speaks for a running service.

import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { type ProxyOptions, runProxy } from './proxy.ts'

/** Serves until the input ends. */
export function runStdio(options: Omit<ProxyOptions, 'client'>): Promise<void> {
  const client = new StdioServerTransport()
  // The SDK's transport does not notice the end of its input.
  process.stdin.once('end', () => void client.close())
  return runProxy({ ...options, client })
}

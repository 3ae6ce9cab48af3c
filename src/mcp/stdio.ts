// The process that an MCP client starts when it knows stdio alone: it speaks for a running service.

import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js'
import { runProxy } from './proxy.ts'

const {
  TASKFLOW_URL: url = 'http://127.0.0.1:3000',
  TASKFLOW_KEY: key,
  TASKFLOW_SESSION: session,
} = process.env

if (URL.canParse(url)) {
  const client = new StdioServerTransport()
  // The SDK's transport does not notice the end of its input.
  process.stdin.once('end', () => void client.close())
  await runProxy({
    url,
    client,
    ...(key && { key }),
    ...(session && { session }),
    log: (line) => process.stderr.write(`taskflow mcp: ${line}\n`),
  })
} else {
  process.stderr.write(
    'taskflow mcp: TASKFLOW_URL must be the address of the service, such as http://127.0.0.1:3000.\n',
  )
  process.exitCode = 2
}

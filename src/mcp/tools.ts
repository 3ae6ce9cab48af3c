// The tools of MCP: one for each action that the caller may use, and one that waits.

import type { Tool as McpTool } from '@modelcontextprotocol/sdk/types.js'
import type { JsonObject } from '../domain/json.ts'
import type { ToolAnswer } from '../tool/answer.ts'
import { mcpTool, plainArguments } from '../tool/describe.ts'
import { holdArguments } from '../tool/hold.ts'
import type { ToolSession } from '../tool/session.ts'
import type { Tool } from '../tool/tool.ts'
import { awaitName, toolPrefix } from './answer.ts'

/** What all answers have in common; the rest depends on the action. */
const outputSchema = {
  type: 'object' as const,
  properties: { ok: { type: 'boolean' } },
  required: ['ok'],
}

/** Tools whose call can be a task: it is the flow. */
export const taskTools = [`${toolPrefix}start`, awaitName]

/** In the order of the actions, always. */
export function listTools(tool: Tool, session: ToolSession): McpTool[] {
  const granted = tool.grants(session)
  const tools: McpTool[] = granted.map((action) => ({ ...mcpTool(action), outputSchema }))
  if (granted.includes('status')) {
    tools.push({
      name: awaitName,
      title: 'Wait for a flow',
      description:
        'Wait until a flow changes, for up to 50 s. Not changed: call again with after_revision, now or days later.',
      inputSchema: plainArguments(holdArguments),
      outputSchema,
      annotations: {
        readOnlyHint: true,
        destructiveHint: false,
        idempotentHint: true,
        openWorldHint: false,
      },
    })
  }
  return tools.map((one) =>
    taskTools.includes(one.name) ? { ...one, execution: { taskSupport: 'optional' } } : one,
  )
}

/** Calls a tool by its MCP name. */
export function callTool(
  tool: Tool,
  session: ToolSession,
  name: string,
  args: JsonObject,
  signal: AbortSignal,
): Promise<ToolAnswer> {
  if (name === awaitName) return tool.hold(session, args, signal)
  const action = name.startsWith(toolPrefix) ? name.slice(toolPrefix.length) : name
  // The name decides, whatever the arguments say.
  return tool.call(session, { ...args, action })
}

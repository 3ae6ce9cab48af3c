// Flows and their events as resources of MCP.

import {
  McpError,
  type ReadResourceResult,
  type Resource,
  type ResourceTemplate,
} from '@modelcontextprotocol/sdk/types.js'
import type { ToolSession } from '../tool/session.ts'
import type { Tool } from '../tool/tool.ts'

const mimeType = 'application/json'
const uriPattern = /^taskflow:\/\/flows\/([^/?#]+)(\/events)?$/
/** What MCP calls a resource that is not there. */
const resourceNotFound = -32_002

export function resourceTemplates(tool: Tool, session: ToolSession): ResourceTemplate[] {
  const granted = tool.grants(session)
  return [
    ...(granted.includes('status')
      ? [
          {
            uriTemplate: 'taskflow://flows/{id}',
            name: 'flow',
            title: 'A flow of yours',
            description: 'Status, state, what it waits for, what can be done.',
            mimeType,
          },
        ]
      : []),
    ...(granted.includes('events')
      ? [
          {
            uriTemplate: 'taskflow://flows/{id}/events',
            name: 'events',
            title: 'What happened to a flow',
            description: 'Its last events.',
            mimeType,
          },
        ]
      : []),
  ]
}

/** A page of the caller's flows, open ones first. */
export async function listResources(
  tool: Tool,
  session: ToolSession,
  cursor: string | undefined,
): Promise<{ resources: Resource[]; nextCursor?: string }> {
  const granted = tool.grants(session)
  if (!granted.includes('list_mine') || !granted.includes('status')) return { resources: [] }
  const { flows, next_cursor } = await tool.list(session, cursor)
  const resources = flows.map(({ id, controller_id, status, updated_at }) => ({
    uri: `taskflow://flows/${id}`,
    name: id,
    title: `${controller_id}: ${status}`,
    mimeType,
    annotations: { lastModified: updated_at },
  }))
  return { resources, ...(next_cursor !== null && { nextCursor: next_cursor }) }
}

export async function readResource(
  tool: Tool,
  session: ToolSession,
  uri: string,
): Promise<ReadResourceResult> {
  const [, id, events] = uriPattern.exec(uri) ?? []
  if (id === undefined) {
    throw new McpError(resourceNotFound, 'Resources are taskflow://flows/{id} and {id}/events.', {
      uri,
    })
  }
  const action = events === undefined ? 'status' : 'events'
  const answer = await tool.call(session, { action, flow_id: id })
  if (!answer.ok) throw new McpError(resourceNotFound, answer.message, { uri })
  const { ok: _, next_actions: __, ...told } = answer
  return { contents: [{ uri, mimeType, text: JSON.stringify(told) }] }
}

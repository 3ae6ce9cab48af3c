// Answers of the tool as results of MCP: the calls in them name MCP tools.

import type { CallToolResult } from '@modelcontextprotocol/sdk/types.js'
import { FlowError } from '../domain/errors.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import type { ToolAnswer, ToolCallOffer } from '../tool/answer.ts'

export const toolPrefix = 'taskflow_'
export const awaitName = 'taskflow_await'

/** The members of a result are checked by its type loosely: the rest of an answer is free. */
export function toResult(answer: ToolAnswer): CallToolResult {
  const told = translate(answer)
  return {
    content: [{ type: 'text', text: JSON.stringify(told) }],
    structuredContent: told,
    ...(!answer.ok && { isError: true }),
  }
}

/** What is wrong with the service, as an answer: a model can only try again. */
export function faultAnswer(error: FlowError): ToolAnswer {
  const { code, message, detail } = error
  const wait = 'retry_after' in detail ? { retry_after: detail.retry_after } : {}
  return { ok: false, error: code, message, ...wait, next_actions: [] }
}

/** Faults of the service that are expected to pass; all others are nobody's business but the log's. */
export function isPassing(error: unknown): error is FlowError {
  return error instanceof FlowError && error.code !== 'internal'
}

function translate(answer: ToolAnswer): JsonObject {
  const { next_actions, example, ...rest } = answer
  const waiting = goOnWaiting(answer)
  // To wait for a flow is to look at it, only better.
  const others =
    waiting.length === 0 ? next_actions : next_actions.filter(({ action }) => action !== 'status')
  return {
    ...rest,
    ...(example !== undefined && { example: toCall(example as ToolCallOffer) }),
    next_actions: [...waiting, ...others.map(toCall)],
  }
}

function toCall({ action, ...args }: ToolCallOffer): JsonObject {
  return { tool: `${toolPrefix}${action}`, arguments: args }
}

/** Flow and revision are a durable handle: whoever has them misses no change between two calls. */
function goOnWaiting({ flow }: ToolAnswer): JsonObject[] {
  const { id, revision, status } = (flow ?? {}) as Record<string, JsonValue>
  if (status !== 'waiting' || id === undefined || revision === undefined) return []
  return [{ tool: awaitName, arguments: { flow_id: id, after_revision: revision } }]
}

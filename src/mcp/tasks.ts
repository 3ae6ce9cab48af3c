// Flows as tasks of MCP: the id of a task is that of its flow, so a task outlives this process and its client.

import {
  type CallToolResult,
  ErrorCode,
  McpError,
  RELATED_TASK_META_KEY,
  type Task,
} from '@modelcontextprotocol/sdk/types.js'
import type { FlowStatus } from '../domain/flow.ts'
import type { JsonObject } from '../domain/json.ts'
import type { ToolAnswer } from '../tool/answer.ts'
import { hintOf } from '../tool/next.ts'
import type { ToolSession } from '../tool/session.ts'
import type { Tool } from '../tool/tool.ts'
import { toResult } from './answer.ts'

/** Milliseconds that clients shall wait between two looks. */
const pollInterval = 2_000
/** Milliseconds that `tasks/result` waits for an end; clients cut requests at about 60 s. */
const longestResult = 50_000

/** What of a rendered flow makes a task. */
interface TaskFlow {
  id: string
  status: FlowStatus
  revision: number
  wait?: { kind: string; of?: { kind: string }[] }
  /** Absent where it is new, and was created when it was last changed. */
  created_at?: string
  updated_at: string
}

export interface Tasks {
  get(taskId: string): Promise<Task>
  /** The answer when the flow has ended, or as soon as somebody has to decide. */
  result(taskId: string, signal: AbortSignal): Promise<CallToolResult>
  cancel(taskId: string): Promise<Task>
  list(cursor: string | undefined): Promise<{ tasks: Task[]; nextCursor?: string }>
}

export function createTasks(tool: Tool, session: ToolSession): Tasks {
  const look = (flow_id: string) => tool.call(session, { action: 'status', flow_id })

  return {
    get: async (taskId) => taskOf(await look(taskId)),

    async result(taskId, signal) {
      const deadline = performance.now() + longestResult
      let answer = await look(taskId)
      for (;;) {
        const { status } = taskOf(answer)
        if (status !== 'working') {
          const result = toResult(answer)
          return {
            ...result,
            // The request was for a flow that reaches its goal.
            ...((status === 'failed' || status === 'cancelled') && { isError: true }),
            _meta: { [RELATED_TASK_META_KEY]: { taskId } },
          }
        }
        const seconds = Math.floor((deadline - performance.now()) / 1000)
        if (seconds < 1 || signal.aborted) {
          throw new McpError(
            ErrorCode.RequestTimeout,
            'The flow goes on: ask for the task with tasks/get, and for its result again later.',
          )
        }
        const { revision } = flowOf(answer)
        answer = await tool.hold(
          session,
          { flow_id: taskId, after_revision: revision, seconds },
          signal,
        )
      }
    },

    async cancel(taskId) {
      return taskOf(await tool.call(session, { action: 'cancel', flow_id: taskId }))
    },

    async list(cursor) {
      if (!tool.grants(session).includes('list_mine')) return { tasks: [] }
      const { flows, next_cursor } = await tool.list(session, cursor)
      const tasks = flows.map((flow) => {
        const { wait, ...rest } = flow
        return makeTask({ ...rest, ...(wait !== null && { wait }) }, hintOf(flow))
      })
      return { tasks, ...(next_cursor !== null && { nextCursor: next_cursor }) }
    },
  }
}

/** The task of an answer. Throws what is wrong with the request when there is none. */
export function taskOf(answer: ToolAnswer): Task {
  const { hint } = answer as JsonObject
  return makeTask(flowOf(answer), typeof hint === 'string' ? hint : null)
}

function flowOf(answer: ToolAnswer): TaskFlow {
  if (!answer.ok) throw new McpError(ErrorCode.InvalidParams, answer.message)
  const { flow } = answer
  if (isTaskFlow(flow)) return flow
  throw new Error('an answer about a flow has none')
}

/** Whether a value is a flow as the tool renders it. */
function isTaskFlow(value: unknown): value is TaskFlow {
  return typeof value === 'object' && value !== null && 'id' in value && 'status' in value
}

function makeTask(flow: TaskFlow, hint: string | null): Task {
  const { id, status, current_step } = flow as TaskFlow & { current_step?: string }
  return {
    taskId: id,
    status: statusOf(flow),
    statusMessage: hint ?? `${status}, step ${current_step ?? ''}`,
    createdAt: flow.created_at ?? flow.updated_at,
    lastUpdatedAt: flow.updated_at,
    ttl: null,
    pollInterval,
  }
}

function statusOf({ status, wait }: TaskFlow): Task['status'] {
  switch (status) {
    case 'finished':
      return 'completed'
    case 'failed':
      return 'failed'
    case 'cancelled':
      return 'cancelled'
    case 'waiting':
      return needsSomebody(wait) ? 'input_required' : 'working'
    default:
      return 'working'
  }
}

/** Whether somebody has to decide before it goes on, perhaps beside other things. */
function needsSomebody(wait: TaskFlow['wait']): boolean {
  const kinds = [wait?.kind, ...(wait?.of ?? []).map(({ kind }) => kind)]
  return kinds.includes('manual')
}

// The agent tool: one call in, one answer out, whatever transport it came by.

import { type ToolCall, type ToolFormat, toolArguments } from '../contract/tool.ts'
import { type Grant, type ToolAction, toolActions } from '../domain/binding.ts'
import { FlowError } from '../domain/errors.ts'
import type { JsonObject, JsonValue } from '../domain/json.ts'
import type { ChangeOptions } from '../engine/change.ts'
import { actions } from './actions.ts'
import { refused, type ToolAnswer, ToolRefusal } from './answer.ts'
import type { ToolContext, ToolEngine } from './context.ts'
import { describe, grantedActions } from './describe.ts'
import { type HoldArguments, hold, holdArguments } from './hold.ts'
import { type ListedFlows, listOwn } from './list-mine.ts'
import { allowed, nextCalls } from './next.ts'
import { invalidValue, unfit, unknownAction } from './repair.ts'
import { owned, type ToolSession } from './session.ts'

/** True, or the refusal. */
export type ArgumentJudge = (args: unknown) => true | { error: FlowError }

export interface ToolOptions {
  engine: ToolEngine
  /** Compiles the judge of a schema that may refer to the components of the contract. */
  judge(schema: object): ArgumentJudge
  /** How far ahead timers may be, in milliseconds; a narrower one of the caller's wins. */
  horizon: number
}

export interface Tool {
  describe(format: ToolFormat, grants: readonly Grant[]): JsonValue
  /**
   * Does what is asked, or says how to mend the call. Throws for the service's own faults alone:
   * `overloaded`, `unavailable`, `internal`.
   */
  call(session: ToolSession, call: ToolCall, options?: ChangeOptions): Promise<ToolAnswer>
  /** Waits for a flow to move on, for so long as one call may take. Throws as `call` does. */
  hold(session: ToolSession, args: JsonObject, signal: AbortSignal): Promise<ToolAnswer>
  /** A page of the session's flows as records. Throws `FlowError` and `ToolRefusal`. */
  list(session: ToolSession, cursor: string | undefined): Promise<ListedFlows>
  grants(session: ToolSession): ToolAction[]
}

/** Faults of the service, not of the call: the transport says them in its own way. */
const ownFaults = ['internal', 'unavailable', 'overloaded']

export function createTool({ engine, judge, horizon }: ToolOptions): Tool {
  const judges = new Map<ToolAction, ArgumentJudge>(
    toolActions.map((action) => [action, judge(toolArguments[action])]),
  )
  const judgeHold = judge(holdArguments)

  function contextOf(session: ToolSession, options: ChangeOptions): ToolContext {
    const caller = owned(session.caller)
    if (caller === null) {
      throw new ToolRefusal(
        'no_session',
        'Nobody said whose flows these are: whoever set up this tool must send the header Taskflow-Session, or use a key that has an owner.',
      )
    }
    const narrow = Math.min(horizon, caller.timer_max_horizon ?? horizon)
    // What is offered is held to it as well.
    const within = { ...session, caller: { ...session.caller, timer_max_horizon: narrow } }
    return { engine, session: within, caller, horizon: narrow, options }
  }

  /** Runs it, and turns what was refused into an answer that says what to do about it. */
  async function answered(
    session: ToolSession,
    options: ChangeOptions,
    flowId: JsonValue | undefined,
    work: (context: ToolContext) => Promise<ToolAnswer>,
  ): Promise<ToolAnswer> {
    try {
      return await work(contextOf(session, options))
    } catch (error) {
      if (error instanceof ToolRefusal) {
        return refused(error.fault, error.message, error.more, allowed(session, error.offers))
      }
      if (!(error instanceof FlowError) || ownFaults.includes(error.code)) throw error
      return refusal(session, options, flowId, error)
    }
  }

  async function refusal(
    session: ToolSession,
    options: ChangeOptions,
    flowId: JsonValue | undefined,
    error: FlowError,
  ): Promise<ToolAnswer> {
    const { code, message } = error
    if (code === 'invalid_request') return invalidValue(error)
    if (code === 'cursor_mismatch') {
      return refused('invalid_argument', 'This cursor is of another list: leave cursor out.', {
        argument: 'cursor',
      })
    }
    if (code === 'not_found') {
      // The same words for what is not there and for what is somebody else's.
      return refused(code, message, {}, allowed(session, [{ action: 'list_mine' }]))
    }
    if (typeof flowId !== 'string') return refused(code, message)
    const context = contextOf(session, options)
    const flow = await context.engine.flows.get(context.caller, flowId)
    const { status, revision } = flow
    return refused(
      code,
      message,
      { flow: { id: flow.id, status, revision } },
      nextCalls(context.session, flow),
    )
  }

  return {
    describe,

    async call(session, { action: name, ...given }, options = {}) {
      const granted = grantedActions(session.grants)
      const action = granted.find((one) => one === name)
      if (action === undefined) return unknownAction(name, granted)
      const args = present(given)
      const verdict = judges.get(action)?.(args) ?? true
      if (verdict !== true) return unfit(action, toolArguments[action], args, verdict.error)
      return answered(session, options, args['flow_id'], (context) =>
        // The judge has just said that these are the arguments of this action.
        (actions[action].run as (context: ToolContext, args: unknown) => Promise<ToolAnswer>)(
          context,
          args,
        ),
      )
    },

    async hold(session, given, signal) {
      if (!grantedActions(session.grants).includes('status')) {
        return refused('forbidden', 'You may not look at flows, so not wait for one either.')
      }
      const args = present(given)
      const verdict = judgeHold(args)
      if (verdict !== true) return unfit('await', holdArguments, args, verdict.error)
      return answered(session, {}, args['flow_id'], (context) =>
        hold(context, args as HoldArguments, signal),
      )
    },

    list: (session, cursor) =>
      listOwn(contextOf(session, {}), cursor === undefined ? {} : { cursor }),
    grants: ({ grants }) => grantedActions(grants),
  }
}

/** Hosts that want every argument send null for those that a model leaves out. */
function present(given: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== null))
}

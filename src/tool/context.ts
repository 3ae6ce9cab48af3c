// What the actions of the tool work with, and the gate that every flow passes.

import { flowNotFound } from '../domain/errors.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { ChangeOptions, Reply } from '../engine/change.ts'
import type { Engine } from '../engine/engine.ts'
import { done, type ToolAnswer } from './answer.ts'
import { hintOf, nextCalls } from './next.ts'
import { renderFlow, type Shown } from './render.ts'
import type { OwnedCaller, ToolSession } from './session.ts'

export type ToolEngine = Pick<Engine, 'flows' | 'signals' | 'events'>

export interface ToolContext {
  engine: ToolEngine
  session: ToolSession
  caller: OwnedCaller
  /** How far ahead timers may be, in milliseconds. */
  horizon: number
  options: ChangeOptions
}

/** A flow of the caller's owner. Any other is answered like one that does not exist. */
export async function ownFlow(
  { engine, caller }: Pick<ToolContext, 'engine' | 'caller'>,
  flowId: string,
): Promise<FlowRecord> {
  const flow = await engine.flows.get(caller, flowId)
  if (flow.owner_session_key !== caller.owner_session_key) throw flowNotFound(flowId)
  return flow
}

/** The answer with a flow: what it is, why it stands still, what can be done. */
export function tellFlow(session: ToolSession, flow: FlowRecord, shown?: Shown): ToolAnswer {
  const hint = hintOf(flow)
  return done(
    { flow: renderFlow(flow, shown), ...(hint !== null && { hint }) },
    nextCalls(session, flow),
  )
}

/** The answer to a change of a flow. */
export function tellReply(
  { session }: Pick<ToolContext, 'session'>,
  { flow, replayed }: Reply,
): ToolAnswer {
  const answer = tellFlow(session, flow)
  return replayed ? { ...answer, replayed } : answer
}

// What the actions of the tool work with, and the gate that every flow passes.

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

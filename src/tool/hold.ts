// Waits for a flow on behalf of a model, for no longer than hosts let a call take.

import { type Static, Type } from 'typebox'
import { isTerminal } from '../domain/flow.ts'
import type { ToolAnswer } from './answer.ts'
import { ownFlow, type ToolContext, tellFlow } from './context.ts'

/** Hosts cut calls at about 60 seconds. */
export const longestHold = 50_000

export const holdArguments = Type.Object(
  {
    flow_id: Type.String({ minLength: 1, maxLength: 255, description: 'Id of a flow of yours.' }),
    after_revision: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The revision you know: any newer one ends the wait.',
      }),
    ),
  },
  { additionalProperties: false },
)
export type HoldArguments = Static<typeof holdArguments>

/** How long to hold, and what ends it early. */
export interface Held {
  ms: number
  signal: AbortSignal
}

/**
 * The flow as soon as it has another revision than the one that is known, or as it is when the time
 * is up. Flow id and revision are all that it takes to go on waiting, in any process and at any time.
 */
export async function hold(
  context: ToolContext,
  { flow_id, after_revision }: HoldArguments,
  { ms, signal }: Held,
): Promise<ToolAnswer> {
  const { engine, session, caller } = context
  const seen = await ownFlow(context, flow_id)
  const revision = after_revision ?? seen.revision
  const over = isTerminal(seen.status) || seen.revision !== revision
  const flow = over
    ? seen
    : await engine.flows.waitFor(caller, flow_id, { revision }, Math.min(ms, longestHold), signal)
  return { ...tellFlow(session, flow), changed: flow.revision !== revision }
}

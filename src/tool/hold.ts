// Waits for a flow on behalf of a model, for no longer than hosts let a call take.

import { type Static, Type } from 'typebox'
import { isTerminal } from '../domain/flow.ts'
import type { ToolAnswer } from './answer.ts'
import { type ToolContext, tellFlow } from './context.ts'

/** Hosts cut calls at about 60 seconds: 50 is the most. */
export const holdArguments = Type.Object(
  {
    flow_id: Type.String({ minLength: 1, maxLength: 255, description: 'Id of a flow of yours.' }),
    after_revision: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: Number.MAX_SAFE_INTEGER,
        description: 'The revision you know; a newer one ends the wait.',
      }),
    ),
    seconds: Type.Optional(
      Type.Integer({ minimum: 1, maximum: 50, description: 'Wait at most so long: 1 to 50, 50.' }),
    ),
  },
  { additionalProperties: false },
)
export type HoldArguments = Static<typeof holdArguments>

/**
 * The flow as soon as it has another revision than the one that is known, or as it is when the time
 * is up. Flow id and revision are all that it takes to go on waiting, in any process and at any time.
 */
export async function hold(
  context: ToolContext,
  { flow_id, after_revision, seconds = 50 }: HoldArguments,
  signal: AbortSignal,
): Promise<ToolAnswer> {
  const { engine, session, caller } = context
  const seen = await context.engine.flows.get(context.caller, flow_id)
  const revision = after_revision ?? seen.revision
  const over = isTerminal(seen.status) || seen.revision !== revision
  const flow = over
    ? seen
    : await engine.flows.waitFor(caller, flow_id, { revision }, seconds * 1000, signal)
  return { ...tellFlow(session, flow), changed: flow.revision !== revision }
}

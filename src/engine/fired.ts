// A due flow on its way through a batch, and what became of it.

import type { DecidedFlow } from '../domain/command.ts'
import { waitEngineActor } from '../domain/decide.ts'
import type { Saved } from '../store/batch.ts'
import { complete, type Verdict } from './batch.ts'
import type { Reply } from './change.ts'
import type { ChangeEntry } from './entry.ts'

/** What became of one due flow. */
export type Fired =
  | { flow_id: string; reply: Reply }
  | { flow_id: string; namespace: string; error: unknown }

/** The command that the tick gives to a flow it found due. */
export function fireEntry(flow: DecidedFlow): ChangeEntry {
  return {
    type: 'change',
    caller: { namespace: flow.namespace, actor: waitEngineActor },
    keep: null,
    flow_id: flow.id,
    command: { type: 'fire' },
    if_match: null,
  }
}

/** What became of a due flow, by the verdict on it in a batch that committed. */
export function firedOf(
  { id: flow_id, namespace }: DecidedFlow,
  verdict: Verdict,
  saved: Saved,
): Fired {
  if (verdict.type === 'reply') {
    return { flow_id, reply: complete(verdict, saved) as Reply }
  }
  const error = verdict.type === 'refuse' ? verdict.error : new Error(verdict.type)
  return { flow_id, namespace, error }
}

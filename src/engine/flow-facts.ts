// Remembers whose flows are: it never changes, and is asked for every event that a narrow caller might see.

import type { Scope } from '../store/db.ts'
import { type FlowOwner, readOwners } from '../store/flows.ts'
import type { Caller } from './change.ts'
import { isNarrow, sees } from './sight.ts'

export interface FlowFacts {
  /** Those of some events that belong to flows which a caller sees, in their order. */
  visible<Event extends { flow_id: string }>(
    caller: Caller,
    events: readonly Event[],
  ): Promise<readonly Event[]>
  /** Learns whose the flows of some events of a namespace are, so that `seen` can be asked without waiting. */
  learn(namespace: string, events: readonly { flow_id: string }[]): Promise<SeenBy>
}

/** Whether a caller sees the flow of an event. */
export type SeenBy = (caller: Caller, event: { flow_id: string }) => boolean

/** Flows that are remembered. */
const mostKept = 20_000

export function createFlowFacts(scope: Scope): FlowFacts {
  const known = new Map<string, FlowOwner>()

  async function learn(namespace: string, events: readonly { flow_id: string }[]): Promise<SeenBy> {
    const found = new Map<string, FlowOwner>()
    const missing = new Set<string>()
    for (const { flow_id } of events) {
      const facts = known.get(flow_id)
      if (facts === undefined) missing.add(flow_id)
      else found.set(flow_id, facts)
    }
    if (missing.size > 0) {
      for (const facts of await readOwners(scope, namespace, [...missing])) {
        found.set(facts.id, facts)
        known.set(facts.id, facts)
      }
      // The oldest go: they are only read again.
      for (const id of known.keys()) {
        if (known.size <= mostKept) break
        known.delete(id)
      }
    }
    return (caller, { flow_id }) => {
      const flow = found.get(flow_id)
      return flow !== undefined && sees(caller, flow)
    }
  }

  return {
    learn,
    async visible(caller, events) {
      if (!isNarrow(caller) || events.length === 0) return events
      const seenBy = await learn(caller.namespace, events)
      return events.filter((event) => seenBy(caller, event))
    },
  }
}

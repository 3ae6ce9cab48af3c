// Reads flows by id; reads that arrive together go to the database together.

import type { FlowRecord } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import { readFlows } from '../store/flows.ts'
import { gather } from './gather.ts'

/** Flows in one statement. */
const batchSize = 100

/** A function that reads a flow by id, or null. */
export function createFlowReader(
  scope: Scope,
  inFlight: number,
): (id: string) => Promise<FlowRecord | null> {
  return gather({
    keyOf: (id: string) => id,
    async read(ids) {
      const found = await readFlows(scope, ids)
      const byId = new Map(found.map((flow) => [flow.id, flow]))
      return ids.map((id) => byId.get(id) ?? null)
    },
    batchSize,
    inFlight,
  })
}

// Reads flows by id; reads that arrive together go to the database together.

import type { FlowRecord } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import { readFlows } from '../store/flows.ts'
import { gather } from './gather.ts'

/** Flows in one statement. */
const batchSize = 100

/** Reads a flow of a namespace by id; null when there is none. */
export type FlowReader = (asked: { namespace: string; id: string }) => Promise<FlowRecord | null>

/** A function that does. */
export function createFlowReader(scope: Scope, inFlight: number): FlowReader {
  return gather({
    keyOf: ({ namespace, id }) => `${namespace} ${id}`,
    async read(asked) {
      const within = asked.map(({ namespace }) => namespace)
      const ids = new Set(asked.map(({ id }) => id))
      const found = await readFlows(scope, within, [...ids])
      const byId = new Map(found.map((flow) => [flow.id, flow]))
      // One that another caller's namespace let into the answer is not for this one.
      return asked.map(({ namespace, id }) => {
        const flow = byId.get(id)
        return flow?.namespace === namespace ? flow : null
      })
    },
    batchSize,
    inFlight,
  })
}

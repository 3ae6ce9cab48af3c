// Reads what stands behind a revision of a flow; reads that arrive together go to the database together.

import type { Scope } from '../store/db.ts'
import { type EventsRequest, type FollowedEvent, listEventsAfter } from '../store/events.ts'

/** Requests in one statement. */
const batchSize = 50
/** Events in one answer: as many may be kept back by a slow receiver. */
export const readLimit = 100

export type EventReader = (flowId: string, after: number) => Promise<readonly FollowedEvent[]>

interface Waiting extends EventsRequest {
  resolve(events: readonly FollowedEvent[]): void
  reject(error: unknown): void
}

/**
 * A function that reads the next events of a flow, at most `readLimit`. The statement is always sent
 * after the call. Those who ask for the same get the same array.
 */
export function createEventReader(scope: Scope, inFlight: number): EventReader {
  let waiting = new Map<string, Waiting[]>()
  let running = 0
  let scheduled = false

  function schedule(): void {
    if (scheduled || running >= inFlight || waiting.size === 0) return
    scheduled = true
    setImmediate(() => {
      scheduled = false
      if (running >= inFlight || waiting.size === 0) return
      const all = [...waiting]
      const batch = all.slice(0, batchSize).map(([, group]) => group)
      waiting = new Map(all.slice(batchSize))
      running++
      void run(batch).finally(() => {
        running--
        schedule()
      })
      schedule()
    })
  }

  async function run(batch: Waiting[][]): Promise<void> {
    try {
      const requests = batch.flatMap(([first]) => first ?? [])
      const found = await listEventsAfter(
        scope,
        requests.map(({ flow_id, after }) => ({ flow_id, after })),
        readLimit,
      )
      for (const [i, group] of batch.entries()) {
        for (const { resolve } of group) resolve(found[i] ?? [])
      }
    } catch (error) {
      for (const { reject } of batch.flat()) reject(error)
    }
  }

  return (flow_id, after) =>
    new Promise((resolve, reject) => {
      const request = { flow_id, after, resolve, reject }
      const key = `${flow_id} ${after}`
      const group = waiting.get(key)
      if (group === undefined) waiting.set(key, [request])
      else group.push(request)
      schedule()
    })
}

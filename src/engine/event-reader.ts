// Reads what stands behind a revision of a flow; reads that arrive together go to the database together.

import type { Scope } from '../store/db.ts'
import { type EventsRequest, type FollowedEvent, listEventsAfter } from '../store/events.ts'
import { gather } from './gather.ts'

/** Requests in one statement. */
const batchSize = 50
/** Events in one answer: as many may be kept back by a slow receiver. */
export const readLimit = 100

export type EventReader = (request: EventsRequest) => Promise<readonly FollowedEvent[]>

/** A function that reads the next events of a flow, at most `readLimit`. Those who ask for the same get the same array. */
export function createEventReader(scope: Scope, inFlight: number): EventReader {
  return gather({
    keyOf: ({ flow_id, after }: EventsRequest) => `${flow_id} ${after}`,
    async read(requests): Promise<readonly FollowedEvent[][]> {
      const found = await listEventsAfter(scope, requests, readLimit)
      return requests.map((_, i) => found[i] ?? [])
    },
    batchSize,
    inFlight,
  })
}

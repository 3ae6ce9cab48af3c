// A page of the feed for a caller that sees some flows of it: looks through a bounded number of events, and
// says how far it came.

import type { EventKind, FlowEvent } from '../domain/event.ts'
import type { Scope } from '../store/db.ts'
import { before, type FeedPosition, listFeed } from '../store/events.ts'

type FeedEvent = FlowEvent & { xid: string }

export interface FeedScan {
  /** One more than the page has when there are more. */
  found: FeedEvent[]
  /** How far it looked when it gave up before the page was full; null when it saw all there is to see. */
  upTo: FeedPosition | null
}

/** Events in one statement, and statements for one page. */
const piece = 500
const pieces = 10

/** @param visible the events that the caller sees, of some. */
export async function scanFeed(
  scope: Scope,
  query: { namespace: string; kinds?: readonly EventKind[]; after: FeedPosition | null },
  limit: number,
  visible: (events: readonly FeedEvent[]) => Promise<readonly FeedEvent[]>,
): Promise<FeedScan> {
  const found: FeedEvent[] = []
  let { after } = query
  let upTo: FeedPosition | null = null
  for (let i = 0; i < pieces; i++) {
    const events = await listFeed(scope, { ...query, after, limit: piece })
    found.push(...(await visible(events)))
    if (found.length > limit) return { found: found.slice(0, limit + 1), upTo: null }
    const last = events.at(-1)
    if (last === undefined || events.length < piece) return { found, upTo: null }
    after = { xid: last.xid, flow_id: last.flow_id, revision: last.revision }
    upTo = shownPlace(events, found.at(-1)) ?? upTo
  }
  // A place that can be shown was not found: on from where the last one was, or from here.
  return { found, upTo: upTo ?? after }
}

/**
 * How far these events were looked through, as a place that names no flow which the caller does not see:
 * that of the last event when it sees it, else the beginning of the last transaction among them.
 */
function shownPlace(
  events: readonly FeedEvent[],
  seen: FeedEvent | undefined,
): FeedPosition | null {
  const last = events.at(-1)
  const first = events[0]
  if (last === undefined || first === undefined) return null
  if (last === seen) return { xid: last.xid, flow_id: last.flow_id, revision: last.revision }
  return last.xid === first.xid ? null : before(last.xid)
}

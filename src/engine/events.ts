// The audit log, read: of one flow, and of all flows of a namespace.

import type { EventKind, FlowEvent } from '../domain/event.ts'
import type { Scope } from '../store/db.ts'
import { type FeedPosition, feedStart, listEvents, listFeed } from '../store/events.ts'
import type { Caller } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { FeedPositions } from './feed-position.ts'
import { type FeedScan, scanFeed } from './feed-scan.ts'
import type { FlowFacts } from './flow-facts.ts'
import type { Flows } from './flows.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { isNarrow, sightOf } from './sight.ts'
import type { Streams } from './streams.ts'
import type { Watch } from './watch.ts'

/** Wait so long for something to answer, in milliseconds, and no longer than until the signal aborts. */
export interface Patience {
  ms: number
  signal: AbortSignal
}

export interface Events {
  /**
   * Oldest first, after a revision. With patience an empty page is answered only when it is over.
   * Throws `not_found` for the flow.
   */
  list(
    caller: Caller,
    flowId: string,
    filter: { kind?: EventKind[]; after?: number },
    page: PageRequest,
    patience?: Patience,
  ): Promise<Page<FlowEvent>>
  /**
   * All flows of the namespace, in commit order, after an opaque position. `position` is where this
   * page ended, to go on from later; it may trail open transactions by a moment.
   */
  feed(
    caller: Caller,
    filter: { kind?: EventKind[]; after?: string },
    page: PageRequest,
    patience?: Patience,
  ): Promise<Page<FlowEvent> & { position: string | null }>
}

export interface EventsOptions {
  scope: Scope
  facts: FlowFacts
  flows: Flows
  watch: Watch
  streams: Streams
  positions: () => Promise<FeedPositions>
}

export function createEvents(options: EventsOptions): Events {
  const { scope, facts, flows, watch, streams, positions } = options
  return {
    async list(caller, flowId, { kind, after }, { limit, cursor }, patience) {
      const bound = ['events', caller.namespace, flowId, kind, after]
      const position = cursor === undefined ? null : decodeCursor(cursor, bound, ['revision'])
      let known = -1
      const look = async () => {
        known = (await flows.get(caller, flowId)).revision
        return listEvents(scope, {
          namespace: caller.namespace,
          flow_id: flowId,
          ...(kind !== undefined && { kinds: kind }),
          after: (position?.[0] as number | undefined) ?? after ?? -1,
          limit: limit + 1,
        })
      }
      const answer = (found: FlowEvent[]) =>
        pageOf(found, limit, (event) => encodeCursor(bound, [event.revision]))
      if (patience === undefined) return answer(await look())
      const deadline = performance.now() + patience.ms
      const watcher = watch.open(flowId, () => known, deadline, patience.signal)
      try {
        // Watching began before this read, so that no change can fall between the two.
        let found = await look()
        while (found.length === 0 && (await watcher.next())) found = await look()
        return answer(found)
      } finally {
        watcher.close()
      }
    },

    async feed(caller, { kind, after }, { limit, cursor }, patience) {
      const { namespace } = caller
      const { encode, decode } = await positions()
      const bound = ['feed', namespace, sightOf(caller), kind, after]
      const start: FeedPosition | null =
        cursor !== undefined
          ? placeOf(decodeCursor(cursor, bound, ['xid', 'id', 'revision']))
          : after !== undefined
            ? decode(namespace, after, '?after')
            : null
      const wanted = kind === undefined ? {} : { kinds: kind }
      const look = async (): Promise<FeedScan> => {
        const query = { namespace, ...wanted, after: start }
        if (isNarrow(caller)) {
          return scanFeed(scope, query, limit, (events) => facts.visible(caller, events))
        }
        return { found: await listFeed(scope, { ...query, limit: limit + 1 }), upTo: null }
      }
      let { found, upTo } = await look()
      if (patience !== undefined && found.length === 0 && upTo === null) {
        const { ms, signal } = patience
        const from = { after: start ?? feedStart, ...(kind !== undefined && { kind }) }
        await streams.nextInFeed(caller, from, ms, signal)
        const again = await look()
        found = again.found
        upTo = again.upTo
      }
      const page = pageOf(found, limit, ({ xid, flow_id, revision }) =>
        encodeCursor(bound, [xid, flow_id, revision]),
      )
      // A look that ended before the page was full goes on behind what it has seen.
      const last = upTo ?? page.items.at(-1)
      return {
        items: page.items.map(({ xid: _, ...event }) => event),
        next_cursor:
          upTo === null
            ? page.next_cursor
            : encodeCursor(bound, [upTo.xid, upTo.flow_id, upTo.revision]),
        position: last === undefined ? (after ?? null) : encode(namespace, last),
      }
    },
  }
}

function placeOf([xid, flow_id, revision]: readonly (string | number)[]): FeedPosition {
  return { xid: xid as string, flow_id: flow_id as string, revision: revision as number }
}

// The audit log, read: of one flow, and of all flows of a namespace.

import type { EventKind, FlowEvent } from '../domain/event.ts'
import type { Scope } from '../store/db.ts'
import { listEvents, listFeed } from '../store/events.ts'
import type { Caller } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import type { Flows } from './flows.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

export interface Events {
  /** Oldest first, after a revision. Throws `not_found` for the flow. */
  list(
    caller: Caller,
    flowId: string,
    filter: { kind?: EventKind[]; after?: number },
    page: PageRequest,
  ): Promise<Page<FlowEvent>>
  /**
   * All flows of the namespace, in commit order, after an opaque position. `position` is where this
   * page ended, to go on from later; it may trail open transactions by a moment.
   */
  feed(
    caller: Caller,
    filter: { kind?: EventKind[]; after?: string },
    page: PageRequest,
  ): Promise<Page<FlowEvent> & { position: string | null }>
}

export function createEvents(scope: Scope, flows: Flows): Events {
  return {
    async list(caller, flowId, { kind, after }, { limit, cursor }) {
      const bound = ['events', caller.namespace, flowId, kind, after]
      const position = cursor === undefined ? null : decodeCursor(cursor, bound, ['revision'])
      await flows.get(caller, flowId)
      const found = await listEvents(scope, {
        flow_id: flowId,
        ...(kind !== undefined && { kinds: kind }),
        after: (position?.[0] as number | undefined) ?? after ?? -1,
        limit: limit + 1,
      })
      return pageOf(found, limit, (event) => encodeCursor(bound, [event.revision]))
    },

    async feed(caller, { kind, after }, { limit, cursor }) {
      const shape = ['xid', 'id', 'revision'] as const
      const bound = ['feed', caller.namespace, kind, after]
      // A position is a place in all events; a cursor belongs to one filter.
      const place = ['feed', caller.namespace]
      const position =
        cursor !== undefined
          ? decodeCursor(cursor, bound, shape)
          : after !== undefined
            ? decodeCursor(after, place, shape, '?after')
            : null
      const found = await listFeed(scope, {
        namespace: caller.namespace,
        ...(kind !== undefined && { kinds: kind }),
        after:
          position === null
            ? null
            : {
                xid: position[0] as string,
                flow_id: position[1] as string,
                revision: position[2] as number,
              },
        limit: limit + 1,
      })
      const at = ({ xid, flow_id, revision }: (typeof found)[number]) => [xid, flow_id, revision]
      const page = pageOf(found, limit, (event) => encodeCursor(bound, at(event)))
      const last = page.items.at(-1)
      return {
        items: page.items.map(({ xid: _, ...event }) => event),
        next_cursor: page.next_cursor,
        position: last === undefined ? (after ?? null) : encodeCursor(place, at(last)),
      }
    },
  }
}

// Opaque places in the feed: what they hold, and which of them are void.

import { FlowError } from '../domain/errors.ts'
import type { Scope } from '../store/db.ts'
import { clusterName, type FeedPosition } from '../store/events.ts'
import { type CursorPointer, decodeCursor, digest } from './cursor.ts'

/**
 * The feed is ordered by the transaction ids of one cluster. Where the same data was loaded into
 * another, ids begin anew: a position of old would silently hide events, so it carries its cluster.
 */
export interface FeedPositions {
  encode(namespace: string, place: FeedPosition): string
  /** Throws `invalid_request`, or `cursor_mismatch` when the position is of another place or cluster. */
  decode(namespace: string, text: string, pointer: CursorPointer): FeedPosition
}

/** Positions as this cluster gives and takes them. */
function feedPositions(cluster: string | null): FeedPositions {
  const epoch = cluster === null ? null : digest(['cluster', cluster])
  const places = new Map<string, string>()

  /** A position is a place in all events of a namespace, whatever the filter. */
  function placeOf(namespace: string): string {
    let place = places.get(namespace)
    if (place === undefined) {
      place = digest(bound(namespace))
      places.set(namespace, place)
    }
    return place
  }

  return {
    encode(namespace, { xid, flow_id, revision }) {
      const parts = [placeOf(namespace), xid, flow_id, revision]
      if (epoch !== null) parts.push(epoch)
      return Buffer.from(JSON.stringify(parts)).toString('base64url')
    },
    decode(namespace, text, pointer) {
      // Those without a cluster were given before there was one in them, or by a server that hides it.
      const [xid, flow_id, revision, given] = decodeCursor(
        text,
        bound(namespace),
        ['xid', 'id', 'revision', 'epoch'],
        { pointer, optional: 1 },
      )
      if (given !== undefined && epoch !== null && given !== epoch) throw voidPosition(pointer)
      return { xid: xid as string, flow_id: flow_id as string, revision: revision as number }
    },
  }
}

function bound(namespace: string): string[] {
  return ['feed', namespace]
}

/** The refusal of a position behind which this server could not tell what is new. */
export function voidPosition(pointer: string): FlowError<'cursor_mismatch'> {
  const message =
    'This position is of another database server. Read the events anew, or follow from now on without it.'
  return new FlowError('cursor_mismatch', message, {
    errors: [{ pointer, code: 'mismatch', message }],
  })
}

/** How long the name of the cluster is believed, in milliseconds: behind one address it may be replaced. */
const believed = 10_000

/** A function that answers the positions of the cluster that is there now. */
export function createFeedPositions(scope: Scope): () => Promise<FeedPositions> {
  let latest: { at: number; cluster: string | null; positions: FeedPositions } | null = null
  return async () => {
    if (latest === null || performance.now() - latest.at > believed) {
      const cluster = await clusterName(scope)
      const known = latest?.cluster === cluster ? latest?.positions : undefined
      latest = { at: performance.now(), cluster, positions: known ?? feedPositions(cluster) }
    }
    return latest.positions
  }
}

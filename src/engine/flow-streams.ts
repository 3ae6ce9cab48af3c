// Streams of one flow's events: from the commits of this process as they happen, and from the
// database to catch up. Revisions have no gaps, so that whoever counts them misses and repeats nothing.

import { type EventKind, isClosing } from '../domain/event.ts'
import type { EventsRequest, FollowedEvent } from '../store/events.ts'
import type { Committer } from './committer.ts'
import { type EventReader, readLimit } from './event-reader.ts'
import { type EventStream, pauseAfterFailure, type Sink, type StreamItem } from './stream.ts'
import type { Watch } from './watch.ts'

interface Followed extends StreamItem {
  final: boolean
}

interface Follower {
  /** Everything up to this revision has been sent. */
  after: number
  /** Takes what this process just committed. */
  take(items: readonly Followed[]): void
}

/** What may gather while a follower reads, before it rather reads again. */
const mostHeld = 500

export interface FlowStreams {
  /** Follows a flow after a revision, up to the event that ends it. */
  open(
    flow: { id: string; namespace: string },
    after: number,
    kinds: readonly EventKind[] | undefined,
  ): EventStream
}

export function createFlowStreams(
  committer: Committer,
  watch: Watch,
  read: EventReader,
): FlowStreams {
  const followers = new Map<string, Set<Follower>>()

  committer.onCommit((changes) => {
    if (followers.size === 0) return
    for (const { flow, events } of changes) {
      const own = followers.get(flow.id)
      if (own === undefined) continue
      // Made once: all followers of the flow get the same.
      const items = events().map((event) => itemOf({ ...event, final: isClosing(event.kind) }))
      for (const follower of own) follower.take(items)
    }
  })

  /** Those who ask for the same read the same: what is made of it is made once, too. */
  const made = new WeakMap<readonly FollowedEvent[], readonly Followed[]>()

  async function readItems(request: EventsRequest): Promise<readonly Followed[]> {
    const events = await read(request)
    const known = made.get(events)
    if (known !== undefined) return known
    const items = events.map(itemOf)
    made.set(events, items)
    return items
  }

  return {
    open({ id: flowId, namespace }, from, kinds) {
      let sink: Sink | null = null
      let reading = false
      let again = false
      let closed = false
      /** What was committed here while the follower read. */
      let held: (readonly Followed[])[] = []
      let release: () => void = () => {}

      const follower: Follower = {
        after: from,
        take(items) {
          if (!reading) {
            if (!pass(items)) void catchUp()
          } else if (held.length < mostHeld) held.push(items)
          else again = true
        },
      }

      /** Sends what continues the stream; false when something before it is missing. */
      function pass(items: readonly Followed[]): boolean {
        if (closed || sink === null) return true
        const next = follower.after + 1
        const begin = items.findIndex(({ event }) => event.revision >= next)
        if (begin < 0) return true
        if (items[begin]?.event.revision !== next) return false
        const last = items.findIndex(({ final }, i) => i >= begin && final)
        const end = last < 0 ? items.length : last + 1
        // The array itself when nothing is left out, so that its text is made once for all.
        const fresh = begin === 0 && end === items.length ? items : items.slice(begin, end)
        const wanted =
          kinds === undefined ? fresh : fresh.filter(({ event }) => kinds.includes(event.kind))
        follower.after = fresh.at(-1)?.event.revision ?? follower.after
        if (wanted.length > 0) sink.send(wanted)
        if (last >= 0 && !closed) {
          sink.end()
          close()
        }
        return true
      }

      /** Reads until nothing is left, at the pace of the receiver. One at a time. */
      async function catchUp(): Promise<void> {
        again = true
        if (reading || closed) return
        reading = true
        while (again && !closed) {
          again = false
          try {
            const items = await readItems({
              namespace,
              flow_id: flowId,
              after: follower.after,
            })
            pass(items)
            if (items.length === readLimit) again = true
            if (items.length > 0) await sink?.drained()
          } catch {
            // Readiness and the loops tell of a database that is away.
            await pauseAfterFailure()
            again = true
          }
          const since = held
          held = []
          for (const items of since) if (!again && !pass(items)) again = true
        }
        reading = false
      }

      function close(): void {
        if (closed) return
        closed = true
        release()
      }

      return {
        start(to) {
          if (closed) return
          sink = to
          const own = followers.get(flowId) ?? new Set()
          followers.set(flowId, own.add(follower))
          const unfollow = watch.follow(flowId, {
            known: () => follower.after,
            wake: () => void catchUp(),
          })
          release = () => {
            unfollow()
            own.delete(follower)
            if (own.size === 0 && followers.get(flowId) === own) followers.delete(flowId)
          }
          // Following began before this read, so that no commit can fall between the two.
          void catchUp()
        },
        position: () => (follower.after < 0 ? null : String(follower.after)),
        close,
      }
    },
  }
}

function itemOf({ final, ...event }: FollowedEvent): Followed {
  return { position: String(event.revision), event, final }
}

// One reader of a namespace's feed for all who follow it: what is new is read once and handed to
// everybody at once. Who joins late catches up by reads of its own until it meets the reader.

import type { EventKind } from '../domain/event.ts'
import type { Scope } from '../store/db.ts'
import {
  type FeedEvent,
  type FeedPosition,
  feedHorizon,
  isBehind,
  readFeed,
} from '../store/events.ts'
import type { Caller } from './change.ts'
import type { FlowFacts, SeenBy } from './flow-facts.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'
import { isNarrow, sightOf } from './sight.ts'
import { pauseAfterFailure, type Sink, type StreamItem } from './stream.ts'

export interface FeedMember {
  /** Everything up to here has been sent, as far as it was asked for. */
  place(): FeedPosition
  close(): void
}

export interface FeedHub {
  join(
    after: FeedPosition,
    want: { caller: Caller; kind?: readonly EventKind[] },
    sink: Sink,
  ): FeedMember
  /** Something was committed, here or elsewhere. */
  wake(): void
  stop(): Promise<void>
}

export interface FeedHubOptions {
  scope: Scope
  facts: FlowFacts
  namespace: string
  encode: (place: FeedPosition) => string
  /** The last one has left: nothing is read any more. */
  onEmpty: () => void
  report: Report
}

/** Those who want the same kinds of the same flows get the same array. */
interface Group {
  kinds: ReadonlySet<EventKind> | null
  /** Only events of flows that this caller sees; of all when null. */
  narrow: Caller | null
  sinks: Set<Sink>
}

/** Events in one read. */
const pieceSize = 200
/** The reader rests so long after a read, in milliseconds: commits that come close together are read together. */
const rest = 15
/** How often it looks without being woken, in milliseconds. */
const lookEvery = 1_000

export function createFeedHub({
  scope,
  facts,
  namespace,
  encode,
  onEmpty,
  report,
}: FeedHubOptions): FeedHub {
  const groups = new Map<string, Group>()
  let members = 0
  let stopped = false
  /** Everything up to here has been handed out; null before the first read. */
  let place: FeedPosition | null = null
  /** Counts changes of what has to be read. */
  let wants = 0
  let lastRead = 0
  /** Grows while what woke the reader cannot be seen yet: an older transaction is open. */
  let patience = lookEvery
  let moved: (() => void)[] = []

  const loop = createLoop({ name: 'feed', interval: lookEvery, report, pass })

  async function pass(): Promise<number> {
    const early = lastRead + rest - performance.now()
    if (early > 0) return early
    lastRead = performance.now()
    if (place === null) {
      move(await feedHorizon(scope))
      return 0
    }
    const wanted = wants
    const kinds = wantedKinds()
    const piece = await readFeed(scope, { namespace, kinds, after: place, limit: pieceSize })
    const seenBy = anyNarrow() ? await facts.learn(namespace, piece.events) : null
    // Somebody came meanwhile who wants more of the same piece.
    if (wanted !== wants) return 0
    if (piece.events.length > 0) {
      for (const group of groups.values()) handOut(group, piece.events, seenBy)
      patience = rest
    }
    move(piece.position)
    if (piece.full) {
      lastRead = 0
      return 0
    }
    patience = Math.min(lookEvery, patience * 2)
    return patience
  }

  function move(to: FeedPosition): void {
    place = to
    const waiting = moved
    moved = []
    for (const resolve of waiting) resolve()
  }

  /** What the groups want together; null for all kinds. */
  function wantedKinds(): EventKind[] | null {
    const all = new Set<EventKind>()
    for (const { kinds } of groups.values()) {
      if (kinds === null) return null
      for (const kind of kinds) all.add(kind)
    }
    return [...all]
  }

  function anyNarrow(): boolean {
    for (const { narrow } of groups.values()) if (narrow !== null) return true
    return false
  }

  function handOut(
    { kinds, narrow, sinks }: Group,
    events: readonly FeedEvent[],
    seenBy: SeenBy | null,
  ): void {
    const seen =
      narrow === null ? events : events.filter((event) => seenBy?.(narrow, event) === true)
    const wanted = kinds === null ? seen : seen.filter(({ kind }) => kinds.has(kind))
    if (wanted.length === 0) return
    const items = wanted.map(itemOf)
    for (const sink of sinks) sink.send(items)
  }

  function itemOf(event: FeedEvent): StreamItem {
    return { position: encode(event), event }
  }

  function groupOf(kinds: readonly EventKind[] | undefined, narrow: Caller | null): Group {
    const sorted = kinds === undefined ? null : [...new Set(kinds)].sort()
    const name = JSON.stringify([sorted, narrow && sightOf(narrow)])
    let group = groups.get(name)
    if (group === undefined) {
      group = { kinds: sorted === null ? null : new Set(sorted), narrow, sinks: new Set() }
      groups.set(name, group)
      wants++
    }
    return group
  }

  return {
    join(after, { caller, kind: kinds }, sink) {
      const narrow = isNarrow(caller) ? caller : null
      let at = after
      let group: Group | null = null
      let closed = false
      members++
      loop.start()
      void catchUp()

      async function catchUp(): Promise<void> {
        while (group === null && !closed && !stopped) {
          if (place === null || isBehind(at, place)) {
            loop.nudge(0)
            await new Promise<void>((resolve) => moved.push(resolve))
            continue
          }
          const until = place
          try {
            await readUntil(until)
          } catch {
            // Readiness and the loops tell of a database that is away.
            await pauseAfterFailure()
            continue
          }
          // Nothing is awaited in between: the reader cannot have moved on without this member.
          if (closed || place !== until) continue
          group = groupOf(kinds, narrow)
          group.sinks.add(sink)
        }
      }

      /** Sends everything up to a place, at the pace of the receiver. */
      async function readUntil(until: FeedPosition): Promise<void> {
        for (;;) {
          const piece = await readFeed(scope, {
            namespace,
            kinds: kinds ?? null,
            after: at,
            until,
            limit: pieceSize,
          })
          const events = await facts.visible(caller, piece.events)
          if (closed) return
          if (events.length > 0) sink.send(events.map(itemOf))
          at = piece.position
          if (events.length > 0) await sink.drained()
          if (!piece.full || closed) return
        }
      }

      return {
        place: () => (group !== null && place !== null ? place : at),
        close() {
          if (closed) return
          closed = true
          members--
          if (group !== null) {
            group.sinks.delete(sink)
            if (group.sinks.size === 0) {
              for (const [name, one] of groups) if (one === group) groups.delete(name)
            }
          }
          if (members === 0) onEmpty()
        },
      }
    },
    wake() {
      patience = rest
      loop.nudge(Math.max(0, lastRead + rest - performance.now()))
    },
    async stop() {
      stopped = true
      await loop.stop()
    },
  }
}

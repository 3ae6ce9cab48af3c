// Streams of events as the transports see them: of one flow, and of all flows of a namespace.

import { invalid } from '../domain/errors.ts'
import type { EventKind } from '../domain/event.ts'
import { type FlowRecord, isTerminal } from '../domain/flow.ts'
import type { Scope } from '../store/db.ts'
import {
  closingRevision,
  type FeedPosition,
  feedHorizon,
  isBehind,
  listEvents,
} from '../store/events.ts'
import type { Caller } from './change.ts'
import type { Committer } from './committer.ts'
import type { CursorPointer } from './cursor.ts'
import { createEventReader } from './event-reader.ts'
import { createFeedHub, type FeedHub } from './feed-hub.ts'
import { type FeedPositions, voidPosition } from './feed-position.ts'
import type { FlowFacts } from './flow-facts.ts'
import { createFlowStreams } from './flow-streams.ts'
import type { Flows } from './flows.ts'
import type { Hints } from './hints.ts'
import type { Report } from './notice.ts'
import { createStreamQuota, type StreamLimits } from './quota.ts'
import type { EventStream, Sink } from './stream.ts'
import type { Watch } from './watch.ts'

export interface Streams {
  /**
   * The events of a flow behind a revision, from its first event on without one, up to the event that
   * ends it. Answers null when the flow has ended and nothing is left to send. Throws `not_found`,
   * `invalid_request`, `quota_exceeded`, `overloaded`.
   */
  flow(
    caller: Caller,
    flowId: string,
    from: { after?: number; kind?: EventKind[]; pointer: '?after' | 'last-event-id' },
  ): Promise<EventStream | null>
  /** The events of all flows behind a position; from now on without one. It does not end by itself. */
  feed(
    caller: Caller,
    from: { after?: string; kind?: EventKind[]; pointer: CursorPointer },
  ): Promise<EventStream>
  /**
   * Resolves as soon as there is an event behind a place of the feed, at the latest after `ms`
   * milliseconds or when the signal aborts.
   */
  nextInFeed(
    caller: Caller,
    from: { after: FeedPosition; kind?: EventKind[] },
    ms: number,
    signal: AbortSignal,
  ): Promise<void>
  /** Streams that are open. */
  count(): number
  stop(): Promise<void>
}

export interface StreamsOptions {
  scope: Scope
  committer: Committer
  facts: FlowFacts
  flows: Flows
  watch: Watch
  hints: Hints
  positions: () => Promise<FeedPositions>
  limits: StreamLimits
  readsInFlight: number
  report: Report
}

export function createStreams(options: StreamsOptions): Streams {
  const { scope, committer, facts, flows, watch, hints, positions, report } = options
  const quota = createStreamQuota(options.limits)
  const read = createEventReader(scope, options.readsInFlight)
  const flowStreams = createFlowStreams(committer, watch, read)
  const hubs = new Map<string, FeedHub>()
  const wakeHubs = () => {
    for (const hub of hubs.values()) hub.wake()
  }
  committer.onCommit(wakeHubs)
  hints.subscribe('flows', wakeHubs)

  function hubOf(namespace: string, encode: (place: FeedPosition) => string): FeedHub {
    let hub = hubs.get(namespace)
    if (hub === undefined) {
      const made = createFeedHub({
        scope,
        facts,
        namespace,
        encode,
        report,
        onEmpty() {
          hubs.delete(namespace)
          void made.stop()
        },
      })
      hub = made
      hubs.set(namespace, made)
    }
    return hub
  }

  return {
    async flow(caller, flowId, { after = -1, kind, pointer }) {
      const giveBack = quota.take(caller)
      try {
        const flow = await flows.get(caller, flowId)
        if (after > flow.revision) {
          throw invalid(
            pointer,
            'out_of_range',
            `The flow is at revision ${flow.revision}: follow it from there, or from its first event on.`,
          )
        }
        if (isTerminal(flow.status) && !(await hasMore(flow, after, kind))) {
          giveBack()
          return null
        }
        const stream = flowStreams.open(flow, after, kind)
        return { ...stream, close: both(stream.close, giveBack) }
      } catch (error) {
        giveBack()
        throw error
      }
    },

    async feed(caller, { after, kind, pointer }) {
      const giveBack = quota.take(caller)
      try {
        const { encode, decode } = await positions()
        const { namespace } = caller
        // Before the look at what can be read now: what can be read then is no older.
        const given = after === undefined ? null : decode(namespace, after, pointer)
        const now = await feedHorizon(scope)
        if (given !== null && isBehind(given, now)) throw voidPosition(pointer)
        const from = given ?? now
        const encodeHere = (place: FeedPosition) => encode(namespace, place)
        let leave: (() => void) | null = null
        let place = () => from
        return {
          start(sink) {
            const member = hubOf(namespace, encodeHere).join(
              from,
              { caller, ...(kind && { kind }) },
              sink,
            )
            leave = member.close
            place = member.place
          },
          position: () => encodeHere(place()),
          close() {
            leave?.()
            giveBack()
          },
        }
      } catch (error) {
        giveBack()
        throw error
      }
    },

    async nextInFeed(caller, { after, kind }, ms, signal) {
      const { encode } = await positions()
      const { namespace } = caller
      const hub = hubOf(namespace, (place) => encode(namespace, place))
      await new Promise<void>((resolve) => {
        const timer = setTimeout(end, ms)
        signal.addEventListener('abort', end)
        const sink: Sink = { send: end, drained: async () => {}, end }
        const member = hub.join(after, { caller, ...(kind && { kind }) }, sink)
        if (signal.aborted) end()
        function end(): void {
          clearTimeout(timer)
          signal.removeEventListener('abort', end)
          resolve()
          // The hub may be in the midst of handing out.
          setImmediate(() => member.close())
        }
      })
    },

    count: quota.taken,
    async stop() {
      await Promise.all([...hubs.values()].map((hub) => hub.stop()))
    },
  }

  /** Whether a flow that has ended has events to send behind a revision. */
  async function hasMore(
    { namespace, id: flow_id }: FlowRecord,
    after: number,
    kinds?: EventKind[],
  ): Promise<boolean> {
    const end = await closingRevision(scope, namespace, flow_id)
    if (end === null || after >= end) return false
    const [next] = await listEvents(scope, {
      namespace,
      flow_id,
      ...(kinds !== undefined && { kinds }),
      after,
      limit: 1,
    })
    return next !== undefined && next.revision <= end
  }
}

function both(one: () => void, other: () => void): () => void {
  return () => {
    one()
    other()
  }
}

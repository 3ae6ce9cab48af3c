// Publishes every audit event to somewhere else, in commit order and at least once: the log is the
// outbox, and a stored position says how far it is published.

import { randomUUID } from 'node:crypto'
import { type Scope, writerOf } from '../store/db.ts'
import type { FeedPosition } from '../store/events.ts'
import {
  advancePublisher,
  claimPublisher,
  ensurePublisher,
  listPublished,
  type PublishedEvent,
  releasePublisher,
} from '../store/publishers.ts'
import { nowhere } from '../store/wall.ts'
import type { Committer } from './committer.ts'
import type { Hints } from './hints.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'

export type { PublishedEvent } from '../store/publishers.ts'

export interface PublisherOptions {
  /** The name of its position: it goes on from there whoever runs it. */
  name: string
  /**
   * Resolves when all of them are safe at their receiver. They come again when it throws, and may
   * come again after it resolved.
   */
  publish: (events: readonly PublishedEvent[]) => Promise<void>
  /** How long the work stays with a process that has fallen silent, in milliseconds. */
  lease?: number
  /** Events given to `publish` at once. */
  batchSize?: number
}

/** Of several processes with the same publisher one works, and another takes over when it dies. */
export interface Publisher {
  start(): void
  /** Resolves when the batch under way has ended and the work is free for another process. */
  stop(): Promise<void>
}

/** Longest wait for events that nobody hinted at, in milliseconds. */
const interval = 250
/** Between two looks at whether the work is free, in milliseconds. */
const standby = 1_000
/** After a commit here, in milliseconds: those that follow at once go out together. */
const gathering = 5

interface PublisherParts {
  scope: Scope
  committer: Committer
  hints: Hints
  report: Report
}

export function createPublisher(
  { scope, committer, hints, report }: PublisherParts,
  { name, publish, lease = 15_000, batchSize = 256 }: PublisherOptions,
): Publisher {
  const token = randomUUID()
  let known = false
  let held: { position: FeedPosition; renewAt: number } | null = null

  const wake = () => {
    if (held !== null) loop.nudge(gathering)
  }
  committer.onCommit(wake)
  hints.subscribe('flows', wake)

  async function hold(): Promise<boolean> {
    if (held !== null && performance.now() < held.renewAt) return true
    if (!known) await ensurePublisher(scope, name)
    known = true
    const renewAt = performance.now() + lease / 3
    const position = await claimPublisher(writerOf(scope, nowhere), { name, token, ms: lease })
    held = position === null ? null : { position, renewAt }
    return held !== null
  }

  async function release(): Promise<void> {
    if (held === null) return
    held = null
    await releasePublisher(writerOf(scope, nowhere), { name, token })
  }

  const loop = createLoop({
    name: `publisher ${name}`,
    interval: standby,
    report,
    async pass() {
      if (!(await hold()) || held === null) return standby
      const events = await listPublished(scope, { after: held.position, limit: batchSize })
      const last = events.at(-1)
      if (last === undefined) return interval
      try {
        await publish(events)
      } catch (error) {
        // Another process may have a way to the receiver that this one lacks.
        await release().catch(() => {})
        throw error
      }
      const position = { xid: last.xid, flow_id: last.flow_id, revision: last.revision }
      const renewAt = performance.now() + lease / 3
      // The token is the fence: who was taken over publishes once more at most and moves nothing.
      const moved = await advancePublisher(writerOf(scope, nowhere), {
        name,
        token,
        ms: lease,
        position,
      })
      held = moved ? { position, renewAt } : null
      return events.length === batchSize || !moved ? 0 : interval
    },
  })

  return {
    start: loop.start,
    async stop() {
      await loop.stop()
      // A lease that cannot be given back ends by itself.
      await release().catch(() => {})
    },
  }
}

// Deletes flows that ended long ago: a little at a time, and less while callers wait.

import { randomUUID } from 'node:crypto'
import type { Scope } from '../store/db.ts'
import { faultOf } from '../store/errors.ts'
import {
  deleteOldFlows,
  type RetentionKind,
  type RetentionPlace,
  releaseRetention,
} from '../store/flow-retention.ts'
import type { Committer } from './committer.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'

/** How long flows are kept, in milliseconds. */
export interface FlowRetention {
  /** After their end, when they do not say otherwise; null: for ever. */
  flows: number | null
  /** The least and the most that a flow may ask for. */
  min: number
  max: number
}

const day = 86_400_000
export const defaultFlowRetention: FlowRetention = { flows: 90 * day, min: day, max: 3650 * day }

/** Between two passes over everything, in milliseconds. */
const interval = 60_000
/** How long the work is another process's when nothing is heard of whoever has it, in milliseconds. */
const lease = 120_000

/**
 * The size of a transaction follows from how long the last one took: so long, in milliseconds, that
 * commits of others are not held up by what it writes.
 */
const target = 15
const sizes = { first: 50, min: 5, max: 500 }
/** The share of the time in which something is deleted; a third of that while callers wait. */
const duty = 0.2
const pauses = { min: 20, max: 2_000 }

/** The next size, by how long the last transaction took. */
export function nextSize(size: number, took: number): number {
  const wanted = Math.round(size * Math.min(2, Math.max(0.5, target / Math.max(1, took))))
  return Math.min(sizes.max, Math.max(sizes.min, wanted))
}

/** The pause after a transaction, in milliseconds. */
export function nextPause(took: number, busy: boolean): number {
  const rest = took * (1 / duty - 1) * (busy ? 3 : 1)
  return Math.min(pauses.max, Math.max(pauses.min, rest))
}

export function createFlowRetention(
  scope: Scope,
  retention: FlowRetention,
  committer: Pick<Committer, 'status'>,
  report: Report,
): Loop {
  const token = randomUUID()
  const kinds: RetentionKind[] = retention.flows === null ? ['own'] : ['default', 'own']
  let size = sizes.first
  let turn = 0
  let after: RetentionPlace | null = null
  let heldBack = 0

  async function pass(): Promise<number> {
    const kind = kinds[turn] as RetentionKind
    const began = performance.now()
    const done = await remove(kind)
    const took = performance.now() - began
    if (done === 'later') return pauses.max
    if (done === null) return restart()
    heldBack += done.held_back
    if (done.deleted > 0) report({ type: 'old_flows_deleted', count: done.deleted })
    const more = done.scanned === size
    size = nextSize(size, took)
    after = more ? done.last : null
    if (!more) turn++
    if (turn === kinds.length) {
      if (heldBack > 0) report({ type: 'old_flows_held_back', count: heldBack })
      await releaseRetention(scope, token, heldBack)
      return restart()
    }
    return done.scanned === 0 ? 0 : nextPause(took, committer.status().queued > 0)
  }

  async function remove(kind: RetentionKind) {
    const limits = { retention: retention.flows ?? 0, limit: size, token, lease }
    try {
      return await deleteOldFlows(scope, { kind, after, ...limits })
    } catch (error) {
      if (faultOf(error) !== 'retry') throw error
      // Somebody works on a row of a flow that is to go: with fewer flows it is met less often.
      size = sizes.min
      return 'later'
    }
  }

  /** What was left the last time is looked at again in the next pass over everything. */
  function restart(): number {
    turn = 0
    after = null
    heldBack = 0
    return interval
  }

  const loop = createLoop({ name: 'flow-retention', interval, report, pass })
  return {
    ...loop,
    async stop() {
      await loop.stop()
      await releaseRetention(scope, token, null).catch(() => {})
    },
  }
}

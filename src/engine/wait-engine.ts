// Fires what is due: timers and sticky cancels.

import { waitEngineActor } from '../domain/decide.ts'
import { FlowError } from '../domain/errors.ts'
import type { Timestamp } from '../domain/time.ts'
import { readerOf, type Scope } from '../store/db.ts'
import { readNextDue } from '../store/due.ts'
import { everywhere } from '../store/wall.ts'
import type { Committer } from './committer.ts'
import type { Fired } from './fired.ts'
import { createLoop } from './loop.ts'
import { createLowWater } from './low-water.ts'
import type { Report } from './notice.ts'

export interface TickReport {
  /** Flows that were due and locked by this tick. */
  scanned: number
  resumed: number
  cancelled: number
  /** Looked at, and not to be changed. */
  still_waiting: number
  /** Could not be fired; each is reported as a notice and tried again or set aside. */
  errors: number
}

export interface WaitEngineStatus {
  running: boolean
  last_tick_at: Timestamp | null
  last_report: TickReport | null
  /** Milliseconds until the earliest timer known, or null when there is none. */
  next_due_in_ms: number | null
  fired_total: number
}

export interface WaitEngine {
  /** Fires everything due at `now` (the database's now when absent), batch by batch. */
  tick(now?: Timestamp): Promise<TickReport>
  status(): WaitEngineStatus
  start(): void
  stop(): Promise<void>
}

export interface WaitEngineOptions {
  scope: Scope
  committer: Committer
  /** Flows in one batch. */
  batchSize: number
  /** The longest sleep, in milliseconds: bounds the lateness of timers set by other processes. */
  interval: number
  report: Report
}

/** Transactions of the tick at once, while there is more than one batch to fire. */
export const tickLanes = 2
/** How often a due flow is tried before it is set aside. */
const maxFailures = 5
/** How long a flow that failed is left alone, in milliseconds, doubled with each failure. */
const firstPause = 100
/** How long one that cannot even be set aside is left alone, in milliseconds. */
const lastPause = 60_000
/** How long a flow that was due with nothing to do is left alone, in milliseconds. */
const unchangedPause = 1_000
/** Before looking again at flows that are due and locked elsewhere, in milliseconds. */
const lockedPause = 50

interface Failing {
  failures: number
  /** When it may be tried again, on the process's monotonic clock. */
  until: number
}

export function createWaitEngine(options: WaitEngineOptions): WaitEngine {
  const { scope, committer, batchSize, report } = options
  const failing = new Map<string, Failing>()
  const mark = createLowWater()
  let lastTickAt: Timestamp | null = null
  let lastReport: TickReport | null = null
  let nextDue: number | null = null
  let fired = 0
  let started = false

  const loop = createLoop({ name: 'wait-engine', pass, interval: options.interval, report })
  committer.onCommit((changes) => {
    let soonest = Number.POSITIVE_INFINITY
    for (const { flow, now } of changes) {
      if (flow.wake_at !== null) {
        soonest = Math.min(soonest, Date.parse(flow.wake_at) - Date.parse(now))
      }
    }
    if (soonest < Number.POSITIVE_INFINITY) loop.nudge(Math.max(0, soonest))
  })

  /** Flows that are left alone for now. */
  function resting(now: number): string[] {
    return [...failing].flatMap(([id, { until }]) => (until > now ? [id] : []))
  }

  /**
   * One pass of the loop: fires what is due and answers how long nothing will be. An idle pass is one
   * statement that reads one index entry.
   */
  async function pass(): Promise<number> {
    const from = mark.from()
    const looked = performance.now()
    const next = await readNextDue(readerOf(scope, everywhere), { from, except: resting(looked) })
    nextDue = next.in_ms
    if (nextDue !== null && nextDue <= 0) {
      const done = await fireAll(null, from)
      return done.scanned > 0 ? 0 : lockedPause
    }
    // Nothing is due, so those that had rested when it was looked are not due either. One that has
    // rested only since then was left out of the look: its failures must not be forgotten.
    for (const [id, { until }] of failing) if (until <= looked) failing.delete(id)
    const now = performance.now()
    // Everything older is gone or rests.
    mark.drained(from, next.now)
    const rested = Math.min(...[...failing.values()].map(({ until }) => until - now))
    return Math.min(nextDue ?? options.interval, rested)
  }

  /** Fires batches as long as they are full. */
  async function fireAll(now: Timestamp | null, from: Timestamp | null): Promise<TickReport> {
    const total: TickReport = { scanned: 0, resumed: 0, cancelled: 0, still_waiting: 0, errors: 0 }
    const fireBatch = async (): Promise<boolean> => {
      const except = resting(performance.now())
      const batch = await committer.fireDue({ now, from, limit: batchSize, except })
      for (const one of batch) await count(one, total)
      return batch.length === batchSize
    }
    const drain = async (): Promise<void> => {
      while (await fireBatch());
    }
    if (await fireBatch()) {
      // While one batch is decided here, the server works on another. All must have ended before
      // this does: a stop must not leave one behind.
      for (const lane of await Promise.allSettled(Array.from({ length: tickLanes }, drain))) {
        if (lane.status === 'rejected') throw lane.reason
      }
    }
    lastTickAt = now ?? new Date().toISOString()
    lastReport = total
    fired += total.resumed + total.cancelled
    if (total.scanned > 0) report({ type: 'tick_ended', ...total })
    return total
  }

  async function count(one: Fired, total: TickReport): Promise<void> {
    total.scanned++
    if ('error' in one) {
      total.errors++
      await handleFailure(one)
      return
    }
    failing.delete(one.flow_id)
    const { outcome, flow } = one.reply
    if (outcome === 'unchanged') {
      total.still_waiting++
      // Due by its row, yet nothing to do: it must not be found again at once.
      failing.set(flow.id, { failures: 0, until: performance.now() + unchangedPause })
    } else if (outcome === 'set_aside') {
      total.errors++
      report({
        type: 'flow_quarantined',
        flow_id: flow.id,
        reason: 'its wait cannot be read',
      })
    } else if (flow.status === 'cancelled') total.cancelled++
    // A timer was one of several things that are waited for.
    else if (flow.status === 'waiting') total.still_waiting++
    else total.resumed++
  }

  /** Leaves a failing flow alone for a while; after enough failures, sets it aside for good. */
  async function handleFailure({
    flow_id: flowId,
    namespace,
    error: cause,
  }: Extract<Fired, { error: unknown }>): Promise<void> {
    // Not the flow's own fault: it is tried with the next pass.
    if (cause instanceof FlowError && cause.code !== 'internal') return
    const failures = (failing.get(flowId)?.failures ?? 0) + 1
    failing.set(flowId, { failures, until: performance.now() + firstPause * 2 ** failures })
    report({ type: 'fire_failed', flow_id: flowId, failures, cause })
    if (failures < maxFailures) return
    const reason = `it could not be fired ${failures} times`
    try {
      await committer.submit({
        type: 'change',
        caller: { namespace, actor: waitEngineActor },
        keep: null,
        flow_id: flowId,
        command: { type: 'quarantine', reason },
        if_match: null,
      })
      failing.delete(flowId)
      report({ type: 'flow_quarantined', flow_id: flowId, reason })
    } catch (error) {
      // The database refuses even that. The others must not wait for it.
      failing.set(flowId, { failures, until: performance.now() + lastPause })
      report({ type: 'fire_failed', flow_id: flowId, failures, cause: error })
    }
  }

  return {
    tick: (now) => fireAll(now ?? null, null),
    status: () => ({
      running: started,
      last_tick_at: lastTickAt,
      last_report: lastReport,
      next_due_in_ms: nextDue === null ? null : Math.ceil(nextDue),
      fired_total: fired,
    }),
    start() {
      started = true
      loop.start()
    },
    async stop() {
      started = false
      await loop.stop()
    },
  }
}

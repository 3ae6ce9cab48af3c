// Lets time act on steps: delays that are over, leases that ended without a word, time-outs. A lost step
// is run again by another worker; a dead one is its flow's business, and goes through the committer.

import { waitEngineActor } from '../domain/decide.ts'
import { FlowError } from '../domain/errors.ts'
import type { AttemptRecord, StepRecord } from '../domain/step.ts'
import { attemptOf, retried, stepDue } from '../domain/step-life.ts'
import type { Timestamp } from '../domain/time.ts'
import { inTransaction, readerOf, type Scope, writerOf } from '../store/db.ts'
import { lockDueSteps, promoteSteps, type ReadyGroup, readNextDueStep } from '../store/due-steps.ts'
import { insertAttempts, updateSteps } from '../store/steps.ts'
import { everywhere } from '../store/wall.ts'
import type { Committer } from './committer.ts'
import { createLoop } from './loop.ts'
import { createLowWater } from './low-water.ts'
import type { Report } from './notice.ts'

export interface SweepReport {
  /** Steps whose delay was over. */
  promoted: number
  /** Steps that are to be run again. */
  rescued: number
  /** Steps that are dead, or whose flow is to end. */
  ended: number
}

/** Attempts that ended without a report. */
type Lost = Record<'lease_expired' | 'timed_out', number>

export interface StepSweeper {
  /** Acts on everything due at `now` (the database's now when absent). */
  sweep(now?: Timestamp): Promise<SweepReport>
  /** Asks for a look in so many milliseconds. */
  nudge(ms: number): void
  status(): { rescued_total: number; next_due_in_ms: number | null }
  start(): void
  stop(): Promise<void>
}

/** Steps in one transaction. */
const batchSize = 500
/** The longest sleep, in milliseconds: bounds the lateness of what other processes claimed. */
const interval = 1_000
/** Before looking again at steps that are due and could not be ended, in milliseconds. */
const stuckPause = 500

/** @param onReady told where steps became claimable. */
export function createStepSweeper(
  scope: Scope,
  committer: Committer,
  report: Report,
  onReady: (groups: readonly ReadyGroup[]) => void,
): StepSweeper {
  const mark = createLowWater()
  let rescued = 0
  let nextDue: number | null = null

  const loop = createLoop({ name: 'step-sweeper', interval, report, pass })
  committer.onSteps((steps) => {
    if (steps === null) return loop.nudge(0)
    let soonest = Number.POSITIVE_INFINITY
    for (const { wake_at, updated_at } of steps) {
      if (wake_at === null) continue
      soonest = Math.min(soonest, Date.parse(wake_at) - Date.parse(updated_at))
    }
    if (soonest < interval) loop.nudge(Math.max(0, soonest))
  })

  async function pass(): Promise<number> {
    const from = mark.from()
    const next = await readNextDueStep(readerOf(scope, everywhere), from)
    nextDue = next.in_ms
    if (nextDue === null || nextDue > 0) {
      mark.drained(from, next.now)
      return Math.min(nextDue ?? interval, interval)
    }
    const { promoted, rescued: saved, ended } = await sweepAll(null, from)
    return promoted + saved + ended > 0 ? 0 : stuckPause
  }

  async function sweepAll(now: Timestamp | null, from: Timestamp | null): Promise<SweepReport> {
    const total: SweepReport = { promoted: 0, rescued: 0, ended: 0 }
    const query = { now, from, limit: batchSize }
    for (;;) {
      const groups = await promoteSteps(writerOf(scope, everywhere), query)
      total.promoted += groups.length
      if (groups.length > 0) onReady(groups)
      if (groups.length < batchSize) break
    }
    for (;;) {
      const { found, saved, final, lost } = await rescue(query)
      if (found > 0) report({ type: 'leases_lost', ...lost })
      total.rescued += saved
      rescued += saved
      const ended = await Promise.all(final.map(end))
      const done = ended.filter(Boolean).length
      total.ended += done
      if (found < batchSize || saved + done === 0) break
    }
    return total
  }

  /** Puts back what another attempt may follow; names what only a flow can end. */
  async function rescue(query: {
    now: Timestamp | null
    from: Timestamp | null
    limit: number
  }): Promise<{ found: number; saved: number; final: StepRecord[]; lost: Lost }> {
    return inTransaction(scope, everywhere, async (runner) => {
      const { now, steps } = await lockDueSteps(runner, query)
      const again: StepRecord[] = []
      const attempts: AttemptRecord[] = []
      const final: StepRecord[] = []
      const lost: Lost = { lease_expired: 0, timed_out: 0 }
      for (const step of steps) {
        const due = stepDue(step, now)
        if (due.type === 'none') continue
        if (due.type === 'attempt_over') lost[due.outcome]++
        const next =
          due.type === 'attempt_over' && !step.cancel_requested
            ? retried(step, due.outcome, due.error, now, Math.random())
            : null
        if (next === null || due.type !== 'attempt_over') {
          final.push(step)
          continue
        }
        again.push(next)
        attempts.push(attemptOf(step, due.outcome, due.error, now))
      }
      if (again.length > 0) {
        await updateSteps(runner, again)
        await insertAttempts(runner, attempts)
      }
      return { found: steps.length, saved: again.length, final, lost }
    })
  }

  /** Lets the flow of a step decide on its end. Answers whether it did. */
  async function end(step: StepRecord): Promise<boolean> {
    try {
      const { outcome } = await committer.submit({
        type: 'change',
        caller: { namespace: step.namespace, actor: waitEngineActor },
        keep: null,
        flow_id: step.flow_id,
        command: { type: 'expire_step', step_id: step.id, random: Math.random(), known: null },
        if_match: null,
      })
      return outcome !== 'unchanged'
    } catch (cause) {
      const own = !(cause instanceof FlowError) || cause.code === 'internal'
      if (own) report({ type: 'step_stuck', step_id: step.id, cause })
      return false
    }
  }

  return {
    sweep: (now) => sweepAll(now ?? null, null),
    nudge: (ms) => loop.nudge(ms),
    status: () => ({
      rescued_total: rescued,
      next_due_in_ms: nextDue === null ? null : Math.ceil(nextDue),
    }),
    start: () => loop.start(),
    stop: () => loop.stop(),
  }
}

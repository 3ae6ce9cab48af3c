// One transaction of a batch, from lock to COMMIT, and what became of it.

import { FlowError } from '../domain/errors.ts'
import { type BatchClient, hasCommitted, rollBack, type Saved, saveBatch } from '../store/batch.ts'
import { type Locked, type LockRequest, lockBatch } from '../store/batch-lock.ts'
import { connectWriter, type Scope } from '../store/db.ts'
import { isServerError } from '../store/errors.ts'
import { type Plan, planBatch } from './batch.ts'
import type { Item } from './entry.ts'
import { type Offer, settleHandover } from './handover.ts'
import type { Report } from './notice.ts'
import type { SignalLimits } from './signalling.ts'

/** How long to ask for the fate of a transaction, in milliseconds. */
const doubtPatience = 8_000

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

/** What became of a transaction. */
export type Transaction =
  | { outcome: 'committed'; plan: Plan; locked: Locked; saved: Saved | null }
  /** `stale`: the connection had died before anything was sent on it that could matter. */
  | { outcome: 'rolled_back'; cause: unknown; stale: boolean; locked: Locked | null }
  | { outcome: 'unknown'; cause: unknown }

export type Transact = (
  request: LockRequest,
  itemsFor: (locked: Locked) => readonly Item[],
) => Promise<Transaction>

/**
 * A function that runs one transaction: locks what is requested, decides the entries and saves.
 *
 * @param offer asked who waits for the steps that become ready.
 *
 * Throws only what `planBatch` throws, with everything rolled back.
 */
export function createTransactor(
  scope: Scope,
  limits: SignalLimits,
  report: Report,
  offer: Offer,
): Transact {
  return async (request, itemsFor) => {
    let client: BatchClient
    try {
      client = await connectWriter(scope)
    } catch (cause) {
      return { outcome: 'rolled_back', cause, stale: false, locked: null }
    }
    let locked: Locked
    try {
      locked = await lockBatch(scope, client, request)
    } catch (cause) {
      await release(client, cause)
      return { outcome: 'rolled_back', cause, stale: !isServerError(cause), locked: null }
    }
    let plan: Plan
    try {
      plan = planBatch(itemsFor(locked), locked, limits, offer)
    } catch (cause) {
      await release(client, cause)
      throw cause
    }
    const result = await saveBatch(client, plan.changes)
    const nothingCame = () => settleHandover(plan.handover, null)
    if (result.outcome === 'in_doubt') {
      client.release(true)
      const committed = await settleDoubt(locked.xid, result.cause)
      // Not known is as good: should they have been claimed, their leases end by themselves.
      if (committed !== true) nothingCame()
      if (committed === null) return { outcome: 'unknown', cause: result.cause }
      return committed
        ? { outcome: 'committed', plan, locked, saved: result.saved }
        : { outcome: 'rolled_back', cause: result.cause, stale: true, locked }
    }
    client.release()
    if (result.outcome !== 'committed') nothingCame()
    return result.outcome === 'committed'
      ? { outcome: 'committed', plan, locked, saved: result }
      : { outcome: 'rolled_back', cause: result.cause, stale: false, locked }
  }

  /** Gives a connection back after a failure: rolled back if it still works, thrown away if not. */
  async function release(client: BatchClient, cause: unknown): Promise<void> {
    if (!isServerError(cause) && !(cause instanceof FlowError)) return client.release(true)
    try {
      await rollBack(client)
      client.release()
    } catch {
      client.release(true)
    }
  }

  /** Asks the server what became of a transaction; null when that cannot be learnt in time. */
  async function settleDoubt(xid: string, cause: unknown): Promise<boolean | null> {
    const deadline = performance.now() + doubtPatience
    let committed: boolean | null = null
    for (let pause = 20; committed === null && performance.now() < deadline; pause *= 2) {
      try {
        committed = await hasCommitted(scope, xid)
      } catch {
        // The server is still away; its answer after it came back is as good.
      }
      if (committed === null) await sleep(Math.min(pause, 500))
    }
    report({ type: 'commit_in_doubt', xid, committed, cause })
    return committed
  }
}

/** The error when not even the server could be asked what became of a transaction. */
export function outcomeUnknown(cause: unknown): FlowError {
  return new FlowError(
    'unavailable',
    'It is not known whether this change was saved. Read the flow before you send it again.',
    { retry_after: 1 },
    { cause },
  )
}

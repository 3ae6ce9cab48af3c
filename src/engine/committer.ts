// The one way in which flows change: commands gather into batches, and each batch is locked, decided
// and saved in one transaction. Requests that arrive while a transaction is under way make up the
// next batch; nobody waits on a timer and nobody is answered before COMMIT.

import { FlowError } from '../domain/errors.ts'
import type { Saved } from '../store/batch.ts'
import type { Scope } from '../store/db.ts'
import type { DueQuery } from '../store/due.ts'
import { faultOf, toFlowError } from '../store/errors.ts'
import { readFlows } from '../store/flows.ts'
import { announce, type ChangeListener, type StepListener } from './announcement.ts'
import { complete, type Plan, type Verdict } from './batch.ts'
import type { Reply, SignalReply } from './change.ts'
import {
  type ChangeEntry,
  type CreateEntry,
  type Entry,
  type Item,
  itemOf,
  keyText,
  messageBytes,
  type RedeliverEntry,
  resourcesOf,
  type SignalEntry,
} from './entry.ts'
import { type Fired, firedOf, fireEntry } from './fired.ts'
import { type Offer, settleHandover } from './handover.ts'
import { createLane } from './lane.ts'
import { dueRequest, lockRequest } from './lock-request.ts'
import type { Report } from './notice.ts'
import { observed } from './observed-transactions.ts'
import { createQueue, type Task } from './queue.ts'
import type { SignalLimits } from './signalling.ts'
import { createTransactor, outcomeUnknown, type Transaction } from './transaction.ts'

export interface CommitterOptions {
  scope: Scope
  limits: SignalLimits
  /** Transactions at once. */
  inFlight: number
  /** Commands in one transaction; 1 gives one transaction per request, to compare with. */
  batchSize: number
  /** Commands accepted and not yet answered; past it, `overloaded`. */
  queueLimit: number
  report: Report
}

export interface Committer {
  /** Answers after COMMIT. Rejects with a `FlowError`. */
  submit(entry: CreateEntry | ChangeEntry): Promise<Reply>
  submit(entry: SignalEntry | RedeliverEntry): Promise<SignalReply>
  /** Fires what is due, in one transaction where possible. Throws when the database is not there. */
  fireDue(due: DueQuery): Promise<Fired[]>
  /** Called after each COMMIT, before the callers are answered. Must not throw. */
  onCommit(listener: ChangeListener): void
  onSteps(listener: StepListener): void
  /** Asked, before each COMMIT, who waits for what becomes ready with it. Must not throw. */
  onOffer(offer: Offer): void
  status(): { queued: number; in_flight: number; batches_total: number; commands_total: number }
  /** Resolves when everything accepted so far has been answered. */
  drain(): Promise<void>
}

type CommittedTransaction = Extract<Transaction, { outcome: 'committed' }>

interface Pending extends Item, Task {
  resolve(reply: Reply | SignalReply): void
  reject(error: unknown): void
}

/** How often one command is tried before its caller is told to come back. */
const maxAttempts = 4
/** Flows locked elsewhere that are waited for at once. */
export const slowLanes = 2

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))

export function createCommitter(options: CommitterOptions): Committer {
  const { scope, limits, report } = options
  let offer: Offer = () => null
  const transactor = createTransactor(scope, limits, report, (...asked) => offer(...asked))
  const transact = observed(transactor, report)
  // The server's lines give each its turn, those of the queue do not.
  const queue = createQueue<Pending>(options.batchSize, (starved) => runSlow([starved]))
  const slowLane = createLane(slowLanes)
  const listeners: ChangeListener[] = []
  const stepListeners: StepListener[] = []
  let accepted = 0
  let inFlight = 0
  let flushScheduled = false
  let batches = 0
  let commands = 0
  let drained: (() => void)[] = []

  function submit(entry: CreateEntry | ChangeEntry): Promise<Reply>
  function submit(entry: SignalEntry | RedeliverEntry): Promise<SignalReply>
  function submit(entry: Entry): Promise<Reply | SignalReply> {
    if (accepted >= options.queueLimit) {
      return Promise.reject(
        new FlowError(
          'overloaded',
          'The service has more requests than it can take. Send the same request again shortly.',
          { retry_after: 1 },
        ),
      )
    }
    accepted++
    return new Promise<Reply | SignalReply>((resolve, reject) => {
      const item = itemOf(entry)
      const { texts, added, whole, attempts } = item
      const bytes = added + messageBytes(entry)
      const resources = resourcesOf(item)
      queue.push({ entry, texts, added, whole, attempts, bytes, resources, resolve, reject })
      scheduleFlush()
    }).finally(() => {
      accepted--
      if (accepted === 0) {
        for (const resolve of drained) resolve()
        drained = []
      }
    })
  }

  function scheduleFlush(): void {
    if (flushScheduled || queue.length === 0 || inFlight >= options.inFlight) return
    flushScheduled = true
    // Requests that came with this turn of the event loop go together; no later one is waited for.
    setImmediate(() => {
      flushScheduled = false
      if (queue.length === 0 || inFlight >= options.inFlight) return
      const batch = queue.take()
      if (batch.length === 0) return
      inFlight++
      void runBatch(batch, false)
        .catch((error: unknown) => rejectAll(batch, error))
        .finally(() => {
          inFlight--
          queue.free(batch)
          scheduleFlush()
        })
      scheduleFlush()
    })
  }

  /**
   * Runs commands in one transaction and answers each. After a known rollback they are run again: once
   * all together when it was for the sake of another transaction, else in halves, so that a command
   * that cannot be saved, or waits for something that stays locked, fails alone.
   */
  async function runBatch(batch: readonly Pending[], block: boolean): Promise<void> {
    for (const pending of batch) pending.attempts++
    const result = await transact(lockRequest(batch, limits, block), () => batch)
    batches++
    commands += batch.length
    if (result.outcome === 'committed') return settle(batch, result)
    if (result.outcome === 'unknown') return rejectAll(batch, outcomeUnknown(result.cause))
    const { cause } = result
    const fault = faultOf(cause)
    const tries = Math.max(...batch.map((pending) => pending.attempts))
    report({ type: 'batch_retried', commands: batch.length, cause })
    if (batch.length > 1 && (fault === 'refused' || (fault === 'retry' && tries > 1))) {
      const middle = Math.ceil(batch.length / 2)
      for (const pending of batch) pending.attempts = 0
      await runBatch(batch.slice(0, middle), block)
      return runBatch(batch.slice(middle), block)
    }
    // A connection that had died in the pool says nothing about the next one.
    const again = fault === 'retry' ? tries < maxAttempts : result.stale && tries === 1
    if (!again) return rejectAll(batch, cause)
    if (fault === 'retry') await sleep(Math.random() * 20 * tries)
    return runBatch(batch, block)
  }

  /** Answers everybody of a committed batch. */
  async function settle(batch: readonly Pending[], done: CommittedTransaction): Promise<void> {
    const { plan } = done
    const saved = await savedOf(done)
    const lost = new Set(
      plan.changes.inserts
        .filter((flow) => !saved.inserted.has(flow.id))
        .map((flow) => keyText(flow.namespace, flow.key)),
    )
    tell(plan, saved)
    const waiting = new Map<string, Pending[]>()
    for (const [i, verdict] of plan.verdicts.entries()) {
      const pending = batch[i] as Pending
      const { entry } = pending
      const key = businessKeyOf(entry)
      const overtaken = key !== null && lost.has(keyText(entry.caller.namespace, key))
      if (verdict.type === 'again' || overtaken) {
        if (verdict.type === 'again' && verdict.whole === true) pending.whole = true
        tryAgain(pending)
      } else if (verdict.type === 'refuse') pending.reject(toFlowError(verdict.error))
      else if (verdict.type === 'reply') pending.resolve(complete(verdict, saved))
      else {
        const what = pending.resources[0] ?? ''
        waiting.set(what, [...(waiting.get(what) ?? []), pending])
      }
    }
    for (const pendings of waiting.values()) runSlow(pendings)
  }

  function tryAgain(pending: Pending): void {
    if (pending.attempts >= maxAttempts) {
      pending.reject(toFlowError(new Error('overtaken again and again by others')))
      return
    }
    queue.push(pending)
    scheduleFlush()
  }

  /** What a transaction saved. Throws when that has to be read and the database is not there. */
  async function savedOf({ plan, saved }: CommittedTransaction): Promise<Saved> {
    try {
      return saved ?? (await rereadSaved(plan))
    } catch (error) {
      settleHandover(plan.handover, null)
      throw error
    }
  }

  /** Another replica's insert, or the lost answer of ours, may have changed what is there. */
  async function rereadSaved(plan: Plan): Promise<Saved> {
    const flows = [...plan.changes.updates.map(({ flow }) => flow), ...plan.changes.inserts]
    const found = await readFlows(
      scope,
      flows.map(({ namespace }) => namespace),
      flows.map(({ id }) => id),
    )
    return {
      states: new Map(found.map((flow) => [flow.id, flow.state])),
      inserted: new Set(found.map((flow) => flow.id)),
      queued: null,
    }
  }

  function tell(plan: Plan, saved: Saved): void {
    announce(plan, saved, listeners, stepListeners)
    settleHandover(plan.handover, saved)
  }

  /** Waits for what is locked elsewhere beside the queue, holding up nobody but its own commands. */
  function runSlow(pendings: readonly Pending[]): void {
    queue.pin(pendings)
    void slowLane(() => runBatch(pendings, true))
      .catch((error: unknown) => rejectAll(pendings, error))
      .finally(() => {
        queue.unpin(pendings)
        queue.free(pendings)
        scheduleFlush()
      })
  }

  function rejectAll(batch: readonly Pending[], cause: unknown): void {
    const error = toFlowError(cause)
    for (const pending of batch) pending.reject(error)
  }

  async function fireDue(due: DueQuery): Promise<Fired[]> {
    const result = await transact(dueRequest(due, limits), (locked) =>
      [...locked.flows.values()].map((flow) => itemOf(fireEntry(flow))),
    )
    if (result.outcome === 'unknown') throw result.cause
    if (result.outcome === 'committed') {
      const saved = await savedOf(result)
      tell(result.plan, saved)
      return [...result.locked.flows.values()].map((flow, i) =>
        firedOf(flow, result.plan.verdicts[i] as Verdict, saved),
      )
    }
    if (result.locked === null || faultOf(result.cause) === 'unavailable') throw result.cause
    // Something among them cannot be saved: each is fired as a command, and batches split.
    return Promise.all(
      [...result.locked.flows.values()].map((flow) =>
        submit(fireEntry(flow)).then(
          (reply): Fired => ({ flow_id: flow.id, reply }),
          (error: unknown): Fired => ({ flow_id: flow.id, namespace: flow.namespace, error }),
        ),
      ),
    )
  }

  return {
    submit,
    fireDue,
    onCommit: (listener) => {
      listeners.push(listener)
    },
    onSteps: (listener) => {
      stepListeners.push(listener)
    },
    onOffer: (asked) => {
      offer = asked
    },
    status: () => ({
      queued: accepted,
      in_flight: inFlight,
      batches_total: batches,
      commands_total: commands,
    }),
    drain: () =>
      accepted === 0 ? Promise.resolve() : new Promise((resolve) => drained.push(resolve)),
  }
}

/** The business key under which an entry may have made a flow. */
function businessKeyOf(entry: Entry): string | null {
  if (entry.type === 'create') return entry.input.key ?? null
  return entry.type === 'signal' ? (entry.start?.input.key ?? null) : null
}

// Sends deliveries: claims what is due, fairly between receivers, sends it outside any transaction, and
// records what came of it.

import { randomUUID } from 'node:crypto'
import { setMaxListeners } from 'node:events'
import type { Timestamp } from '../domain/time.ts'
import { type Scope, writerOf } from '../store/db.ts'
import {
  type ClaimedDelivery,
  claimDeliveries,
  failPending,
  listLanes,
  releaseDeliveries,
} from '../store/delivery-queue.ts'
import { type AttemptResult, recordResults } from '../store/delivery-results.ts'
import { everywhere } from '../store/wall.ts'
import { requestOf, resultOf, type SenderIdentity } from './delivery-attempt.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'
import type { Outbound, OutboundAnswer } from './outbound.ts'
import { createReceiverSlots, slotLimits } from './receiver-slots.ts'
import { spanEnd, traceDelivery } from './traced-requests.ts'

export interface HookDispatcherOptions {
  scope: Scope
  outbound: Pick<Outbound, 'send'>
  identity: SenderIdentity
  /** For one request, in milliseconds. */
  timeout: number
  report: Report
  /** From 0 up to 1, evenly spread. */
  random?: () => number
}

/** What a round of deliveries came to. */
export interface DispatchReport {
  delivered: number
  /** To be tried again. */
  retried: number
  failed: number
}

export interface HookDispatcher {
  start(): void
  /** There is, or may be, something to send. */
  nudge(): void
  /** A hook is gone or disabled: what waits for it is given up. */
  retire(hook: { hook_id: string; lane: string }): void
  /** Sends everything that is due at `now` (the database's when absent) and answers what came of it. */
  deliver(now?: Timestamp): Promise<DispatchReport>
  /** What is under way has some seconds to end; the rest is given back for others to send. */
  stop(): Promise<void>
}

/** Connections that are needed at once: to claim, and to record. */
export const dispatchConnections = 2
/** Longest sleep, in milliseconds: bounds the lateness of what other processes leave behind. */
const interval = 1_000
/** After a commit, in milliseconds: deliveries of those that follow at once are claimed together. */
const gathering = 5
/** Before looking again at what is due and locked elsewhere, in milliseconds. */
const lockedPause = 50
/** A lease outlives its request by this much, in milliseconds: the result must be recorded within. */
const leaseMargin = 10_000
/** How long a hook may fail without any success, in milliseconds: 5 days. */
const patience = 5 * 86_400_000
/** How long requests under way have at a stop, in milliseconds. */
const stopGrace = 3_000
/** Deliveries of a dead hook given up in one transaction. */
const failBatch = 1_000

interface Ended {
  delivery: ClaimedDelivery
  /** Null when it was given up here. */
  result: AttemptResult | null
}

export function createHookDispatcher(options: HookDispatcherOptions): HookDispatcher {
  const { scope, outbound, identity, timeout, report, random = Math.random } = options
  const slots = createReceiverSlots(slotLimits)
  const dead = new Map<string, string>()
  const sending = new Set<Promise<void>>()
  const stopping = new AbortController()
  // One for each request under way.
  setMaxListeners(slotLimits.total, stopping.signal)
  /** Over, and not recorded yet: their slots are still taken. */
  const ended: Ended[] = []
  let restUntil = 0

  /** Milliseconds of the clock that a round goes by. */
  const clock = (now: Timestamp | null) =>
    now === null ? performance.timeOrigin + performance.now() : Date.parse(now)

  const loop = createLoop({ name: 'hook-dispatcher', interval, report, pass: () => round(null) })
  const recorder = createLoop({
    name: 'hook-recorder',
    interval: 60_000,
    report,
    async pass() {
      await record(null)
      return ended.length > 0 ? 0 : 60_000
    },
  })

  function nudge(): void {
    loop.nudge(Math.max(gathering, restUntil - performance.now()))
  }

  /** Claims and sends what there is room for; answers for how long nothing more can be done. */
  async function round(now: Timestamp | null): Promise<number> {
    if (await clear()) return 0
    const looked = performance.now()
    const heads = await listLanes(scope, now)
    // With very many receivers a look takes its time: it must not be all that is done.
    restUntil = performance.now() + 2 * (performance.now() - looked)
    const at = clock(now)
    let pause = interval
    const due: { lane: string; slots: number }[] = []
    for (const { lane, in_ms } of heads) {
      const free = slots.free(lane, at)
      if (in_ms > 0) pause = Math.min(pause, in_ms)
      else if (free > 0) due.push({ lane, slots: free })
      else pause = Math.min(pause, slots.restsFor(lane, at) ?? pause)
    }
    const lanes = shareOut(due, slots.room(), random)
    // Whatever ends gives its slot back and asks for another round.
    if (lanes.length === 0) return pause
    const lease = timeout + leaseMargin
    const claim = await claimDeliveries(writerOf(scope, everywhere), {
      lanes,
      token: randomUUID(),
      lease,
      now,
    })
    for (const hook of claim.dead) dead.set(hook.hook_id, hook.lane)
    for (const delivery of claim.deliveries) send(delivery)
    return claim.deliveries.length + claim.put_off + claim.dead.length > 0 ? 0 : lockedPause
  }

  /** Gives up what waits for dead hooks; answers whether there is more. */
  async function clear(): Promise<boolean> {
    for (const [hook_id, lane] of dead) {
      const failed = await failPending(scope, { hook_id, lane }, failBatch)
      if (failed < failBatch) dead.delete(hook_id)
    }
    return dead.size > 0
  }

  function send(delivery: ClaimedDelivery): void {
    slots.take(delivery.lane)
    const { signal } = stopping
    const began = performance.now()
    const span = traceDelivery(delivery)
    const sent = Promise.resolve()
      .then(() => {
        const request = requestOf(delivery, identity, span?.traceparent ?? delivery.traceparent)
        return outbound.send({ ...request, timeout_ms: timeout, signal })
      })
      .catch((cause: unknown): OutboundAnswer => {
        report({ type: 'delivery_not_sent', delivery_id: delivery.id, cause })
        return { failure: 'protocol', message: 'The request cannot be made.', latency_ms: 0 }
      })
      .then((answer) => {
        span?.end(spanEnd(answer))
        return resultOf(delivery, answer, random())
      })
      .then((result) => {
        const seconds = (performance.now() - began) / 1000
        const outcome = result?.outcome ?? 'aborted'
        report({ type: 'delivery_attempted', result: outcome, seconds })
        ended.push({ delivery, result })
        recorder.nudge(0)
      })
      .finally(() => sending.delete(sent))
    sending.add(sent)
  }

  /** Records what is over. What cannot be recorded stays, for the next try; its lease is the limit. */
  async function record(now: Timestamp | null): Promise<DispatchReport> {
    const batch = [...ended]
    const results = batch.flatMap(({ result }) => (result === null ? [] : [result]))
    const total: DispatchReport = { delivered: 0, retried: 0, failed: 0 }
    if (results.length > 0) {
      const { recorded, disabled } = await recordResults(scope, results, patience, now)
      for (const { id, outcome } of results) {
        if (!recorded.has(id)) continue
        if (outcome === 'delivered') total.delivered++
        else if (outcome === 'retry') total.retried++
        else total.failed++
      }
      if (total.failed > 0) report({ type: 'deliveries_failed', count: total.failed })
      const late = results.length - recorded.size
      if (late > 0) report({ type: 'deliveries_overtaken', count: late })
      for (const { id: hook_id, namespace, lane, reason } of disabled) {
        report({ type: 'hook_disabled', hook_id, namespace, reason })
        dead.set(hook_id, lane)
      }
    }
    ended.splice(0, batch.length)
    const at = clock(now)
    for (const { delivery, result } of batch) {
      slots.give(delivery.lane, result === null ? null : result.outcome === 'delivered', at)
    }
    if (batch.length > 0) nudge()
    return total
  }

  return {
    nudge,
    retire({ hook_id, lane }) {
      dead.set(hook_id, lane)
      nudge()
    },
    start() {
      loop.start()
      recorder.start()
    },
    async deliver(now) {
      const total: DispatchReport = { delivered: 0, retried: 0, failed: 0 }
      for (;;) {
        const pause = await round(now ?? null)
        if (sending.size === 0 && ended.length === 0) {
          if (pause > 0) return total
          continue
        }
        await Promise.all(sending)
        const { delivered, retried, failed } = await record(now ?? null)
        total.delivered += delivered
        total.retried += retried
        total.failed += failed
      }
    },
    async stop() {
      await loop.stop()
      const grace = setTimeout(() => stopping.abort(), stopGrace)
      await Promise.all(sending)
      clearTimeout(grace)
      await recorder.stop()
      const given = ended.flatMap(({ delivery, result }) => (result === null ? [delivery] : []))
      try {
        if (ended.length > 0) await record(null)
        if (given.length > 0) await releaseDeliveries(scope, given)
      } catch {
        // The leases end by themselves.
      }
    },
  }
}

/** Shares room between receivers, at random and as evenly as it goes, so that none is always first. */
function shareOut(
  due: { lane: string; slots: number }[],
  room: number,
  random: () => number,
): { lane: string; slots: number }[] {
  if (room <= 0 || due.length === 0) return []
  const each = Math.max(1, Math.floor(room / due.length))
  return due
    .map((one) => ({ one, order: random() }))
    .sort((a, b) => a.order - b.order)
    .slice(0, room)
    .map(({ one: { lane, slots } }) => ({ lane, slots: Math.min(slots, each) }))
}

// Signals and waits of one batch: each signal meets the waits that are there, or is kept for one to
// come. Under the locks that the batch holds, so that whichever comes first, the other finds it.

import type { DecidedFlow, Decision, DomainLimits } from '../domain/command.ts'
import { type ErrorDetails, FlowError } from '../domain/errors.ts'
import { type FlowRecord, isTerminal } from '../domain/flow.ts'
import { isAhead, type SignalDelivery, type SignalRecord } from '../domain/signal.ts'
import type { Locked } from '../store/batch-lock.ts'
import type { SignalReply } from './change.ts'
import { matchText, type RedeliverEntry, type SignalEntry } from './entry.ts'
import { reaches, reachOf, sees } from './sight.ts'
import { createLedger } from './signal-ledger.ts'
import { busy, ended, type Workspace } from './workspace.ts'

/** Waits that `deliver: all` wakes in one transaction; the rest follows in others. */
export const wakeBatch = 100

/** What becomes of a signal within a batch; `again`: its premise changed, so it belongs into the next one. */
export type SignalVerdict = { reply: SignalReply; needs: string | null } | 'again' | 'busy'

export interface SignalLimits extends DomainLimits {
  /** Signals kept for one topic and correlation, or for one flow by name. */
  kept_signals: number
}

export interface Signalling {
  receive(entry: SignalEntry): SignalVerdict
  redeliver(entry: RedeliverEntry): SignalVerdict
  /**
   * A decision that lets a flow wait, followed by those of the kept signals that act on this wait, the
   * oldest first. Nothing is applied; `commit` marks the signals as delivered. Throws `limit_exceeded`
   * when a payload does not fit.
   */
  followUp(waiting: Decision): { decisions: Decision[]; commit: () => void }
  finish(): void
}

/** A delivery to one flow. */
interface Delivered {
  delivery: SignalDelivery
  flow: DecidedFlow
}

export function createSignalling(work: Workspace, limits: SignalLimits): Signalling {
  const { locked, changes } = work
  const ledger = createLedger(locked, limits.kept_signals)
  const truncated = truncatedKeys(locked)

  /** Lets a signal act on a flow. Null when the flow does not wait for it, or cannot take it. */
  function deliverTo(flow: DecidedFlow, signal: SignalRecord, aimed: boolean): Delivered | null {
    if (!aimed && (flow.wait === null || flow.cancel_requested)) return null
    let decision: Decision
    try {
      decision = work.decide(flow, commandOf(signal), signal.actor)
    } catch (error) {
      // The sender is not at fault when somebody else's flow has no room.
      if (!aimed && error instanceof FlowError) return null
      throw error
    }
    if (decision.outcome !== 'delivered') return null
    work.apply(decision)
    return { delivery: deliveryOf(flow, decision), flow: decision.flow }
  }

  /** Delivers to whoever waits under the signal's match key. */
  function broadcast(
    signal: SignalRecord,
  ): { delivered: Delivered[]; waking: SignalRecord['waking'] } | 'again' | 'busy' {
    const { target, namespace, deliver, waking } = signal
    if (target.kind !== 'external_event') return { delivered: [], waking: null }
    const delivered: Delivered[] = []
    const before = waking?.before ?? locked.instant
    // Up to here each wait had its turn, and does not get another: it may still be there, for more.
    let after = waking?.after ?? null
    let more = truncated.has(matchText(namespace, target))
    let missed = false
    for (const waiter of work.waiters(namespace, target)) {
      if (waking !== null && after !== null && !isAhead(after, waiter)) continue
      // What began to wait after the signal came is not for it to wake.
      if (waking !== null && waiter.since >= before) {
        more = false
        break
      }
      const flow = work.flow(waiter.flow_id)
      // Locked elsewhere; where locks were waited for, it is gone.
      missed = flow === undefined && !locked.block
      if (missed) break
      // Waits that began in this batch stand last in line, behind those that were not looked up.
      if (waiter.since < before) after = waiter
      if (flow?.wait?.id !== waiter.wait_id) continue
      // It does not exist for the sender.
      if (!reaches(signal, flow)) continue
      const done = deliverTo(flow, signal, false)
      if (done === null) continue
      delivered.push(done)
      if (deliver === 'one') return { delivered, waking: null }
    }
    if (missed && delivered.length === 0) return 'busy'
    if (more && delivered.length === 0 && waking === null) return 'again'
    if (deliver === 'one' || !(more || missed)) return { delivered, waking: null }
    return {
      delivered,
      waking: { before, after: after && { since: after.since, wait_id: after.wait_id } },
    }
  }

  /** Lets a flow take a kept signal. One that does not fit is no reason to lose it: the wait is refused. */
  function take(flow: DecidedFlow, signal: SignalRecord): Decision {
    try {
      return work.decide(flow, commandOf(signal), signal.actor)
    } catch (error) {
      if (!(error instanceof FlowError) || error.code !== 'limit_exceeded') throw error
      throw new FlowError(
        'limit_exceeded',
        `Signal ${signal.id}, kept for this wait, does not fit into the state: unset members first.`,
        error.detail as ErrorDetails['limit_exceeded'],
      )
    }
  }

  function commandOf(signal: SignalRecord) {
    return {
      type: 'signal' as const,
      signal_id: signal.id,
      target: signal.target,
      ...(signal.sender_id !== null && { sender_id: signal.sender_id }),
      ...(signal.payload !== undefined && { payload: signal.payload }),
    }
  }

  /** Keeps a signal that found no wait, or answers `unmatched` when it is not to be kept. */
  function keep(
    entry: SignalEntry,
    signal: SignalRecord,
    flow: FlowRecord | null,
    started: boolean,
  ): SignalVerdict {
    const { ttl } = entry.signal
    return ttl === 0
      ? answer('unmatched', signal, flow, started)
      : answer('buffered', ledger.keep(signal, ttl), flow, started)
  }

  /** A fate as callers see it: one whose time is over has expired, whether or not that is written down yet. */
  function asSeen(signal: SignalRecord): SignalRecord {
    const late = signal.outcome === 'buffered' && (signal.expires_at ?? '') <= locked.now
    return late ? { ...signal, outcome: 'expired' } : signal
  }

  function untouched(signal: SignalRecord): SignalVerdict {
    const seen = asSeen(signal)
    return answer(seen.outcome, seen, null, false)
  }

  /** Tries to deliver; null when nobody waits for it. */
  function attempt(entry: SignalEntry, signal: SignalRecord): SignalVerdict | null {
    if (signal.flow_id !== null) {
      const flow = work.flowFor(entry.caller, signal.flow_id, entry.if_match)
      if (flow === busy) return 'busy'
      const done = deliverTo(flow, signal, true)
      if (done === null) return null
      return answer('delivered', ledger.deliver(signal, [done.delivery], null), done.flow, false)
    }
    const sent = broadcast(signal)
    if (sent === 'again' || sent === 'busy') return sent
    const { delivered, waking } = sent
    if (delivered.length === 0) return null
    const deliveries = delivered.map(({ delivery }) => delivery)
    return answer('delivered', ledger.deliver(signal, deliveries, waking), null, false)
  }

  /** For `start_if_absent`: the flow that the signal is for, made if need be. */
  function flowOf(
    entry: SignalEntry,
  ): { flow: FlowRecord | DecidedFlow; started: boolean } | 'again' | 'busy' | null {
    const { start, caller } = entry
    if (start === null) return null
    const holder = work.holder(caller.namespace, start.input.key)
    if (holder === ended) return 'again'
    if (holder !== null && !sees(caller, holder)) {
      throw new FlowError(
        'key_conflict',
        'This key is taken: use another one, or wait until its flow has ended.',
        { key: start.input.key },
      )
    }
    if (holder === null) {
      const { flow_id: id, shard, input, refusal } = start
      if (refusal !== null) throw refusal
      // It waits for nothing yet, so the signal must be kept; refused, it starts no flow.
      if (entry.signal.ttl > 0) ledger.refuseFull({ ...entry.signal, namespace: caller.namespace })
      return { flow: work.create({ id, shard }, caller, input), started: true }
    }
    if (work.isNew(holder.id)) return { flow: holder, started: false }
    const flow = work.flow(holder.id)
    if (flow === undefined) return locked.block ? 'again' : 'busy'
    // It ended between the look-up and the lock.
    return isTerminal(flow.status) ? 'again' : { flow, started: false }
  }

  return {
    receive(entry) {
      const { caller, signal: input } = entry
      const first = ledger.firstOf(caller.namespace, input)
      if (first !== undefined) return answer('duplicate', asSeen(first), null, false)
      const home = flowOf(entry)
      if (home === 'again' || home === 'busy') return home
      const signal: SignalRecord = {
        id: input.id,
        shard: input.shard,
        namespace: caller.namespace,
        target: input.target,
        flow_id: home?.flow.id ?? input.flow_id,
        source: input.source,
        sender_id: input.sender_id,
        actor: caller.actor,
        ...reachOf(caller),
        ...(input.payload !== undefined && { payload: input.payload }),
        deliver: input.deliver,
        outcome: 'buffered',
        deliveries: [],
        delivered_count: 0,
        received_at: locked.instant,
        expires_at: null,
        traceparent: caller.traceparent ?? null,
        waking: null,
      }
      // A flow that this batch made waits for nothing yet.
      const fresh = home !== null && work.isNew(home.flow.id)
      const verdict = fresh ? null : attempt(entry, signal)
      if (verdict !== null) return verdict
      return keep(entry, signal, home === null ? null : shown(home.flow), home?.started ?? false)
    },

    redeliver({ caller, signal: { id }, waking }) {
      const signal = ledger.stored(id)
      if (signal === undefined || signal.namespace !== caller.namespace) {
        throw new FlowError('not_found', 'There is no signal with this id: list the signals.', {
          resource: 'signal',
          id,
        })
      }
      const open = waking ? signal.waking !== null : signal.outcome !== 'delivered'
      if (!open) return untouched(signal)
      if (signal.flow_id !== null) {
        const flow = work.flow(signal.flow_id)
        if (flow === undefined && !locked.block) return 'busy'
        const takes = flow !== undefined && !isTerminal(flow.status) && !flow.cancel_requested
        const done = takes ? deliverTo(flow, signal, true) : null
        if (done === null) return untouched(signal)
        return answer('delivered', ledger.deliver(signal, [done.delivery], null), done.flow, false)
      }
      const sent = broadcast(signal)
      if (sent === 'again' || sent === 'busy') return sent
      const deliveries = sent.delivered.map(({ delivery }) => delivery)
      if (deliveries.length === 0 && !waking) return untouched(signal)
      const next = ledger.deliver(signal, deliveries, sent.waking)
      return answer(next.outcome, next, null, false)
    },

    followUp(waiting) {
      const decisions = [waiting]
      const taken: { signal: SignalRecord; delivery: SignalDelivery }[] = []
      const ids = new Set<string>()
      let { flow } = waiting
      const waitId = flow.wait?.id
      while (flow.wait !== null) {
        const signal = ledger.nextFor(flow, flow.wait, ids)
        if (signal === undefined) break
        const decision = take(flow, signal)
        taken.push({ signal, delivery: deliveryOf(flow, decision) })
        ids.add(signal.id)
        decisions.push(decision)
        flow = decision.flow
      }
      // Nobody gets to see the link of a wait that is over before it was answered.
      if (flow.wait?.id !== waitId) {
        const effects = waiting.effects.filter(({ type }) => type !== 'open_link')
        decisions[0] = { ...waiting, effects }
      }
      return {
        decisions,
        commit() {
          for (const { signal, delivery } of taken) {
            ledger.deliver(signal, [delivery], null)
          }
        },
      }
    },

    finish: () => ledger.finish(changes),
  }
}

/** Match keys with more waits than were looked up. */
function truncatedKeys({ waiter_queries, waiters }: Locked): Set<string> {
  const found = new Map<string, number>()
  for (const waiter of waiters) {
    const text = matchText(waiter.namespace, waiter)
    found.set(text, (found.get(text) ?? 0) + 1)
  }
  const full = waiter_queries
    .map((query) => ({ text: matchText(query.namespace, query), limit: query.limit }))
    .filter(({ text, limit }) => (found.get(text) ?? 0) >= limit)
  return new Set(full.map(({ text }) => text))
}

function deliveryOf(before: DecidedFlow, decision: Decision): SignalDelivery {
  return {
    flow_id: before.id,
    wait_id: before.wait?.id ?? '',
    // What the signal did comes first; the step that the flow goes on with is enqueued after it.
    revision: decision.events[0]?.revision ?? decision.flow.revision,
  }
}

function shown(flow: DecidedFlow): FlowRecord {
  return { ...flow, state: flow.state ?? {} }
}

function answer(
  outcome: SignalReply['outcome'],
  signal: SignalRecord,
  flow: DecidedFlow | null,
  started: boolean,
): SignalVerdict {
  return {
    reply: {
      outcome,
      signal,
      flow: flow === null ? null : shown(flow),
      started,
      replayed: false,
    },
    needs: outcome === 'delivered' && flow !== null && flow.state === undefined ? flow.id : null,
  }
}

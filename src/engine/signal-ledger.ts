// The signals of one batch as rows: who sent which before, which are kept, and what becomes of them.

import type { DecidedFlow } from '../domain/command.ts'
import { FlowError } from '../domain/errors.ts'
import {
  byAge,
  isFor,
  listedDeliveries,
  type SignalDelivery,
  type SignalRecord,
} from '../domain/signal.ts'
import type { Wait } from '../domain/wait.ts'
import type { Changes } from '../store/batch.ts'
import type { Locked } from '../store/batch-lock.ts'
import { matchText, type NewSignal, senderText } from './entry.ts'

export interface SignalLedger {
  /** The signal that came first with this sender's id, if there is one. */
  firstOf(namespace: string, signal: NewSignal): SignalRecord | undefined
  /** A stored signal that is locked here, as it is now. */
  stored(id: string): SignalRecord | undefined
  /** The kept signal that a wait of a flow takes next: the oldest, leaving some out. */
  nextFor(flow: DecidedFlow, wait: Wait, taken: ReadonlySet<string>): SignalRecord | undefined
  /** Writes deliveries down; answers the signal as it is then. */
  deliver(
    signal: SignalRecord,
    deliveries: readonly SignalDelivery[],
    waking: SignalRecord['waking'],
  ): SignalRecord
  /** Throws `quota_exceeded` when one more like this is not to be kept. */
  refuseFull(signal: Pick<SignalRecord, 'namespace' | 'target' | 'flow_id'>): void
  /** Keeps a signal for so many milliseconds. Throws `quota_exceeded`. */
  keep(signal: SignalRecord, ttl: number): SignalRecord
  /** Turns everything into rows. To be called once, at the end. */
  finish(changes: Changes): void
}

/** @param bound signals kept for one topic and correlation, or for one flow by name. */
export function createLedger(locked: Locked, bound: number): SignalLedger {
  const senders = new Map<string, SignalRecord>()
  for (const signal of locked.senders) remember(signal)
  const kept = [...locked.kept].sort(byAge)
  const counts = new Map(locked.kept_counts)
  const stored = new Map(locked.signals)
  for (const signal of kept) if (!stored.has(signal.id)) stored.set(signal.id, signal)
  const added = new Map<string, SignalRecord>()
  const changed = new Set<string>()

  function remember(signal: SignalRecord): void {
    const text = senderText(signal.namespace, signal)
    if (text !== null) senders.set(text, signal)
  }

  function save(signal: SignalRecord): void {
    if (stored.has(signal.id)) {
      stored.set(signal.id, signal)
      changed.add(signal.id)
    } else added.set(signal.id, signal)
    const place = kept.findIndex(({ id }) => id === signal.id)
    if (place >= 0) kept[place] = signal
    remember(signal)
  }

  function refuseFull(signal: Pick<SignalRecord, 'namespace' | 'target' | 'flow_id'>): void {
    if ((counts.get(keptText(signal)) ?? 0) < bound) return
    throw new FlowError(
      'quota_exceeded',
      `${bound} signals are kept here already. Send it again when a flow has taken some.`,
      { limit: 'kept_signals', maximum: bound, retry_after: 60 },
    )
  }

  return {
    refuseFull,
    firstOf(namespace, signal) {
      const text = senderText(namespace, signal)
      return text === null ? undefined : senders.get(text)
    },
    stored: (id) => stored.get(id),
    nextFor: (flow, wait, taken) =>
      kept.find(
        (signal) =>
          signal.outcome === 'buffered' && isFor(signal, flow.id, wait) && !taken.has(signal.id),
      ),
    deliver(signal, deliveries, waking) {
      const delivered = signal.outcome === 'delivered' || deliveries.length > 0
      const next: SignalRecord = {
        ...signal,
        outcome: delivered ? 'delivered' : signal.outcome,
        deliveries: [...signal.deliveries, ...deliveries].slice(0, listedDeliveries),
        delivered_count: signal.delivered_count + deliveries.length,
        waking,
      }
      save(next)
      return next
    },
    keep(signal, ttl) {
      refuseFull(signal)
      const text = keptText(signal)
      counts.set(text, (counts.get(text) ?? 0) + 1)
      const buffered: SignalRecord = {
        ...signal,
        outcome: 'buffered',
        expires_at: new Date(Date.parse(locked.now) + ttl).toISOString(),
      }
      kept.push(buffered)
      save(buffered)
      return buffered
    },
    finish(changes) {
      changes.new_signals.push(...added.values())
      for (const id of changed) changes.signals.push(stored.get(id) as SignalRecord)
      changes.signals.sort((a, b) => (a.id < b.id ? -1 : 1))
    },
  }
}

/** The text under which signals like this one are counted while they are kept. */
export function keptText(signal: Pick<SignalRecord, 'namespace' | 'target' | 'flow_id'>): string {
  return signal.target.kind === 'external_event'
    ? matchText(signal.namespace, signal.target)
    : JSON.stringify(['kept for flow', signal.flow_id])
}

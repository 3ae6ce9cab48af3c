// What a batch must lock and read before its entries can be decided.

import { isAhead } from '../domain/signal.ts'
import type { LockRequest } from '../store/batch-lock.ts'
import type { DueQuery } from '../store/due.ts'
import type { WaiterQuery } from '../store/match-keys.ts'
import type { KeptQuery } from '../store/signals.ts'
import { everywhere, type Within } from '../store/wall.ts'
import {
  branchesOf,
  type ChangeEntry,
  type Entry,
  flowIdOf,
  type Item,
  isBroadcast,
  matchText,
  needsState,
  nextRunOf,
  waitOf,
} from './entry.ts'
import { keptText } from './signal-ledger.ts'
import { type SignalLimits, wakeBatch } from './signalling.ts'

/** More waits than signals are looked up: some may have ended since, or cannot take one. */
const spareWaiters = 4

/**
 * What to lock and read for entries, in the order in which everything is locked.
 *
 * @param block wait for what is locked elsewhere, instead of leaving it out.
 */
export function lockRequest(
  items: readonly Item[],
  limits: SignalLimits,
  block: boolean,
): LockRequest {
  const namespaces = items.map(({ entry }) => entry.caller.namespace)
  const request = emptyRequest([...new Set(namespaces)], limits, block)
  const flows = new Map<string, LockRequest['flows'][number]>()
  const waiters = new Map<string, WaiterQuery>()
  const texts = new Set<string>()
  const counted = new Set<string>()
  const waits: ChangeEntry[] = []
  // Signals reach flows that nobody named: those that have a command of their own here are read
  // whole, so that each answer has the state of its own revision.
  const reaching = items.some(
    ({ entry }) => isBroadcast(entry) || (entry.type === 'signal' && entry.start !== null),
  )
  for (const { entry, texts: own, added, whole, attempts } of items) {
    const { namespace } = entry.caller
    request.state_room = Math.min(request.state_room, limits.state_bytes - added)
    if (entry.keep !== null) request.idempotency.push(entry.keep.ref)
    for (const text of own) texts.add(text)
    const id = flowIdOf(entry)
    if (id !== null) {
      // Two commands on one flow fold here, so that each answer has the state of its revision.
      const state = flows.has(id) || reaching || whole || needsState(entry)
      flows.set(id, { id, state })
    }
    switch (entry.type) {
      case 'create': {
        const { key, controller_id, steps = [] } = entry.input
        if (steps.length > 0) request.defaults.controllers.push({ namespace, id: controller_id })
        if (key !== undefined) request.keys.push({ namespace, key, shard: entry.shard })
        break
      }
      case 'change':
        addSteps(entry)
        if (waitOf(entry.command) !== null) waits.push(entry)
        break
      case 'signal':
        if (entry.start !== null) {
          const { shard, input } = entry.start
          if (input.steps !== undefined) {
            request.defaults.controllers.push({ namespace, id: input.controller_id })
          }
          request.keys.push({ namespace, key: input.key, shard })
        }
        addArrival(entry)
        break
      case 'redeliver':
        request.signals.push(entry.signal.id)
        break
    }
    if (entry.type === 'signal' || entry.type === 'redeliver') addWaiters(entry, attempts)
  }
  request.texts = [...texts].sort()
  request.flows = [...flows.values()].sort((a, b) => (a.id < b.id ? -1 : 1))
  request.waiters = [...waiters.values()]
  request.holders = items.some(({ entry }) => entry.type === 'signal' && entry.start !== null)
    ? request.keys
    : []
  request.signals.sort()
  // One that is redelivered here may be gone by the time a wait looks for it.
  request.kept = keptQueries(waits, request.signals.length)
  return request

  function addSteps({ flow_id, command }: ChangeEntry): void {
    switch (command.type) {
      case 'observe':
        request.steps.push({ flow_id, run_id: command.observation.run_id })
        break
      case 'enqueue':
        request.steps.push({ flow_id, run_id: command.step.run_id ?? command.step.step_id })
        request.defaults.flow_ids.push(flow_id)
        break
      case 'settle': {
        request.steps.push({ flow_id, step_id: command.step_id })
        const run_id = nextRunOf(command.outcome)
        if (run_id !== null) request.steps.push({ flow_id, run_id })
        if ('next' in command.outcome) request.defaults.flow_ids.push(flow_id)
        break
      }
      case 'expire_step':
      case 'retry_step':
      case 'resolve_step':
      case 'reopen':
        request.steps.push({ flow_id, step_id: command.step_id })
        break
      case 'request_cancel':
        request.cancelling.push(flow_id)
        break
      default:
        break
    }
  }

  function addArrival(entry: Extract<Entry, { type: 'signal' }>): void {
    const { namespace } = entry.caller
    const { target, flow_id, source, sender_id, ttl } = entry.signal
    if (sender_id !== null) {
      if (target.kind === 'external_event') {
        const { correlation_id } = target
        request.senders.push({ source, sender_id, namespace, correlation_id })
      } else if (flow_id !== null) request.senders.push({ source, sender_id, flow_id })
    }
    if (ttl === 0) return
    const text = keptText({ namespace, target, flow_id })
    if (counted.has(text)) return
    counted.add(text)
    if (target.kind === 'external_event') {
      const { topic, correlation_id } = target
      request.kept_counts.push({ text, namespace, topic, correlation_id })
    } else if (flow_id !== null) request.kept_counts.push({ text, flow_id })
  }

  function addWaiters(
    entry: Extract<Entry, { type: 'signal' | 'redeliver' }>,
    attempts: number,
  ): void {
    const { namespace } = entry.caller
    const { target, deliver } = entry.signal
    if (!isBroadcast(entry) || target.kind !== 'external_event') return
    const text = matchText(namespace, target)
    const known = waiters.get(text)
    const after = entry.type === 'redeliver' ? (entry.signal.waking?.after ?? null) : null
    const { topic, correlation_id } = target
    // When none of those found could take it, the next try looks further.
    const more = (deliver === 'all' ? wakeBatch : 1 + spareWaiters) * 8 ** Math.max(0, attempts - 1)
    waiters.set(text, {
      namespace,
      topic,
      correlation_id,
      limit: (known?.limit ?? 0) + more,
      // Several at once look from the place of the one that is farthest behind.
      after: known === undefined ? after : earlier(known.after, after),
    })
  }
}

type Place = WaiterQuery['after']

function earlier(a: Place, b: Place): Place {
  if (a === null || b === null) return null
  return isAhead(a, b) ? a : b
}

/** What the waits of a batch could take. */
function keptQueries(waits: readonly ChangeEntry[], spare: number): KeptQuery[] {
  const queries = new Map<string, KeptQuery & { what: string }>()
  /** Signals that may be taken, by what they are for. */
  const wanted = new Map<string, number>()
  for (const { flow_id, caller, command } of waits) {
    const wait = waitOf(command)
    if (wait === null) continue
    for (const branch of branchesOf(wait)) {
      if (branch.kind === 'timer') continue
      const name = branch.kind === 'manual' ? (branch.signal ?? null) : null
      const what =
        branch.kind === 'external_event'
          ? matchText(caller.namespace, branch)
          : JSON.stringify([flow_id])
      wanted.set(what, (wanted.get(what) ?? 0) + 1)
      queries.set(JSON.stringify([what, flow_id, name]), {
        what,
        flow_id,
        limit: 0,
        ...(branch.kind === 'external_event'
          ? {
              namespace: caller.namespace,
              topic: branch.topic,
              correlation_id: branch.correlation_id,
            }
          : { name }),
      })
    }
  }
  // Several waits for the same take one each, and each sees those that are for its own flow alone. A
  // nameless branch takes what a named one could take too, so that all of a flow count together.
  return [...queries.values()].map(({ what, ...query }) => ({
    ...query,
    limit: (wanted.get(what) ?? 0) + spare,
  }))
}

function emptyRequest(within: Within, limits: SignalLimits, block: boolean): LockRequest {
  return {
    within,
    texts: [],
    idempotency: [],
    keys: [],
    flows: [],
    waiters: [],
    holders: [],
    due: null,
    steps: [],
    defaults: { controllers: [], flow_ids: [] },
    cancelling: [],
    signals: [],
    senders: [],
    kept: [],
    kept_counts: [],
    kept_bound: limits.kept_signals,
    block,
    state_room: limits.state_bytes,
    now: null,
  }
}

/** What to lock and read to fire whatever is due. */
export function dueRequest(due: DueQuery, limits: SignalLimits): LockRequest {
  return { ...emptyRequest(everywhere, limits, false), due, now: due.now }
}

// What is seen of the transactions of the committer from outside: how long they take, how late they fire
// what was due, and which of them ended the waits of traced flows.

import type { Traceparent } from '../domain/trace.ts'
import type { Locked } from '../store/batch-lock.ts'
import type { Item } from './entry.ts'
import type { Report } from './notice.ts'
import { isTracing, startSpan } from './tracing.ts'
import type { Transact, Transaction } from './transaction.ts'

type Committed = Extract<Transaction, { outcome: 'committed' }>

/** The same function, which reports what it does. */
export function observed(transact: Transact, report: Report): Transact {
  return async (request, itemsFor) => {
    const began = performance.now()
    let locked = began
    let items: readonly Item[] = []
    const result = await transact(request, (found) => {
      locked = performance.now()
      items = itemsFor(found)
      return items
    })
    const ended = performance.now()
    const { outcome } = result
    const commands = items.length
    report({ type: 'transaction_ended', outcome, commands, seconds: (ended - began) / 1000 })
    const due = request.due !== null
    if (due && outcome === 'committed') {
      const lateness = latenessOf(result, (ended - locked) / 1000)
      if (lateness.length > 0) report({ type: 'flows_fired', lateness })
    }
    if (isTracing()) traceTransaction(result, items, due, began)
    return result
  }
}

/** @param since seconds from the time that the flows were compared with to COMMIT. */
function latenessOf({ plan, locked }: Committed, since: number): number[] {
  const now = Date.parse(locked.now)
  return [...locked.flows.values()].flatMap(({ wake_at }, i) => {
    const verdict = plan.verdicts[i]
    if (wake_at === null || verdict?.type !== 'reply') return []
    const { outcome } = verdict.reply
    if (outcome === 'unchanged' || outcome === 'set_aside') return []
    return [Math.max(0, (now - Date.parse(wake_at)) / 1000) + since]
  })
}

/**
 * One span for the transaction: a part of the request that it was for, or linked to all of them when
 * there were several. One more for each traced wait that it ended.
 */
function traceTransaction(
  result: Transaction,
  items: readonly Item[],
  due: boolean,
  began: number,
): void {
  const committed = result.outcome === 'committed' ? result : null
  const causes = due ? causesOfDue(committed?.locked) : causesOf(items)
  const [only = null] = causes
  const alone = !due && causes.size === 1
  startSpan('taskflow.commit', {
    kind: 'internal',
    began,
    parent: alone ? only : null,
    links: alone ? [] : causes,
    attributes: { 'taskflow.commands': items.length, 'taskflow.outcome': result.outcome },
  })?.end(result.outcome === 'committed' ? {} : { error: String(result.cause) })
  if (committed !== null) traceResumes(committed, began)
}

function causesOf(items: readonly Item[]): Set<Traceparent> {
  return new Set(items.flatMap(({ entry: { caller } }) => caller.traceparent ?? []))
}

function causesOfDue(locked: Locked | undefined): Set<Traceparent> {
  return new Set(
    [...(locked?.flows.values() ?? [])].flatMap(({ traceparent }) => traceparent ?? []),
  )
}

/** A wait may have been ended days after what led to it: in a trace of its own, linked to that one. */
function traceResumes({ plan, locked }: Committed, began: number): void {
  const { updates, update_events } = plan.changes
  const after = new Map(updates.map(({ flow }) => [flow.id, flow.traceparent]))
  for (const { kind, flow_id, payload } of update_events) {
    if (kind !== 'resumed') continue
    const before = locked.flows.get(flow_id)?.traceparent ?? null
    const now = after.get(flow_id) ?? null
    const kept = locked.kept.find(({ id }) => id === payload['signal_id'])?.traceparent ?? null
    if (before === null && now === null && kept === null) continue
    startSpan('taskflow.resume', {
      kind: 'internal',
      began,
      parent: now === before ? null : now,
      links: [before, kept],
      attributes: {
        'taskflow.flow_id': flow_id,
        'taskflow.wait_id': String(payload['wait_id']),
        'taskflow.resumed_by': String(payload['by']),
      },
    })?.end()
  }
}

// What must hold between signals and the audit log: each signal has one fate, told alike by both, and none lies unread before a wait.

import type pg from 'pg'
import type { FlowEvent } from '../../src/domain/event.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { JsonObject } from '../../src/domain/json.ts'
import { toldBranches } from './wait-invariants.ts'

/** A signal as it is stored; times as text, `received_at` with microseconds. */
export interface StoredSignal {
  id: string
  namespace: string
  kind: 'external_event' | 'manual' | 'link'
  topic: string | null
  correlation_id: string | null
  name: string | null
  flow_id: string | null
  wait_id: string | null
  sender_id: string | null
  deliver: 'one' | 'all'
  outcome: 'buffered' | 'delivered' | 'expired'
  deliveries: { flow_id: string; wait_id: string; revision: number }[]
  delivered_count: number
  received_at: string
  waking: boolean
  /** Its time is not over yet. */
  live: boolean
}

/** An event with the transaction that wrote it. */
export type WrittenEvent = FlowEvent & { xid: string }

export async function readSignals(session: pg.ClientBase): Promise<StoredSignal[]> {
  const { rows } = await session.query<StoredSignal>(`
    select id, namespace, kind, topic, correlation_id, name, flow_id, wait_id, sender_id, deliver,
      outcome, deliveries, delivered_count, waking, coalesce(expires_at > now(), false) as live,
      to_char(received_at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as received_at
    from signals order by received_at, id`)
  return rows
}

/** One act of a signal on a wait, as the log tells it. */
interface Told {
  event: WrittenEvent
  /** The wait began in the same transaction: it took a kept signal. */
  taken: boolean
}

/** Whether a signal is for a branch of a flow's wait. */
function suits(signal: StoredSignal, flowId: string, branch: JsonObject): boolean {
  if (signal.flow_id !== null && signal.flow_id !== flowId) return false
  if (signal.kind === 'external_event') {
    return (
      branch['kind'] === 'external_event' &&
      branch['topic'] === signal.topic &&
      branch['correlation_id'] === signal.correlation_id
    )
  }
  if (signal.kind === 'link') return false
  return (
    branch['kind'] === 'manual' &&
    (branch['signal'] === undefined || branch['signal'] === signal.name)
  )
}

/** All violations among signals and logs. */
export function signalFaults(
  signals: readonly StoredSignal[],
  flows: readonly FlowRecord[],
  logs: ReadonlyMap<string, readonly WrittenEvent[]>,
): string[] {
  const byId = new Map(flows.map((flow) => [flow.id, flow]))
  const stored = new Map(signals.map((signal) => [signal.id, signal]))
  const told = new Map<string, Told[]>()
  const wrong: string[] = []
  for (const log of logs.values()) {
    const began = new Map<string, WrittenEvent>()
    for (const event of log) {
      const { kind, payload, xid } = event
      if (kind === 'waiting') began.set(String((payload['wait'] as JsonObject)['id']), event)
      const id = payload['signal_id']
      if (id === undefined) continue
      const start = began.get(String(payload['wait_id']))
      const taken = start?.xid === xid
      told.set(String(id), [...(told.get(String(id)) ?? []), { event, taken }])
      const signal = stored.get(String(id))
      if (signal === undefined) wrong.push(`${event.flow_id} was woken by ${id}, which is nowhere`)
      else wrong.push(...addressFaults(signal, event, start, byId.get(event.flow_id)))
    }
  }
  for (const signal of signals) wrong.push(...fateFaults(signal, told.get(signal.id) ?? []))
  return [...wrong, ...unread(signals, flows), ...orderFaults(signals, told)]
}

/** A signal acts on what it is addressed to, and names itself as it is stored. */
function addressFaults(
  signal: StoredSignal,
  { flow_id, revision, payload }: WrittenEvent,
  start: WrittenEvent | undefined,
  flow: FlowRecord | undefined,
): string[] {
  const here = `${signal.id} at ${flow_id}, revision ${revision}`
  const wrong: string[] = []
  if (flow?.namespace !== signal.namespace) wrong.push(`${here}: from another namespace`)
  if ((payload['sender_id'] ?? null) !== signal.sender_id) wrong.push(`${here}: another sender_id`)
  if (signal.kind === 'link') {
    if (payload['wait_id'] !== signal.wait_id) wrong.push(`${here}: another wait than its link's`)
    return wrong
  }
  const wait = start?.payload['wait'] as JsonObject | undefined
  const { of } = wait ?? {}
  const branch = Array.isArray(of) ? of[Number(payload['branch'])] : wait
  if (branch === undefined || !suits(signal, flow_id, branch as JsonObject)) {
    wrong.push(`${here}: was not for this wait`)
  }
  return wrong
}

/** I-9: one fate, the same in the row and in the log. */
function fateFaults(signal: StoredSignal, told: readonly Told[]): string[] {
  const { id, outcome, deliveries, delivered_count: count, deliver } = signal
  const wrong: string[] = []
  const name = ({ flow_id, wait_id, revision }: (typeof deliveries)[number]) =>
    `${flow_id} ${wait_id} ${revision}`
  const inLog = told.map(({ event }) =>
    name({
      flow_id: event.flow_id,
      wait_id: String(event.payload['wait_id']),
      revision: event.revision,
    }),
  )
  if ((outcome === 'delivered') !== inLog.length > 0) {
    wrong.push(`${id} is ${outcome}, and the log has ${inLog.length} deliveries of it`)
  }
  if (count !== inLog.length) wrong.push(`${id} counts ${count}, the log has ${inLog.length}`)
  if (deliveries.length !== Math.min(count, 100)) {
    wrong.push(`${id} lists ${deliveries.length} of ${count} deliveries`)
  }
  for (const one of deliveries.map(name)) {
    if (!inLog.includes(one)) wrong.push(`${id} lists ${one}, which the log does not have`)
  }
  if (deliver === 'one' && inLog.length > 1) wrong.push(`${id} for one woke ${inLog.length}`)
  const waits = told.map(({ event }) => String(event.payload['wait_id']))
  if (new Set(waits).size < waits.length) wrong.push(`${id} acted twice on one wait`)
  return wrong
}

/** I-10: no flow waits for what is kept. */
function unread(signals: readonly StoredSignal[], flows: readonly FlowRecord[]): string[] {
  const kept = signals.filter(({ outcome, live }) => outcome === 'buffered' && live)
  return flows.flatMap(({ id, namespace, wait, cancel_requested }) => {
    if (wait === null || cancel_requested) return []
    return kept
      .filter((signal) => signal.namespace === namespace)
      .filter((signal) =>
        toldBranches(wait as JsonObject).some(({ branch }) => suits(signal, id, branch)),
      )
      .map((signal) => `${id} waits for ${signal.id}, which is kept`)
  })
}

/**
 * Waits take the longest kept first. Those who take from one key follow each other under its lock or
 * the flow's, and have their transaction ids after it: so these tell who came first.
 */
function orderFaults(
  signals: readonly StoredSignal[],
  told: ReadonlyMap<string, readonly Told[]>,
): string[] {
  const key = (signal: StoredSignal) =>
    signal.kind === 'manual'
      ? JSON.stringify([signal.flow_id, signal.name])
      : JSON.stringify([signal.namespace, signal.topic, signal.correlation_id])
  const takings = signals.map((signal, age) => {
    const at = told.get(signal.id)?.find(({ taken }) => taken)
    return { signal, age, key: key(signal), by: at?.event }
  })
  const groups = new Map<string, typeof takings>()
  for (const one of takings) groups.set(one.key, [...(groups.get(one.key) ?? []), one])
  const wrong: string[] = []
  for (const group of groups.values()) {
    for (const { signal, age, by } of group) {
      if (by === undefined) continue
      const passed = group.find(
        (older) =>
          older.age < age &&
          (older.signal.flow_id === null || older.signal.flow_id === by.flow_id) &&
          older.by !== undefined &&
          (BigInt(older.by.xid) > BigInt(by.xid) ||
            (older.by.flow_id === by.flow_id && older.by.revision > by.revision)),
      )
      if (passed) wrong.push(`${by.flow_id} took ${signal.id} before ${passed.signal.id}`)
    }
  }
  return wrong
}

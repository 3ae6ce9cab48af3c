// What must hold over a whole database after every test, whatever was done to it (reliability I-1 to I-10 and what hangs on them).

import { isDeepStrictEqual } from 'node:util'
import type pg from 'pg'
import { FlowError } from '../../src/domain/errors.ts'
import type { FlowEvent } from '../../src/domain/event.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { JsonObject } from '../../src/domain/json.ts'
import { shardTokens } from '../../src/domain/shard.ts'
import type { Reply } from '../../src/engine/change.ts'
import type { SignalFate } from '../../src/engine/signals.ts'
import { fold, shownOf } from './fold.ts'
import {
  readSignals,
  type StoredSignal,
  signalFaults,
  type WrittenEvent,
} from './signal-invariants.ts'
import { type ManagedStepRow, managedStepColumns, managedStepFaults } from './step-invariants.ts'
import { toldKeys, waitFaults, wakeFault } from './wait-invariants.ts'

type EventRow = WrittenEvent & { namespace: string; shard: number }

interface StepRow {
  flow_id: string
  shard: number
  run_id: string
  status: string
  observed_at: string | null
}

interface MatchKeyRow {
  namespace: string
  topic: string
  correlation_id: string
  flow_id: string
  wait_id: string
  flow_shard: number
}

interface ReplyRow {
  key: string
  flow_id: string | null
  revision: number
}

const iso = (column: string) =>
  `to_char(${column} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') as ${column}`

const flowColumns = [
  'id, shard, namespace, key, controller_id, goal, owner_session_key, requester_origin, mode',
  'current_step, status, wait, cancel_requested, cancel_reason, labels, retain_ms::float8 as retain_ms, hold, revision, state_bytes, open_steps, state',
  ...['wake_at', 'created_at', 'updated_at', 'closed_at'].map(iso),
].join(', ')

/** What a check looked at, so that a test can tell that it was not vacuous. */
export interface Checked {
  flows: FlowRecord[]
  /** By flow, oldest first. */
  logs: Map<string, FlowEvent[]>
  /** The longest kept first. */
  signals: StoredSignal[]
  kinds: Map<string, number>
}

/** Reads everything, once nothing is under way, and throws one error that lists all violations. */
export async function checkInvariants(session: pg.ClientBase): Promise<Checked> {
  const { rows: flows } = await session.query<FlowRecord>(`select ${flowColumns} from flows`)
  const { rows: events } = await session.query<EventRow>(
    `select flow_id, revision, shard, namespace, kind, actor, payload, xid::text as xid,
       ${iso('at')}
     from flow_events order by flow_id, revision`,
  )
  const { rows: steps } = await session.query<StepRow>(
    `select flow_id, shard, run_id, status, ${iso('observed_at')} from flow_steps
     where runtime = 'mirrored'`,
  )
  const { rows: managed } = await session.query<ManagedStepRow>(
    `select ${managedStepColumns} from flow_steps s where s.runtime = 'managed'`,
  )
  const { rows: keys } = await session.query<MatchKeyRow>(
    'select namespace, topic, correlation_id, flow_id, wait_id, flow_shard from match_keys',
  )
  const { rows: replies } = await session.query<ReplyRow>(
    `select key, reply->'flow'->>'id' as flow_id, (reply->'flow'->>'revision')::integer as revision
     from idempotency_keys`,
  )
  const signals = await readSignals(session)
  const wrong: string[] = []
  const logs = new Map<string, EventRow[]>()
  const kinds = new Map<string, number>()
  for (const event of events) {
    logs.set(event.flow_id, [...(logs.get(event.flow_id) ?? []), event])
    kinds.set(event.kind, (kinds.get(event.kind) ?? 0) + 1)
  }
  for (const flow of flows) {
    const log = logs.get(flow.id) ?? []
    const own = managed.filter(({ flow_id }) => flow_id === flow.id)
    for (const fault of [...faultsOf(flow, log, steps), ...managedStepFaults(flow, log, own)]) {
      wrong.push(`${flow.id}: ${fault}`)
    }
  }
  const byId = new Map(flows.map((flow) => [flow.id, flow]))
  for (const id of logs.keys()) if (!byId.has(id)) wrong.push(`${id}: events without a flow`)

  const present = flows.flatMap(toldKeys)
  const kept = keys.map((key) =>
    [key.namespace, key.topic, key.correlation_id, key.flow_id, key.wait_id, key.flow_shard].join(
      ' ',
    ),
  )
  for (const key of present) if (!kept.includes(key)) wrong.push(`no match key for ${key}`)
  for (const key of kept) if (!present.includes(key)) wrong.push(`a match key for nothing: ${key}`)
  wrong.push(...signalFaults(signals, flows, logs))
  for (const { key, flow_id, revision } of replies) {
    // The answer to a signal for anybody tells of none.
    if (flow_id === null) continue
    const flow = byId.get(flow_id)
    if (flow === undefined) wrong.push(`the answer kept under ${key} tells of no flow`)
    else if (revision > flow.revision)
      wrong.push(`the answer kept under ${key} is ahead of its flow`)
  }
  if (wrong.length > 0) {
    const shown = wrong.slice(0, 20).join('\n')
    throw new Error(`${wrong.length} violations:\n${shown}`)
  }
  return { flows, logs, signals, kinds }
}

function faultsOf(flow: FlowRecord, log: readonly EventRow[], steps: readonly StepRow[]): string[] {
  const wrong: string[] = []
  try {
    // I-4 and I-6 are judged by the fold itself.
    const told = fold(log)
    const row = shownOf(flow)
    for (const name of Object.keys(row) as (keyof typeof row)[]) {
      if (!isDeepStrictEqual(row[name], told[name])) {
        wrong.push(`${name}: ${JSON.stringify(row[name])}, told ${JSON.stringify(told[name])}`)
      }
    }
  } catch (error) {
    wrong.push(error instanceof Error ? error.message : String(error))
  }
  wrong.push(...waitFaults(log))
  for (const event of log) {
    if (event.shard !== flow.shard || event.namespace !== flow.namespace) {
      wrong.push(`revision ${event.revision} lies elsewhere than its flow`)
    }
  }
  if (shardTokens[Number.parseInt(flow.id.slice(-2), 16) % 64] !== flow.shard) {
    wrong.push(`its id does not carry shard ${flow.shard}`)
  }
  const bytes = Buffer.byteLength(JSON.stringify(flow.state))
  if (flow.state_bytes < bytes) wrong.push(`state_bytes ${flow.state_bytes}, state has ${bytes}`)
  const wake = wakeFault(flow, log)
  if (wake !== null) wrong.push(wake)
  return [...wrong, ...stepFaults(flow, log, steps)]
}

function stepFaults(
  flow: FlowRecord,
  log: readonly EventRow[],
  steps: readonly StepRow[],
): string[] {
  const own = steps.filter((step) => step.flow_id === flow.id)
  const told = new Map<string, JsonObject>()
  for (const { kind, payload } of log) {
    if (kind === 'step_observed') told.set(String(payload['run_id']), payload)
  }
  const wrong = own.flatMap((step) => {
    const last = told.get(step.run_id)
    const same = last?.['status'] === step.status && last['observed_at'] === step.observed_at
    return same && step.shard === flow.shard ? [] : [`step ${step.run_id} is not as it was told`]
  })
  const runs = new Set(own.map((step) => step.run_id))
  if (runs.size !== own.length) wrong.push('two steps of one run')
  for (const run of told.keys()) if (!runs.has(run)) wrong.push(`no step for run ${run}`)
  return wrong
}

/** What a caller knows of one request; its actor is its name in the log. */
export interface Operation {
  actor: string
  outcome: 'changed' | 'unchanged' | 'refused' | 'unknown'
  flow_id?: string
  revision?: number
}

/** An answer that tells which flow was changed, if just one was. */
type Answer = Pick<Reply | SignalFate, 'outcome' | 'flow'>

/** Remembers what callers were told. */
export function createHistory() {
  const operations: Operation[] = []
  return {
    operations,
    /** Runs one request under a name of its own. Never rejects but for what is no answer at all. */
    async run(request: (actor: string) => Promise<Answer>): Promise<Operation> {
      const actor = `op-${operations.length}`
      const operation: Operation = { actor, outcome: 'unknown' }
      operations.push(operation)
      try {
        const { outcome, flow } = await request(actor)
        const changed = ['created', 'changed', 'delivered'].includes(outcome)
        operation.outcome = changed ? 'changed' : 'unchanged'
        if (flow === null) return operation
        operation.flow_id = flow.id
        operation.revision = flow.revision
      } catch (error) {
        if (!(error instanceof FlowError)) throw error
        operation.outcome = error.code === 'unavailable' ? 'unknown' : 'refused'
      }
      return operation
    },
  }
}

/**
 * I-1 to I-3: what was answered is in the log once and at its revision, what was refused is not in
 * it, and what nobody knows is in it at most once.
 */
export function checkHistory(
  operations: readonly Operation[],
  logs: ReadonlyMap<string, readonly FlowEvent[]>,
): void {
  const told = new Map<string, FlowEvent[]>()
  for (const event of [...logs.values()].flat()) {
    // A flow that is born running has two events of one request.
    if (event.kind === 'started' && event.revision === 1) continue
    told.set(event.actor, [...(told.get(event.actor) ?? []), event])
  }
  const wrong: string[] = []
  for (const { actor, outcome, flow_id, revision } of operations) {
    const events = told.get(actor) ?? []
    const [event] = events
    const most = outcome === 'changed' || outcome === 'unknown' ? 1 : 0
    if (events.length > most)
      wrong.push(`${actor} (${outcome}) is in the log ${events.length} times`)
    if (outcome !== 'changed') continue
    if (event === undefined) wrong.push(`${actor} was acknowledged and is lost`)
    else if (
      event.flow_id !== flow_id ||
      (event.kind !== 'created' && event.revision !== revision)
    ) {
      wrong.push(`${actor} was answered revision ${revision} and is ${event.revision}`)
    }
  }
  if (wrong.length > 0) throw new Error(`${wrong.length} violations:\n${wrong.join('\n')}`)
}

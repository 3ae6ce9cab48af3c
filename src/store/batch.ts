// The two round trips of a batch: lock and read, then save and commit, each sent as one pipeline.

import type pg from 'pg'
import type { DecidedFlow } from '../domain/command.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { JsonObject } from '../domain/json.ts'
import type { Instant, SignalRecord } from '../domain/signal.ts'
import type { AttemptRecord, StepDefaults, StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { inOneWrite, type Runner, rows, type Scope } from './db.ts'
import { type HookEvent, queueDeliveries } from './delivery-queue.ts'
import { type DueQuery, lockDue } from './due.ts'
import { isServerError } from './errors.ts'
import type { EventRow } from './events.ts'
import {
  type FlowLocks,
  type FlowUpdate,
  insertFlows,
  type KeyRef,
  lockFlows,
  namespacesOf,
  openFlowsByKey,
  updateFlows,
} from './flows.ts'
import { insertFlowHooks, type NewHookRow } from './hooks.ts'
import {
  type IdempotencyRef,
  type KeptReply,
  keepReplies,
  lockIdempotencyKeys,
  readReplies,
  refText,
} from './idempotency.ts'
import { type InboundMessageRow, insertInboundMessages } from './inbound.ts'
import { type LinkRow, openLinks } from './links.ts'
import {
  closeMatchKeys,
  findWaiters,
  type MatchKeyRef,
  type MatchKeyRow,
  openMatchKeys,
  type Waiter,
  type WaiterQuery,
} from './match-keys.ts'
import {
  countKept,
  findBySender,
  insertSignals,
  type KeptCountQuery,
  type KeptQuery,
  lockKept,
  lockSignals,
  lockTexts,
  type SenderRef,
  updateSignals,
} from './signals.ts'
import { sql } from './sql.ts'
import {
  closeSteps,
  type DefaultsQuery,
  insertAttempts,
  insertSteps,
  lockOpenSteps,
  lockSteps,
  readDefaults,
  type StepRef,
  startSteps,
  updateSteps,
} from './steps.ts'

/** What a batch needs to see. Everything is given in the order in which it is to be locked. */
export interface LockRequest extends FlowLocks {
  /** Match keys and senders' ids, as texts. */
  texts: string[]
  idempotency: IdempotencyRef[]
  keys: KeyRef[]
  /** Instead of `flows`: whatever is due. */
  due: DueQuery | null
  steps: StepRef[]
  /** Whose controllers' word on steps is needed. */
  defaults: DefaultsQuery
  /** Flows of which all open steps are needed. */
  cancelling: string[]
  /** Stored signals to be tried again. */
  signals: string[]
  senders: SenderRef[]
  kept: KeptQuery[]
  kept_counts: KeptCountQuery[]
  /** Kept signals are counted no further than this. */
  kept_bound: number
  /** The time that decisions shall use; the database's when null. */
  now: Timestamp | null
}

export interface Locked {
  /** The database's time after the locks were taken: the `now` of every decision in the batch. */
  now: Timestamp
  /** The same with microseconds. */
  instant: Instant
  /** The transaction, to ask for its fate if the answer to COMMIT is lost. */
  xid: string
  /** No transaction of this server has an id as high as this, or none whose changes are seen here. */
  next_xid: string
  /** Texts that this transaction holds. */
  texts: Set<string>
  /** In the order in which the tick took them, or by id. */
  flows: Map<string, DecidedFlow>
  /** Flows that exist and are locked elsewhere, with their namespaces. */
  busy: Map<string, string>
  /** Whether flows that are locked elsewhere were waited for: one that is missing is not there. */
  block: boolean
  /** Texts (`refText`) of the idempotency keys that this transaction holds. */
  idempotency: Set<string>
  /** By the same texts. */
  replies: Map<string, KeptReply>
  open_keys: FlowRecord[]
  steps: StepRecord[]
  step_defaults: (StepDefaults & { namespace: string; id: string })[]
  /** All that is open of flows that are asked to end. */
  open_steps: StepRecord[]
  /** The longest waiting first, under each match key. */
  waiters: Waiter[]
  /** What they were looked up by. */
  waiter_queries: readonly WaiterQuery[]
  /** Stored signals, by id. */
  signals: Map<string, SignalRecord>
  senders: SignalRecord[]
  kept: SignalRecord[]
  kept_counts: Map<string, number>
  /** Whether any namespace has hooks; those of single flows are told by the flows. */
  hooks: boolean
}

const none = Promise.resolve([])
/** Each statement must see what committed before it: a look-up after a lock depends on it. */
const begin = { name: 'begin', text: 'begin isolation level read committed', values: [] }
const commit = { name: 'commit', text: 'commit', values: [] }
const rollback = { name: 'rollback', text: 'rollback', values: [] }

/**
 * Waits for all statements of a pipeline and throws the first error. The statements behind a failed
 * one only say that the transaction is aborted.
 */
async function together<T extends readonly unknown[]>(
  sent: {
    [K in keyof T]: Promise<T[K]>
  },
): Promise<T> {
  for (const one of await Promise.allSettled(sent)) {
    if (one.status === 'rejected') throw one.reason
  }
  return Promise.all(sent) as Promise<T>
}

/** Opens a transaction, locks what the request names and reads it. One round trip; two if a flow is missing. */
export async function lockBatch(client: Runner, request: LockRequest): Promise<Locked> {
  const { texts, idempotency, keys, flows, due, steps, waiters, holders, block } = request
  const { defaults } = request
  const locks = flows.length + waiters.length + holders.length > 0
  const [
    ,
    held,
    replied,
    replies,
    openKeys,
    waiting,
    found,
    known,
    stepDefaults,
    signals,
    senders,
    kept,
    counts,
    [clock],
  ] = await inOneWrite(client, () =>
    together<
      [
        unknown,
        Set<string>,
        Set<string>,
        KeptReply[],
        FlowRecord[],
        Waiter[],
        DecidedFlow[],
        StepRecord[],
        Locked['step_defaults'],
        SignalRecord[],
        SignalRecord[],
        SignalRecord[],
        Map<string, number>,
        { now: Timestamp; instant: Instant; xid: string; next_xid: string; hooks: boolean }[],
      ]
    >([
      client.query(begin),
      texts.length > 0 ? lockTexts(client, texts, block) : Promise.resolve(new Set()),
      idempotency.length > 0
        ? lockIdempotencyKeys(client, idempotency)
        : Promise.resolve(new Set()),
      idempotency.length > 0 ? readReplies(client, idempotency) : none,
      keys.length > 0 ? openFlowsByKey(client, keys) : none,
      waiters.length > 0 ? findWaiters(client, waiters) : none,
      due !== null ? lockDue(client, due) : locks ? lockFlows(client, request) : none,
      steps.length > 0 ? lockSteps(client, steps) : none,
      defaults.controllers.length + defaults.flow_ids.length > 0
        ? readDefaults(client, defaults)
        : none,
      request.signals.length > 0 ? lockSignals(client, request.signals) : none,
      request.senders.length > 0 ? findBySender(client, request.senders) : none,
      request.kept.length > 0 ? lockKept(client, request.kept) : none,
      request.kept_counts.length > 0
        ? countKept(client, request.kept_counts, request.kept_bound)
        : Promise.resolve(new Map()),
      // Cut, not rounded: a rounded time could lie ahead of the clock, and a timer fire early.
      rows(
        client,
        sql`
          select date_trunc('milliseconds', t.at) as now, pg_current_xact_id()::text as xid,
            pg_snapshot_xmax(pg_current_snapshot())::text as next_xid,
            exists (select 1 from hooks where flow_id is null and enabled) as hooks,
            to_char(t.at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as instant
          from (select coalesce(${request.now}::timestamptz, clock_timestamp()) as at) t`,
      ),
    ]),
  )
  if (clock === undefined) throw new Error('the clock statement answered no row')
  const byId = new Map(found.map((flow) => [flow.id, flow]))
  const missing = due === null ? flows.flatMap(({ id }) => (byId.has(id) ? [] : [id])) : []
  // A second trip, for the few that ask a flow with steps to end.
  const cancelling = request.cancelling.filter((id) => (byId.get(id)?.open_steps ?? 0) > 0)
  return {
    now: clock.now,
    instant: clock.instant,
    xid: clock.xid,
    next_xid: clock.next_xid,
    texts: held,
    flows: byId,
    busy: missing.length > 0 ? await namespacesOf(client, missing) : new Map(),
    block,
    idempotency: replied,
    replies: new Map(replies.map((reply) => [refText(reply), reply])),
    open_keys: openKeys,
    steps: known,
    step_defaults: stepDefaults,
    open_steps: cancelling.length > 0 ? await lockOpenSteps(client, cancelling) : [],
    waiters: waiting,
    waiter_queries: waiters,
    signals: new Map(signals.map((signal) => [signal.id, signal])),
    senders,
    kept,
    kept_counts: counts,
    hooks: clock.hooks,
  }
}

/** What a batch writes. */
export interface Changes {
  updates: FlowUpdate[]
  update_events: EventRow[]
  inserts: FlowRecord[]
  insert_events: EventRow[]
  open_match_keys: MatchKeyRow[]
  close_match_keys: MatchKeyRef[]
  new_steps: StepRecord[]
  /** Steps that were locked, as they are now. */
  steps: StepRecord[]
  attempts: AttemptRecord[]
  /** Flows that have ended with steps that have not. */
  close_steps: string[]
  /** Flows that have started with steps that were held. */
  start_steps: string[]
  /** The time of both. */
  now: Timestamp
  links: LinkRow[]
  new_signals: SignalRecord[]
  signals: SignalRecord[]
  messages: InboundMessageRow[]
  /** Of new flows. */
  hooks: NewHookRow[]
  /** Events that hooks may want. */
  hook_events: HookEvent[]
  replies: (KeptReply & { flow_id: string | null; expires_at: Timestamp })[]
}

export interface Saved {
  /** States after the change, of updated flows whose state was not read before. */
  states: Map<string, JsonObject>
  /** Ids of the new flows that came in. */
  inserted: Set<string>
  /** How many deliveries the events caused; null when that is not known. */
  queued: number | null
}

/** The transaction is rolled back, for certain; `cause` is why. */
export interface RolledBack {
  outcome: 'rolled_back'
  cause: unknown
}

/** COMMIT was sent and its answer is lost. */
export interface InDoubt {
  outcome: 'in_doubt'
  cause: unknown
  /** What the statements before COMMIT answered, if they did. */
  saved: Saved | null
}

export type SaveResult = ({ outcome: 'committed' } & Saved) | RolledBack | InDoubt

/** Saves and commits in one round trip. Never throws: what became of the transaction is its answer. */
export async function saveBatch(client: Runner, changes: Changes): Promise<SaveResult> {
  let queued = 0
  const [writes, committed] = inOneWrite(
    client,
    () =>
      [
        together<[Map<string, JsonObject>, Set<string>, ...unknown[]]>([
          changes.updates.length > 0
            ? updateFlows(client, changes.updates, changes.update_events)
            : Promise.resolve(new Map()),
          changes.inserts.length > 0
            ? insertFlows(client, changes.inserts, changes.insert_events)
            : Promise.resolve(new Set()),
          // Closed before opened: a flow may leave a wait and enter the next one in the same batch.
          changes.close_match_keys.length > 0
            ? closeMatchKeys(client, changes.close_match_keys)
            : none,
          changes.open_match_keys.length > 0
            ? openMatchKeys(client, changes.open_match_keys)
            : none,
          changes.new_steps.length > 0 ? insertSteps(client, changes.new_steps) : none,
          changes.steps.length > 0 ? updateSteps(client, changes.steps) : none,
          changes.attempts.length > 0 ? insertAttempts(client, changes.attempts) : none,
          // After the steps themselves: one may have been added by the same batch.
          changes.close_steps.length > 0
            ? closeSteps(client, changes.close_steps, changes.now)
            : none,
          changes.start_steps.length > 0
            ? startSteps(client, changes.start_steps, changes.now)
            : none,
          changes.links.length > 0 ? openLinks(client, changes.links) : none,
          changes.new_signals.length > 0 ? insertSignals(client, changes.new_signals) : none,
          changes.signals.length > 0 ? updateSignals(client, changes.signals) : none,
          changes.messages.length > 0 ? insertInboundMessages(client, changes.messages) : none,
          changes.replies.length > 0 ? keepReplies(client, changes.replies) : none,
          changes.hooks.length > 0 ? insertFlowHooks(client, changes.hooks) : none,
          // Last: it reads what the statements before it wrote.
          changes.hook_events.length > 0
            ? queueDeliveries(client, changes.hook_events).then((count) => {
                queued = count
              })
            : none,
        ]),
        client.query(commit),
      ] as const,
  )
  const [written, ended] = await Promise.allSettled([writes, committed])
  const saved =
    written.status === 'fulfilled'
      ? { states: written.value[0], inserted: written.value[1], queued }
      : null
  if (ended.status === 'rejected') {
    return isServerError(ended.reason)
      ? { outcome: 'rolled_back', cause: ended.reason }
      : { outcome: 'in_doubt', cause: ended.reason, saved }
  }
  // The COMMIT of an aborted transaction succeeds as a command and says ROLLBACK.
  if (written.status === 'rejected' || ended.value.command === 'ROLLBACK' || saved === null) {
    return {
      outcome: 'rolled_back',
      cause: written.status === 'rejected' ? written.reason : new Error('COMMIT rolled back'),
    }
  }
  return { outcome: 'committed', ...saved }
}

/** Ends a transaction without a trace. */
export async function rollBack(client: Runner): Promise<void> {
  await client.query(rollback)
}

/**
 * What became of a transaction whose COMMIT answer is lost: true if it committed, false if not, null
 * while that is not settled. Asked on another connection. Throws when the server cannot be reached.
 */
export async function hasCommitted(scope: Scope, xid: string): Promise<boolean | null> {
  const [row] = await rows<{ status: string | null }>(
    scope.reader,
    sql`select pg_xact_status(${xid}::xid8) as status`,
  )
  if (row?.status === 'in progress') return null
  return row?.status === 'committed'
}

/** A connection of the committer. */
export type BatchClient = pg.PoolClient

/** Takes a connection; release it with the error that makes it unfit, or nothing. */
export function connectWriter(scope: Scope): Promise<BatchClient> {
  return scope.writer.connect()
}

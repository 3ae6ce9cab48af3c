// The first round trip of a batch: what it locks and reads, sent as one pipeline.

import type { DecidedFlow } from '../domain/command.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { Instant, SignalRecord } from '../domain/signal.ts'
import type { StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import { beginWithin, inOneWrite, type Runner, rows, type Scope, together } from './db.ts'
import { type DueQuery, lockDue } from './due.ts'
import { type FlowLocks, type KeyRef, lockFlows, namespacesOf, openFlowsByKey } from './flows.ts'
import {
  type IdempotencyRef,
  type KeptReply,
  lockIdempotencyKeys,
  readReplies,
  refText,
} from './idempotency.ts'
import { findWaiters, type Waiter, type WaiterQuery } from './match-keys.ts'
import {
  countKept,
  findBySender,
  type KeptCountQuery,
  type KeptQuery,
  lockKept,
  lockSignals,
  lockTexts,
  type SenderRef,
} from './signals.ts'
import { sql } from './sql.ts'
import {
  type ControllerSteps,
  type DefaultsQuery,
  lockOpenSteps,
  lockSteps,
  readDefaults,
  type StepRef,
} from './steps.ts'
import type { Within } from './wall.ts'

/** What a batch needs to see. Everything is given in the order in which it is to be locked. */
export interface LockRequest extends FlowLocks {
  /** Whose commands these are: the rows of others are not there for any of them. */
  within: Within
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
  step_defaults: ControllerSteps[]
  /** What they were looked up by. */
  defaults_query: DefaultsQuery
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
/** Opens a transaction, locks what the request names and reads it. One round trip; two if a flow is missing. */
export async function lockBatch(
  scope: Scope,
  client: Runner,
  request: LockRequest,
): Promise<Locked> {
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
        ControllerSteps[],
        SignalRecord[],
        SignalRecord[],
        SignalRecord[],
        Map<string, number>,
        { now: Timestamp; instant: Instant; xid: string; next_xid: string; hooks: boolean }[],
      ]
    >([
      beginWithin(scope, client, request.within),
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
    defaults_query: defaults,
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

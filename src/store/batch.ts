// The second round trip of a batch: save and commit, sent as one pipeline. Then, what became of it.

import type pg from 'pg'
import type { FlowRecord } from '../domain/flow.ts'
import type { JsonObject } from '../domain/json.ts'
import type { SignalRecord } from '../domain/signal.ts'
import type { AttemptRecord, StepRecord } from '../domain/step.ts'
import type { Timestamp } from '../domain/time.ts'
import {
  commit,
  inOneWrite,
  type Runner,
  readerOf,
  rollback,
  rows,
  type Scope,
  together,
} from './db.ts'
import { type HookEvent, queueDeliveries } from './delivery-queue.ts'
import { isServerError } from './errors.ts'
import type { EventRow } from './events.ts'
import { type FlowUpdate, insertFlows, updateFlows } from './flows.ts'
import { insertFlowHooks, type NewHookRow } from './hooks.ts'
import { type KeptReply, keepReplies } from './idempotency.ts'
import { type InboundMessageRow, insertInboundMessages } from './inbound.ts'
import { type LinkRow, openLinks } from './links.ts'
import { closeMatchKeys, type MatchKeyRef, type MatchKeyRow, openMatchKeys } from './match-keys.ts'
import { insertSignals, updateSignals } from './signals.ts'
import { sql } from './sql.ts'
import { closeSteps, insertAttempts, insertSteps, startSteps, updateSteps } from './steps.ts'
import { nowhere } from './wall.ts'

const none = Promise.resolve([])

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
    readerOf(scope, nowhere),
    sql`select pg_xact_status(${xid}::xid8) as status`,
  )
  if (row?.status === 'in progress') return null
  return row?.status === 'committed'
}

/** A connection of the committer. */
export type BatchClient = pg.PoolClient

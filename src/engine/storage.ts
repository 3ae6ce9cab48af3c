// What operators ask of the service as a whole: how much room it takes, what will be deleted, and what waits to be run.

import type { closingKinds } from '../domain/event.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Scope } from '../store/db.ts'
import {
  listNextDeletions,
  type OldFlow,
  type RetentionStatus,
  readRetentionStatus,
} from '../store/flow-retention.ts'
import { type OtherSteps, readOtherSteps, readReadyQueues } from '../store/queues.ts'
import { readDatabaseBytes, readTableSizes, type TableSize } from '../store/storage.ts'
import type { Caller } from './change.ts'
import type { FlowRetention } from './flow-retention.ts'

/** A count goes no further than this: whoever needs more has a larger problem than its number. */
const most = 10_000
/** Controllers and tasks that are told of. */
const mostQueues = 200

export interface StorageReport {
  database_bytes: number
  tables: TableSize[]
  retention: RetentionStatus & {
    /** How long flows are kept that do not say, in milliseconds; null: for ever. */
    flows: number | null
    min: number
    max: number
    capped: boolean
  }
}

export interface DeletionPreview {
  retention: number | null
  due: number
  capped: boolean
  next: (OldFlow & { status: (typeof closingKinds)[number] })[]
}

export interface StepQueueCounts extends OtherSteps {
  ready: number
  ready_since: Timestamp | null
}

export interface Storage {
  report(): Promise<StorageReport>
  /** What would be deleted under another retention, or the present one: nothing is. */
  preview(caller: Caller, options: { retention?: number; limit: number }): Promise<DeletionPreview>
  /** Steps by controller and task; `capped` when some count, or the list, goes on. */
  queues(caller: Caller): Promise<{ queues: StepQueueCounts[]; capped: boolean }>
}

export function createStorage(scope: Scope, retention: FlowRetention): Storage {
  return {
    async report() {
      const [database_bytes, tables, status] = await Promise.all([
        readDatabaseBytes(scope),
        readTableSizes(scope),
        readRetentionStatus(scope, retention.flows, most),
      ])
      const capped = status.due >= most || status.held >= most
      return { database_bytes, tables, retention: { ...retention, ...status, capped } }
    },

    async preview({ namespace }, options) {
      const kept = options.retention ?? retention.flows
      const [status, next] = await Promise.all([
        readRetentionStatus(scope, kept, most),
        listNextDeletions(scope, { namespace, retention: kept, limit: options.limit }),
      ])
      return {
        retention: kept,
        due: status.due,
        capped: status.due >= most,
        next: next as DeletionPreview['next'],
      }
    },

    async queues({ namespace }) {
      const [ready, others] = await Promise.all([
        readReadyQueues(scope, { namespace, most, groups: mostQueues }),
        readOtherSteps(scope, { namespace, most }),
      ])
      const counts = new Map<string, StepQueueCounts>()
      const none = { running: 0, delayed: 0, dead: 0, running_since: null }
      for (const group of ready) counts.set(keyOf(group), { ...none, ...group })
      for (const group of others.groups) {
        const known = counts.get(keyOf(group)) ?? { ready: 0, ready_since: null }
        counts.set(keyOf(group), { ...known, ...group })
      }
      const queues = [...counts.values()].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1))
      return {
        queues: queues.slice(0, mostQueues),
        capped:
          others.capped ||
          queues.length > mostQueues ||
          ready.length === mostQueues ||
          ready.some((group) => group.ready >= most),
      }
    },
  }
}

function keyOf({ controller_id, task }: { controller_id: string; task: string }): string {
  return JSON.stringify([controller_id, task])
}

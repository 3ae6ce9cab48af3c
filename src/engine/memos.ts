// What steps record so that it survives their retries: values by name, for each flow.

import { FlowError } from '../domain/errors.ts'
import { type JsonValue, jsonBytes } from '../domain/json.ts'
import { inTransaction, type Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import { type MemoRecord, readMemo, writeMemo } from '../store/memos.ts'
import type { Caller } from './change.ts'
import type { Flows } from './flows.ts'

export interface Memos {
  /** Throws `not_found` for the flow and for the memo. */
  get(caller: Caller, flowId: string, key: string): Promise<MemoRecord>
  /**
   * Writes a value; of one that is there with `onlyNew`, nothing is changed and `kept` is true. It makes
   * no revision. Throws `not_found`, `already_terminal`, `limit_exceeded`.
   */
  put(
    caller: Caller,
    flowId: string,
    key: string,
    value: JsonValue,
    onlyNew: boolean,
  ): Promise<{ memo: MemoRecord; created: boolean; kept: boolean }>
}

export interface MemoLimits {
  /** Largest value, in bytes of compact JSON. */
  bytes: number
  /** Memos of one flow. */
  count: number
}

export function createMemos(scope: Scope, flows: Flows, limits: MemoLimits): Memos {
  return {
    async get(caller, flowId, key) {
      await flows.get(caller, flowId)
      const memo = await readMemo(scope, flowId, key)
      if (memo !== undefined) return memo
      throw new FlowError(
        'not_found',
        'This flow has no memo with this key: nothing was recorded under it yet.',
        { resource: 'memo', id: key },
      )
    },

    async put(caller, flowId, key, value, onlyNew) {
      const actual = jsonBytes(value)
      if (actual > limits.bytes) {
        throw new FlowError(
          'limit_exceeded',
          `A memo holds ${limits.bytes} bytes at most: keep large data elsewhere and refer to it.`,
          { limit: 'memo_bytes', maximum: limits.bytes, actual },
        )
      }
      const flow = await flows.get(caller, flowId)
      const { shard } = flow
      const written = await inTransaction(scope, (runner) =>
        writeMemo(runner, { flow_id: flowId, shard, key, value }, !onlyNew, limits.count),
      ).catch((error: unknown) => {
        throw toFlowError(error)
      })
      if (written.outcome === 'full') {
        throw new FlowError(
          'limit_exceeded',
          `A flow has ${limits.count} memos at most: record several values under one key.`,
          { limit: 'memos', maximum: limits.count },
        )
      }
      if (written.outcome === 'closed') {
        const { status } = await flows.get(caller, flowId)
        throw new FlowError(
          'already_terminal',
          `This flow is ${status}, which is final: nothing is recorded for it any more.`,
          { flow_id: flowId, flow_status: status },
        )
      }
      const { outcome, memo } = written
      return { memo, created: outcome === 'created', kept: outcome === 'kept' }
    },
  }
}

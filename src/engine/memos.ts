// What steps record so that it survives their retries: values by name, for each flow.

import { FlowError, flowNotFound } from '../domain/errors.ts'
import { type JsonValue, jsonBytes } from '../domain/json.ts'
import type { Scope } from '../store/db.ts'
import { type MemoRecord, type MemoWrite, readMemo, writeMemo } from '../store/memos.ts'
import type { Caller, ChangeOptions } from './change.ts'
import type { Flows } from './flows.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import { inQuota, type NamespaceQuota } from './namespace-quota.ts'

/** A memo that was written. */
export interface WrittenMemo {
  memo: MemoRecord
  created: boolean
}

export interface Memos {
  /** Throws `not_found` for the flow and for the memo. */
  get(caller: Caller, flowId: string, key: string): Promise<MemoRecord>
  /**
   * Writes a value; with `onlyNew` only if there is none. It makes no revision. Throws `not_found`,
   * `already_terminal`, `limit_exceeded`, `quota_exceeded`, and `precondition_failed` when there is one.
   */
  put(
    caller: Caller,
    flowId: string,
    memo: { key: string; value: JsonValue; onlyNew: boolean },
    options?: ChangeOptions,
  ): Promise<KeyedReply<WrittenMemo>>
}

export interface MemoLimits {
  /** Largest value, in bytes of compact JSON. */
  bytes: number
  /** Memos of one flow. */
  count: number
}

/** @param quota what namespaces are held to; null when they are held to nothing. */
export function createMemos(
  scope: Scope,
  flows: Flows,
  limits: MemoLimits,
  quota: NamespaceQuota | null,
): Memos {
  return {
    async get(caller, flowId, key) {
      await flows.get(caller, flowId)
      const memo = await readMemo(scope, caller.namespace, flowId, key)
      if (memo !== undefined) return memo
      throw new FlowError(
        'not_found',
        'This flow has no memo with this key: nothing was recorded under it yet.',
        { resource: 'memo', id: key },
      )
    },

    async put(caller, flowId, { key, value, onlyNew }, options = {}) {
      const actual = jsonBytes(value)
      if (actual > limits.bytes) {
        throw new FlowError(
          'limit_exceeded',
          `A memo holds ${limits.bytes} bytes at most: keep large data elsewhere and refer to it.`,
          { limit: 'memo_bytes', maximum: limits.bytes, actual },
        )
      }
      const { shard } = await flows.get(caller, flowId)
      const memo = { flow_id: flowId, shard, key, value }
      return inQuota(
        quota,
        caller.namespace,
        { bytes: actual },
        (refusal) =>
          keyedChange(
            scope,
            caller,
            options,
            async (runner) => {
              const written = await writeMemo(runner, memo, !onlyNew, limits.count)
              const made = accepted(written, flowId, key)
              // Undone by it. What is wrong with the request as such is told first.
              if (refusal !== undefined) throw refusal
              return made
            },
            { flowId },
          ),
        ({ replayed }) => !replayed,
      )
    },
  }

  function accepted(written: MemoWrite, flow_id: string, key: string): WrittenMemo {
    switch (written.outcome) {
      case 'no_flow':
        throw flowNotFound(flow_id)
      case 'closed':
        throw new FlowError(
          'already_terminal',
          `This flow is ${written.status}, which is final: nothing is recorded for it any more.`,
          { flow_id, flow_status: written.status },
        )
      case 'full':
        throw new FlowError(
          'limit_exceeded',
          `A flow has ${limits.count} memos at most: record several values under one key.`,
          { limit: 'memos', maximum: limits.count },
        )
      case 'kept':
        throw new FlowError(
          'precondition_failed',
          'Something is recorded under this key already. Read it and go on with that.',
          { flow_id, key },
        )
      default:
        return { memo: written.memo, created: written.outcome === 'created' }
    }
  }
}

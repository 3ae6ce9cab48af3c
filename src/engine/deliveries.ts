// What callers do with deliveries: look at them, have them sent once more, and try out a hook.

import { FlowError } from '../domain/errors.ts'
import { type DeliveryStatus, testType } from '../domain/hook.ts'
import { isId, shardIndexOf } from '../domain/id.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Scope } from '../store/db.ts'
import {
  type DeliveryDetail,
  type DeliverySummary,
  insertTestDelivery,
  listDeliveries,
  readDelivery,
  redeliverOne,
  redeliverRange,
} from '../store/deliveries.ts'
import { readHook } from '../store/hooks.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { hookNotFound } from './hooks.ts'
import { mintId } from './ids.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'

export interface Deliveries {
  /** Newest first. Throws `not_found` where there is neither a delivery nor the hook. */
  list(
    caller: Caller,
    hookId: string,
    filter: { status?: DeliveryStatus },
    page: PageRequest,
  ): Promise<Page<DeliverySummary>>
  /** Throws `not_found`. */
  get(caller: Caller, id: string): Promise<DeliveryDetail>
  /** Sends one once more, under its id. Throws `not_found`, also for its hook, and `hook_disabled`. */
  redeliver(
    caller: Caller,
    id: string,
    options?: ChangeOptions,
  ): Promise<KeyedReply<DeliveryDetail>>
  /**
   * Sends those of a span of time once more, the oldest first. Throws `not_found` and `hook_disabled`.
   */
  redeliverRange(
    caller: Caller,
    hookId: string,
    range: { created_after?: Timestamp; created_before?: Timestamp; status: 'failed' | 'any' },
    options?: ChangeOptions,
  ): Promise<KeyedReply<{ count: number }>>
  /** Throws `not_found` and `hook_disabled`. */
  test(
    caller: Caller,
    hookId: string,
    options?: ChangeOptions,
  ): Promise<KeyedReply<DeliverySummary>>
}

/** Deliveries sent once more by one request, and how many of them a second. */
const rangeLimit = 10_000
const rangePace = 50

export function createDeliveries(scope: Scope, nudge: () => void): Deliveries {
  async function liveHook({ namespace }: Caller, id: string) {
    const hook = isId(id) ? await readHook(scope, namespace, id) : undefined
    if (hook === undefined) throw hookNotFound(id)
    if (hook.enabled) return hook
    throw new FlowError(
      'hook_disabled',
      'This hook is disabled, so nothing is sent to it. Enable it with PATCH first.',
      { hook_id: id, reason: hook.disabled_reason },
    )
  }

  async function get({ namespace }: Caller, id: string): Promise<DeliveryDetail> {
    const delivery = isId(id) ? await readDelivery(scope, namespace, id) : undefined
    if (delivery !== undefined) return delivery
    throw new FlowError(
      'not_found',
      'There is no delivery with this id. List those of its hook: old ones are deleted.',
      { resource: 'delivery', ...(isId(id) && { id }) },
    )
  }

  return {
    get,

    async list(caller, hookId, { status }, { limit, cursor }) {
      const { namespace } = caller
      const bound = ['deliveries', namespace, hookId, status]
      const position = cursor === undefined ? null : decodeCursor(cursor, bound, ['id'])
      if (!isId(hookId)) throw hookNotFound(hookId)
      const found = await listDeliveries(scope, {
        namespace,
        hook_id: hookId,
        ...(status !== undefined && { status }),
        ...(position !== null && { before: position[0] as string }),
        limit: limit + 1,
      })
      // The ledger outlives its hook: only where it is empty does it matter whether there is one.
      if (found.length === 0 && (await readHook(scope, namespace, hookId)) === undefined) {
        throw hookNotFound(hookId)
      }
      return pageOf(found, limit, ({ id }) => encodeCursor(bound, [id]))
    },

    async redeliver(caller, id, options = {}) {
      const { hook_id } = await get(caller, id)
      const reply = await keyedChange(scope, caller, options, async (runner) => {
        await liveHook(caller, hook_id)
        await redeliverOne(runner, caller.namespace, id)
        return {}
      })
      nudge()
      return { ...reply, value: await get(caller, id) }
    },

    async redeliverRange(caller, hookId, { status, ...span }, options = {}) {
      const reply = await keyedChange(scope, caller, options, async (runner) => {
        await liveHook(caller, hookId)
        const count = await redeliverRange(runner, {
          namespace: caller.namespace,
          hook_id: hookId,
          statuses: status === 'any' ? ['failed', 'delivered'] : ['failed'],
          ...span,
          limit: rangeLimit,
          per_second: rangePace,
        })
        return { count }
      })
      nudge()
      return reply
    },

    async test(caller, hookId, options = {}) {
      const reply = await keyedChange(scope, caller, options, async (runner) => {
        const { id: hook_id, flow_id, namespace, lane, shard } = await liveHook(caller, hookId)
        const id = mintId(shardIndexOf(hook_id))
        const depth = (caller.depth ?? 0) + 1
        const place = { id, shard, namespace, hook_id, flow_id, lane }
        return insertTestDelivery(runner, { ...place, type: testType, depth })
      })
      nudge()
      return reply
    },
  }
}

// What callers do with hooks: make, read, change and remove them, and change their secrets.

import { FlowError, flowNotFound } from '../domain/errors.ts'
import { type HookDefinition, type HookRecord, maxFlowHooks } from '../domain/hook.ts'
import { isId, shardIndexOf } from '../domain/id.ts'
import { shardToken } from '../domain/shard.ts'
import { liveSecrets } from '../domain/signing-secret.ts'
import type { Runner, Scope } from '../store/db.ts'
import {
  countHooks,
  deleteHook,
  insertHook,
  listHooks,
  lockHook,
  markHooked,
  readHook,
  updateHook,
} from '../store/hooks.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import { type HookView, laneOf, makeHook, type NewHook, viewOf } from './hook-making.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import { inQuota, type NamespaceQuota } from './namespace-quota.ts'
import { checkOutboundUrl, type OutboundRules } from './outbound-url.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { checkSecret, newSecret } from './signing.ts'

/** An answer with a secret that was just made; null when the caller gave it, and in a replay. */
export type SecretReply = KeyedReply<HookView> & { secret: string | null }

export type HookPatch = Partial<HookDefinition> & { enabled?: boolean }

export interface Hooks {
  /**
   * Without `flow_id` for all flows of the namespace. Throws `url_not_allowed`, `limit_exceeded`,
   * `quota_exceeded`, and `not_found` for the flow.
   */
  create(
    caller: Caller,
    hook: NewHook & { flow_id: string | null },
    options?: ChangeOptions,
  ): Promise<SecretReply>
  /** Throws `not_found`. */
  get(caller: Caller, id: string): Promise<HookView>
  /** Those of a flow, or without one those for all flows of the namespace, newest first. */
  list(
    caller: Caller,
    filter: { flow_id?: string; enabled?: boolean },
    page: PageRequest,
  ): Promise<Page<HookView>>
  /** Members that are absent stay. Throws `not_found` and `url_not_allowed`. */
  update(
    caller: Caller,
    id: string,
    patch: HookPatch,
    options?: ChangeOptions,
  ): Promise<KeyedReply<HookView>>
  /** Throws `not_found`. What is pending for it fails; its deliveries can be read as long as they are kept. */
  remove(caller: Caller, id: string, options?: ChangeOptions): Promise<{ replayed: boolean }>
  /**
   * Gives a hook another secret. Those of before sign as well until `overlap` milliseconds are over.
   * Throws `not_found`, and `limit_exceeded` when too many are live.
   */
  rotate(
    caller: Caller,
    id: string,
    change: { secret?: string; overlap: number },
    options?: ChangeOptions,
  ): Promise<SecretReply>
}

export interface HooksOptions {
  scope: Scope
  rules: OutboundRules
  /** Hooks for all flows of one namespace. */
  limit: number
  /** What namespaces are held to; null when they are held to nothing. */
  quota: NamespaceQuota | null
  /** A hook is gone or disabled. */
  retire: (hook: { hook_id: string; lane: string }) => void
}

/** Secrets of one hook that sign at a time. */
const maxSecrets = 8

export function createHooks({ scope, rules, limit, quota, retire }: HooksOptions): Hooks {
  async function lock(runner: Runner, { namespace }: Caller, id: string) {
    const hook = isId(id) ? await lockHook(runner, namespace, id) : undefined
    if (hook === undefined) throw hookNotFound(id)
    return hook
  }

  /** Counted, not locked: two at once may make one more than there should be. */
  async function refuseTooMany(
    runner: Runner,
    namespace: string,
    flow_id: string | null,
  ): Promise<void> {
    const maximum = flow_id === null ? limit : maxFlowHooks
    const actual = await countHooks(runner, { namespace, flow_id, bound: maximum })
    if (actual < maximum) return
    throw new FlowError(
      'limit_exceeded',
      flow_id === null
        ? `There are ${maximum} hooks already: remove one, or let one serve several controllers.`
        : `A flow has ${maximum} hooks at most: remove one first.`,
      { limit: flow_id === null ? 'hooks' : 'flow_hooks', maximum, actual },
    )
  }

  return {
    async create(caller, { flow_id, ...definition }, options = {}) {
      const { namespace } = caller
      if (flow_id !== null && !isId(flow_id)) throw flowNotFound(flow_id)
      const { row, shown } = makeHook({ namespace, flow_id }, definition, rules)
      const reply = await inQuota(
        quota,
        namespace,
        { hooks: 1 },
        (refusal) =>
          keyedChange(scope, caller, options, async (runner) => {
            if (flow_id !== null) {
              // From now on every batch looks for its hooks; one under way is waited for.
              const flow = { id: flow_id, shard: shardToken(shardIndexOf(flow_id)), namespace }
              if (!(await markHooked(runner, flow))) throw flowNotFound(flow_id)
            }
            await refuseTooMany(runner, namespace, flow_id)
            if (refusal !== undefined) throw refusal
            return viewOf(await insertHook(runner, row))
          }),
        ({ replayed }) => !replayed,
      )
      return { ...reply, secret: reply.replayed ? null : shown }
    },

    async get(caller, id) {
      const hook = isId(id) ? await readHook(scope, caller.namespace, id) : undefined
      if (hook === undefined) throw hookNotFound(id)
      return viewOf(hook)
    },

    async list(caller, filter, { limit: size, cursor }) {
      const bound = ['hooks', caller.namespace, filter]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      const { flow_id, enabled } = filter
      if (flow_id !== undefined && !isId(flow_id)) return { items: [], next_cursor: null }
      const found = await listHooks(scope, {
        namespace: caller.namespace,
        ...(flow_id !== undefined && { flow_id }),
        ...(enabled !== undefined && { enabled }),
        ...(position !== null && {
          before: { created_at: position[0] as string, id: position[1] as string },
        }),
        limit: size + 1,
      })
      const page = pageOf(found, size, ({ created_at, id }) =>
        encodeCursor(bound, [created_at, id]),
      )
      return { ...page, items: page.items.map(viewOf) }
    },

    async update(caller, id, { enabled, ...definition }, options = {}) {
      const { url } = definition
      const moved = url === undefined ? {} : { url: checkOutboundUrl(url, rules).href }
      let disabled: HookRecord | null = null
      const reply = await keyedChange(scope, caller, options, async (runner) => {
        const { now, ...known } = await lock(runner, caller, id)
        const next: HookRecord = { ...known, ...definition, ...moved }
        next.lane = laneOf(next)
        // Another receiver has not failed yet.
        if (next.url !== known.url) next.first_failure_at = null
        if (enabled === false && known.enabled) {
          next.enabled = false
          next.disabled_at = now
          next.disabled_reason = 'disabled by a request'
          disabled = known
        } else if (enabled === true && !known.enabled) {
          next.enabled = true
          next.disabled_at = null
          next.disabled_reason = null
          next.first_failure_at = null
        }
        return viewOf(await updateHook(runner, next))
      })
      if (disabled !== null) retire(placeOf(disabled))
      return reply
    },

    async remove(caller, id, options = {}) {
      let removed: HookRecord | null = null
      const { replayed } = await keyedChange(scope, caller, options, async (runner) => {
        removed = await lock(runner, caller, id)
        await deleteHook(runner, caller.namespace, id)
        return {}
      })
      if (removed !== null) retire(placeOf(removed))
      return { replayed }
    },

    async rotate(caller, id, { secret: given, overlap }, options = {}) {
      if (given !== undefined) checkSecret(given)
      const secret = given ?? newSecret()
      const reply = await keyedChange(scope, caller, options, async (runner) => {
        const { now, ...known } = await lock(runner, caller, id)
        const until = new Date(Date.parse(now) + overlap).toISOString()
        const kept = known.secrets.map((one) => ({
          ...one,
          expires_at: one.expires_at === null || one.expires_at > until ? until : one.expires_at,
        }))
        const secrets = [
          { secret, created_at: now, expires_at: null },
          ...liveSecrets(kept, now).filter((one) => one.secret !== secret),
        ]
        if (secrets.length > maxSecrets) {
          throw new FlowError(
            'limit_exceeded',
            `A hook has ${maxSecrets} live secrets at most: wait for one to expire, or send overlap "PT0S".`,
            { limit: 'hook_secrets', maximum: maxSecrets, actual: secrets.length },
          )
        }
        return viewOf(await updateHook(runner, { ...known, secrets }))
      })
      return { ...reply, secret: reply.replayed || given !== undefined ? null : secret }
    },
  }
}

function placeOf({ id, lane }: HookRecord): { hook_id: string; lane: string } {
  return { hook_id: id, lane }
}

/** The error for a hook that does not exist, or not for this caller. */
export function hookNotFound(id: string): FlowError {
  return new FlowError(
    'not_found',
    'There is no hook with this id. Check the id, or list the hooks.',
    { resource: 'hook', ...(isId(id) && { id }) },
  )
}

// Makes hooks as rows: ids, lanes and secrets, and what is shown of a secret.

import { createHash } from 'node:crypto'
import type { HookDefinition, HookRecord } from '../domain/hook.ts'
import { shardIndexOf } from '../domain/id.ts'
import { shardToken } from '../domain/shard.ts'
import type { Timestamp } from '../domain/time.ts'
import type { NewHookRow } from '../store/hooks.ts'
import { mintId } from './ids.ts'
import { checkOutboundUrl, type OutboundRules } from './outbound-url.ts'
import { checkSecret, fingerprintOf, newSecret } from './signing.ts'

/** A hook as it may be shown: of its secrets only what tells them apart. */
export type HookView = Omit<
  HookRecord,
  'secrets' | 'shard' | 'lane' | 'first_failure_at' | 'namespace'
> & {
  secrets: { fingerprint: string; created_at: Timestamp; expires_at: Timestamp | null }[]
}

/** A hook as it is asked for. */
export type NewHook = HookDefinition & {
  /** One is made when it is absent. */
  secret?: string
}

/**
 * Makes a hook of a namespace, or of one flow. `shown` is the secret if it was made here.
 *
 * @param pointer where the hook stands in the request.
 * @throws FlowError `url_not_allowed`, `invalid_request`.
 */
export function makeHook(
  place: { namespace: string; flow_id: string | null },
  { secret: given, ...definition }: NewHook,
  rules: OutboundRules,
  pointer = '',
): { row: NewHookRow; shown: string | null } {
  const { namespace, flow_id } = place
  const url = checkOutboundUrl(definition.url, rules).href
  if (given !== undefined) checkSecret(given, `${pointer}/secret`)
  const secret = given ?? newSecret()
  const id = mintId(flow_id === null ? undefined : shardIndexOf(flow_id))
  const row = { ...definition, id, shard: shardToken(shardIndexOf(id)), namespace, flow_id, url }
  return { row: { ...row, lane: laneOf(row), secret }, shown: given === undefined ? secret : null }
}

/** What a hook's deliveries share slots in, as a UUID. */
export function laneOf(hook: Pick<HookRecord, 'id' | 'namespace' | 'flow_id' | 'url'>): string {
  if (hook.flow_id === null) return hook.id
  const text = JSON.stringify([hook.namespace, new URL(hook.url).origin])
  const hex = createHash('sha256').update(text).digest('hex')
  return hex.slice(0, 32).replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
}

export function viewOf(hook: HookRecord): HookView {
  return {
    id: hook.id,
    flow_id: hook.flow_id,
    url: hook.url,
    kinds: hook.kinds,
    controller_id: hook.controller_id,
    labels: hook.labels,
    payload: hook.payload,
    ordered: hook.ordered,
    description: hook.description,
    enabled: hook.enabled,
    disabled_reason: hook.disabled_reason,
    disabled_at: hook.disabled_at,
    secrets: hook.secrets.map(({ secret, created_at, expires_at }) => ({
      fingerprint: fingerprintOf(secret),
      created_at,
      expires_at,
    })),
    last_success_at: hook.last_success_at,
    created_at: hook.created_at,
    updated_at: hook.updated_at,
  }
}

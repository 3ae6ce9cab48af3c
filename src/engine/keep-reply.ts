// Where the answers to requests with an Idempotency-Key are kept.

import { shardIndexOf } from '../domain/id.ts'
import { shardOf, shardToken } from '../domain/shard.ts'
import type { Caller, ChangeOptions } from './change.ts'
import type { KeepReply } from './entry.ts'

/**
 * Where the answer to a creation is kept. Its shard follows from the caller and the key alone, so
 * that a repeat finds it whatever flow it made.
 */
export function keepCreation(caller: Caller, { idempotency }: ChangeOptions): KeepReply | null {
  if (idempotency === undefined) return null
  const { key, fingerprint } = idempotency
  const { namespace } = caller
  const scope = scopeOf(caller)
  const shard = shardToken(shardOf(namespace, `${scope}\u0000${key}`))
  return { ref: { namespace, scope, key, shard }, fingerprint }
}

/** Where the answer to a change is kept: on the flow's shard, apart from those of other flows. */
export function keepChange(
  caller: Caller,
  flowId: string,
  { idempotency }: ChangeOptions,
): KeepReply | null {
  if (idempotency === undefined) return null
  const { key, fingerprint } = idempotency
  const { namespace } = caller
  const shard = shardToken(shardIndexOf(flowId))
  return { ref: { namespace, scope: `${scopeOf(caller)}/${flowId}`, key, shard }, fingerprint }
}

function scopeOf({ replay_scope, actor }: Caller): string {
  return replay_scope ?? actor
}

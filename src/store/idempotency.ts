// Answers kept for requests that carry an Idempotency-Key, as rows.

import { type Runner, rows, type Scope, writerOf } from './db.ts'
import { sql } from './sql.ts'
import { everywhere } from './wall.ts'

export interface IdempotencyRef {
  namespace: string
  /** The caller, and the flow for requests on one. */
  scope: string
  key: string
  shard: number
}

export interface KeptReply extends IdempotencyRef {
  fingerprint: string
  /** As it was given: what JSON can carry. */
  reply: unknown
}

/**
 * Tries to lock keys for this transaction, in their order. Those that another transaction holds are
 * under way elsewhere and not in the answer. To be followed by `readReplies` in a statement of its
 * own: inside this one, a reply that committed while the lock was taken would not be seen.
 */
export async function lockIdempotencyKeys(
  runner: Runner,
  refs: readonly IdempotencyRef[],
): Promise<Set<string>> {
  const texts = refs.map(refText)
  const locked = await rows<{ text: string; locked: boolean }>(
    runner,
    sql`
      select text, pg_try_advisory_xact_lock(hashtextextended(text, 7)) as locked
      from unnest(${texts}::text[]) as text`,
  )
  return new Set(locked.filter((row) => row.locked).map((row) => row.text))
}

/** One text for a key, unambiguous: parts are quoted. */
export function refText(ref: IdempotencyRef): string {
  return JSON.stringify([ref.namespace, ref.scope, ref.key])
}

export async function readReplies(
  runner: Runner,
  refs: readonly IdempotencyRef[],
): Promise<KeptReply[]> {
  return rows<KeptReply>(
    runner,
    sql`
      select i.namespace, i.scope, i.key, i.shard, i.fingerprint, i.reply
      from json_to_recordset(${JSON.stringify(refs)}::json)
        as k(namespace text, scope text, key text, shard smallint)
      join idempotency_keys i on i.namespace = k.namespace and i.scope = k.scope
        and i.key = k.key and i.shard = k.shard
      where i.expires_at > now()`,
  )
}

/**
 * Keeps replies, replacing expired ones. A reply about a flow that did not come in is left out; one
 * without a flow is kept.
 */
export async function keepReplies(
  runner: Runner,
  replies: readonly (KeptReply & { flow_id: string | null; expires_at: string })[],
): Promise<void> {
  await rows(
    runner,
    sql`
      insert into idempotency_keys (namespace, scope, key, shard, fingerprint, reply, expires_at)
      select k.namespace, k.scope, k.key, k.shard, k.fingerprint, k.reply, k.expires_at
      from json_to_recordset(${JSON.stringify(replies)}::json) as k(
        namespace text, scope text, key text, shard smallint, flow_id uuid, fingerprint text,
        reply json, expires_at timestamptz)
      where k.flow_id is null or exists (select 1 from flows f where f.id = k.flow_id)
      on conflict (namespace, scope, key, shard) do update set
        fingerprint = excluded.fingerprint, reply = excluded.reply,
        expires_at = excluded.expires_at`,
  )
}

/** Deletes expired replies, at most `limit`; answers how many went. */
export async function deleteExpiredReplies(scope: Scope, limit: number): Promise<number> {
  const gone = await rows<{ key: string }>(
    writerOf(scope, everywhere),
    sql`
      with old as materialized (
        select namespace, scope, key, shard from idempotency_keys
        where expires_at <= now()
        order by expires_at
        limit ${limit}
        for update skip locked)
      delete from idempotency_keys i using old
      where i.namespace = old.namespace and i.scope = old.scope and i.key = old.key
        and i.shard = old.shard
      returning i.key`,
  )
  return gone.length
}

// Links that end one wait each, as rows.

import type { JsonObject } from '../domain/json.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Wait } from '../domain/wait.ts'
import { type Runner, read, rows, type Scope } from './db.ts'
import { sql } from './sql.ts'
import { everywhere } from './wall.ts'

export interface LinkRow {
  /** SHA-256 of the token, in hex. */
  token_hash: string
  flow_id: string
  wait_id: string
  shard: number
  /** The revision of the flow that began the wait: what ended it came after. */
  revision: number
  namespace: string
  created_at: Timestamp
  expires_at: Timestamp | null
  schema: JsonObject | null
}

export async function openLinks(runner: Runner, links: readonly LinkRow[]): Promise<void> {
  await rows(
    runner,
    sql`
      insert into resume_links (
        token_hash, flow_id, wait_id, shard, revision, namespace, created_at, expires_at, schema)
      select decode(token_hash, 'hex'), flow_id, wait_id, shard, revision, namespace, created_at,
        expires_at, schema
      from json_to_recordset(${JSON.stringify(links)}::json) as l(
        token_hash text, flow_id uuid, wait_id uuid, shard smallint, revision integer,
        namespace text, created_at timestamptz, expires_at timestamptz, schema json)`,
  )
}

/** A link as it stands, with what of its flow says whether it is alive. */
export type FoundLink = Omit<LinkRow, 'token_hash' | 'created_at'> & {
  /** Whether its time is over by the database's clock. */
  expired: boolean
  goal: string
  wait: Wait | null
  cancel_requested: boolean
  updated_at: Timestamp
}

/** The link of a token, by the hash of it. */
export async function readLink(
  scope: Scope,
  { token_hash, shard }: Pick<LinkRow, 'token_hash' | 'shard'>,
): Promise<FoundLink | undefined> {
  const [found] = await read<FoundLink>(
    scope,
    // Whoever holds the token may use it: it names no namespace, and is found by nothing else.
    everywhere,
    sql`
      select l.flow_id, l.wait_id, l.shard, l.revision, l.namespace, l.expires_at, l.schema,
        coalesce(l.expires_at <= now(), false) as expired,
        f.goal, f.wait, f.cancel_requested, f.updated_at
      from resume_links l
      join flows f on f.id = l.flow_id and f.shard = l.shard
      where l.token_hash = decode(${token_hash}, 'hex') and l.shard = ${shard}`,
  )
  return found
}

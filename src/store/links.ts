// Links that end one wait each, as rows.

import type { JsonObject } from '../domain/json.ts'
import type { Timestamp } from '../domain/time.ts'
import { type Runner, rows } from './db.ts'
import { sql } from './sql.ts'

export interface LinkRow {
  /** SHA-256 of the token, in hex. */
  token_hash: string
  flow_id: string
  wait_id: string
  shard: number
  namespace: string
  created_at: Timestamp
  expires_at: Timestamp | null
  schema: JsonObject | null
}

export async function openLinks(runner: Runner, links: readonly LinkRow[]): Promise<void> {
  await rows(
    runner,
    sql`
      insert into resume_links (token_hash, flow_id, wait_id, shard, namespace, created_at, expires_at, schema)
      select decode(token_hash, 'hex'), flow_id, wait_id, shard, namespace, created_at, expires_at, schema
      from json_to_recordset(${JSON.stringify(links)}::json) as l(
        token_hash text, flow_id uuid, wait_id uuid, shard smallint, namespace text,
        created_at timestamptz, expires_at timestamptz, schema json)`,
  )
}

// Raw inbound messages as rows: what arrived from outside, and what became of it.

import type { Timestamp } from '../domain/time.ts'
import { type Runner, read, rows, type Scope, writerOf } from './db.ts'
import { join, raw, sql } from './sql.ts'
import { everywhere } from './wall.ts'

/** A message as it arrived. */
export interface InboundMessage {
  id: string
  shard: number
  namespace: string
  /** A source's id, or `nats`. */
  source: string
  /** Those that may be kept, by names in lower case. */
  headers: Record<string, string>
  body: Buffer
}

export const messageOutcomes = ['accepted', 'unmapped', 'rejected'] as const
export type MessageOutcome = (typeof messageOutcomes)[number]

/** A message with its fate. */
export interface InboundMessageRow extends InboundMessage {
  /** Null when it is written: the transaction's time. */
  received_at: Timestamp | null
  outcome: MessageOutcome
  /** Why it was not accepted; null when it was. */
  reason: string | null
  /** The signal that it made; null when it made none. */
  signal_id: string | null
}

/** A message as it is listed: without its body, of which only the size is told. */
export type InboundMessageSummary = Omit<InboundMessageRow, 'body' | 'received_at'> & {
  received_at: Timestamp
  body_bytes: number
}

/** A message as it is read. */
export type InboundMessageRecord = InboundMessageSummary & { body: Buffer }

export const messageColumns = [
  'id',
  'shard',
  'namespace',
  'source',
  'received_at',
  'outcome',
  'reason',
  'signal_id',
  'headers',
  'body',
] as const

const summary = raw(
  `${messageColumns.filter((name) => name !== 'body').join(', ')}, octet_length(body) as body_bytes`,
)

/** Writes messages. One that is there already, and was sent again, gets its new fate. */
export async function insertInboundMessages(
  runner: Runner,
  messages: readonly InboundMessageRow[],
): Promise<void> {
  const values = messages.map(({ body, ...rest }) => ({ ...rest, body: body.toString('base64') }))
  await rows(
    runner,
    sql`
      insert into inbound_messages (id, shard, namespace, source, received_at, outcome, reason,
        signal_id, headers, body)
      select id, shard, namespace, source, coalesce(received_at, date_trunc('milliseconds', now())),
        outcome, reason, signal_id, headers, decode(body, 'base64')
      from json_to_recordset(${JSON.stringify(values)}::json) as m(
        id uuid, shard smallint, namespace text, source text, received_at timestamptz, outcome text,
        reason text, signal_id uuid, headers json, body text)
      on conflict (id, shard) do update set
        outcome = excluded.outcome, reason = excluded.reason, signal_id = excluded.signal_id`,
  )
}

/** Writes one message in a transaction of its own. */
export function keepMessage(scope: Scope, message: InboundMessageRow): Promise<void> {
  return insertInboundMessages(writerOf(scope, message.namespace), [message])
}

/** Messages of a source, newest first. */
export async function listMessages(
  scope: Scope,
  query: {
    namespace: string
    source: string
    outcome?: MessageOutcome
    before?: { received_at: Timestamp; id: string }
    limit: number
  },
): Promise<InboundMessageSummary[]> {
  const { outcome, before } = query
  return read<InboundMessageSummary>(
    scope,
    query.namespace,
    sql`
      select ${summary} from inbound_messages
      where ${join(
        [
          sql`namespace = ${query.namespace} and source = ${query.source}`,
          // As text of ours: only a value that the planner sees leads it to the partial index.
          ...(outcome === undefined ? [] : [raw(`outcome = '${outcome}'`)]),
          ...(before === undefined
            ? []
            : [sql`(received_at, id) < (${before.received_at}::timestamptz, ${before.id}::uuid)`]),
        ],
        ' and ',
      )}
      order by received_at desc, id desc
      limit ${query.limit}`,
  )
}

export async function readMessage(
  scope: Scope,
  query: { namespace: string; source: string; id: string },
): Promise<InboundMessageRecord | undefined> {
  const [message] = await read<InboundMessageRecord>(
    scope,
    query.namespace,
    sql`
      select ${summary}, body from inbound_messages
      where id = ${query.id} and namespace = ${query.namespace} and source = ${query.source}`,
  )
  return message
}

/** Deletes messages that arrived longer ago than the retention, at most `limit`; answers how many went. */
export async function deleteOldMessages(
  scope: Scope,
  retention: number,
  limit: number,
): Promise<number> {
  const gone = await rows<{ id: string }>(
    writerOf(scope, everywhere),
    sql`
      with old as materialized (
        select id, shard from inbound_messages
        where received_at <= now() - ${retention}::bigint * interval '1 millisecond'
        order by received_at
        limit ${limit}
        for update skip locked)
      delete from inbound_messages m using old
      where m.id = old.id and m.shard = old.shard
      returning m.id`,
  )
  return gone.length
}

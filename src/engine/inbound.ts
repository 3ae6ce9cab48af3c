// Messages of third parties: verified, mapped, and sent as signals; what cannot be mapped is kept.

import { FlowError, invalid } from '../domain/errors.ts'
import { shardIndexOf } from '../domain/id.ts'
import type { JsonValue } from '../domain/json.ts'
import { shardOf, shardToken } from '../domain/shard.ts'
import {
  isKeptHeader,
  parseSourceAddress,
  reservedSourceId,
  type SourceRecord,
  type Verification,
} from '../domain/source.ts'
import { type MapFault, type MappedMessage, mapMessage } from '../domain/source-map.ts'
import type { Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import { type InboundMessage, type InboundMessageRecord, keepMessage } from '../store/inbound.ts'
import { readSource, type SourceReading } from '../store/sources.ts'
import type { Caller, ChangeOptions } from './change.ts'
import { mintId } from './ids.ts'
import type { SignalFate, SignalInput, Signals } from './signals.ts'
import { isSourceId, sourceNotFound } from './sources.ts'
import { type RawMessage, type Verdict, verifyMessage } from './verify.ts'

/**
 * Reads a body by its content type: its members, or undefined when it has none to read. Throws a
 * `FlowError` for what claims to be readable and is not.
 */
export type BodyReader = (body: Buffer, contentType: string | undefined) => JsonValue | undefined

/** Why a message cannot become a signal: a member of the map, the body, or the payload. */
export interface MessageFault {
  member: MapFault['member'] | 'body' | 'payload'
  message: string
}

/** What became of a message. */
export interface InboundReply {
  outcome: Exclude<SignalFate['outcome'], 'expired'> | 'unmapped'
  /** Null when it made no signal. */
  signal_id: string | null
  /** Why it made none; empty when it did. */
  faults: MessageFault[]
  replayed: boolean
}

export interface Inbound {
  /**
   * Takes a message to the address of a source. Answers after COMMIT; `challenge` when the sender
   * only asks whether anybody is there. `depth`: see `Caller`. Throws `not_found` and
   * `signature_invalid`.
   */
  receive(
    address: string,
    message: RawMessage,
    read: BodyReader,
    depth?: number,
  ): Promise<InboundReply | { challenge: string }>
  /** Maps a stored message again, by the map of today, and sends it again. Throws `not_found`. */
  replay(
    caller: Caller,
    sourceId: string,
    message: InboundMessageRecord,
    read: BodyReader,
    options?: ChangeOptions,
  ): Promise<InboundReply>
}

export interface InboundOptions {
  scope: Scope
  signals: Pick<Signals, 'send'>
  /** Whether messages of unverified sources are taken. */
  allowUnsigned: boolean
}

export function createInbound({ scope, signals, allowUnsigned }: InboundOptions): Inbound {
  /** Sends what was understood, and keeps what was not, with the reason. */
  async function admit(
    caller: Caller,
    source: SourceRecord,
    understood: Understood,
    message: InboundMessage,
    options?: ChangeOptions,
  ): Promise<InboundReply> {
    if ('faults' in understood) return keepUnmapped(message, understood.faults)
    const { topic, correlation_id, event_id } = understood.mapped
    const input: SignalInput = {
      target: { kind: 'external_event', topic, correlation_id },
      source: source.id,
      deliver: source.deliver,
      message,
      ...(understood.payload !== undefined && { payload: understood.payload }),
      ...(event_id !== null && { sender_id: event_id }),
      ...(source.ttl_ms !== null && { ttl: source.ttl_ms }),
    }
    try {
      const { outcome, signal_id, replayed } = await signals.send(caller, input, options)
      if (outcome === 'expired') throw new Error('a signal had expired when it was sent')
      return { outcome, signal_id, faults: [], replayed }
    } catch (error) {
      // What would be refused each time again is no fault of the connection: a sender that is told
      // so gives up on all its messages.
      if (!(error instanceof FlowError) || !hopeless.includes(error.code)) throw error
      return keepUnmapped(message, [{ member: 'payload', message: error.message }])
    }
  }

  async function keepUnmapped(
    message: InboundMessage,
    faults: MessageFault[],
  ): Promise<InboundReply> {
    try {
      await keepMessage(scope, {
        ...message,
        received_at: null,
        outcome: 'unmapped',
        reason: reasonOf(faults),
        signal_id: null,
      })
    } catch (error) {
      throw toFlowError(error)
    }
    return { outcome: 'unmapped', signal_id: null, faults, replayed: false }
  }

  return {
    async receive(address, message, read, depth = 0) {
      const { namespace, id } = parseSourceAddress(address)
      const source = isSourceId(id) ? await readSource(scope, namespace, id) : undefined
      if (source === undefined) throw sourceNotFound(id)
      if (verdictOn(source, message, allowUnsigned) !== 'verified') {
        throw new FlowError(
          'signature_invalid',
          'The message is not signed as its source requires, or was signed too long ago.',
          {},
        )
      }
      const headers = keptHeaders(source.verify, message.headers)
      const understood = understand(source, { headers, body: message.body }, read)
      const challenge = challengeOf(source, understood.payload)
      if (challenge !== null) return { challenge }
      const shardIndex =
        'mapped' in understood ? shardOf(namespace, understood.mapped.correlation_id) : undefined
      const messageId = mintId(shardIndex)
      return admit({ namespace, actor: `source:${id}`, depth }, source, understood, {
        id: messageId,
        shard: shardToken(shardIndexOf(messageId)),
        namespace,
        source: id,
        headers,
        body: message.body,
      })
    },

    async replay(caller, sourceId, message, read, options) {
      if (sourceId === reservedSourceId) {
        throw invalid(
          ':source_id',
          'not_applicable',
          'Messages of the NATS bridge cannot be replayed: publish them again.',
        )
      }
      const source = await readSource(scope, caller.namespace, sourceId)
      if (source === undefined) throw sourceNotFound(sourceId)
      const understood = understand(source, message, read)
      const { id, shard, namespace, headers, body } = message
      const row = { id, shard, namespace, source: sourceId, headers, body }
      // What once made a signal stays accepted, whatever the map says today.
      if ('faults' in understood && message.outcome === 'accepted') {
        const { faults } = understood
        return { outcome: 'unmapped', signal_id: null, faults, replayed: false }
      }
      const reply = await admit(caller, source, understood, row, options)
      // A duplicate leaves the rows of messages alone; that this one has its signal is news.
      if (reply.outcome === 'duplicate' && message.outcome !== 'accepted') {
        await keepMessage(scope, {
          ...row,
          received_at: null,
          outcome: 'accepted',
          reason: null,
          signal_id: reply.signal_id,
        })
      }
      return reply
    },
  }
}

/** Refusals of a signal that no repeat can mend. */
const hopeless: readonly string[] = ['limit_exceeded', 'invalid_request']

/** What a source makes of a message: a signal, or the reasons why not. */
export type Understood = { payload: JsonValue | undefined } & (
  | { mapped: MappedMessage }
  | { faults: MessageFault[] }
)

/** Judges a message by its source and what the configuration allows. */
export function verdictOn(
  source: SourceReading,
  message: RawMessage,
  allowUnsigned: boolean,
): Verdict {
  const { verify, secrets, now } = source
  // The setting holds for sources of before as well.
  if (verify.scheme === 'none' && !allowUnsigned) return 'refused'
  return verifyMessage(verify, secrets, message, Date.parse(now))
}

/** Reads and maps a message. */
export function understand(
  source: SourceRecord,
  message: RawMessage,
  read: BodyReader,
): Understood {
  let payload: JsonValue | undefined
  try {
    payload = read(message.body, message.headers['content-type'])
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    return { payload: undefined, faults: [{ member: 'body', message: error.message }] }
  }
  return { payload, ...mapMessage(source, { headers: message.headers, body: payload }) }
}

/** The headers that are kept with a message, by names in lower case. */
export function keptHeaders(
  verify: Verification,
  headers: Readonly<Record<string, string>>,
): Record<string, string> {
  const kept = Object.entries(headers).filter(([name]) => isKeptHeader(name, verify))
  // Senders of before the standard name its headers so; templates need not know.
  const renamed = verify.scheme === 'standard-webhooks' ? kept.map(withStandardName) : kept
  return Object.fromEntries(renamed)
}

function withStandardName([name, value]: [string, string]): [string, string] {
  return [/^svix-(?:id|timestamp)$/.test(name) ? name.replace('svix', 'webhook') : name, value]
}

/** What Slack wants to hear when an address is entered; null for all other messages. */
function challengeOf(source: SourceRecord, payload: JsonValue | undefined): string | null {
  if (source.verify.scheme !== 'slack') return null
  if (typeof payload !== 'object' || payload === null || Array.isArray(payload)) return null
  const { type, challenge } = payload
  return type === 'url_verification' && typeof challenge === 'string' ? challenge : null
}

/** Longer reasons are cut: they repeat templates, which have lengths of their own. */
const maxReason = 1024

function reasonOf(faults: readonly MessageFault[]): string {
  const reason = faults.map(({ member, message }) => `${member}: ${message}`).join(' ')
  return reason.slice(0, maxReason)
}

// Raw messages as their sources' owners see them: lists, one with its body, and what a sample would do.

import { FlowError } from '../domain/errors.ts'
import { isId } from '../domain/id.ts'
import { reservedSourceId } from '../domain/source.ts'
import type { MappedMessage } from '../domain/source-map.ts'
import { readerOf, type Scope } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import {
  type InboundMessageRecord,
  type InboundMessageSummary,
  listMessages,
  type MessageOutcome,
  readMessage,
} from '../store/inbound.ts'
import { findMatches } from '../store/match-keys.ts'
import { findBySender } from '../store/signals.ts'
import { readSource } from '../store/sources.ts'
import type { Caller } from './change.ts'
import { decodeCursor, encodeCursor } from './cursor.ts'
import {
  type BodyReader,
  keptHeaders,
  type MessageFault,
  understand,
  verdictOn,
} from './inbound.ts'
import { type Page, type PageRequest, pageOf } from './page.ts'
import { isSourceId, sourceNotFound } from './sources.ts'
import type { RawMessage } from './verify.ts'

/** What a sample would come to. */
export interface SampleReport {
  /** Null when the sample has no signature to judge. */
  verified: boolean | null
  mapped: MappedMessage | null
  faults: MessageFault[]
  would: 'deliver' | 'keep' | 'duplicate' | 'drop' | 'unmapped' | 'refuse'
  matches: { flow_id: string; wait_id: string }[]
}

export interface InboundMessages {
  /** Newest first. Throws `not_found` where there is neither a message nor the source; `nats` needs none. */
  list(
    caller: Caller,
    sourceId: string,
    filter: { outcome?: MessageOutcome },
    page: PageRequest,
  ): Promise<Page<InboundMessageSummary>>
  /** Throws `not_found`. */
  get(caller: Caller, sourceId: string, messageId: string): Promise<InboundMessageRecord>
  /** Tells what a message would come to. Changes nothing. Throws `not_found`. */
  test(
    caller: Caller,
    sourceId: string,
    sample: RawMessage,
    read: BodyReader,
  ): Promise<SampleReport>
}

/** Waits that a report names at most. */
const maxMatches = 20

export function createInboundMessages(scope: Scope, allowUnsigned: boolean): InboundMessages {
  return {
    async list(caller, sourceId, { outcome }, { limit, cursor }) {
      const { namespace } = caller
      const bound = ['messages', namespace, sourceId, outcome]
      const position =
        cursor === undefined ? null : decodeCursor(cursor, bound, ['timestamp', 'id'])
      if (!isSourceId(sourceId)) throw sourceNotFound(sourceId)
      const found = await listMessages(scope, {
        namespace,
        source: sourceId,
        ...(outcome !== undefined && { outcome }),
        ...(position !== null && {
          before: { received_at: position[0] as string, id: position[1] as string },
        }),
        limit: limit + 1,
      })
      // Messages outlive their source: only where there are none does it matter whether it is there.
      if (found.length === 0 && sourceId !== reservedSourceId) {
        const source = await readSource(scope, namespace, sourceId)
        if (source === undefined) throw sourceNotFound(sourceId)
      }
      return pageOf(found, limit, ({ received_at, id }) => encodeCursor(bound, [received_at, id]))
    },

    async get(caller, sourceId, messageId) {
      const message =
        isId(messageId) && isSourceId(sourceId)
          ? await readMessage(scope, {
              namespace: caller.namespace,
              source: sourceId,
              id: messageId,
            })
          : undefined
      if (message !== undefined) return message
      throw new FlowError(
        'not_found',
        'This source has no message with this id. List its messages for those it has.',
        { resource: 'message' },
      )
    },

    async test(caller, sourceId, sample, read) {
      const { namespace } = caller
      const source = isSourceId(sourceId) ? await readSource(scope, namespace, sourceId) : undefined
      if (source === undefined) throw sourceNotFound(sourceId)
      const verdict = verdictOn(source, sample, allowUnsigned)
      const verified = verdict === 'unsigned' ? null : verdict === 'verified'
      const headers = keptHeaders(source.verify, sample.headers)
      const understood = understand(source, { headers, body: sample.body }, read)
      if ('faults' in understood) {
        const would = verified === false ? 'refuse' : 'unmapped'
        return { verified, mapped: null, faults: understood.faults, would, matches: [] }
      }
      const { mapped } = understood
      const matches = await findMatches(scope, { namespace, ...mapped, limit: maxMatches })
      const known = await isKnown(scope, namespace, source.id, mapped)
      const fate = known
        ? 'duplicate'
        : matches.length > 0
          ? 'deliver'
          : source.ttl_ms === 0
            ? 'drop'
            : 'keep'
      return { verified, mapped, faults: [], would: verified === false ? 'refuse' : fate, matches }
    },
  }
}

/** Whether a message with this id of its sender's made a signal before. */
async function isKnown(
  scope: Scope,
  namespace: string,
  source: string,
  { correlation_id, event_id }: MappedMessage,
): Promise<boolean> {
  if (event_id === null) return false
  const ref = { namespace, correlation_id, source, sender_id: event_id }
  try {
    return (await findBySender(readerOf(scope, namespace), [ref])).length > 0
  } catch (error) {
    throw toFlowError(error)
  }
}

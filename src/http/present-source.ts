// Sources and their messages as the wire shows them, and definitions as the engine takes them.

import type { Static } from 'typebox'
import type { InboundMessageDetailSchema } from '../contract/inbound.ts'
import type { CreateSourceSchema, Source } from '../contract/source.ts'
import type { VerificationRequest, VerificationView } from '../contract/verification.ts'
import { invalid } from '../domain/errors.ts'
import { formatDuration, parseDuration } from '../domain/formats.ts'
import {
  eventIdTemplate,
  type SourceDefinition,
  sourceAddress,
  type Verification,
} from '../domain/source.ts'
import type { InboundMessages } from '../engine/inbound-messages.ts'
import type { SourceView } from '../engine/sources.ts'

/** How far a time of signing may be off, in milliseconds, when the source does not say. */
const defaultTolerance = 5 * 60 * 1000

/** A definition as it is asked for, in the engine's words. */
export function sourceDefinition(
  body: Omit<Static<typeof CreateSourceSchema>, 'id'>,
): SourceDefinition {
  const { verify, map, ttl, deliver } = body
  return {
    verify: verificationOf(verify),
    ...('secrets' in verify && verify.secrets !== undefined && { secrets: verify.secrets }),
    map: { ...map },
    ttl_ms: ttl === undefined ? null : parseDuration(ttl, '/ttl'),
    deliver: deliver ?? 'one',
  }
}

function verificationOf(verify: VerificationRequest): Verification {
  switch (verify.scheme) {
    case 'standard-webhooks':
    case 'stripe':
    case 'slack':
      return { scheme: verify.scheme, tolerance_ms: toleranceOf(verify) }
    case 'github':
    case 'bearer':
    case 'none':
      return { scheme: verify.scheme }
    case 'hmac': {
      const { timestamp_header } = verify
      if (verify.tolerance !== undefined && timestamp_header === undefined) {
        throw invalid(
          '/verify/tolerance',
          'incomplete',
          'A tolerance needs timestamp_header: without a time of signing there is nothing to compare.',
        )
      }
      return {
        scheme: verify.scheme,
        header: verify.header.toLowerCase(),
        algorithm: verify.algorithm ?? 'sha256',
        encoding: verify.encoding ?? 'hex',
        prefix: verify.prefix ?? '',
        timestamp_header: timestamp_header?.toLowerCase() ?? null,
        signed_content:
          verify.signed_content ??
          (timestamp_header === undefined ? '{body}' : '{timestamp}.{body}'),
        tolerance_ms: toleranceOf(verify),
      }
    }
  }
}

function toleranceOf({ tolerance }: { tolerance?: string }): number {
  return tolerance === undefined ? defaultTolerance : parseDuration(tolerance, '/verify/tolerance')
}

/** A source with the address that its sender posts to. */
export function presentSource(source: SourceView, publicUrl: string): Source {
  return {
    id: source.id,
    namespace: source.namespace,
    url: `${publicUrl}/in/${encodeURIComponent(sourceAddress(source)).replaceAll('%3A', ':')}`,
    verify: presentVerification(source),
    map: {
      topic: source.map.topic,
      correlation_id: source.map.correlation_id,
      event_id: eventIdTemplate(source.verify.scheme, source.map),
    },
    ttl: source.ttl_ms === null ? null : formatDuration(source.ttl_ms),
    deliver: source.deliver,
    created_at: source.created_at,
    updated_at: source.updated_at,
  }
}

function presentVerification({ verify, secrets }: SourceView): VerificationView {
  const hmac = verify.scheme === 'hmac' ? verify : null
  const timed = 'tolerance_ms' in verify && hmac?.timestamp_header !== null
  return {
    scheme: verify.scheme,
    secret_count: secrets.length,
    secrets,
    tolerance: timed ? formatDuration(verify.tolerance_ms) : null,
    header: hmac?.header ?? null,
    algorithm: hmac?.algorithm ?? null,
    encoding: hmac?.encoding ?? null,
    prefix: hmac?.prefix ?? null,
    timestamp_header: hmac?.timestamp_header ?? null,
    signed_content: hmac?.signed_content ?? null,
  }
}

type MessageRecord = Awaited<ReturnType<InboundMessages['get']>>

export function presentMessage(message: Omit<MessageRecord, 'body'>) {
  return {
    id: message.id,
    source: message.source,
    received_at: message.received_at,
    outcome: message.outcome,
    reason: message.reason,
    signal_id: message.signal_id,
    body_bytes: message.body_bytes,
  }
}

/** Refuses bytes that are no UTF-8, and tells a byte order mark from the text behind it. */
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

export function presentMessageDetail(
  message: MessageRecord,
): Static<typeof InboundMessageDetailSchema> {
  const text = textOf(message.body)
  return {
    ...presentMessage(message),
    headers: message.headers,
    body: text ?? message.body.toString('base64'),
    body_encoding: text === null ? 'base64' : 'text',
  }
}

/** A body as text, when that gives the same bytes again to every reader. */
function textOf(body: Buffer): string | null {
  try {
    const text = decoder.decode(body)
    return text.includes('\0') ? null : text
  } catch {
    return null
  }
}

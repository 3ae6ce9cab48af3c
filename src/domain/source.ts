// What a source of inbound webhooks is: how its messages are verified, and what they are mapped to.

import type { Timestamp } from './time.ts'

export const verificationSchemes = [
  'standard-webhooks',
  'github',
  'stripe',
  'slack',
  'hmac',
  'bearer',
  'none',
] as const
export type VerificationScheme = (typeof verificationSchemes)[number]

export const hmacAlgorithms = ['sha256', 'sha512', 'sha1'] as const
export const hmacEncodings = ['hex', 'base64'] as const

/** An HMAC whose header and content the source's definition names. */
export interface HmacVerification {
  scheme: 'hmac'
  /** The header that holds the signature, in lower case. */
  header: string
  algorithm: (typeof hmacAlgorithms)[number]
  encoding: (typeof hmacEncodings)[number]
  /** What stands before the signature in its header; often nothing, or `sha256=`. */
  prefix: string
  /** The header that holds the time of signing, in lower case; null when none is signed. */
  timestamp_header: string | null
  /** What is signed: literals, `{body}`, `{timestamp}` and `{header:name}`. */
  signed_content: string
  tolerance_ms: number
}

/** How a message proves that it comes from the source. The secrets are kept apart from it. */
export type Verification =
  | { scheme: 'standard-webhooks' | 'stripe' | 'slack'; tolerance_ms: number }
  | { scheme: 'github' | 'bearer' }
  | { scheme: 'none' }
  | HmacVerification

/** Templates of what a signal needs. */
export interface SourceMap {
  topic: string
  correlation_id: string
  /** The sender's own id of a message; null when it has none, absent for the usual one of the scheme. */
  event_id?: string | null
}

export interface SourceRecord {
  namespace: string
  id: string
  verify: Verification
  /** All of them are live: a message is good when any one fits. Never shown again. */
  secrets: string[]
  map: SourceMap
  /** How long a signal that nobody waits for is kept, in milliseconds; null for the service's own. */
  ttl_ms: number | null
  /** Whom a message wakes when several flows wait for it. */
  deliver: 'one' | 'all'
  created_at: Timestamp
  updated_at: Timestamp
}

/** What a caller says of a source. */
export interface SourceDefinition
  extends Pick<SourceRecord, 'verify' | 'map' | 'ttl_ms' | 'deliver'> {
  /** Absent: those of before stay. */
  secrets?: string[]
}

/** Ids of sources stand in URLs, before and behind nothing that needs escaping. */
export const sourceIdPattern = '^[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}$'

/** The source that messages of the NATS bridge are listed under; nobody can define it. */
export const reservedSourceId = 'nats'

/** Where the schemes that have an id of each message carry it. */
const usualEventIds: Partial<Record<VerificationScheme, string>> = {
  'standard-webhooks': '{header:webhook-id}',
  github: '{header:x-github-delivery}',
  stripe: '{/id}',
  slack: '{/event_id}',
}

/** The template of the sender's id that holds for a source; null when it has none. */
export function eventIdTemplate(scheme: VerificationScheme, map: SourceMap): string | null {
  return map.event_id === undefined ? (usualEventIds[scheme] ?? null) : map.event_id
}

/** The name that the path of a source's messages has: ids of other namespaces carry theirs. */
export function sourceAddress({ namespace, id }: { namespace: string; id: string }): string {
  return namespace === 'default' ? id : `${namespace}:${id}`
}

/** The source that an address names. Ids hold no colon, namespaces may. */
export function parseSourceAddress(address: string): { namespace: string; id: string } {
  const colon = address.lastIndexOf(':')
  return colon < 0
    ? { namespace: 'default', id: address }
    : { namespace: address.slice(0, colon), id: address.slice(colon + 1) }
}

/** Names of headers that may hold what must not be copied: credentials, signatures, cookies. */
const secretHeader =
  /auth(?!ors?(?:-|$))|cookie|secret|token|passw|credential|signature|(?:api|access|private|functions)-?key|(?:^|-)sig(?:-|$)/

/** Headers that are about the connection and not about the message. */
const connectionHeaders = [
  'connection',
  'content-length',
  'expect',
  'keep-alive',
  'te',
  'transfer-encoding',
  'upgrade',
]

/**
 * Whether a header is kept with its message, and can be mapped from.
 *
 * @param name in lower case.
 * @param verify the header of an `hmac` signature may have any name, and is left out as well.
 */
export function isKeptHeader(name: string, verify: Verification): boolean {
  if (verify.scheme === 'hmac' && name === verify.header) return false
  return !secretHeader.test(name) && !connectionHeaders.includes(name)
}

// Whether a message really comes from its source: signatures over the raw bytes, in constant time.

import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { HmacVerification, Verification } from '../domain/source.ts'
import { cutTemplate, headerOf } from '../domain/template.ts'
import { standardSignature } from './signing.ts'

/** A message as it arrived. */
export interface RawMessage {
  /** By names in lower case. */
  headers: Readonly<Record<string, string>>
  body: Buffer
}

/**
 * - `verified`: one of the live secrets fits, and the time of signing is within the tolerance.
 * - `unsigned`: there is no signature at all.
 * - `refused`: anything else. Callers are told no more than that: why would help a forger.
 */
export type Verdict = 'verified' | 'unsigned' | 'refused'

/** Signatures of one message that are looked at: senders give one for each of their live secrets. */
const maxSignatures = 16

/** What is compared: signatures as texts, each with the text that a secret would make. */
interface Claim {
  signatures: readonly string[]
  /** When it was signed, in Unix milliseconds; null when the scheme does not say. */
  signed_at: number | null
  sign(secret: string): string
}

/**
 * Judges a message by the scheme and the live secrets of its source.
 *
 * @param now Unix milliseconds.
 */
export function verifyMessage(
  verify: Verification,
  secrets: readonly string[],
  message: RawMessage,
  now: number,
): Verdict {
  if (verify.scheme === 'none') return 'verified'
  const claim = claimOf(verify, message)
  if (claim === 'unsigned' || claim === 'refused') return claim
  // No early end: how long it takes must not tell which secret or signature came near.
  let fits = false
  for (const secret of secrets) {
    const expected = claim.sign(secret)
    for (const signature of claim.signatures.slice(0, maxSignatures)) {
      fits = equalTexts(expected, signature) || fits
    }
  }
  const tolerance = 'tolerance_ms' in verify ? verify.tolerance_ms : 0
  const fresh = claim.signed_at === null || Math.abs(now - claim.signed_at) <= tolerance
  return fits && fresh ? 'verified' : 'refused'
}

/** Compares in a time that depends on the lengths alone, which are no secret. */
function equalTexts(expected: string, given: string): boolean {
  const [a, b] = [Buffer.from(expected), Buffer.from(given)]
  return a.length === b.length && timingSafeEqual(a, b)
}

function claimOf(
  verify: Exclude<Verification, { scheme: 'none' }>,
  message: RawMessage,
): Claim | 'unsigned' | 'refused' {
  switch (verify.scheme) {
    case 'standard-webhooks':
      return standardWebhooks(message)
    case 'github':
      return github(message)
    case 'stripe':
      return stripe(message)
    case 'slack':
      return slack(message)
    case 'bearer':
      return bearer(message)
    case 'hmac':
      return hmac(verify, message)
  }
}

/** https://www.standardwebhooks.com, version 1; its symmetric signatures. */
function standardWebhooks({ headers, body }: RawMessage): Claim | 'unsigned' | 'refused' {
  const header = (name: string) => headers[`webhook-${name}`] ?? headers[`svix-${name}`]
  const given = header('signature')
  if (given === undefined) return 'unsigned'
  const id = header('id')
  const timestamp = header('timestamp')
  const signed_at = unixSeconds(timestamp)
  if (!id || timestamp === undefined || signed_at === null) return 'refused'
  return {
    signatures: given.split(' ').filter((signature) => signature.startsWith('v1,')),
    signed_at,
    sign: (secret) => standardSignature(secret, id, timestamp, body),
  }
}

function github({ headers, body }: RawMessage): Claim | 'unsigned' {
  const given = headers['x-hub-signature-256']
  if (given === undefined) return 'unsigned'
  return {
    signatures: [given],
    signed_at: null,
    sign: (secret) => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`,
  }
}

function stripe({ headers, body }: RawMessage): Claim | 'unsigned' | 'refused' {
  const given = headers['stripe-signature']
  if (given === undefined) return 'unsigned'
  const parts = given.split(',').map((part) => part.trim())
  const valuesOf = (name: string) =>
    parts.flatMap((part) => (part.startsWith(`${name}=`) ? [part.slice(name.length + 1)] : []))
  const [timestamp, ...more] = valuesOf('t')
  const signed_at = unixSeconds(timestamp)
  // Two times would let a forger choose which of them is signed and which is judged.
  if (signed_at === null || more.length > 0) return 'refused'
  return {
    signatures: valuesOf('v1'),
    signed_at,
    sign: (secret) =>
      createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex'),
  }
}

function slack({ headers, body }: RawMessage): Claim | 'unsigned' | 'refused' {
  const given = headers['x-slack-signature']
  if (given === undefined) return 'unsigned'
  const timestamp = headers['x-slack-request-timestamp']
  const signed_at = unixSeconds(timestamp)
  if (signed_at === null) return 'refused'
  return {
    signatures: [given],
    signed_at,
    sign: (secret) =>
      `v0=${createHmac('sha256', secret).update(`v0:${timestamp}:`).update(body).digest('hex')}`,
  }
}

/** A token is compared by its hash: equal lengths, whatever was sent. */
function bearer({ headers }: RawMessage): Claim | 'unsigned' | 'refused' {
  const given = headers['authorization']
  if (given === undefined) return 'unsigned'
  const token = /^bearer +([\x21-\x7e]+)$/i.exec(given)?.[1]
  if (token === undefined) return 'refused'
  const hash = (text: string) => createHash('sha256').update(text).digest('hex')
  return { signatures: [hash(token)], signed_at: null, sign: hash }
}

function hmac(
  verify: HmacVerification,
  { headers, body }: RawMessage,
): Claim | 'unsigned' | 'refused' {
  const given = headerIn(headers, verify.header)
  if (given === undefined) return 'unsigned'
  if (!given.startsWith(verify.prefix)) return 'refused'
  const timestamp =
    verify.timestamp_header === null ? null : headerIn(headers, verify.timestamp_header)
  const signed_at = timestamp === null ? null : timeOf(timestamp)
  if (timestamp !== null && signed_at === null) return 'refused'
  const content = signedContent(verify, { headers, body }, timestamp ?? '')
  if (content === null) return 'refused'
  const bare = given.slice(verify.prefix.length)
  return {
    // Some senders write hexadecimal digits in upper case.
    signatures: [verify.encoding === 'hex' ? bare.toLowerCase() : bare],
    signed_at,
    sign: (secret) => {
      const made = createHmac(verify.algorithm, secret)
      for (const part of content) made.update(part)
      return made.digest(verify.encoding)
    },
  }
}

/** The parts of what is signed, in order; null when a header of it is missing. */
function signedContent(
  verify: HmacVerification,
  { headers, body }: RawMessage,
  timestamp: string,
): (string | Buffer)[] | null {
  const cut = cutTemplate(verify.signed_content)
  if ('fault' in cut) return null
  const parts: (string | Buffer)[] = []
  for (const { literal, text } of cut.pieces) {
    if (literal) parts.push(text)
    else if (text === 'body') parts.push(body)
    else if (text === 'timestamp') parts.push(timestamp)
    else {
      const value = headerIn(headers, headerOf(text) ?? '')
      if (value === undefined) return null
      // Node reads the bytes of headers as Latin-1: this gives them back as they were.
      parts.push(Buffer.from(value, 'latin1'))
    }
  }
  return parts
}

/** A header whose name a definition chose: what every object inherits is no header. */
function headerIn(headers: RawMessage['headers'], name: string): string | undefined {
  return Object.hasOwn(headers, name) ? headers[name] : undefined
}

function unixSeconds(text: string | undefined): number | null {
  return text !== undefined && /^\d{1,12}$/.test(text) ? Number(text) * 1000 : null
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)$/

/** A time of signing: Unix seconds, Unix milliseconds, or RFC 3339. */
function timeOf(text: string | undefined): number | null {
  if (text === undefined) return null
  // Seconds of eleven digits are in the year 5138 at most; milliseconds of twelve begin in 1973.
  if (/^\d{12,14}$/.test(text)) return Number(text)
  if (!rfc3339.test(text)) return unixSeconds(text)
  const millis = Date.parse(text)
  return Number.isNaN(millis) ? null : millis
}

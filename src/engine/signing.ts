// Signatures of Standard Webhooks 1.0.0 (https://www.standardwebhooks.com): made here, and checked with the same.

import { createHash, createHmac, randomBytes } from 'node:crypto'
import { invalid } from '../domain/errors.ts'

const prefix = 'whsec_'

/** Bytes of a secret: what we make, and what is taken. */
const secretBytes = { made: 32, least: 24, most: 64 } as const

/** A new secret, as it is shown to its owner. */
export function newSecret(): string {
  return prefix + randomBytes(secretBytes.made).toString('base64')
}

/**
 * Checks a secret that a user brings.
 *
 * @param pointer where it stands in the request.
 * @throws FlowError `invalid_request`, which never repeats any of the secret.
 */
export function checkSecret(secret: string, pointer = '/secret'): void {
  const key = keyOf(secret)
  const { least, most } = secretBytes
  const canonical = secret === prefix + key.toString('base64')
  if (!canonical || key.length < least || key.length > most) {
    throw invalid(
      pointer,
      'format',
      `A secret is ${prefix} and ${least} to ${most} random bytes in base64. Leave it out to get one.`,
    )
  }
}

/** What is sent, and the live secrets: several while one takes over from another. */
export interface Signable {
  /** The same for every attempt. Without dots, which separate what is signed. */
  id: string
  /** Of this attempt, in Unix seconds. */
  timestamp: number
  body: Buffer | string
  secrets: readonly string[]
}

/** The headers that go with a body: one signature for each secret, in their order. */
export function signedHeaders({
  id,
  timestamp,
  body,
  secrets,
}: Signable): Record<'webhook-id' | 'webhook-timestamp' | 'webhook-signature', string> {
  const signatures = secrets.map((secret) => standardSignature(secret, id, String(timestamp), body))
  return {
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatures.join(' '),
  }
}

/** One symmetric signature (`v1`), over id, time and body: none of them can be replaced. */
export function standardSignature(
  secret: string,
  id: string,
  timestamp: string,
  body: Buffer | string,
): string {
  const mac = createHmac('sha256', keyOf(secret)).update(`${id}.${timestamp}.`).update(body)
  return `v1,${mac.digest('base64')}`
}

/** Some senders show their secrets without the prefix. */
function keyOf(secret: string): Buffer {
  return Buffer.from(secret.startsWith(prefix) ? secret.slice(prefix.length) : secret, 'base64')
}

/** Enough of a hash to tell secrets apart, too little to be one. */
export function fingerprintOf(secret: string): string {
  return createHash('sha256').update(secret).digest('hex').slice(0, 8)
}

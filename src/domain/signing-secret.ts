// Secrets that sign what the service sends, and how one takes over from another.

import type { Timestamp } from './time.ts'

/** A secret that signs until it expires. */
export interface SigningSecret {
  secret: string
  created_at: Timestamp
  expires_at: Timestamp | null
}

/** Secrets that sign at a time; with more the signatures of a request would grow out of its headers. */
const maxSecrets = 5

/** The secrets that sign at a time. */
export function liveSecrets(secrets: readonly SigningSecret[], now: Timestamp): SigningSecret[] {
  return secrets.filter(({ expires_at }) => expires_at === null || expires_at > now)
}

/**
 * The secrets when a new one comes: it signs from now on, the others until a time, so that receivers
 * need not change at the same moment.
 */
export function rotated(
  secrets: readonly SigningSecret[],
  secret: string,
  now: Timestamp,
  until: Timestamp,
): SigningSecret[] {
  const others = liveSecrets(secrets, now)
    .filter((one) => one.secret !== secret)
    .map((one) => ({
      ...one,
      expires_at: one.expires_at === null || one.expires_at > until ? until : one.expires_at,
    }))
  return [{ secret, created_at: now, expires_at: null }, ...others].slice(0, maxSecrets)
}

// A token bucket: so many requests in a minute, and some of them at once.

export interface BucketRate {
  per_minute: number
  /** How many may come at once. */
  burst: number
}

/** What is left of it, as of a moment. */
export interface Bucket {
  tokens: number
  /** In milliseconds of whatever clock is used. */
  at: number
}

export interface Taken {
  allowed: boolean
  /** Whole requests that are left. */
  remaining: number
  /** Seconds until the next one is allowed; 0 when it is now. */
  retry_after: number
  /** Seconds until it is full again. */
  full_in: number
}

export function fullBucket({ burst }: BucketRate, now: number): Bucket {
  return { tokens: burst, at: now }
}

/** Takes one request out, if there is one. The bucket is changed. */
export function take(bucket: Bucket, { per_minute, burst }: BucketRate, now: number): Taken {
  const perMs = per_minute / 60_000
  // A clock that was set back refills nothing.
  const passed = Math.max(0, now - bucket.at)
  bucket.tokens = Math.min(burst, bucket.tokens + passed * perMs)
  bucket.at = now
  const allowed = bucket.tokens >= 1
  if (allowed) bucket.tokens -= 1
  const { tokens } = bucket
  return {
    allowed,
    remaining: Math.floor(tokens),
    retry_after: tokens >= 1 ? 0 : (1 - tokens) / perMs / 1000,
    full_in: (burst - tokens) / perMs / 1000,
  }
}

// How often callers may ask: by the rates of their bindings, and by address where the configuration says so.

import type { FastifyInstance, FastifyReply } from 'fastify'
import { FlowError } from '../domain/errors.ts'
import { type Bucket, type BucketRate, fullBucket, take } from '../domain/token-bucket.ts'
import { addressGroup } from './address.ts'

/** What uses up a rate together. */
export interface Rated {
  id: string
  rate: BucketRate
}

/** Buckets that are remembered. One that is forgotten is full again. */
const mostBuckets = 20_000

type Clock = () => number

/** Counts requests under names; the limit is called `limit` in headers and problems. */
function createMeter(limit: 'key' | 'address', clock: Clock) {
  const buckets = new Map<string, Bucket>()

  return (reply: FastifyReply, { id, rate }: Rated): FlowError | undefined => {
    const now = clock()
    const bucket = buckets.get(id) ?? fullBucket(rate, now)
    // The last used come last.
    buckets.delete(id)
    buckets.set(id, bucket)
    if (buckets.size > mostBuckets) {
      for (const oldest of buckets.keys()) {
        buckets.delete(oldest)
        break
      }
    }
    const { allowed, remaining, retry_after, full_in } = take(bucket, rate, now)
    // As draft-ietf-httpapi-ratelimit-headers has them since its eighth version.
    append(reply, 'ratelimit-policy', `"${limit}";q=${rate.per_minute};w=60`)
    append(reply, 'ratelimit', `"${limit}";r=${remaining};t=${Math.ceil(full_in)}`)
    if (allowed) return undefined
    const seconds = Math.max(1, Math.ceil(retry_after))
    return new FlowError(
      'rate_limited',
      `This ${limit} may send ${rate.per_minute} requests per minute, ${rate.burst} at once: send this one again after ${seconds} s.`,
      { limit, retry_after: seconds },
    )
  }
}

function append(reply: FastifyReply, name: string, value: string): void {
  const known = reply.getHeader(name)
  reply.header(name, known === undefined ? value : `${known}, ${value}`)
}

/** Whoever watches the process must get through, however busy others are. */
const watched = '/health/'

/** Holds every address to a rate, whatever it asks for and whoever it is. To be registered before keys are looked at. */
export function limitAddresses(
  app: FastifyInstance,
  rate: BucketRate,
  clock: Clock = () => performance.now(),
): void {
  const meter = createMeter('address', clock)
  app.addHook('onRequest', (request, reply, done) => {
    if (request.routeOptions.url?.startsWith(watched) === true) return done()
    done(meter(reply, { id: addressGroup(request.ip), rate }))
  })
}

/** Holds callers to the rates of their keys. To be registered after keys are looked at. */
export function limitKeys(app: FastifyInstance, clock: Clock = () => performance.now()): void {
  const meter = createMeter('key', clock)
  app.addHook('onRequest', (request, reply, done) => {
    let refusal: FlowError | undefined
    for (const rated of request.identity?.rates ?? []) refusal ??= meter(reply, rated)
    done(refusal)
  })
}

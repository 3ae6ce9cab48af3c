// One attempt at a delivery: the request that is sent, and what its answer means.

import { nextAttemptAfter, retryAfterMillis } from '../domain/delivery-schedule.ts'
import { liveSecrets } from '../domain/signing-secret.ts'
import type { Traceparent } from '../domain/trace.ts'
import type { ClaimedDelivery } from '../store/delivery-queue.ts'
import type { AttemptResult } from '../store/delivery-results.ts'
import type { OutboundAnswer, OutboundRequest } from './outbound.ts'
import { signedHeaders } from './signing.ts'

/** What every request tells of the service. */
export interface SenderIdentity {
  /** The source of CloudEvents: an address. */
  source: string
  userAgent: string
}

/** How much of an answer is kept, in bytes. */
const keptBytes = 2_048

/** The request of an attempt. Its body and its id are those of every attempt, its time and signatures new. */
export function requestOf(
  delivery: ClaimedDelivery,
  identity: SenderIdentity,
  traceparent: Traceparent | null,
): Pick<OutboundRequest, 'url' | 'headers' | 'body'> {
  const { id, now, secrets, url, type, flow_id, depth } = delivery
  const content = JSON.parse(delivery.body) as { timestamp: string }
  const { timestamp } = content
  // The server writes JSON with spaces of its own.
  const body = JSON.stringify(content)
  return {
    url,
    body,
    headers: {
      'content-type': 'application/json',
      'user-agent': identity.userAgent,
      ...signedHeaders({
        id,
        timestamp: Math.floor(Date.parse(now) / 1000),
        body,
        secrets: liveSecrets(secrets, now).map(({ secret }) => secret),
      }),
      'ce-specversion': '1.0',
      'ce-id': id,
      'ce-source': identity.source,
      'ce-type': type,
      ...(flow_id !== null && { 'ce-subject': flow_id }),
      'ce-time': timestamp,
      'taskflow-depth': String(depth),
      ...(traceparent !== null && { traceparent }),
    },
  }
}

/**
 * What an answer comes to. 2xx is success and 410 the end of the hook; all else is tried again, as long
 * as the schedule has attempts. Null when the request was given up here: then nothing was tried.
 *
 * @param random from 0 up to 1.
 */
export function resultOf(
  delivery: ClaimedDelivery,
  answer: OutboundAnswer,
  random: number,
): AttemptResult | null {
  const { id, shard, lease_token, hook_id, url, attempts, now } = delivery
  const { latency_ms } = answer
  const common = { id, shard, lease_token, hook_id, url, latency_ms, gone: false }
  if ('failure' in answer) {
    if (answer.failure === 'aborted') return null
    const { failure, message } = answer
    return {
      ...common,
      ...later(attempts, random, null),
      status_code: null,
      error: `${failure}: ${message}`.slice(0, keptBytes),
      response: null,
    }
  }
  const { status: status_code, headers, body } = answer
  const response = textOf(body)
  if (status_code >= 200 && status_code < 300) {
    return { ...common, outcome: 'delivered', delay: null, status_code, error: null, response }
  }
  const error = `The receiver answered ${status_code}${isRedirect(status_code) ? ', and redirects are not followed' : ''}.`
  if (status_code === 410) {
    const gone = true
    return { ...common, outcome: 'failed', delay: null, status_code, error, response, gone }
  }
  const asked = headers['retry-after']
  const retryAfter = asked === undefined ? null : retryAfterMillis(asked, Date.parse(now))
  return { ...common, ...later(attempts, random, retryAfter), status_code, error, response }
}

function later(
  attempts: number,
  random: number,
  retryAfter: number | null,
): Pick<AttemptResult, 'outcome' | 'delay'> {
  const delay = nextAttemptAfter(attempts + 1, random, retryAfter)
  return { outcome: delay === null ? 'failed' : 'retry', delay }
}

function isRedirect(status: number): boolean {
  return status >= 300 && status < 400
}

/** The beginning of an answer as text that a column can hold. */
function textOf(body: Buffer): string {
  return body.subarray(0, keptBytes).toString('utf8').replaceAll('\0', '\uFFFD')
}

// What becomes of a message of the stream: a signal, a later try, or a kept reason why not.

import { createHash } from 'node:crypto'
import { FlowError } from '../domain/errors.ts'
import { makeId } from '../domain/id.ts'
import type { Caller } from '../engine/change.ts'
import type { Report } from '../engine/notice.ts'
import type { RefusedMessage } from '../engine/refused-messages.ts'
import type { Signals } from '../engine/signals.ts'
import {
  type MessageLimits,
  type MessageMap,
  type NatsMessage,
  readMessage,
  senderOf,
  UnmappedMessage,
} from './message.ts'

/** What the stream is told about a delivery. */
export type Settlement =
  /** It is a signal now, or its refusal is kept: done. */
  | { kind: 'ack' }
  /** It will never be one, and that is kept: never again. */
  | { kind: 'term' }
  /** Again, after so many milliseconds. */
  | { kind: 'nak'; delay: number }

/** One delivery of a message of a stream. */
export interface Delivery {
  subject: string
  /** By names in lower case. */
  headers: Record<string, string>
  data: Uint8Array
  stream: string
  sequence: number
  /** When the stream stored it, in Unix time. With the sequence it tells a stream from its successor of the same name. */
  stored_at_nanos: number
  /** 1 for the first. */
  delivery: number
}

export interface IntakeOptions {
  signals: Pick<Signals, 'send'>
  keep: (message: RefusedMessage) => Promise<void>
  caller: Caller
  limits: MessageLimits
  map: MessageMap | null
  /** How often a message is tried that fails by what it is or by a quota. */
  maxTries: number
  report: Report
}

/** Longest time between two tries, in milliseconds. */
const maxDelay = 30_000
/** Messages whose tries are counted at most. */
const maxCounted = 10_000

/** Faults of this service or of the moment: they never count against the message. */
const passing: readonly string[] = [
  'unavailable',
  'overloaded',
  'idempotency_in_progress',
  'request_timeout',
]
/** Faults that may pass, and may be the message's own: they are tried a few times. */
const doubtful: readonly string[] = ['quota_exceeded', 'rate_limited', 'internal']
/** What nobody could make a signal of. All other refusals are answers: the message did its work. */
const unreadable: readonly string[] = ['malformed_json', 'invalid_request', 'limit_exceeded']

/** Settles deliveries. Answers only after COMMIT, so that what is acknowledged cannot be lost. */
export function createIntake(options: IntakeOptions): (delivery: Delivery) => Promise<Settlement> {
  const { signals, keep, caller, limits, map, maxTries, report } = options
  // The server's own count will not do: it also counts deliveries that failed by an outage of ours.
  const tries = new Map<string, number>()

  async function settle(delivery: Delivery, key: string): Promise<Settlement> {
    const message: NatsMessage = { ...delivery, fallback_id: key }
    try {
      await signals.send(senderOf(caller, message), readMessage(message, limits, map))
      return { kind: 'ack' }
    } catch (error) {
      const code = error instanceof FlowError ? error.code : 'internal'
      if (error instanceof UnmappedMessage) return refuse(delivery, key, 'unmapped', error, true)
      if (passing.includes(code)) return later(delivery, delivery.delivery, error)
      if (!doubtful.includes(code)) {
        return refuse(delivery, key, 'rejected', error, unreadable.includes(code))
      }
      const count = (tries.get(key) ?? 0) + 1
      if (count >= maxTries) return refuse(delivery, key, 'rejected', error, true)
      tries.delete(key)
      tries.set(key, count)
      if (tries.size > maxCounted) tries.delete(tries.keys().next().value as string)
      return later(delivery, count, error)
    }
  }

  function later(delivery: Delivery, count: number, cause: unknown): Settlement {
    report({ type: 'message_put_off', source: 'nats', tries: delivery.delivery, cause })
    return { kind: 'nak', delay: Math.min(maxDelay, 250 * 2 ** Math.min(count, 10)) }
  }

  async function refuse(
    delivery: Delivery,
    key: string,
    outcome: 'unmapped' | 'rejected',
    error: unknown,
    poison: boolean,
  ): Promise<Settlement> {
    const reason = reasonOf(error)
    const id = messageId(delivery, key)
    try {
      await keep({
        id,
        namespace: caller.namespace,
        source: 'nats',
        headers: {
          ...delivery.headers,
          'nats-subject': delivery.subject,
          'nats-stream': delivery.stream,
          'nats-sequence': String(delivery.sequence),
        },
        body: Buffer.from(delivery.data),
        outcome,
        reason,
      })
    } catch (cause) {
      return later(delivery, delivery.delivery, cause)
    }
    report({ type: 'message_refused', source: 'nats', message_id: id, reason })
    return poison ? { kind: 'term' } : { kind: 'ack' }
  }

  return async (delivery) => {
    const key = `${delivery.stream}:${delivery.sequence}:${delivery.stored_at_nanos}`
    const settlement = await settle(delivery, key)
    if (settlement.kind !== 'nak') tries.delete(key)
    return settlement
  }
}

function reasonOf(error: unknown): string {
  if (error instanceof UnmappedMessage) return error.message
  if (!(error instanceof FlowError)) return 'internal: The service failed on this message.'
  const { errors } = error.detail as { errors?: { pointer: string }[] }
  const pointer = errors?.[0]?.pointer
  return `${error.code}${pointer ? ` at ${pointer}` : ''}: ${error.message}`
}

/** The id under which a message is kept: the same for each of its deliveries. */
function messageId(delivery: Delivery, key: string): string {
  const hash = createHash('sha256').update(key).digest()
  const millis = Math.floor(delivery.stored_at_nanos / 1_000_000)
  return makeId(
    millis,
    hash.readUInt16BE(8) & 0xfff,
    hash.subarray(0, 8),
    (hash[10] as number) & 63,
  )
}

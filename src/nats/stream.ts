// The stream that messages come from and the durable consumer on it: found, made, and pulled from.

import {
  AckPolicy,
  type ConsumerMessages,
  DeliverPolicy,
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamManager,
  type JsMsg,
  jetstream,
  jetstreamManager,
  RetentionPolicy,
} from '@nats-io/jetstream'
import type { NatsConnection } from '@nats-io/transport-node'
import type { Delivery, Settlement } from './intake.ts'

export interface StreamSettings {
  stream: string
  /** The one subject, perhaps with wildcards, whose messages are taken. */
  subject: string
  durable: string
  /** Make the stream when it is not there. */
  create: boolean
}

/** Deliveries without an acknowledgement at most, over all processes of the durable. */
const maxPending = 64
/** After which a delivery without a sign of life comes again, in milliseconds. */
const ackWait = 30_000
/** Between two signs of life of deliveries under way, in milliseconds. */
const signEvery = ackWait / 3

const nanos = (ms: number) => ms * 1_000_000

export interface StreamConsumer {
  /** Begins to pull if it does not. Throws when it cannot. */
  ensure(connection: NatsConnection): Promise<void>
  /** Lets go of the pull, so that the next `ensure` makes a new one. */
  reset(): void
  /** Pulls no more; resolves when every delivery under way is settled. */
  stop(): Promise<void>
}

/** @param onEnd called when pulling ended by itself: the stream or its consumer was deleted. */
export function createStreamConsumer(
  settings: StreamSettings,
  settle: (delivery: Delivery) => Promise<Settlement>,
  onEnd: () => void,
): StreamConsumer {
  const underWay = new Map<JsMsg, Promise<void>>()
  let pull: ConsumerMessages | null = null
  let signs: NodeJS.Timeout | undefined
  let stopped = false

  async function handle(message: JsMsg): Promise<void> {
    const settlement = await settle(deliveryOf(message))
    if (settlement.kind === 'ack') message.ack()
    // Without the reason: servers before 2.11 do not understand a term that has one.
    else if (settlement.kind === 'term') message.term()
    else message.nak(settlement.delay)
  }

  /** At once and not one after another: what is handled together commits together. */
  function take(message: JsMsg): void {
    // What fails here was not settled, and comes again.
    const work = handle(message).catch(() => {})
    underWay.set(message, work)
    void work.then(() => underWay.delete(message))
  }

  function reset(): void {
    const old = pull
    pull = null
    void old?.close()
  }

  return {
    async ensure(connection) {
      if (pull !== null || stopped) return
      const manager = await jetstreamManager(connection)
      await ensureStream(manager, settings)
      await ensureConsumer(manager, settings)
      const consumer = await jetstream(connection).consumers.get(settings.stream, settings.durable)
      const begun = await consumer.consume({
        max_messages: maxPending,
        callback: take,
        // A pull that the server has forgotten is noticed after this time.
        expires: 10_000,
        abort_on_missing_resource: true,
      })
      if (stopped) {
        void begun.close()
        return
      }
      pull = begun
      // A slow COMMIT is no reason for a second delivery.
      signs ??= setInterval(() => {
        for (const message of underWay.keys()) message.working()
      }, signEvery)
      void begun.closed().then(() => {
        if (pull !== begun) return
        pull = null
        onEnd()
      })
    },
    reset,
    async stop() {
      stopped = true
      reset()
      await Promise.all(underWay.values())
      clearInterval(signs)
      signs = undefined
    },
  }
}

function deliveryOf(message: JsMsg): Delivery {
  const { stream, streamSequence, timestampNanos, deliveryCount } = message.info
  return {
    subject: message.subject,
    headers: headersOf(message.headers),
    data: message.data,
    stream,
    sequence: streamSequence,
    stored_at_nanos: timestampNanos,
    delivery: deliveryCount,
  }
}

/** Headers by names in lower case; several of one name become one, as in HTTP. */
export function headersOf(headers: JsMsg['headers']): Record<string, string> {
  const read: Record<string, string> = {}
  for (const [name, values] of headers ?? []) read[name.toLowerCase()] = values.join(', ')
  return read
}

async function ensureStream(manager: JetStreamManager, settings: StreamSettings): Promise<void> {
  const { stream, subject } = settings
  try {
    await manager.streams.info(stream)
  } catch (error) {
    if (!isMissing(error)) throw error
    if (!settings.create) {
      throw new Error(
        `There is no stream ${stream}. Make it, or set TASKFLOW_NATS_CREATE_STREAM=true.`,
        { cause: error },
      )
    }
    // A queue of work: a message leaves the stream when it is settled, so that nothing grows.
    await manager.streams.add({
      name: stream,
      subjects: [subject],
      retention: RetentionPolicy.Workqueue,
    })
  }
}

async function ensureConsumer(manager: JetStreamManager, settings: StreamSettings): Promise<void> {
  const { stream, subject, durable } = settings
  const found = await manager.consumers.info(stream, durable).catch((error: unknown) => {
    if (isMissing(error)) return null
    throw error
  })
  if (found === null) {
    await manager.consumers.add(stream, {
      durable_name: durable,
      filter_subject: subject,
      ack_policy: AckPolicy.Explicit,
      deliver_policy: DeliverPolicy.All,
      ack_wait: nanos(ackWait),
      max_ack_pending: maxPending,
      // The server would drop a message in silence after the last try, an outage's tries included.
      max_deliver: -1,
    })
    return
  }
  const { config } = found
  if (config.ack_policy !== AckPolicy.Explicit || config.deliver_subject !== undefined) {
    throw new Error(
      `The consumer ${durable} of ${stream} is not a pull consumer with explicit acks. Delete it, or set TASKFLOW_NATS_DURABLE to another name.`,
    )
  }
  // A consumer whose subject is changed may pass over what is in the stream already.
  if (config.filter_subject !== subject) {
    throw new Error(
      `The consumer ${durable} of ${stream} takes ${config.filter_subject ?? 'all subjects'}, not ${subject}. Delete it, or set TASKFLOW_NATS_DURABLE to another name.`,
    )
  }
  // What else an operator has tuned stays.
  if (config.max_deliver !== undefined && config.max_deliver !== -1) {
    await manager.consumers.update(stream, durable, { max_deliver: -1 })
  }
}

function isMissing(error: unknown): boolean {
  const { StreamNotFound, ConsumerNotFound } = JetStreamApiCodes
  const missing: readonly number[] = [StreamNotFound, ConsumerNotFound]
  return error instanceof JetStreamApiError && missing.includes(error.code)
}

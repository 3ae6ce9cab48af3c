// Publishes audit events to subjects: into the streams that capture them, and to whoever listens where none does.

import {
  JetStreamApiError,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream'
import { headers, type NatsConnection } from '@nats-io/transport-node'
import type { PublishedEvent } from '../engine/publisher.ts'
import { eventSubjects, overlap, tokenOf } from './subject.ts'

/** How long it is believed which streams there are, in milliseconds. */
const lookEvery = 10_000
/** For the acknowledgement of a stream, or of the server, in milliseconds. */
const patience = 5_000

/** Of a process whose connection is away, so that its events wait for another one. */
class NotConnected extends Error {
  override readonly name = 'NotConnected'
}

/**
 * A function that resolves when all events are stored by their stream, or have reached the server
 * where no stream captures them. The events of one flow are published one after another, so that
 * they are stored in the order of their revisions whatever fails in between.
 *
 * @param current the connection, or null when it is away.
 */
export function createEventSink(
  current: () => NatsConnection | null,
): (events: readonly PublishedEvent[]) => Promise<void> {
  let stored = false
  let captured: { by: NatsConnection; until: number; patterns: string[] } | null = null

  async function patternsOf(connection: NatsConnection): Promise<string[]> {
    const now = performance.now()
    if (captured === null || captured.by !== connection || now > captured.until) {
      const patterns = await capturedPatterns(connection, stored)
      stored ||= patterns.length > 0
      captured = { by: connection, until: now + lookEvery, patterns }
    }
    return captured.patterns
  }

  return async (events) => {
    const connection = current()
    if (connection === null) throw new NotConnected('There is no connection to NATS at the moment.')
    try {
      const patterns = await patternsOf(connection)
      const flows = new Map<string, PublishedEvent[]>()
      for (const event of events) {
        const others = flows.get(event.flow_id)
        if (others === undefined) flows.set(event.flow_id, [event])
        else others.push(event)
      }
      await Promise.all(
        [...flows.values()].map((ofFlow) => publishInOrder(connection, patterns, ofFlow)),
      )
      await within(patience, connection.flush())
    } catch (error) {
      // Perhaps a stream came or went.
      captured = null
      throw error
    }
  }
}

async function publishInOrder(
  connection: NatsConnection,
  patterns: readonly string[],
  events: readonly PublishedEvent[],
): Promise<void> {
  for (const event of events) {
    const subject = `${eventSubjects}.${tokenOf(event.namespace)}.${event.kind}`
    const msgID = `${event.flow_id}:${event.revision}`
    const body = bodyOf(event, connection.info?.max_payload)
    if (patterns.some((pattern) => overlap(pattern, subject))) {
      await jetstream(connection, { timeout: patience }).publish(subject, body, { msgID })
    } else {
      const named = headers()
      named.set('Nats-Msg-Id', msgID)
      connection.publish(subject, body, { headers: named })
    }
  }
}

/** Room for headers within the largest message of a server, in bytes. */
const headerRoom = 512

/** The event as JSON. One too large for the server goes without its payload: the log has it. */
function bodyOf({ xid: _, ...event }: PublishedEvent, largest = 1_048_576): string {
  const whole = JSON.stringify(event)
  return Buffer.byteLength(whole) + headerRoom <= largest
    ? whole
    : JSON.stringify({ ...event, payload: {}, payload_omitted: true })
}

/**
 * Subjects of all streams that may capture events; none where there is no JetStream.
 *
 * @param expected whether there was one before: no answer is then an outage, in which events wait.
 */
async function capturedPatterns(connection: NatsConnection, expected: boolean): Promise<string[]> {
  let manager: JetStreamManager
  try {
    manager = await jetstreamManager(connection, { timeout: patience })
  } catch (error) {
    if (!(error instanceof Error) || error.name !== 'JetStreamNotEnabled') throw error
    const refused = error.cause instanceof JetStreamApiError
    if (!refused && (expected || connection.info?.jetstream === true)) throw error
    return []
  }
  const patterns: string[] = []
  for await (const { config } of manager.streams.list(`${eventSubjects}.>`)) {
    patterns.push(...(config.subjects ?? []))
  }
  return patterns
}

async function within<Value>(ms: number, work: Promise<Value>): Promise<Value> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`NATS did not answer within ${ms} ms.`)), ms)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

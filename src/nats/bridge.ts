// The bridge to NATS: signals from a stream and from requests, audit events out; it lives through every outage.

import { setTimeout as sleep } from 'node:timers/promises'
import type { NatsConnection } from '@nats-io/transport-node'
import type { Caller } from '../engine/change.ts'
import type { RunningEngine } from '../engine/engine.ts'
import { createLoop } from '../engine/loop.ts'
import type { Report } from '../engine/notice.ts'
import type { Signals } from '../engine/signals.ts'
import { type ConnectionSettings, openConnection } from './connection.ts'
import { createEventSink } from './events.ts'
import { createIntake } from './intake.ts'
import type { MessageLimits, MessageMap } from './message.ts'
import { createResponder } from './responder.ts'
import { createStreamConsumer, type StreamSettings } from './stream.ts'

export interface BridgeOptions {
  engine: Pick<RunningEngine, 'publisher' | 'keepRefused'> & { signals: Pick<Signals, 'send'> }
  connection: ConnectionSettings
  namespace: string
  limits: MessageLimits
  /** Where signals come from; null for nowhere. */
  inbound: (StreamSettings & { map: MessageMap | null; maxTries: number }) | null
  /** Where requests are answered; null for nowhere. */
  requests: { subject: string; queue: string } | null
  /** Whether audit events are published. */
  events: boolean
  report: Report
}

export interface Bridge {
  /** Returns at once: a server that is away is waited for, for ever. */
  start(): void
  /** Takes nothing new, finishes what is under way, and disconnects. */
  stop(): Promise<void>
}

/** How often it is looked whether everything runs, in milliseconds. */
const lookEvery = 5_000
/** After a part has ended by itself, in milliseconds: not so soon that an endless fault is a storm. */
const afterEnd = 250
/** For what was answered last to reach the server, in milliseconds. */
const farewell = 2_000

export function createBridge(options: BridgeOptions): Bridge {
  const { engine, limits, report } = options
  const caller: Caller = { namespace: options.namespace, actor: 'nats' }
  let connection: NatsConnection | null = null

  const intake =
    options.inbound &&
    createIntake({
      signals: engine.signals,
      keep: engine.keepRefused,
      caller,
      limits,
      map: options.inbound.map,
      maxTries: options.inbound.maxTries,
      report,
    })
  const consumer =
    options.inbound &&
    intake &&
    createStreamConsumer(options.inbound, intake, () => loop.nudge(afterEnd))
  const responder =
    options.requests &&
    createResponder({ ...options.requests, signals: engine.signals, caller, limits })
  const publisher = options.events
    ? engine.publisher({ name: 'nats', publish: createEventSink(reachable) })
    : null

  let away = true
  let stopping = false
  function reachable(): NatsConnection | null {
    return away || connection === null || connection.isClosed() ? null : connection
  }

  const loop = createLoop({
    name: 'nats',
    interval: lookEvery,
    report,
    async pass() {
      if (connection === null || connection.isClosed()) {
        consumer?.reset()
        const made = await openConnection(options.connection, report, {
          onDisconnect() {
            away = true
            if (stopping) void connection?.close()
          },
          onReconnect() {
            away = false
            // The pull of before the outage is not served any more.
            consumer?.reset()
            loop.nudge(0)
          },
        })
        connection = made
        away = false
        void made.closed().then(() => loop.nudge(afterEnd))
      }
      if (reachable() === null) return lookEvery
      responder?.ensure(connection)
      await consumer?.ensure(connection)
      return lookEvery
    },
  })

  return {
    start() {
      loop.start()
      publisher?.start()
    },
    async stop() {
      stopping = true
      // What waits for an answer of a server that is away need not wait any longer.
      if (reachable() === null) await connection?.close()
      await Promise.all([loop.stop(), publisher?.stop(), consumer?.stop(), responder?.stop()])
      const last = connection
      connection = null
      if (last === null || last.isClosed()) return
      // Flushes the last acknowledgements and answers. A server that is away does not hold us up.
      await Promise.race([last.drain().catch(() => {}), sleep(farewell)])
      await last.close()
    },
  }
}

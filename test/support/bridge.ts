// Bridges to NATS in front of a stand-in for the engine whose answers a test decides, or of a real one.

import type { Caller } from '../../src/engine/change.ts'
import type { Notice } from '../../src/engine/notice.ts'
import type { RefusedMessage } from '../../src/engine/refused-messages.ts'
import type { SignalFate, SignalInput } from '../../src/engine/signals.ts'
import { type Bridge, type BridgeOptions, createBridge } from '../../src/nats/bridge.ts'
import { bridgeSettings, type NatsSettings } from '../../src/nats/settings.ts'
import { toldTo } from './engine.ts'

export interface TestBridge extends Bridge {
  notices: Notice[]
}

export interface StandIn {
  engine: BridgeOptions['engine']
  /** Every call of `send`, answered or not. */
  sent: (SignalInput & { caller: Caller })[]
  kept: RefusedMessage[]
}

/** Starts a bridge with these settings in front of this engine. */
export function startBridge(
  engine: BridgeOptions['engine'],
  settings: NatsSettings,
  notices: Notice[] = [],
): TestBridge {
  const bridge = createBridge({ ...bridgeSettings(settings), engine, report: toldTo(notices) })
  bridge.start()
  return { ...bridge, notices }
}

/** An engine that has no database: `answer` decides what becomes of a signal, `keep` of a refused message. */
export function standIn(
  answer: (input: SignalInput, count: number) => Promise<Partial<SignalFate>>,
  keep: (message: RefusedMessage) => Promise<void> = async () => {},
): StandIn {
  const sent: StandIn['sent'] = []
  const kept: RefusedMessage[] = []
  return {
    sent,
    kept,
    engine: {
      signals: {
        async send(caller, input) {
          sent.push({ caller, ...input })
          const given = await answer(input, sent.length)
          return {
            outcome: 'buffered',
            signal_id: '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58',
            deliveries: [],
            expires_at: '2026-04-24T15:00:00.000Z',
            flow: null,
            started: false,
            replayed: false,
            ...given,
          }
        },
      },
      async keepRefused(message) {
        await keep(message)
        kept.push(message)
      },
      publisher: () => ({ start() {}, async stop() {} }),
    },
  }
}

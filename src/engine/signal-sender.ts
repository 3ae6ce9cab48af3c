// Placeholder until the inbox is merged: how signals are sent.
import type { JsonValue } from '../domain/json.ts'
import type { InboundMessage } from '../store/inbound.ts'
import type { Caller, ChangeOptions } from './change.ts'

export interface SignalSender {
  send(
    caller: Caller,
    input: {
      target: { kind: 'external_event'; topic: string; correlation_id: string }
      payload?: JsonValue
      sender_id?: string
      source?: string
      ttl?: number
      deliver?: 'one' | 'all'
      message?: InboundMessage
    },
    options?: ChangeOptions,
  ): Promise<{
    outcome: 'delivered' | 'buffered' | 'duplicate' | 'unmatched'
    signal_id: string
    replayed: boolean
  }>
}

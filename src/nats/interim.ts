import type { NewFlow } from '../domain/create.ts'
import type { FlowRecord } from '../domain/flow.ts'
import type { JsonValue } from '../domain/json.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Caller, ChangeOptions } from '../engine/change.ts'

export interface SignalInput {
  target:
    | { kind: 'external_event'; topic: string; correlation_id: string }
    | { kind: 'manual'; signal: string }
  flow_id?: string
  payload?: JsonValue
  sender_id?: string
  source?: string
  ttl?: number
  deliver?: 'one' | 'all'
  start_if_absent?: NewFlow & { key: string }
}
export interface SignalReply {
  outcome: 'delivered' | 'buffered' | 'duplicate' | 'unmatched'
  signal_id: string
  deliveries: { flow_id: string; wait_id: string; revision: number }[]
  expires_at: Timestamp | null
  flow: FlowRecord | null
  started: boolean
  replayed: boolean
}
export interface Signals {
  send(caller: Caller, input: SignalInput, options?: ChangeOptions): Promise<SignalReply>
}

// Inbound messages that may end a wait.

import type { JsonValue } from '../domain/json.ts'
import type { Caller, ChangeOptions, Reply } from './change.ts'
import type { Flows } from './flows.ts'
import { mintId } from './ids.ts'

export interface ExternalEvent {
  topic: string
  correlation_id: string
  payload?: JsonValue
  /** The sender's own id of it. */
  sender_id?: string
}

export interface Signals {
  /** Ends an `external_event` wait of this flow if it matches: outcome `delivered`, else `unmatched`. */
  resumeExternal(
    caller: Caller,
    flowId: string,
    event: ExternalEvent,
    options?: ChangeOptions,
  ): Promise<Reply>
  /** Ends a `manual` wait of this name (a nameless one: by any name). */
  signal(
    caller: Caller,
    flowId: string,
    name: string,
    payload: JsonValue | undefined,
    options?: ChangeOptions,
  ): Promise<Reply>
}

export function createSignals(flows: Flows): Signals {
  return {
    resumeExternal(caller, flowId, { topic, correlation_id, payload, sender_id }, options) {
      return flows.change(
        caller,
        flowId,
        {
          type: 'signal',
          signal_id: mintId(),
          target: { kind: 'external_event', topic, correlation_id },
          ...(payload !== undefined && { payload }),
          ...(sender_id !== undefined && { sender_id }),
        },
        options,
      )
    },
    signal(caller, flowId, name, payload, options) {
      return flows.change(
        caller,
        flowId,
        {
          type: 'signal',
          signal_id: mintId(),
          target: { kind: 'manual', signal: name },
          ...(payload !== undefined && { payload }),
        },
        options,
      )
    },
  }
}

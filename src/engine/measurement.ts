// What the service measures about itself, as data: too much to be told one by one, so it is only counted.

import type { FlowEvent } from '../domain/event.ts'
import type { SignalOutcome } from '../domain/signal.ts'
import type { Depths } from '../store/depths.ts'

/** What became of a request to a receiver or an endpoint. */
export type DeliveryResult = 'delivered' | 'retry' | 'failed' | 'aborted'
export type PushResult = 'outcome' | 'accepted' | 'not_now' | 'gone' | 'error' | 'aborted'

export type Measurement =
  /** A transaction of the committer has ended, `seconds` after it asked for a connection. */
  | {
      type: 'transaction_ended'
      outcome: 'committed' | 'rolled_back' | 'unknown'
      commands: number
      seconds: number
    }
  | { type: 'events_committed'; events: readonly FlowEvent[] }
  /** How much later than due each of these flows was fired, in seconds, COMMIT included. */
  | { type: 'flows_fired'; lateness: readonly number[] }
  | {
      type: 'tick_ended'
      scanned: number
      resumed: number
      cancelled: number
      still_waiting: number
      errors: number
    }
  | { type: 'signal_received'; outcome: SignalOutcome | 'duplicate' | 'unmatched' }
  /** How long each of these steps had been ready when it was claimed, in seconds. */
  | { type: 'steps_claimed'; by: 'worker' | 'push'; waits: readonly number[] }
  /** Leases that ended without a report, and attempts that took too long. */
  | { type: 'leases_lost'; lease_expired: number; timed_out: number }
  | { type: 'delivery_attempted'; result: DeliveryResult; seconds: number }
  | { type: 'push_attempted'; result: PushResult; seconds: number }
  | { type: 'loop_passed'; loop: string; failed: boolean }
  | { type: 'depths_read'; depths: Depths }

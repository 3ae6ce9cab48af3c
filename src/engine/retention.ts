// What has served its time: expired answers to idempotent requests, kept signals that nobody took, old
// signals, raw messages and deliveries.

import type { Scope } from '../store/db.ts'
import { deleteOldDeliveries } from '../store/deliveries.ts'
import { deleteExpiredReplies } from '../store/idempotency.ts'
import { deleteOldMessages } from '../store/inbound.ts'
import { deleteOldSignals, expireSignals } from '../store/signal-lists.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Notice, Report } from './notice.ts'

/** Rows of one transaction, and the pause after it, so that a large sweep leaves latency alone. */
const batchSize = 1_000
const pause = 100

interface Sweep {
  name: string
  /** Between two sweeps, in milliseconds. */
  interval: number
  /** Sweeps so many rows at most; answers how many. */
  sweep: (limit: number) => Promise<number>
  notice: Extract<Notice, { count: number }>['type']
}

/** How long things stay, in milliseconds. */
export interface Retention {
  signals: number
  messages: number
  deliveries: number
  failed_deliveries: number
}

/** A loop for everything that goes by time alone. */
export function createSweepers(scope: Scope, retention: Retention, report: Report): Loop[] {
  const sweeps: Sweep[] = [
    {
      name: 'reply-sweeper',
      interval: 60_000,
      sweep: (limit) => deleteExpiredReplies(scope, limit),
      notice: 'expired_replies_deleted',
    },
    {
      // Only written down here: waits and lists judge by the time itself.
      name: 'signal-expiry',
      interval: 2_000,
      sweep: (limit) => expireSignals(scope, limit),
      notice: 'signals_expired',
    },
    {
      name: 'signal-sweeper',
      interval: 60_000,
      sweep: (limit) => deleteOldSignals(scope, retention.signals, limit),
      notice: 'old_signals_deleted',
    },
    {
      name: 'message-sweeper',
      interval: 60_000,
      sweep: (limit) => deleteOldMessages(scope, retention.messages, limit),
      notice: 'old_messages_deleted',
    },
    {
      name: 'delivery-sweeper',
      interval: 60_000,
      sweep: (limit) => deleteOldDeliveries(scope, 'delivered', retention.deliveries, limit),
      notice: 'old_deliveries_deleted',
    },
    {
      name: 'failed-delivery-sweeper',
      interval: 60_000,
      sweep: (limit) => deleteOldDeliveries(scope, 'failed', retention.failed_deliveries, limit),
      notice: 'old_deliveries_deleted',
    },
  ]
  return sweeps.map(({ name, interval, sweep, notice }) =>
    createLoop({
      name,
      interval,
      report,
      async pass() {
        const count = await sweep(batchSize)
        if (count > 0) report({ type: notice, count })
        return count === batchSize ? pause : interval
      },
    }),
  )
}

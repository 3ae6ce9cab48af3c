// Deletes what has served its time: expired answers to idempotent requests, old signals, raw messages.

import type { Scope } from '../store/db.ts'
import { deleteExpiredReplies } from '../store/idempotency.ts'
import { deleteOldMessages } from '../store/inbound.ts'
import { deleteOldSignals, expireSignals } from '../store/signal-lists.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'

/** Between two sweeps, in milliseconds. */
const interval = 60_000
/** Between two looks for expired signals, in milliseconds. */
const expiryInterval = 2_000
/** Rows of one transaction, and the pause after it, so that a large sweep leaves latency alone. */
const batchSize = 1_000
const pause = 100

export function createReplySweeper(scope: Scope, report: Report): Loop {
  return createLoop({
    name: 'reply-sweeper',
    interval,
    report,
    async pass() {
      const count = await deleteExpiredReplies(scope, batchSize)
      if (count > 0) report({ type: 'expired_replies_deleted', count })
      return count === batchSize ? pause : interval
    },
  })
}

/** Writes down which kept signals have expired. Waits and lists judge by the time itself. */
export function createSignalExpiry(scope: Scope, report: Report): Loop {
  return createLoop({
    name: 'signal-expiry',
    interval: expiryInterval,
    report,
    async pass() {
      const count = await expireSignals(scope, batchSize)
      if (count > 0) report({ type: 'signals_expired', count })
      return count === batchSize ? pause : expiryInterval
    },
  })
}

/** Deletes delivered and expired signals after `retention` milliseconds. */
export function createSignalSweeper(scope: Scope, retention: number, report: Report): Loop {
  return createLoop({
    name: 'signal-sweeper',
    interval,
    report,
    async pass() {
      const count = await deleteOldSignals(scope, retention, batchSize)
      if (count > 0) report({ type: 'old_signals_deleted', count })
      return count === batchSize ? pause : interval
    },
  })
}

/** Deletes raw messages that arrived longer ago than `retention` milliseconds. */
export function createMessageSweeper(scope: Scope, retention: number, report: Report): Loop {
  return createLoop({
    name: 'message-sweeper',
    interval,
    report,
    async pass() {
      const count = await deleteOldMessages(scope, retention, batchSize)
      if (count > 0) report({ type: 'old_messages_deleted', count })
      return count === batchSize ? pause : interval
    },
  })
}

// Everything the service tells its operators, as data. One place renders it.

import type { Logger } from 'pino'
import type { Measurement } from './measurement.ts'

export type Notice = Told | Measurement

type Told =
  | { type: 'connection_failed'; error: Error }
  /** A transaction was rolled back and is tried again, in halves when it had several commands. */
  | { type: 'batch_retried'; commands: number; cause: unknown }
  /** The answer to COMMIT was lost; `committed` is what the server said afterwards. */
  | { type: 'commit_in_doubt'; xid: string; committed: boolean | null; cause: unknown }
  /** A due flow could not be fired; it is tried again, `failures` so far. */
  | { type: 'fire_failed'; flow_id: string; failures: number; cause: unknown }
  /** A due flow was set aside: it will not be fired until somebody moves its timer. */
  | { type: 'flow_quarantined'; flow_id: string; reason: string }
  /** A step that is due could not be ended; it is tried again. */
  | { type: 'step_stuck'; step_id: string; cause: unknown }
  /** An endpoint wants no more steps: until somebody changes its controller they are pulled. */
  | { type: 'controller_disabled'; namespace: string; controller_id: string; reason: string }
  /** An endpoint failed again and again: it is left alone for so many milliseconds. */
  | { type: 'push_paused'; namespace: string; controller_id: string; pause: number }
  | { type: 'push_goes_on'; namespace: string; controller_id: string }
  /** An answer came after its lease had ended, or was settled by another. */
  | { type: 'push_overtaken'; step_id: string }
  /** What became of a pushed step could not be saved: it is pushed again when its lease has ended. */
  | { type: 'push_not_recorded'; step_id: string; cause: unknown }
  | { type: 'push_claim_failed'; controller_id: string; cause: unknown }
  | { type: 'cancel_notice_failed'; step_id: string; cause: unknown }
  | { type: 'loop_failed'; loop: string; failures: number; cause: unknown }
  | { type: 'loop_recovered'; loop: string; failures: number }
  /** Commits of other replicas are seen by looking alone, up to a second late. */
  | { type: 'listen_degraded'; cause: unknown }
  | { type: 'listen_recovered' }
  | { type: 'expired_replies_deleted'; count: number }
  | { type: 'signals_expired'; count: number }
  | { type: 'old_signals_deleted'; count: number }
  | { type: 'old_messages_deleted'; count: number }
  | { type: 'old_deliveries_deleted'; count: number }
  /** A receiver wants no more, or nothing has reached it for days: until somebody enables it nothing is sent. */
  | { type: 'hook_disabled'; hook_id: string; namespace: string; reason: string }
  /** All attempts were made. */
  | { type: 'deliveries_failed'; count: number }
  /** Results came after their leases had ended: others have sent these deliveries once more. */
  | { type: 'deliveries_overtaken'; count: number }
  | { type: 'delivery_not_sent'; delivery_id: string; cause: unknown }
  | { type: 'broker_connected'; broker: string; server: string }
  | { type: 'broker_disconnected'; broker: string; server: string }
  /** An inbound message can never become a signal; it was kept with the reason. */
  | { type: 'message_refused'; source: string; message_id: string; reason: string }
  /** An inbound message did not become a signal yet; its sender's broker will bring it again. */
  | { type: 'message_put_off'; source: string; tries: number; cause: unknown }
  /** Nothing was sent: the URL is not allowed, or its host has an address that is not public. */
  | { type: 'outbound_blocked'; host: string; reason: string }

export type Report = (notice: Notice) => void

type Rendering = { level: 'debug' | 'info' | 'warn' | 'error'; message: string }

const renderings: { [Type in Told['type']]: Rendering } = {
  connection_failed: { level: 'warn', message: 'a database connection failed' },
  batch_retried: { level: 'warn', message: 'a transaction was rolled back and is tried again' },
  commit_in_doubt: { level: 'warn', message: 'the answer to a COMMIT was lost and was looked up' },
  fire_failed: { level: 'error', message: 'a due flow could not be fired; it is tried again' },
  flow_quarantined: {
    level: 'error',
    message: 'a due flow was set aside: move its timer or cancel it',
  },
  step_stuck: { level: 'error', message: 'a due step could not be ended; it is tried again' },
  controller_disabled: {
    level: 'warn',
    message: 'a controller was disabled: its endpoint takes no steps',
  },
  push_paused: { level: 'warn', message: 'an endpoint fails again and again and is left alone' },
  push_goes_on: { level: 'info', message: 'an endpoint takes steps again' },
  push_overtaken: { level: 'info', message: 'the answer of an endpoint came too late to count' },
  push_not_recorded: {
    level: 'error',
    message: 'the result of a pushed step could not be saved; it is pushed again',
  },
  push_claim_failed: { level: 'warn', message: 'steps could not be claimed for an endpoint' },
  cancel_notice_failed: {
    level: 'warn',
    message: 'a notice of a cancel could not be sent; it is tried again',
  },
  loop_failed: { level: 'error', message: 'a background loop failed and goes on' },
  loop_recovered: { level: 'info', message: 'a background loop works again' },
  listen_degraded: {
    level: 'warn',
    message: 'changes of other processes may be seen up to a second late: LISTEN does not work',
  },
  listen_recovered: { level: 'info', message: 'LISTEN works again' },
  expired_replies_deleted: { level: 'debug', message: 'expired idempotency keys were deleted' },
  signals_expired: { level: 'info', message: 'kept signals expired before a wait took them' },
  old_signals_deleted: { level: 'debug', message: 'old signals were deleted' },
  old_messages_deleted: {
    level: 'debug',
    message: 'raw messages past their retention were deleted',
  },
  old_deliveries_deleted: { level: 'debug', message: 'old deliveries were deleted' },
  hook_disabled: { level: 'warn', message: 'a hook was disabled: its receiver takes nothing' },
  deliveries_failed: { level: 'warn', message: 'deliveries of hooks failed for good' },
  deliveries_overtaken: {
    level: 'info',
    message: 'deliveries took longer than their leases and were sent again',
  },
  delivery_not_sent: { level: 'error', message: 'the request of a delivery cannot be made' },
  broker_connected: { level: 'info', message: 'connected to the message broker' },
  broker_disconnected: {
    level: 'warn',
    message: 'the message broker is away; trying to reconnect',
  },
  message_refused: { level: 'warn', message: 'a message cannot become a signal and was set aside' },
  message_put_off: { level: 'warn', message: 'a message is tried again later' },
  outbound_blocked: {
    level: 'warn',
    message: 'a request to an address that is not public was refused',
  },
}

/** Whether a notice is only counted, and never told. */
export function isMeasurement(notice: Notice): notice is Measurement {
  return !Object.hasOwn(renderings, notice.type)
}

/** Everything that can be told, by its type, with the level of its line in the log. */
export const noticeLevels: ReadonlyMap<Told['type'], Rendering['level']> = new Map(
  (Object.keys(renderings) as Told['type'][]).map((type) => [type, renderings[type].level]),
)

/** Renders notices to the log, and everything to the metrics. */
export function reportTo(logger: Logger, count: Report): Report {
  return (notice) => {
    count(notice)
    if (isMeasurement(notice)) return
    const { type, ...data } = notice
    const { level, message } = renderings[type]
    const { cause, error, ...rest } = data as { cause?: unknown; error?: unknown }
    const err = cause ?? error
    logger[level]({ notice: type, ...rest, ...(err !== undefined && { err }) }, message)
  }
}

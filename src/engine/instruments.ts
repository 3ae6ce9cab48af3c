// The counters and histograms that everything reported adds to. Labels come from closed lists, or from the
// routes of the API: nothing that callers name becomes a series.

import { Counter, Gauge, Histogram, type Registry } from 'prom-client'
import { eventKinds, type FlowEvent } from '../domain/event.ts'
import type { Measurement } from './measurement.ts'
import { isMeasurement, noticeLevels, type Report } from './notice.ts'

/** From a millisecond to half a minute: what a caller, or a receiver, waits for. */
const latencies = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]
/** From a millisecond to an hour: how late something is. */
const delays = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 900, 3600]
const batchSizes = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1000]

/** How a wait ended, as `resumed` events tell it. */
const resumers: readonly string[] = ['timer', 'signal', 'manual', 'timeout']

/** Makes the instruments in a registry; what it answers counts whatever is reported. */
export function createInstruments(registry: Registry): Report {
  const registers = [registry]
  const counter = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[] = [],
  ) => new Counter<Label>({ name, help, labelNames, registers })
  const histogram = <Label extends string = never>(
    name: string,
    help: string,
    buckets: number[],
    labelNames: readonly Label[] = [],
  ) => new Histogram<Label>({ name, help, buckets, labelNames, registers })

  const events = counter(
    'taskflow_events_total',
    'Audit events that committed, by kind: one for each change of a flow.',
    ['kind'],
  )
  for (const kind of eventKinds) events.inc({ kind }, 0)
  const resumes = counter('taskflow_resumes_total', 'Waits that ended, by what ended them.', ['by'])
  for (const by of resumers) resumes.inc({ by }, 0)
  const batchSize = histogram(
    'taskflow_batch_commands',
    'Commands in one transaction of the committer.',
    batchSizes,
  )
  const batchTime = histogram(
    'taskflow_batch_duration_seconds',
    'How long a transaction of the committer took, from asking for a connection to its end.',
    latencies,
    ['outcome'],
  )
  for (const outcome of ['committed', 'rolled_back', 'unknown']) batchTime.zero({ outcome })
  const lateness = histogram(
    'taskflow_timer_lateness_seconds',
    'How much later than due timers fired and requested cancels were carried out.',
    delays,
  )
  const fired = counter('taskflow_fired_total', 'Due flows, by what became of them.', ['result'])
  for (const result of ['resumed', 'cancelled', 'still_waiting', 'error']) fired.inc({ result }, 0)
  const signals = counter('taskflow_signals_total', 'Signals received, by their fate at once.', [
    'outcome',
  ])
  for (const outcome of ['delivered', 'buffered', 'duplicate', 'unmatched']) {
    signals.inc({ outcome }, 0)
  }
  const expired = counter(
    'taskflow_signals_expired_total',
    'Kept signals that expired before a wait took them.',
  )
  const claimed = counter('taskflow_steps_claimed_total', 'Steps given out to be run.', ['by'])
  const stepWait = histogram(
    'taskflow_step_wait_seconds',
    'How long steps were ready before they were claimed.',
    delays,
    ['by'],
  )
  for (const by of ['worker', 'push']) {
    claimed.inc({ by }, 0)
    stepWait.zero({ by })
  }
  const settled = counter('taskflow_steps_settled_total', 'Steps that were done, by outcome.', [
    'outcome',
  ])
  for (const outcome of ['complete', 'continue', 'wait', 'succeed', 'fail', 'cancel']) {
    settled.inc({ outcome }, 0)
  }
  const leases = counter(
    'taskflow_leases_lost_total',
    'Attempts that ended without a report: the lease ran out, or the attempt took too long.',
    ['reason'],
  )
  for (const reason of ['lease_expired', 'timed_out']) leases.inc({ reason }, 0)
  const deliveries = histogram(
    'taskflow_delivery_duration_seconds',
    'Attempts at deliveries of hooks, by what they came to and how long the receiver took.',
    latencies,
    ['result'],
  )
  for (const result of ['delivered', 'retry', 'failed', 'aborted']) deliveries.zero({ result })
  const failedDeliveries = counter(
    'taskflow_deliveries_failed_total',
    'Deliveries of hooks that failed for good.',
  )
  const pushes = histogram(
    'taskflow_push_duration_seconds',
    'Steps pushed to endpoints, by what they answered and how long they took.',
    latencies,
    ['result'],
  )
  for (const result of ['outcome', 'accepted', 'not_now', 'gone', 'error', 'aborted']) {
    pushes.zero({ result })
  }
  const notices = counter('taskflow_notices_total', 'Lines of the log about the service itself.', [
    'notice',
    'level',
  ])
  for (const [notice, level] of noticeLevels) notices.inc({ notice, level }, 0)
  const passes = counter('taskflow_loop_passes_total', 'Passes of background jobs, by job.', [
    'loop',
    'result',
  ])
  const lastPass = new Gauge({
    name: 'taskflow_loop_last_pass_timestamp_seconds',
    help: 'When a background job last ended a pass without failing.',
    labelNames: ['loop'],
    registers,
  })
  const broker = new Gauge({
    name: 'taskflow_broker_up',
    help: 'Whether the message broker is connected: 1 or 0. Absent without one.',
    labelNames: ['broker'],
    registers,
  })

  function countEvents(appended: readonly FlowEvent[]): void {
    const kinds = new Map<string, number>()
    const outcomes = new Map<string, number>()
    const add = (counts: Map<string, number>, what: string) =>
      counts.set(what, (counts.get(what) ?? 0) + 1)
    for (const { kind, payload } of appended) {
      add(kinds, kind)
      if (kind === 'resumed') {
        const by = String(payload['by'])
        if (resumers.includes(by)) resumes.inc({ by })
      } else if (kind === 'step_settled') add(outcomes, String(payload['outcome']))
    }
    for (const [kind, count] of kinds) events.inc({ kind }, count)
    for (const [outcome, count] of outcomes) settled.inc({ outcome }, count)
  }

  function measure(measured: Measurement): void {
    switch (measured.type) {
      case 'transaction_ended':
        batchTime.observe({ outcome: measured.outcome }, measured.seconds)
        if (measured.commands > 0) batchSize.observe(measured.commands)
        return
      case 'events_committed':
        countEvents(measured.events)
        return
      case 'flows_fired':
        for (const seconds of measured.lateness) lateness.observe(seconds)
        return
      case 'tick_ended':
        fired.inc({ result: 'resumed' }, measured.resumed)
        fired.inc({ result: 'cancelled' }, measured.cancelled)
        fired.inc({ result: 'still_waiting' }, measured.still_waiting)
        fired.inc({ result: 'error' }, measured.errors)
        return
      case 'signal_received':
        signals.inc({ outcome: measured.outcome })
        return
      case 'steps_claimed':
        claimed.inc({ by: measured.by }, measured.waits.length)
        for (const seconds of measured.waits) stepWait.observe({ by: measured.by }, seconds)
        return
      case 'leases_lost':
        leases.inc({ reason: 'lease_expired' }, measured.lease_expired)
        leases.inc({ reason: 'timed_out' }, measured.timed_out)
        return
      case 'delivery_attempted':
        deliveries.observe({ result: measured.result }, measured.seconds)
        return
      case 'push_attempted':
        pushes.observe({ result: measured.result }, measured.seconds)
        return
      case 'loop_passed': {
        const { loop, failed } = measured
        passes.inc({ loop, result: 'ok' }, failed ? 0 : 1)
        passes.inc({ loop, result: 'failed' }, failed ? 1 : 0)
        if (!failed) lastPass.set({ loop }, Date.now() / 1000)
        return
      }
      case 'depths_read':
        return
    }
  }

  return (notice) => {
    if (isMeasurement(notice)) {
      measure(notice)
      return
    }
    notices.inc({ notice: notice.type, level: noticeLevels.get(notice.type) ?? 'info' })
    switch (notice.type) {
      case 'signals_expired':
        expired.inc(notice.count)
        return
      case 'deliveries_failed':
        failedDeliveries.inc(notice.count)
        return
      case 'broker_connected':
      case 'broker_disconnected':
        broker.set({ broker: notice.broker }, notice.type === 'broker_connected' ? 1 : 0)
        return
      default:
        return
    }
  }
}

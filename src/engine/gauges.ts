// The gauges: what is so at the moment of a look. Those of the process are read then; those of the database
// were read a moment before, so that no look waits for it.

import { Gauge, type Registry } from 'prom-client'
import { countBound, type Depths } from '../store/depths.ts'

/** What the engine can tell at any moment, without asking anybody. */
export interface EngineGauges {
  /** Commands accepted and not yet answered. */
  queued: number
  in_flight: number
  claims_waiting: number
  streams: number
  listen: 'ok' | 'degraded'
  pools: Record<'writer' | 'reader', { used: number; idle: number; waiting: number; size: number }>
}

/** @param read absent until an engine is watched. */
export function createProcessGauges(registry: Registry, read: () => EngineGauges | null): void {
  const gauge = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[],
    set: (gauge: Gauge<Label>, now: EngineGauges) => void,
  ) =>
    new Gauge<Label>({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        const now = read()
        if (now !== null) set(this, now)
      },
    })

  gauge(
    'taskflow_commands_queued',
    'Changes that were accepted and not yet answered.',
    [],
    (one, { queued }) => one.set(queued),
  )
  gauge(
    'taskflow_transactions_in_flight',
    'Transactions of the committer under way.',
    [],
    (one, { in_flight }) => one.set(in_flight),
  )
  gauge('taskflow_claims_waiting', 'Claims that wait for steps.', [], (one, { claims_waiting }) =>
    one.set(claims_waiting),
  )
  gauge('taskflow_streams_open', 'Event streams that are open.', [], (one, { streams }) =>
    one.set(streams),
  )
  gauge(
    'taskflow_listen_up',
    'Whether changes of other processes are heard of at once (LISTEN): 1 or 0.',
    [],
    (one, { listen }) => one.set(listen === 'ok' ? 1 : 0),
  )
  gauge(
    'taskflow_pool_connections',
    'Connections to the database, by pool and state.',
    ['pool', 'state'],
    (one, { pools }) => {
      for (const pool of ['writer', 'reader'] as const) {
        one.set({ pool, state: 'used' }, pools[pool].used)
        one.set({ pool, state: 'idle' }, pools[pool].idle)
      }
    },
  )
  gauge(
    'taskflow_pool_size',
    'Connections to the database that a pool may have.',
    ['pool'],
    (one, { pools }) => {
      for (const pool of ['writer', 'reader'] as const) one.set({ pool }, pools[pool].size)
    },
  )
  gauge(
    'taskflow_pool_waiting',
    'Work that waits for a connection to the database, by pool.',
    ['pool'],
    (one, { pools }) => {
      for (const pool of ['writer', 'reader'] as const) one.set({ pool }, pools[pool].waiting)
    },
  )
}

const bound = countBound.toLocaleString('en')
const estimated = `Exact up to ${bound}; past that the planner’s estimate.`
const bounded = `Counted up to ${bound}.`

/** What it answers takes what was read of the database. Nothing is shown before the first time. */
export function createDepthGauges(registry: Registry): (depths: Depths) => void {
  const gauge = <Label extends string = never>(
    name: string,
    help: string,
    labelNames: readonly Label[],
  ) => new Gauge<Label>({ name, help, labelNames, registers: [registry] })

  const flows = gauge('taskflow_flows', `Flows, by status. ${estimated}`, ['status'])
  const due = gauge('taskflow_flows_due', `Flows that time should have changed. ${bounded}`, [])
  const dueOldest = gauge(
    'taskflow_flows_due_oldest_seconds',
    'How late the oldest due flow is; 0 when none is due.',
    [],
  )
  const steps = gauge(
    'taskflow_steps',
    `Managed steps: ready to be claimed, delayed, running, and dead ones, which somebody must look at. ${estimated} Running ones are counted up to ${bound}.`,
    ['state'],
  )
  const readyOldest = gauge(
    'taskflow_steps_ready_oldest_seconds',
    `How long the oldest of the first ${bound} ready steps has been due.`,
    [],
  )
  const stepsDue = gauge(
    'taskflow_steps_due',
    `Steps whose lease has ended or whose delay is over, and that were not looked at yet. ${bounded}`,
    [],
  )
  const stepsDueOldest = gauge(
    'taskflow_steps_due_oldest_seconds',
    'How late the oldest of them is; 0 when there is none.',
    [],
  )
  const deliveries = gauge(
    'taskflow_deliveries_pending',
    `Deliveries of hooks that have not arrived yet. ${estimated}`,
    [],
  )
  const deliveriesOldest = gauge(
    'taskflow_deliveries_oldest_seconds',
    'How late the oldest delivery is that is due and that nobody sends.',
    [],
  )
  const kept = gauge(
    'taskflow_signals_kept',
    `Signals that are kept for a wait to come. ${estimated}`,
    [],
  )
  const rows = gauge(
    'taskflow_table_rows',
    'Rows of the tables that grow, as the planner estimates them.',
    ['table'],
  )
  const read = gauge(
    'taskflow_depths_timestamp_seconds',
    'When the figures of the database were last read.',
    [],
  )
  return (depths) => {
    for (const [status, count] of Object.entries(depths.flows)) flows.set({ status }, count)
    due.set(depths.flows_due)
    dueOldest.set(depths.flows_due_oldest)
    for (const [state, count] of Object.entries(depths.steps)) steps.set({ state }, count)
    readyOldest.set(depths.steps_ready_oldest)
    stepsDue.set(depths.steps_due)
    stepsDueOldest.set(depths.steps_due_oldest)
    deliveries.set(depths.deliveries_pending)
    deliveriesOldest.set(depths.deliveries_oldest)
    kept.set(depths.signals_kept)
    for (const [table, count] of Object.entries(depths.rows)) rows.set({ table }, count)
    read.set(Date.now() / 1000)
  }
}

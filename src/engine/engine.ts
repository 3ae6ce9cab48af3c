// The engine as the transports see it.

import type { DomainLimits } from '../domain/command.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Scope } from '../store/db.ts'
import { createCommitter } from './committer.ts'
import { createEvents, type Events } from './events.ts'
import { createFlows, type Flows } from './flows.ts'
import { createReadiness, type Readiness } from './health.ts'
import { createLinks, type Links } from './links.ts'
import type { Report } from './notice.ts'
import { createFlowReader } from './reader.ts'
import { createReplySweeper, createSignalExpiry, createSignalSweeper } from './retention.ts'
import { createSignalWaker } from './signal-waker.ts'
import { createSignals, type SignalSettings, type Signals } from './signals.ts'
import { createSteps, type Steps } from './steps.ts'
import { createWaitEngine, type WaitEngine, type WaitEngineStatus } from './wait-engine.ts'
import { createWatch } from './watch.ts'

export interface EngineStatus {
  version: string
  started_at: Timestamp
  wait_engine: WaitEngineStatus
  committer: {
    /** Commands accepted and not yet in a transaction. */
    queued: number
    /** Transactions under way. */
    in_flight: number
    batches_total: number
    commands_total: number
  }
}

export interface Engine {
  flows: Flows
  signals: Signals
  links: Links
  steps: Steps
  events: Events
  waitEngine: WaitEngine
  status(): EngineStatus
  /** Bounded to about a second, also when the database does not answer. */
  ready(): Promise<Readiness>
}

export interface EngineOptions {
  scope: Scope
  version: string
  limits: DomainLimits
  signals: SignalSettings
  commit: { inFlight: number; batchSize: number; queueLimit: number }
  /** Read statements at once. */
  readsInFlight: number
  tick: { interval: number; batchSize: number }
  report: Report
}

/** The engine with the handles by which the process runs it. */
export interface RunningEngine extends Engine {
  /** Starts the background loops. */
  start(): void
  /** From now on not ready: load balancers shall send no more. */
  retire(): void
  /** Stops the loops, then waits until everything accepted has been answered. */
  stop(): Promise<void>
}

export function createEngine(options: EngineOptions): RunningEngine {
  const { scope, report } = options
  const limits = { ...options.limits, kept_signals: options.signals.kept }
  const startedAt = new Date().toISOString()
  const committer = createCommitter({ scope, limits, report, ...options.commit })
  const watch = createWatch(scope, committer, report)
  const read = createFlowReader(scope, options.readsInFlight)
  const flows = createFlows({ scope, committer, read, watch })
  const waitEngine = createWaitEngine({ scope, committer, report, ...options.tick })
  const waker = createSignalWaker(scope, committer, report)
  const loops = [
    waitEngine,
    watch,
    waker,
    createReplySweeper(scope, report),
    createSignalExpiry(scope, report),
    createSignalSweeper(scope, options.signals.retention, report),
  ]
  const readiness = createReadiness(scope)
  const signals = createSignals(scope, committer, options.signals, () => waker.nudge(0))
  return {
    flows,
    signals,
    links: createLinks(scope, signals),
    steps: createSteps(scope, flows),
    events: createEvents(scope, flows),
    waitEngine,
    status: () => ({
      version: options.version,
      started_at: startedAt,
      wait_engine: waitEngine.status(),
      committer: committer.status(),
    }),
    ready: readiness.check,
    start() {
      for (const loop of loops) loop.start()
    },
    retire: readiness.retire,
    async stop() {
      await Promise.all(loops.map((loop) => loop.stop()))
      await committer.drain()
    },
  }
}

// The engine as the transports see it.

import type { DomainLimits } from '../domain/command.ts'
import type { Timestamp } from '../domain/time.ts'
import type { Scope } from '../store/db.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import type { Change } from './announcement.ts'
import { type Bindings, createBindings } from './bindings.ts'
import { createCommitter } from './committer.ts'
import type { Controllers } from './controllers.ts'
import { type Credentials, createCredentials } from './credentials.ts'
import { createDeliveries, type Deliveries } from './deliveries.ts'
import { createDepthLoop } from './depths.ts'
import { createEvents, type Events } from './events.ts'
import { createExplain, type Explain } from './explain.ts'
import { createFeedPositions } from './feed-position.ts'
import { createFlowFacts } from './flow-facts.ts'
import { createFlowRetention, defaultFlowRetention, type FlowRetention } from './flow-retention.ts'
import { createFlows, type Flows } from './flows.ts'
import type { EngineGauges } from './gauges.ts'
import { createReadiness, type Readiness } from './health.ts'
import { createHints, type HintOptions } from './hints.ts'
import { createHookDispatcher, type HookDispatcher } from './hook-dispatcher.ts'
import { createHooks, type Hooks } from './hooks.ts'
import { createInbound, type Inbound } from './inbound.ts'
import { createInboundMessages, type InboundMessages } from './inbound-messages.ts'
import { createLinks, type Links } from './links.ts'
import { createMemos, type MemoLimits, type Memos } from './memos.ts'
import { createNamespaceQuota, type NamespaceLimits, unlimited } from './namespace-quota.ts'
import type { Report } from './notice.ts'
import type { Outbound } from './outbound.ts'
import type { OutboundRules } from './outbound-url.ts'
import { createPlanLoop } from './plan-keeper.ts'
import { createPublisher, type Publisher, type PublisherOptions } from './publisher.ts'
import { createPush, type PushSettings } from './push.ts'
import type { StreamLimits } from './quota.ts'
import { createFlowReader } from './reader.ts'
import { keepRefused, type RefusedMessage } from './refused-messages.ts'
import { createSweepers } from './retention.ts'
import { createSignalWaker } from './signal-waker.ts'
import { createSignals, type SignalSettings, type Signals } from './signals.ts'
import { createSources, type Sources } from './sources.ts'
import { createStepClaims } from './step-claims.ts'
import { createStepQueue, type StepQueue } from './step-queue.ts'
import { createStepSweeper, type StepSweeper } from './step-sweeper.ts'
import { createSteps, type Steps } from './steps.ts'
import { createStorage, type Storage } from './storage.ts'
import { createStreams, type Streams } from './streams.ts'
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
  /** Whether changes made by other processes are heard of at once (LISTEN); else by looking. */
  listen: 'ok' | 'degraded'
  /** Event streams that are open. */
  streams: number
  steps: {
    /** Claims that wait for steps. */
    waiting_claims: number
    /** Steps given to be run again since the start, because their worker was lost or too slow. */
    rescued_total: number
  }
}

export interface Engine {
  flows: Flows
  signals: Signals
  links: Links
  sources: Sources
  inbound: Inbound
  messages: InboundMessages
  hooks: Hooks
  deliveries: Deliveries
  steps: Steps
  queue: StepQueue
  memos: Memos
  controllers: Controllers
  credentials: Credentials
  bindings: Bindings
  events: Events
  streams: Streams
  explain: Explain
  storage: Storage
  waitEngine: WaitEngine
  stepSweeper: StepSweeper
  status(): EngineStatus
  /** Bounded to about a second, also when the database does not answer. */
  ready(): Promise<Readiness>
}

export interface HookSettings {
  /** Where hooks may point to. */
  rules: OutboundRules
  /** Hooks for all flows of one namespace. */
  limit: number
  /** For one request, in milliseconds. */
  timeout: number
  /** How long deliveries are kept that arrived, and those that did not, in milliseconds. */
  retention: number
  failed_retention: number
  /** The source that CloudEvents name: an address of the service. */
  source: string
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
  /** Webhooks of third parties: whether unverified sources may be, and how long raw messages are kept (ms). */
  inbound: { allowUnsigned: boolean; retention: number }
  steps: {
    /** Largest input, result or checkpoint of a step, in bytes. */
    bytes: number
    memos: MemoLimits
  }
  hooks: HookSettings
  push: PushSettings
  /** Sends what leaves the service; whoever made it closes it after a stop. */
  outbound: Pick<Outbound, 'send'>
  /** How long flows are kept after their end; see `defaultFlowRetention`. */
  retention?: FlowRetention
  /** What each namespace may have; nothing is limited when absent. */
  namespaces?: NamespaceLimits
  /** Event streams open at a time. */
  streams: StreamLimits
  /** How often it is read how much waits in the database, in milliseconds. */
  depths: { interval: number }
  listen: HintOptions
  /** See `CredentialOptions` and `createBindings`. Everybody may do everything when absent. */
  keys?: { admin: string | null; env: string }
  report: Report
}

/** The engine with the handles by which the process runs it. */
export interface RunningEngine extends Engine {
  dispatcher: HookDispatcher
  /** What the metrics show of this moment. */
  gauges(): EngineGauges
  /** A background job that publishes every audit event; whoever makes it starts and stops it. */
  publisher(options: PublisherOptions): Publisher
  /** Keeps a message of a broker that can never become a signal. Throws `unavailable`. */
  keepRefused(message: RefusedMessage): Promise<void>
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
  const hints = createHints(options.listen, report)
  committer.onCommit((changes) => hints.publish('flows', idsOf(changes)))
  committer.onCommit((_, { events }) => report({ type: 'events_committed', events }))
  const watch = createWatch(scope, committer, hints, report)
  const read = createFlowReader(scope, options.readsInFlight)
  const stepBytes = options.steps.bytes
  const { rules, limit: hookLimit, timeout, source } = options.hooks
  const flowRetention = options.retention ?? defaultFlowRetention
  const retain = flowRetention
  const quota = createNamespaceQuota(scope, options.namespaces ?? unlimited)
  const facts = createFlowFacts(scope)
  const flows = createFlows({ scope, committer, read, watch, stepBytes, rules, retain, quota })
  const dispatcher = createHookDispatcher({
    scope,
    outbound: options.outbound,
    identity: { source, userAgent: `Taskflow/${options.version}` },
    timeout,
    report,
  })
  committer.onCommit((_, { deliveries }) => {
    if (deliveries) dispatcher.nudge()
  })
  const { admin: adminKey, env } = options.keys ?? { admin: null, env: 'test' }
  const credentials = createCredentials({ scope, hints, adminKey, report })
  const positions = createFeedPositions(scope)
  const streams = createStreams({
    scope,
    committer,
    facts,
    flows,
    watch,
    hints,
    positions,
    limits: options.streams,
    readsInFlight: options.readsInFlight,
    report,
  })
  const waitEngine = createWaitEngine({ scope, committer, report, ...options.tick })
  const waker = createSignalWaker(scope, committer, report)
  const claims = createStepClaims(scope, committer, hints, report, (ms) => stepSweeper.nudge(ms))
  const stepSweeper = createStepSweeper(scope, committer, report, onReady)
  const retention = {
    signals: options.signals.retention,
    messages: options.inbound.retention,
    deliveries: options.hooks.retention,
    failed_deliveries: options.hooks.failed_retention,
  }
  const signals = createSignals(
    scope,
    committer,
    options.signals,
    { stepBytes, retain },
    report,
    quota,
    () => waker.nudge(0),
  )
  const links = createLinks(scope, signals)
  const steps = createSteps({ scope, flows, links, stepBytes, quota })
  const queue = createStepQueue({
    scope,
    claims,
    steps,
    stepBytes,
    report,
    onReleased(step, delay) {
      if (step.ready) onReady([step])
      else stepSweeper.nudge(delay)
    },
  })
  const push = createPush({
    ...options.push,
    scope,
    committer,
    hints,
    steps,
    queue,
    outbound: options.outbound,
    userAgent: `Taskflow/${options.version}`,
    report,
    onPulled: () => claims.nudge(null),
  })
  const loops = [
    createPlanLoop(scope, committer, report),
    waitEngine,
    watch,
    waker,
    claims,
    stepSweeper,
    dispatcher,
    push.executor,
    push.cancelNotices,
    credentials.loop,
    createDepthLoop(scope, options.depths.interval, report),
    ...createSweepers(scope, retention, report),
    createFlowRetention(scope, flowRetention, committer, report),
  ]

  /** For whoever runs these steps: workers that wait, or endpoints. */
  function onReady(groups: readonly ReadyGroup[]): void {
    claims.nudge(groups)
    push.nudge(groups)
  }

  const { allowUnsigned } = options.inbound
  const readiness = createReadiness(scope)
  return {
    flows,
    signals,
    links,
    sources: createSources({ scope, allowUnsigned, maxTtl: options.signals.max_ttl }),
    inbound: createInbound({ scope, signals, allowUnsigned }),
    messages: createInboundMessages(scope, allowUnsigned),
    hooks: createHooks({ scope, rules, limit: hookLimit, quota, retire: dispatcher.retire }),
    deliveries: createDeliveries(scope, dispatcher.nudge),
    dispatcher,
    steps,
    queue,
    memos: createMemos(scope, flows, options.steps.memos, quota),
    controllers: push.controllers,
    credentials,
    bindings: createBindings(scope, credentials, env),
    events: createEvents({ scope, facts, flows, watch, streams, positions }),
    streams,
    explain: createExplain(scope, flows, waitEngine),
    storage: createStorage(scope, flowRetention),
    waitEngine,
    stepSweeper,
    publisher: (more) => createPublisher({ scope, committer, hints, report }, more),
    keepRefused: (message) => keepRefused(scope, message),
    status: () => ({
      version: options.version,
      started_at: startedAt,
      wait_engine: waitEngine.status(),
      committer: committer.status(),
      listen: hints.status(),
      streams: streams.count(),
      steps: {
        waiting_claims: claims.waiting(),
        rescued_total: stepSweeper.status().rescued_total,
      },
    }),
    gauges: () => ({
      ...committer.status(),
      claims_waiting: claims.waiting(),
      streams: streams.count(),
      listen: hints.status(),
      pools: { writer: poolOf(scope.writer), reader: poolOf(scope.reader) },
    }),
    ready: readiness.check,
    start() {
      for (const loop of loops) loop.start()
      hints.start()
    },
    retire: readiness.retire,
    async stop() {
      await Promise.all([...loops, streams].map((one) => one.stop()))
      await committer.drain()
      // Last: what was committed until now shall be told.
      await hints.stop()
    },
  }
}

/** Only read when somebody is to be told. */
function* idsOf(changes: readonly Change[]): Iterable<string> {
  for (const { flow } of changes) yield flow.id
}

function poolOf(pool: Scope['writer']): EngineGauges['pools']['writer'] {
  const { totalCount, idleCount, waitingCount, options } = pool
  return { used: totalCount - idleCount, idle: idleCount, waiting: waitingCount, size: options.max }
}

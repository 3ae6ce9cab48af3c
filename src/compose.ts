// The composition root: builds everything from the configuration, and starts and stops it in order.

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Logger } from 'pino'
import { ConfigError, listOf } from './config.ts'
import type { Config } from './config-schema.ts'
import { slowLanes } from './engine/committer.ts'
import { createEngine, type RunningEngine } from './engine/engine.ts'
import { dispatchConnections } from './engine/hook-dispatcher.ts'
import { createMetrics } from './engine/metrics.ts'
import { reportTo } from './engine/notice.ts'
import { createOutbound } from './engine/outbound.ts'
import { claimLanes } from './engine/step-claims.ts'
import { pushLanes } from './engine/step-executor.ts'
import { tickLanes } from './engine/wait-engine.ts'
import { localHosts } from './http/access.ts'
import { createApp } from './http/app.ts'
import { createCors } from './http/cors.ts'
import { createPushWire } from './http/push-wire.ts'
import { createMcp } from './mcp/server.ts'
import type { createBridge } from './nats/bridge.ts'
import { bridgeSettings } from './nats/settings.ts'
import { type Database, openDatabase } from './store/db.ts'
import { type EmbeddedPostgres, startEmbedded } from './store/embedded.ts'
import { faultOf } from './store/errors.ts'
import { MigrationError, migrate, pendingMigrations } from './store/migrate.ts'
import { type Exporting, startTracing } from './tracing.ts'

const root = join(import.meta.dirname, '..')
const migrationsDir = join(root, 'migrations')

/** Where the data is: a server of the user's, or the embedded one. */
export interface DatabasePlace {
  url: string
  /** For sessions that a transaction pooler would break. */
  directUrl: string
  embedded: EmbeddedPostgres | null
}

export interface Service {
  http: FastifyInstance
  engine: RunningEngine
  place: DatabasePlace
  /** Resolves when the database answers as the service uses it. */
  probe(): Promise<void>
  /** Listens; answers the address, for example `http://127.0.0.1:3000`. */
  listen(): Promise<string>
  /** Not ready, loops stopped, requests drained, everything closed. Within the configured time. */
  stop(): Promise<void>
}

/** The version in package.json. */
async function readVersion(): Promise<string> {
  const manifest: { version: string } = JSON.parse(
    await readFile(join(root, 'package.json'), 'utf8'),
  )
  return manifest.version
}

/** Finds the database: the one of `DATABASE_URL`, else the embedded one, which this starts. */
export async function openPlace(config: Config): Promise<DatabasePlace> {
  if (config.DATABASE_URL !== undefined) {
    const directUrl = config.DATABASE_URL_DIRECT ?? config.DATABASE_URL
    return { url: config.DATABASE_URL, directUrl, embedded: null }
  }
  const embedded = await startEmbedded({
    dataDir: config.TASKFLOW_DATA_DIR,
    checkoutDir: root,
    ...(config.TASKFLOW_EMBEDDED_PORT !== undefined && { port: config.TASKFLOW_EMBEDDED_PORT }),
  })
  return { url: embedded.url, directUrl: embedded.url, embedded }
}

/** Applies all migrations that are missing. Waits, up to the configured time, for a server that does not answer yet. */
export async function migratePlace(
  config: Config,
  place: DatabasePlace,
  logger: Logger,
): Promise<string[]> {
  return patiently(config, logger, async () => {
    const log = (line: string) => logger.info(line)
    return (await migrate({ connectionString: place.directUrl, migrationsDir, log })).applied
  })
}

async function requireMigrated(
  config: Config,
  place: DatabasePlace,
  logger: Logger,
): Promise<void> {
  const pending = await patiently(config, logger, () =>
    pendingMigrations({ connectionString: place.directUrl, migrationsDir }),
  )
  if (pending.length > 0) {
    throw new MigrationError(
      `The database lacks ${pending.join(', ')} and MIGRATE_ON_START is false. Run npm run migrate, or set MIGRATE_ON_START=true.`,
    )
  }
}

/** Repeats what fails because the server is away, until the time is over. */
async function patiently<Value>(
  config: Config,
  logger: Logger,
  work: () => Promise<Value>,
): Promise<Value> {
  const deadline = performance.now() + config.TASKFLOW_START_TIMEOUT
  for (;;) {
    try {
      return await work()
    } catch (error) {
      const away = !(error instanceof MigrationError) && faultOf(error) === 'unavailable'
      if (!away || performance.now() > deadline) throw error
      logger.warn({ err: error }, 'the database does not answer yet')
      await sleep(500)
    }
  }
}

/** Builds the service on a running database. Nothing listens and no loop runs until `listen`. */
export async function compose(config: Config, logger: Logger): Promise<Service> {
  const version = await readVersion()
  const exporting = await startTracing(config, version)
  const place = await openPlace(config)
  try {
    if (config.MIGRATE_ON_START) await migratePlace(config, place, logger)
    else await requireMigrated(config, place, logger)
    const service = assemble(config, logger, place, version, await loadBridge(config), exporting)
    await patiently(config, logger, service.probe)
    return service
  } catch (error) {
    await place.embedded?.stop()
    throw error
  }
}

/** The bridge to NATS, loaded only where it is used: its packages may be absent elsewhere. */
async function loadBridge(config: Config): Promise<typeof createBridge | null> {
  if (config.NATS_URL === undefined) return null
  try {
    return (await import('./nats/bridge.ts')).createBridge
  } catch (cause) {
    throw new ConfigError(
      'NATS_URL is set, but its client is not installed. Run npm ci with optional packages, or remove NATS_URL.',
      { cause },
    )
  }
}

function writersOf(config: Config): number {
  // Heartbeats, the sweeper of steps and what pushes come to have one of their own as well.
  return (
    config.TASKFLOW_COMMIT_CONCURRENCY +
    slowLanes +
    tickLanes +
    claimLanes +
    pushLanes +
    dispatchConnections +
    3
  )
}

/** How many connections one process has open at most; one of them listens. */
export function requiredConnections(config: Config): number {
  return writersOf(config) + config.TASKFLOW_READ_CONNECTIONS + 1
}

/** The names under which the service is meant to be reached. That of all addresses is none. */
function hostsOf({ HOST, TASKFLOW_MCP_HOSTS = '' }: Config): string[] {
  const unspecific = ['', '0.0.0.0', '::']
  return [HOST, ...TASKFLOW_MCP_HOSTS.split(',').map((name) => name.trim())].filter(
    (name) => !unspecific.includes(name),
  )
}

function assemble(
  config: Config,
  logger: Logger,
  place: DatabasePlace,
  version: string,
  makeBridge: typeof createBridge | null,
  exporting: Exporting | null,
): Service {
  const metrics = createMetrics(version)
  const report = reportTo(logger, metrics.count)
  const database: Database = openDatabase({
    connectionString: place.url,
    writers: writersOf(config),
    readers: config.TASKFLOW_READ_CONNECTIONS,
    applicationName: 'taskflow',
    onError: (error) => report({ type: 'connection_failed', error }),
  })
  const rules = { allowPrivate: config.TASKFLOW_OUTBOUND_ALLOW_PRIVATE }
  const outbound = createOutbound({ ...rules, report })
  const publicUrl = config.TASKFLOW_PUBLIC_URL?.replace(/\/+$/, '')
  const engine = createEngine({
    scope: database.scope,
    version,
    limits: {
      state_bytes: config.TASKFLOW_STATE_LIMIT_BYTES,
      labels: config.TASKFLOW_LABELS_LIMIT,
      open_steps: config.TASKFLOW_OPEN_STEPS_LIMIT,
    },
    signals: {
      ttl: config.TASKFLOW_SIGNAL_TTL,
      max_ttl: config.TASKFLOW_SIGNAL_TTL_MAX,
      kept: config.TASKFLOW_KEPT_SIGNALS_LIMIT,
      payload_bytes: config.TASKFLOW_SIGNAL_PAYLOAD_LIMIT_BYTES,
      retention: config.TASKFLOW_SIGNAL_RETENTION,
    },
    commit: {
      inFlight: config.TASKFLOW_COMMIT_CONCURRENCY,
      batchSize: config.TASKFLOW_COMMIT_BATCH,
      queueLimit: config.TASKFLOW_QUEUE_LIMIT,
    },
    readsInFlight: Math.max(1, Math.floor(config.TASKFLOW_READ_CONNECTIONS / 2)),
    tick: { interval: config.TASKFLOW_TICK_INTERVAL, batchSize: config.TASKFLOW_TICK_BATCH },
    inbound: {
      allowUnsigned: config.TASKFLOW_ALLOW_UNSIGNED_SOURCES,
      retention: config.TASKFLOW_MESSAGE_RETENTION,
    },
    steps: {
      bytes: config.TASKFLOW_STEP_LIMIT_BYTES,
      memos: { bytes: config.TASKFLOW_STEP_LIMIT_BYTES, count: config.TASKFLOW_MEMOS_LIMIT },
    },
    retention: {
      flows: config.TASKFLOW_FLOW_RETENTION,
      min: config.TASKFLOW_FLOW_RETAIN_MIN,
      max: config.TASKFLOW_FLOW_RETAIN_MAX,
    },
    namespaces: {
      open_flows: config.TASKFLOW_NAMESPACE_FLOWS_LIMIT,
      open_steps: config.TASKFLOW_NAMESPACE_STEPS_LIMIT,
      kept_signals: config.TASKFLOW_NAMESPACE_SIGNALS_LIMIT,
      hooks: config.TASKFLOW_NAMESPACE_HOOKS_LIMIT,
      bytes: config.TASKFLOW_NAMESPACE_LIMIT_BYTES,
    },
    streams: {
      total: config.TASKFLOW_STREAMS_LIMIT,
      perCaller: config.TASKFLOW_STREAMS_PER_CALLER,
      perNamespace: config.TASKFLOW_NAMESPACE_STREAMS_LIMIT,
    },
    hooks: {
      rules,
      limit: config.TASKFLOW_HOOKS_LIMIT,
      timeout: config.TASKFLOW_HOOK_TIMEOUT,
      retention: config.TASKFLOW_DELIVERY_RETENTION,
      failed_retention: config.TASKFLOW_FAILED_DELIVERY_RETENTION,
      source: publicUrl ?? '/taskflow',
    },
    push: {
      rules,
      wire: createPushWire({ depth: config.TASKFLOW_JSON_DEPTH }),
      answerBytes: config.TASKFLOW_BODY_LIMIT_BYTES,
    },
    outbound,
    depths: { interval: config.TASKFLOW_METRICS_INTERVAL },
    listen: { connectionString: place.directUrl },
    keys: { admin: config.TASKFLOW_ADMIN_KEY ?? null, env: config.TASKFLOW_KEY_ENV },
    report,
  })
  metrics.watch(engine.gauges)
  const bridge = makeBridge?.({ ...bridgeSettings(config), engine, report })
  const shutdown = new AbortController()
  const http = createApp(engine, {
    logger,
    version,
    metrics,
    shutdown: shutdown.signal,
    ...(publicUrl !== undefined && { publicUrl }),
    inboundBytes: config.TASKFLOW_INBOUND_LIMIT_BYTES,
    hosts: localHosts(config.HOST, publicUrl),
    docs: config.TASKFLOW_DOCS,
    ...(config.TASKFLOW_CORS_ORIGINS !== undefined && {
      cors: createCors(listOf(config.TASKFLOW_CORS_ORIGINS)),
    }),
    tls: publicUrl?.startsWith('https://') === true,
    ...(config.TASKFLOW_TRUST_PROXY !== undefined && {
      trustProxy: listOf(config.TASKFLOW_TRUST_PROXY),
    }),
    ...(config.TASKFLOW_ADDRESS_RATE > 0 && {
      addressRate: {
        per_minute: config.TASKFLOW_ADDRESS_RATE,
        burst: Math.ceil(config.TASKFLOW_ADDRESS_RATE / 6),
      },
    }),
    ...(config.TASKFLOW_SHED_DELAY > 0 && { maxLoopDelay: config.TASKFLOW_SHED_DELAY }),
    mcp: createMcp,
    mcpHosts: hostsOf(config),
    toolHorizon: config.TASKFLOW_TOOL_TIMER_HORIZON,
    limits: {
      body_bytes: config.TASKFLOW_BODY_LIMIT_BYTES,
      json_depth: config.TASKFLOW_JSON_DEPTH,
    },
    timeouts: {
      request: config.TASKFLOW_REQUEST_TIMEOUT,
      headers: config.TASKFLOW_HEADERS_TIMEOUT,
      handler: config.TASKFLOW_HANDLER_TIMEOUT,
    },
    streams: {
      heartbeat: config.TASKFLOW_STREAM_HEARTBEAT,
      lifetime: config.TASKFLOW_STREAM_LIFETIME,
    },
  })
  let stopped: Promise<void> | null = null

  /** Refuses new connections, answers what is under way, and lets no kept-alive connection hold it up. */
  async function closeHttp(): Promise<void> {
    // Closing drops the connections that are idle now; those that answer meanwhile fall idle later.
    const sweep = setInterval(() => http.server.closeIdleConnections(), 50)
    try {
      await http.close()
    } finally {
      clearInterval(sweep)
    }
  }

  async function stop(): Promise<void> {
    engine.retire()
    if (config.TASKFLOW_SHUTDOWN_DELAY > 0) await sleep(config.TASKFLOW_SHUTDOWN_DELAY)
    // Long polls answer now with what there is, and streams end; their connections would hold up the close.
    shutdown.abort()
    await Promise.all([closeHttp(), bridge?.stop()])
    await engine.stop()
    await outbound.close()
    await database.close()
    await place.embedded?.stop()
    await exporting?.stop()
  }

  return {
    http,
    engine,
    place,
    probe: database.probe,
    async listen() {
      engine.start()
      bridge?.start()
      return http.listen({ port: config.PORT, host: config.HOST })
    },
    stop: () => {
      stopped ??= stop()
      return stopped
    },
  }
}

// The whole service without a socket: engine and HTTP on a database of their own, each answer held against the OpenAPI document.

import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import type { FastifyInstance, InjectOptions } from 'fastify'
import { pino } from 'pino'
import { createEngine, type HookSettings, type RunningEngine } from '../../src/engine/engine.ts'
import { createMetrics } from '../../src/engine/metrics.ts'
import { type NamespaceLimits, unlimited } from '../../src/engine/namespace-quota.ts'
import type { Notice } from '../../src/engine/notice.ts'
import type { Outbound } from '../../src/engine/outbound.ts'
import type { OutboundRules } from '../../src/engine/outbound-url.ts'
import type { StreamLimits } from '../../src/engine/quota.ts'
import type { SignalSettings } from '../../src/engine/signals.ts'
import { createApp } from '../../src/http/app.ts'
import { createPushWire } from '../../src/http/push-wire.ts'
import type { SseOptions } from '../../src/http/sse.ts'
import { createMcp } from '../../src/mcp/server.ts'
import { openDatabase } from '../../src/store/db.ts'
import { hookSettings, noReceivers, signalSettings, toldTo } from './engine.ts'
import { createTestDatabase } from './postgres.ts'
import { createServiceRole } from './service-role.ts'

export interface ApiAnswer {
  status: number
  headers: Record<string, string | string[] | number | undefined>
  text: string
  /** The parsed body; null when there is none. Tests say what they expect in it. */
  // biome-ignore lint/suspicious/noExplicitAny: bodies are checked against the document by `call`.
  body: any
}

export interface Api {
  app: FastifyInstance
  engine: RunningEngine
  notices: Notice[]
  databaseUrl: string
  call(
    method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'HEAD' | 'OPTIONS',
    path: string,
    body?: unknown,
    headers?: Record<string, string>,
  ): Promise<ApiAnswer>
  /** What a stop begins with: long polls answer and streams end. */
  shutDown(): void
  close(): Promise<void>
}

interface Document {
  paths: Record<string, Record<string, { responses: Record<string, Response> }>>
}
interface Response {
  $ref?: string
  content?: Record<string, { schema: object }>
}

export interface ApiOptions {
  /** Whether the loops run; they do when absent. */
  loops?: boolean
  /** Streams open at a time. */
  quota?: Partial<StreamLimits>
  sse?: Partial<SseOptions>
  /** Sources without verification are let in. */
  allowUnsigned?: boolean
  publicUrl?: string
  /** Takes the lines of the log. */
  log?: (line: string) => void
  signals?: Partial<SignalSettings>
  /** What each namespace may have; anything when absent. */
  namespaces?: Partial<NamespaceLimits>
  /** Limits of steps. */
  steps?: { bytes?: number; memos?: number; open?: number }
  hooks?: Partial<HookSettings>
  /** Where steps may be pushed to; anywhere when absent. */
  outboundRules?: OutboundRules
  /** The key of the first administrator; without it everybody may do everything. */
  adminKey?: string
  /** Takes what the service sends; nobody does when absent. */
  outbound?: Pick<Outbound, 'send'>
  /** Runs under a role that owns nothing, instead of the owner of the tables. */
  walled?: boolean
}

/** Starts it. */
export async function startApi(options: ApiOptions = {}): Promise<Api> {
  const {
    loops = true,
    quota = {},
    sse = {},
    allowUnsigned = false,
    publicUrl = '',
    log,
    signals = {},
    namespaces,
    steps: { bytes = 262_144, memos = 1_000, open = 1_000 } = {},
    outboundRules = { allowPrivate: true },
    hooks = {},
    outbound = noReceivers,
    adminKey = null,
    walled = false,
  } = options
  const database = await createTestDatabase()
  const role = walled ? await createServiceRole(database.url) : null
  const notices: Notice[] = []
  const metrics = createMetrics('0.0.0')
  const told = toldTo(notices)
  const report = (notice: Notice) => {
    metrics.count(notice)
    told(notice)
  }
  const db = openDatabase({
    connectionString: role?.url ?? database.url,
    writers: 9,
    readers: 4,
    applicationName: 'taskflow-test',
    onError: () => {},
  })
  const engine = createEngine({
    scope: db.scope,
    version: '0.0.0',
    limits: { state_bytes: 262_144, labels: 32, open_steps: open },
    signals: { ...signalSettings, ...signals },
    commit: { inFlight: 4, batchSize: 256, queueLimit: 5_000 },
    readsInFlight: 2,
    tick: { interval: 1_000, batchSize: 500 },
    inbound: { allowUnsigned, retention: 30 * 24 * 60 * 60 * 1000 },
    steps: { bytes, memos: { bytes, count: memos } },
    ...(namespaces && { namespaces: { ...unlimited, ...namespaces } }),
    streams: { total: 2_000, perCaller: 1_000, perNamespace: 0, ...quota },
    hooks: { ...hookSettings, ...hooks },
    push: {
      rules: outboundRules,
      wire: createPushWire({ depth: 32 }),
      answerBytes: 1_048_576,
    },
    outbound,
    depths: { interval: 60_000 },
    listen: {},
    keys: { admin: adminKey, env: 'test' },
    report,
  })
  metrics.watch(engine.gauges)
  const shutdown = new AbortController()
  const app = createApp(engine, {
    logger:
      log === undefined ? pino({ level: 'silent' }) : pino({ level: 'trace' }, { write: log }),
    version: '0.0.0',
    metrics,
    shutdown: shutdown.signal,
    publicUrl,
    mcp: createMcp,
    streams: sse,
    limits: { body_bytes: 1_048_576, json_depth: 32 },
  })
  await app.ready()
  if (loops) engine.start()
  const check = answerChecker((await app.inject('/openapi.json')).json<Document>())
  return {
    app,
    engine,
    notices,
    databaseUrl: database.url,
    async call(method, path, body, headers = {}) {
      const options: InjectOptions = { method, url: path, headers }
      if (body !== undefined) {
        options.headers = { 'content-type': 'application/json', ...headers }
        options.payload = typeof body === 'string' ? body : JSON.stringify(body)
      }
      const answer = await app.inject(options)
      const type = String(answer.headers['content-type'] ?? '')
      const parsed = type.includes('json') && answer.payload !== '' ? answer.json() : null
      check(method, path, answer.statusCode, type, parsed)
      return {
        status: answer.statusCode,
        headers: answer.headers,
        text: answer.payload,
        body: parsed,
      }
    },
    shutDown: () => shutdown.abort(),
    async close() {
      shutdown.abort()
      await app.close()
      await engine.stop()
      await db.close()
      await role?.drop()
      await database.drop()
    },
  }
}

/** Throws when an answer is not as the document says. Paths that it does not tell of are not checked. */
function answerChecker(document: Document) {
  const ajv = new Ajv2020({ strict: false, allErrors: true, schemas: { document } })
  addFormats.default(ajv)
  // Durations here have fractions and no years: only the service itself knows them all.
  ajv.addFormat('duration', true)
  const patterns = Object.keys(document.paths).map((path) => ({
    path,
    pattern: new RegExp(`^${path.replace(/\{[^}]+\}/g, '[^/]+')}$`),
  }))
  const pointer = (...parts: string[]) =>
    parts
      .map((part) => `/${encodeURIComponent(part.replace(/~/g, '~0').replace(/\//g, '~1'))}`)
      .join('')

  return (method: string, url: string, status: number, type: string, body: unknown): void => {
    const found = patterns.find(({ pattern }) => pattern.test(url.split('?')[0] ?? ''))
    const operation = found && document.paths[found.path]?.[method.toLowerCase()]
    if (found === undefined || operation === undefined) return
    const at = `${method} ${url}`
    const response = operation.responses[String(status)]
    if (response === undefined) throw new Error(`${at}: status ${status} is not in the document`)
    if (body === null) return
    const media = type.split(';')[0] ?? ''
    const base =
      response.$ref ??
      `#${pointer('paths', found.path, method.toLowerCase(), 'responses', String(status))}`
    const validate = ajv.getSchema(`document${base}${pointer('content', media, 'schema')}`)
    if (validate === undefined) throw new Error(`${at}: ${status} ${media} is not in the document`)
    if (validate(body) !== true) {
      throw new Error(
        `${at}: the answer is not as the document says: ${ajv.errorsText(validate.errors)}`,
      )
    }
  }
}

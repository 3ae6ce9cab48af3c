// Engines on a test database, with everything they tell, and sessions of one's own beside them.

import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { vi } from 'vitest'
import type { NewFlow } from '../../src/domain/create.ts'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { Caller } from '../../src/engine/change.ts'
import {
  createEngine,
  type EngineOptions,
  type HookSettings,
  type RunningEngine,
} from '../../src/engine/engine.ts'
import { isMeasurement, type Notice, type Report } from '../../src/engine/notice.ts'
import type { Outbound } from '../../src/engine/outbound.ts'
import type { PushSettings } from '../../src/engine/push.ts'
import type { SignalSettings } from '../../src/engine/signals.ts'
import { type Database, openDatabase, type Scope } from '../../src/store/db.ts'
import { plainWire } from './push.ts'

export const caller: Caller = { namespace: 'default', actor: 'tester' }

export const newFlow: NewFlow = {
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate',
  requester_origin: 'user-1',
}

export const signalSettings: SignalSettings = {
  ttl: 86_400_000,
  max_ttl: 30 * 86_400_000,
  kept: 1_000,
  payload_bytes: 262_144,
  retention: 30 * 86_400_000,
}

export const hookSettings: HookSettings = {
  rules: { allowPrivate: true },
  limit: 1_000,
  timeout: 15_000,
  retention: 7 * 86_400_000,
  failed_retention: 30 * 86_400_000,
  source: '/taskflow',
}

const pushSettings: PushSettings = {
  rules: { allowPrivate: true },
  wire: plainWire,
  answerBytes: 65_536,
}

/** No receiver is there. */
export const noReceivers: Pick<Outbound, 'send'> = {
  send: async () => ({ failure: 'connect', message: 'nobody listens', latency_ms: 1 }),
}

export interface TestEngine extends RunningEngine {
  database: Database
  notices: Notice[]
  /** Seen in pg_stat_activity, before `/writer` and `/reader`. */
  applicationName: string
  /** Stops the engine and closes its connections. */
  close(): Promise<void>
}

export interface TestEngineOptions extends Partial<Omit<EngineOptions, 'scope' | 'report'>> {
  writers?: number
  readers?: number
  /** Stands between the engine and its connections. */
  through?: (scope: Scope) => Scope
}

/** Keeps what is told; what is only counted is left out. */
export function toldTo(notices: Notice[]): Report {
  return (notice) => {
    if (!isMeasurement(notice)) notices.push(notice)
  }
}

/** An engine as the service composes it. Its loops do not run until `start`. */
export function openEngine(url: string, options: TestEngineOptions = {}): TestEngine {
  const { writers = 9, readers = 4, through = (scope: Scope) => scope, ...more } = options
  const notices: Notice[] = []
  const applicationName = `test-${randomBytes(4).toString('hex')}`
  const database = openDatabase({
    connectionString: url,
    writers,
    readers,
    applicationName,
    onError: (error) => notices.push({ type: 'connection_failed', error }),
  })
  const engine = createEngine({
    version: '0.0.0-test',
    limits: { state_bytes: 262_144, labels: 32, open_steps: 1_000 },
    signals: signalSettings,
    commit: { inFlight: 4, batchSize: 256, queueLimit: 5_000 },
    readsInFlight: 2,
    tick: { interval: 1_000, batchSize: 500 },
    inbound: { allowUnsigned: false, retention: 30 * 24 * 60 * 60 * 1000 },
    steps: { bytes: 262_144, memos: { bytes: 262_144, count: 1_000 } },
    streams: { total: 2_000, perCaller: 1_000, perNamespace: 0 },
    hooks: hookSettings,
    push: pushSettings,
    outbound: noReceivers,
    depths: { interval: 60_000 },
    listen: {},
    ...more,
    scope: through(database.scope),
    report: toldTo(notices),
  })
  return {
    ...engine,
    database,
    notices,
    applicationName,
    async close() {
      await engine.stop()
      await database.close()
    },
  }
}

/** A new flow, as it was answered. */
export async function createFlow(
  engine: RunningEngine,
  more: Partial<NewFlow> = {},
  as: Caller = caller,
): Promise<FlowRecord> {
  return (await engine.flows.create(as, { ...newFlow, start: true, ...more })).flow
}

/** The code of the `FlowError` that a promise rejects with; the promise must reject. */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    (value) => {
      throw new Error(`not refused: ${JSON.stringify(value)}`)
    },
    (error: unknown) => {
      if (error instanceof Error && 'code' in error) return String(error.code)
      throw error
    },
  )
}

/** A session of the test's own. */
export interface Session extends pg.Client {
  pid: number
}

export async function openSession(url: string): Promise<Session> {
  const client = new pg.Client({ connectionString: url, application_name: 'test-session' })
  // A test may end this session from outside.
  client.on('error', () => {})
  await client.connect()
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid')
  return Object.assign(client, { pid: rows[0]?.pid ?? 0 })
}

/** Waits until at least so many sessions are blocked by a lock that this one holds. */
export async function untilBlockedBy(holder: Session, count = 1): Promise<void> {
  await vi.waitFor(
    async () => {
      // Within a transaction the server would go on showing what it showed first.
      await holder.query('select pg_stat_clear_snapshot()')
      const { rows } = await holder.query<{ count: number }>(
        `select count(*)::integer as count from pg_stat_activity
         where $1 = any(pg_blocking_pids(pid))`,
        [holder.pid],
      )
      if ((rows[0]?.count ?? 0) < count) throw new Error(`nobody is blocked by ${holder.pid}`)
    },
    { timeout: 10_000, interval: 5 },
  )
}

/** Waits until a condition holds; polls often, because it never decides what is right, only when. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  timeout = 15_000,
): Promise<void> {
  await vi.waitFor(
    async () => {
      if (!(await condition())) throw new Error(`still not so: ${what}`)
    },
    { timeout, interval: 5 },
  )
}

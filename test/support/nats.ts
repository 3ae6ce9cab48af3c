// A real NATS server for tests: `TEST_NATS_URL`, else one of their own by the project's script.

import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import {
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
} from '@nats-io/jetstream'
import { connect, headers, type NatsConnection } from '@nats-io/transport-node'
import type { NatsSettings } from '../../src/nats/settings.ts'

const checkout = join(import.meta.dirname, '../..')

export interface NatsServer {
  url: string
  /** A connection of the test's own. */
  connection: NatsConnection
  js: JetStreamClient
  jsm: JetStreamManager
  stop(): Promise<void>
}

/** A server that a test may stop and start again; its streams stay on disk. */
export interface OwnNatsServer {
  url: string
  down(): Promise<void>
  up(): Promise<void>
  /** Stops it and removes its streams. */
  remove(): Promise<void>
}

/** A server to share: names must be unique, see `natsSettings`. */
export async function openNats(): Promise<NatsServer> {
  const given = process.env['TEST_NATS_URL']
  const own = given ? null : await startNats()
  const url = given || (own?.url ?? '')
  const made = await connectNats(url)
  return {
    url,
    ...made,
    async stop() {
      await made.connection.close()
      await own?.remove()
    },
  }
}

export async function connectNats(
  url: string,
): Promise<Pick<NatsServer, 'connection' | 'js' | 'jsm'>> {
  const connection = await connect({ servers: url.replace('nats://', '') })
  return { connection, js: jetstream(connection), jsm: await jetstreamManager(connection) }
}

/** A server of the test's own. Fails, and never skips, where none can be had. */
export async function startNats(more: string[] = []): Promise<OwnNatsServer> {
  const store = await mkdtemp(join(tmpdir(), 'taskflow-nats-test-'))
  let running = await spawnServer(['--store', store, '--', ...more])
  const { url } = running
  const down = async () => {
    if (running.child.exitCode !== null) return
    running.child.kill('SIGTERM')
    await once(running.child, 'exit')
  }
  return {
    url,
    down,
    async up() {
      running = await spawnServer(['--store', store, '--port', new URL(url).port, '--', ...more])
    },
    async remove() {
      await down()
      await rm(store, { recursive: true, force: true })
    },
  }
}

async function spawnServer(args: string[]): Promise<{ child: ChildProcess; url: string }> {
  const script = join(checkout, 'scripts/nats-server.mjs')
  const child = spawn(process.execPath, [script, '--stop-with-stdin', ...args], {
    stdio: ['pipe', 'pipe', 'pipe'],
  })
  let complaint = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaint += text
  })
  for await (const line of createInterface({ input: child.stdout })) return { child, url: line }
  throw new Error(`These tests need a real NATS server, or its URL in TEST_NATS_URL. ${complaint}`)
}

/** Settings with names that no other test uses. */
export function natsSettings(url: string, more: Partial<NatsSettings> = {}): NatsSettings {
  const name = `t${randomBytes(5).toString('hex')}`
  return {
    NATS_URL: url,
    TASKFLOW_NATS_NAMESPACE: 'default',
    TASKFLOW_NATS_STREAM: name,
    TASKFLOW_NATS_CREATE_STREAM: true,
    TASKFLOW_NATS_SUBJECT: `${name}.signals.>`,
    TASKFLOW_NATS_DURABLE: 'taskflow',
    TASKFLOW_NATS_MAX_DELIVER: 5,
    TASKFLOW_NATS_REQUEST_SUBJECT: `${name}.signal`,
    TASKFLOW_NATS_EVENTS: false,
    TASKFLOW_BODY_LIMIT_BYTES: 1_048_576,
    TASKFLOW_JSON_DEPTH: 32,
    ...more,
  }
}

/** Headers of a message. */
export function headersFrom(pairs: Record<string, string>): ReturnType<typeof headers> {
  const made = headers()
  for (const [name, value] of Object.entries(pairs)) made.set(name, value)
  return made
}

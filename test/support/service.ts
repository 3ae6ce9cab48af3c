// The built service as a process of its own, to be talked to over HTTP and killed.

import { type ChildProcess, spawn } from 'node:child_process'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const checkout = join(import.meta.dirname, '../..')

export interface Exit {
  code: number | null
  signal: NodeJS.Signals | null
}

export interface ServiceProcess {
  base: string
  port: number
  child: ChildProcess
  exited: Promise<Exit>
  /** Everything it has written so far. */
  log(): string
  kill(signal: NodeJS.Signals): Promise<Exit>
}

export async function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer()
    server.on('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address ? address.port : 0))
    })
  })
}

/** Starts `node dist/main.js` with these variables and none of ours from the environment. */
export function spawnService(env: Record<string, string>, args: string[] = []): ServiceProcess {
  const port = Number(env['PORT'])
  const clean = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(TASKFLOW_|NATS_URL|DATABASE_URL|PORT$|HOST$|LOG_LEVEL|MIGRATE_)/.test(name),
    ),
  )
  const child = spawn(process.execPath, [join(checkout, 'dist/main.js'), ...args], {
    env: { ...clean, LOG_LEVEL: 'info', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    cwd: checkout,
  })
  let log = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      log = (log + text).slice(-200_000)
    })
  }
  const exited = new Promise<Exit>((resolve) => {
    child.on('close', (code, signal) => resolve({ code, signal }))
  })
  return {
    base: `http://127.0.0.1:${port}`,
    port,
    child,
    exited,
    log: () => log,
    kill: (signal) => {
      child.kill(signal)
      return exited
    },
  }
}

/** Starts the service and waits until it is ready. */
export async function startService(env: Record<string, string>): Promise<ServiceProcess> {
  const service = spawnService({ PORT: String(await freePort()), ...env })
  const gone = service.exited.then((exit) => {
    throw new Error(
      `the service exited with ${JSON.stringify(exit)}: ${service.log().slice(-2000)}`,
    )
  })
  // Whoever kills it later on does not wait here any more.
  gone.catch(() => {})
  await Promise.race([gone, until(() => isReady(service.base), 40_000, 'the service is ready')])
  return service
}

async function isReady(base: string): Promise<boolean> {
  return fetch(`${base}/health/ready`).then(
    (answer) => answer.ok,
    () => false,
  )
}

/** Waits for a condition; fails after `ms` milliseconds, naming it. */
export async function until<Value>(
  condition: () => Promise<Value> | Value,
  ms: number,
  what: string,
): Promise<NonNullable<Value>> {
  const deadline = performance.now() + ms
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > deadline) throw new Error(`it took too long until ${what}`)
    await sleep(20)
  }
}

export interface Answer<Body> {
  status: number
  headers: Headers
  body: Body
}

/** Sends a request with a JSON body and reads a JSON answer. */
export async function send<Body>(
  base: string,
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = {},
): Promise<Answer<Body>> {
  const answer = await fetch(base + path, {
    method,
    headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    redirect: 'manual',
  })
  const text = await answer.text()
  return {
    status: answer.status,
    headers: answer.headers,
    body: (text === '' ? null : JSON.parse(text)) as Body,
  }
}

// The service that the kit plays with: the built one as a process of its own, on a database that goes with it,
// to be killed and started again; or one that runs already, and is left alone.

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const main = join(import.meta.dirname, '..', '..', 'dist', 'main.js')
/** What the caller has set for a service of his own. */
const foreign = /^(TASKFLOW_|DATABASE_URL|NATS_URL|MIGRATE_|PORT$|HOST$|LOG_LEVEL$)/

/**
 * @typedef {object} Service
 * @property {string} host
 * @property {number} port It stays the same over restarts.
 * @property {() => Promise<void>} start Resolves when it is ready.
 * @property {(signal: NodeJS.Signals) => Promise<void>} end
 * @property {(method: string, path: string, body?: unknown) => Promise<any>} call Answers the body; throws when refused.
 * @property {() => Promise<void>} remove With its database, when that is its own.
 */

/**
 * @param {string | undefined} databaseUrl a database to use, which stays; an embedded one when absent
 * @returns {Promise<Service>}
 */
export async function createService(databaseUrl) {
  const port = await freePort()
  const folder = mkdtempSync(join(process.getuid?.() === 0 ? '/tmp' : tmpdir(), 'taskflow-kit-'))
  // As root the embedded server runs as another user, who has to get in.
  chmodSync(folder, 0o755)
  const own = Object.entries(process.env).filter(([name]) => !foreign.test(name))
  const env = {
    ...Object.fromEntries(own),
    PORT: String(port),
    LOG_LEVEL: 'warn',
    ...(databaseUrl === undefined ? { TASKFLOW_DATA_DIR: folder } : { DATABASE_URL: databaseUrl }),
  }
  const base = `http://127.0.0.1:${port}`
  let child = null
  const atExit = () => child?.kill('SIGTERM')
  process.once('exit', atExit)

  const service = {
    host: '127.0.0.1',
    port,
    async start() {
      let said = ''
      const started = spawn(process.execPath, [main], { env, stdio: ['ignore', 'pipe', 'pipe'] })
      child = started
      for (const stream of [started.stdout, started.stderr]) {
        stream.on('data', (text) => {
          said = (said + text).slice(-2000)
        })
      }
      for (const began = performance.now(); !(await isReady(base)); await sleep(50)) {
        if (started.exitCode !== null) throw new Error(`The service ended: ${said}`)
        if (performance.now() - began > 60_000) throw new Error(`The service is not ready: ${said}`)
      }
    },
    async end(signal) {
      if (child === null || child.exitCode !== null || child.signalCode !== null) return
      child.kill(signal)
      await once(child, 'exit')
    },
    call: callerOf(base),
    async remove() {
      await service.end('SIGTERM')
      process.off('exit', atExit)
      rmSync(folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 200 })
    },
  }
  return service
}

/** A service that somebody else runs. @param {string} url @returns {Service} */
export function useService(url) {
  const { hostname: host, port } = new URL(url)
  const nothing = async () => {}
  return {
    host,
    port: Number(port),
    start: nothing,
    end: nothing,
    remove: nothing,
    call: callerOf(url),
  }
}

function callerOf(base) {
  return async (method, path, body) => {
    const headers = { 'content-type': 'application/json' }
    const more = body === undefined ? {} : { headers, body: JSON.stringify(body) }
    const answer = await fetch(new URL(path, base), { method, ...more })
    const data = await answer.json()
    if (answer.ok) return data
    throw new Error(`${method} ${path} was answered ${answer.status}: ${data.detail}`)
  }
}

function isReady(base) {
  return fetch(`${base}/health/ready`).then(
    (answer) => answer.ok,
    () => false,
  )
}

/** @returns {Promise<number>} */
async function freePort() {
  const probe = createServer()
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', () => resolve(null)))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

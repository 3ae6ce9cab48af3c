// Runs the built service as a process of its own, as an operator would.

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { get } from 'node:http'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const root = join(import.meta.dirname, '..')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
/** What `npm start` gives to Node. @type {string[]} */
const [, ...started] = scripts.start.split(' ')

/**
 * @typedef {object} Service
 * @property {number} pid
 * @property {number} port
 * @property {number} startedIn Milliseconds from spawn to the first answer that needed the database.
 * @property {() => Promise<void>} stop
 */

/**
 * Starts the service and waits for its first answer.
 *
 * @param {Record<string, string>} env
 * @param {{ nodeOptions?: string[] }} [options]
 * @returns {Promise<Service>}
 */
export async function startService(env, { nodeOptions = [] } = {}) {
  const port = await freePort()
  // What the caller has set for its own service must not change what is measured.
  const inherited = Object.entries(process.env).filter(
    ([name]) => !/^(TASKFLOW_|DATABASE_URL|MIGRATE_|PORT$|HOST$|LOG_LEVEL$)/.test(name),
  )
  const began = performance.now()
  const child = spawn(process.execPath, [...nodeOptions, ...started], {
    cwd: root,
    env: {
      ...Object.fromEntries(inherited),
      NODE_ENV: 'production',
      LOG_LEVEL: 'warn',
      PORT: String(port),
      ...env,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (text) => {
      said = (said + text).slice(-2000)
    })
  }
  /** @type {Promise<string>} */
  const ended = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve(`${signal ?? code}`))
  })
  let gone = false
  void ended.then(() => {
    gone = true
  })
  const atExit = () => child.kill('SIGKILL')
  process.once('exit', atExit)
  while (!(await answers(port))) {
    if (gone) throw new Error(`The service ended (${await ended}): ${said}`)
    if (performance.now() - began > 60_000) throw new Error(`The service does not answer: ${said}`)
    await sleep(5)
  }
  return {
    pid: /** @type {number} */ (child.pid),
    port,
    startedIn: performance.now() - began,
    async stop() {
      if (!gone) child.kill('SIGTERM')
      await ended
      process.off('exit', atExit)
    },
  }
}

/** Whether a request that reads the database is answered well. @param {number} port @returns {Promise<boolean>} */
function answers(port) {
  return new Promise((resolve) => {
    const request = get(
      { port, host: '127.0.0.1', path: '/flows?limit=1', agent: false },
      (answer) => {
        answer.resume()
        answer.once('end', () => resolve(answer.statusCode === 200))
      },
    )
    request.once('error', () => resolve(false))
  })
}

/** @returns {Promise<number>} */
async function freePort() {
  const probe = createServer()
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', () => resolve(null)))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

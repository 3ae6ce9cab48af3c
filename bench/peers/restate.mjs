// Restate's server: a service whose handler runs one step, called through its ingress. It keeps its own log on disk, so PostgreSQL has no part in this.

import { spawn } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { arch, platform, tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import * as restate from '@restatedev/restate-sdk'
import { openConnection } from '../http-client.mjs'
import { contend, input, result } from './contend.mjs'

const server = fileURLToPath(
  import.meta.resolve(`@restatedev/restate-server-${platform()}-${arch()}/bin/restate-server`),
)
const body = JSON.stringify(input)

await contend(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'taskflow-bench-restate-'))
  const [node, ingress, admin, service] = await Promise.all([1, 2, 3, 4].map(freePort))
  const child = spawn(server, ['--listen-mode=tcp', '--base-dir', directory], {
    stdio: 'ignore',
    env: {
      PATH: process.env['PATH'] ?? '',
      RESTATE_BIND_ADDRESS: `127.0.0.1:${node}`,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_DISABLE_TELEMETRY: 'true',
      RESTATE_LOG_FILTER: 'error',
    },
  })
  const stopped = new Promise((resolve) => void child.once('exit', resolve))
  // However this ends, its server and what that wrote go with it.
  process.once('exit', () => {
    child.kill('SIGKILL')
    rmSync(directory, { recursive: true, force: true })
  })
  process.once('SIGTERM', () => process.exit(1))

  await restate.serve({
    port: service,
    // It logs each invocation otherwise.
    logger: () => {},
    services: [
      restate.service({
        name: 'bench',
        handlers: {
          classify: (/** @type {restate.Context} */ ctx, /** @type {unknown} */ _input) =>
            ctx.run('classify', () => result),
        },
      }),
    ],
  })
  await answered(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${service}` })
  await answered(`http://127.0.0.1:${ingress}/bench/classify`, input)

  /** @type {import('../http-client.mjs').Connection[]} */
  const free = []
  return {
    pids: [/** @type {number} */ (child.pid)],
    async run() {
      const connection = free.pop() ?? (await openConnection(ingress))
      const answer = await connection.send('POST', '/bench/classify', body)
      if (answer.status !== 200) throw new Error(`${answer.status}: ${answer.body}`)
      free.push(connection)
    },
    async close() {
      for (const connection of free) connection.close()
      child.kill('SIGKILL')
      await stopped
    },
  }
})

/** Posts until that is answered well: the server takes a moment. @param {string} url @param {unknown} content */
async function answered(url, content) {
  const deadline = performance.now() + 30_000
  for (;;) {
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(content),
      })
      if (response.ok) return
      if (performance.now() > deadline) throw new Error(`${url} answered ${response.status}`)
    } catch (error) {
      if (performance.now() > deadline) throw error
    }
    await sleep(50)
  }
}

/** @returns {Promise<number>} */
async function freePort() {
  const probe = createServer()
  await new Promise((resolve) => probe.listen(0, '127.0.0.1', () => resolve(null)))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

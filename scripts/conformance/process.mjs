// A worker as a process: started as its user would, told to leave, killed.

import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * @typedef {object} WorkerProcess
 * @property {() => boolean} isAlive
 * @property {() => string} said The end of what it wrote.
 * @property {(signal: NodeJS.Signals) => void} signal To the process itself.
 * @property {(ms: number) => Promise<number | null>} ended Milliseconds until it ended; null when it did not in `ms`.
 * @property {() => Promise<void>} remove With everything that it started.
 */

/**
 * @param {string} command for `sh -c "exec …"`: signals go to the worker, not to a shell around it
 * @param {Record<string, string>} env
 * @returns {WorkerProcess}
 */
export function startWorker(command, env) {
  const child = spawn('sh', ['-c', `exec ${command}`], {
    // The proxy is near: nothing else shall stand between.
    env: { ...process.env, NO_PROXY: '127.0.0.1', no_proxy: '127.0.0.1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      said = (said + text).slice(-1000)
    })
  }
  const exit = once(child, 'exit')
  const family = new Set()
  const isAlive = () => child.exitCode === null && child.signalCode === null
  /** What a killed worker leaves behind can be found only as long as it lives. */
  const look = () => {
    for (const pid of isAlive() ? descendants(child.pid) : []) family.add(pid)
  }
  const atExit = () => child.kill('SIGKILL')
  process.once('exit', atExit)
  return {
    isAlive,
    said: () => said.trim(),
    signal(signal) {
      if (signal === 'SIGKILL') look()
      child.kill(signal)
    },
    async ended(ms) {
      const began = performance.now()
      if (isAlive()) {
        const late = new Promise((resolve) => setTimeout(resolve, ms).unref())
        await Promise.race([exit, late])
      }
      return isAlive() ? null : performance.now() - began
    },
    async remove() {
      look()
      if (isAlive()) {
        child.kill('SIGKILL')
        await exit
      }
      for (const pid of family) {
        try {
          process.kill(pid, 'SIGKILL')
        } catch {
          // It has ended by itself.
        }
      }
      process.off('exit', atExit)
    },
  }
}

/** Pids of what a process has started, and of what that has. */
function descendants(root) {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number))
  const found = [root]
  for (const parent of found) {
    for (const [pid, ppid] of pairs) if (ppid === parent) found.push(pid)
  }
  return found.slice(1)
}

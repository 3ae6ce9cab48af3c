// The reference workers as processes, and what befalls processes.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { join } from 'node:path'

const checkout = join(import.meta.dirname, '../..')
/** What starts a worker that pulls, by its language. */
export const workerCommands = {
  bash: 'bash examples/workers/worker.sh',
  python: 'python3 examples/workers/worker.py',
  node: 'node examples/workers/worker.mjs',
}
/** What starts an endpoint that is pushed to. */
export const endpointCommands = {
  python: 'python3 examples/workers/endpoint.py',
  node: 'node examples/workers/endpoint.mjs',
}

const children: ChildProcess[] = []

/** Starts a worker or an endpoint, with these variables and none of ours. */
export function startWorker(command: string, env: Record<string, string>): ChildProcess {
  const clean = Object.entries(process.env).filter(
    ([name]) => !/^(TASKFLOW_|https?_proxy)/i.test(name),
  )
  const [program = '', ...args] = command.split(' ')
  const child = spawn(program, args, {
    cwd: checkout,
    env: { ...Object.fromEntries(clean), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  children.push(child)
  return child
}

/**
 * Sends a signal to a process and all that it has started: what befalls a whole machine. Each is stopped
 * before its children are looked up, so that it starts no more meanwhile.
 */
export function signalAll(child: ChildProcess, signal: NodeJS.Signals): void {
  const { pid: root, exitCode, signalCode } = child
  if (root === undefined || exitCode !== null || signalCode !== null) return
  const family = [root]
  for (const parent of family) {
    send(parent, 'SIGSTOP')
    family.push(...childrenOf(parent))
  }
  if (signal !== 'SIGSTOP') for (const pid of family) send(pid, signal)
}

function childrenOf(parent: number): number[] {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number))
  return pairs.flatMap(([pid = 0, ppid]) => (ppid === parent ? [pid] : []))
}

function send(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended meanwhile.
  }
}

/** Kills what was started and all that it has started. */
export function endWorkers(): void {
  for (const child of children.splice(0)) signalAll(child, 'SIGKILL')
}

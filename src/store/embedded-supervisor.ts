// Holds the embedded Postgres so that it never outlives the service, and judges a server that an earlier start left behind.

import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  asUser,
  codeOf,
  EmbeddedError,
  ignore,
  SERVER_ENV,
  type ServerUser,
  WINDOWS,
} from './embedded-place.ts'

/** How long a fast shutdown may take before the server is told to stop at once (it recovers at its next start). */
const FAST_SHUTDOWN_S = 15
/** How long a start waits for a predecessor that is on its way out, and for one that looks well. */
const DYING_MS = 10_000
const HEALTHY_MS = 1_500

/**
 * The supervisor for POSIX systems: a shell, because it costs 1 MB where a second Node costs 40.
 *
 * Standard input is a pipe that only the service holds, so it ends when the service closes it or
 * dies, by whatever signal. Two processes: one waits for the server and passes its exit code on, the
 * other waits for the end of the pipe, then stops the server: fast, immediately, by force. Signals
 * that reach the whole group (systemd, a terminal) must not end either of them before the service
 * has drained: the first traps them, the second ignores them, for a trap would end its `read`.
 */
const SHELL_SUPERVISOR = `
trap : HUP INT TERM
exec 3<&0 </dev/null
"$@" -c taskflow.supervisor=$$ 3<&- &
server=$!
(
  trap '' HUP INT TERM
  while read -r _; do :; done <&3
  kill -INT $server
  n=0
  while [ $n -lt ${FAST_SHUTDOWN_S} ] && kill -0 $server; do sleep 1; n=$((n+1)); done
  kill -QUIT $server && sleep 5 && kill -KILL $server
) >/dev/null 2>&1 &
watch=$!
exec 3<&-
while :; do
  wait $server
  code=$?
  kill -0 $server 2>/dev/null || break
done
kill -KILL $watch 2>/dev/null
exit $code
`

/** The supervisor for Windows, which has neither shell nor signals: pg_ctl asks the server to stop. */
const NODE_SUPERVISOR = `
const { spawn, spawnSync } = require('node:child_process')
const [pgCtl, dataDir, command, ...args] = process.argv.slice(1)
const server = spawn(command, [...args, '-c', 'taskflow.supervisor=' + process.pid], {
  stdio: ['ignore', 'inherit', 'inherit'],
})
server.on('error', () => process.exit(126))
server.on('exit', (code) => process.exit(code ?? 1))
process.on('SIGINT', () => {})
process.stdin.resume().on('end', () => {
  const stop = (mode, seconds) =>
    spawnSync(pgCtl, ['stop', '-D', dataDir, '-m', mode, '-t', String(seconds)]).status === 0
  stop('fast', ${FAST_SHUTDOWN_S}) || stop('immediate', 5) || server.kill()
})
`

/**
 * Starts the server under its supervisor. Ending the child's stdin stops the server, then the child.
 *
 * `detached` gives both a session of their own: Ctrl-C in a terminal must reach the service alone,
 * which still needs its database to drain. Both write to `log`, a file descriptor. `stranger` is
 * what `awaitPredecessor` found.
 */
export function supervise(options: {
  postgres: string
  cluster: string
  args: string[]
  user: ServerUser
  log: number
  stranger: number | undefined
}): ChildProcess {
  const { postgres, cluster, args, user, log, stranger } = options
  const stdio: ['pipe', number, number] = ['pipe', log, log]
  const settings = [...args, '-c', `taskflow.service=${process.pid}`]
  if (WINDOWS) {
    const pgCtl = postgres.replace(/postgres\.exe$/, 'pg_ctl.exe')
    const command = ['-e', NODE_SUPERVISOR, pgCtl, cluster, postgres, '-D', cluster, ...settings]
    return spawn(process.execPath, command, { stdio, windowsHide: true })
  }
  const command = [
    '-c',
    SHELL_SUPERVISOR,
    'taskflow-postgres',
    postgres,
    '-D',
    cluster,
    ...settings,
  ]
  // The server takes a lock file for stale when it names this pid (meant for wrapper scripts). Better
  // than to remove the file, which may be a rival's by the time we do.
  const env =
    stranger === undefined ? SERVER_ENV : { ...SERVER_ENV, PG_GRANDPARENT_PID: `${stranger}` }
  return spawn('/bin/sh', command, { ...asUser(user), env, stdio, detached: true })
}

/**
 * Waits until no other server runs on `cluster`, and stops one whose supervisor is gone.
 *
 * @returns the pid of a lock file that was left behind and now names a process that has nothing to
 * do with the cluster; the server needs telling, or it would refuse to start.
 * @throws EmbeddedError when another service keeps the cluster.
 */
export async function awaitPredecessor(cluster: string): Promise<number | undefined> {
  const began = Date.now()
  let stopped = false
  for (;;) {
    const found = await readLock(cluster)
    if (found === undefined || !isAlive(found.pid)) return undefined
    if (await isStranger(found.pid, cluster)) return found.pid
    const orphan = await isOrphan(found)
    if (orphan && !stopped) stopped = signal(found.pid, 'SIGINT')
    const healthy = found.status === 'ready' && !orphan && isAlive(found.service ?? found.pid)
    if (Date.now() - began > (healthy ? HEALTHY_MS : DYING_MS)) {
      const owner = found.service === undefined ? '' : ` for the service with pid ${found.service}`
      throw new EmbeddedError(
        `The data in ${cluster} is already served by the Postgres with pid ${found.pid}${owner}. Stop that service or set TASKFLOW_DATA_DIR to another directory. (If process ${found.pid} is no Postgres, remove ${join(cluster, 'postmaster.pid')}.)`,
      )
    }
    await sleep(50)
  }
}

interface Lock {
  pid: number
  status: string
  service: number | undefined
  supervisor: number | undefined
}

/** What the server on `cluster` wrote about itself; `service` and `supervisor` only when a start of ours made it. */
async function readLock(cluster: string): Promise<Lock | undefined> {
  const lock = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(ignore('ENOENT'))
  const lines = lock?.split('\n') ?? []
  const pid = Math.abs(Number(lines[0]))
  if (!Number.isInteger(pid) || pid === 0) return undefined
  const options = await readFile(join(cluster, 'postmaster.opts'), 'utf8').catch(() => '')
  const option = (name: string) => {
    const value = new RegExp(`"taskflow\\.${name}=(\\d+)"`).exec(options)?.[1]
    return value === undefined ? undefined : Number(value)
  }
  return {
    pid,
    status: lines[7]?.trim() ?? '',
    service: option('service'),
    supervisor: option('supervisor'),
  }
}

/**
 * Whether the process with this pid is certainly not a server on `cluster`: after a restart of the
 * machine or container a pid in an old lock file may belong to anything. A server's working
 * directory is its cluster. A zombie, which a container without an init never gets rid of, serves
 * nobody. Where this cannot be told, the lock file is believed.
 */
async function isStranger(pid: number, cluster: string): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  if (/^State:\s*Z/m.test(status)) return true
  const cwd = await stat(`/proc/${pid}/cwd`).catch(() => undefined)
  if (cwd === undefined) return false
  const own = await stat(cluster)
  return cwd.dev !== own.dev || cwd.ino !== own.ino
}

/** Whether a server of ours lost its supervisor (killed together with the service), so that nobody will stop it. */
async function isOrphan(lock: Lock): Promise<boolean> {
  if (lock.supervisor === undefined) return false
  const status = await readFile(`/proc/${lock.pid}/status`, 'utf8').catch(() => '')
  const parent = /^PPid:\s*(\d+)/m.exec(status)?.[1]
  if (parent === undefined) return !isAlive(lock.supervisor)
  // The other half of the supervisor may still be stopping the server, so a second SIGINT only repeats it.
  return Number(parent) !== lock.supervisor
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return codeOf(error) === 'EPERM'
  }
}

function signal(pid: number, name: NodeJS.Signals): boolean {
  try {
    return process.kill(pid, name)
  } catch {
    return false
  }
}

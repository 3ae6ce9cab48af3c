// Runs the PostgreSQL that the service brings along, for as long as the service lives, when no DATABASE_URL is given.

import type { ChildProcess } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { type Binaries, prepareBinaries } from './embedded-binaries.ts'
import { chooseSocketDir, ensureCluster, ensurePassword, ROLE } from './embedded-cluster.ts'
import { keepLogSmall, logSince, openLog } from './embedded-log.ts'
import { chooseDataDir, type DataPlace, EmbeddedError, WINDOWS } from './embedded-place.ts'
import { awaitPredecessor, supervise } from './embedded-supervisor.ts'

const DATABASE = 'taskflow'
const DEFAULT_PORT = 5432
/** Crash recovery replays at most `max_wal_size` or so, which takes a slow disk minutes. */
const READY_MS = 300_000
/** How long the leftovers of a killed server may stand in the way of the next one. */
const LEFTOVER_MS = 10_000
const LEFTOVER = /lock file "[^"]*" already exists|pre-existing shared memory block/

/** Settings of the server. They are command-line options, so no file that is edited can switch durability off. */
const SETTINGS: Record<string, string> = {
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  shared_buffers: '128MB',
  max_connections: '100',
  max_wal_size: '1GB',
  // Three I/O workers less; the work is small reads and writes that are in memory.
  io_method: 'sync',
  max_logical_replication_workers: '0',
  jit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  log_destination: 'stderr',
  logging_collector: 'off',
  log_checkpoints: 'off',
  log_lock_waits: 'on',
  log_line_prefix: '%m [%p] ',
  deadlock_timeout: '500ms',
  // A service that was killed must not keep its queries and their locks.
  client_connection_check_interval: WINDOWS ? '0' : '2s',
  tcp_keepalives_idle: '30',
  cluster_name: 'taskflow',
}

export interface EmbeddedPostgres {
  /** `host` is the directory of the unix socket (an address on Windows, where `password` is set as well). */
  connection: { host: string; port: number; user: string; database: string; password?: string }
  /** The same as a `postgres://` URL, for pg, node-pg-migrate, psql and every libpq. */
  url: string
  /** Where everything is kept: the cluster in `postgres/`, the server's log in `postgres.log`. */
  dataDir: string
  /** The server's version, for example `18.4`. */
  version: string
  /** The file that holds the password of role `taskflow` on 127.0.0.1; only when a TCP port is open. */
  passwordFile?: string
  /** Stops the server (fast shutdown, some 50 ms); resolves when it is gone. Safe to call again. */
  stop(): Promise<void>
  /** Resolves when the server ends without `stop`; `reason` is a sentence with its last words. */
  exited: Promise<{ reason: string }>
}

/**
 * Starts the embedded Postgres, making its cluster and the database `taskflow` on first use, and
 * resolves when it answers queries: about 2 s the first time, 0.2 s after that. After a crash
 * it also waits for a predecessor that is still on its way out (10 s at most) and for recovery.
 *
 * The server cannot outlive the process that called this, however that ends; nor does it keep that
 * process alive. It listens on a unix socket that only its own user and root can reach, and on
 * 127.0.0.1 with a password when `port` is given.
 *
 * @param options.dataDir TASKFLOW_DATA_DIR; undefined lets `chooseDataDir` decide.
 * @param options.checkoutDir the directory whose `.data` is the default place.
 * @param options.fallbackDir what to use in place of the default outside the checkout.
 * @param options.port a TCP port for psql and other visitors.
 * @param options.settings server settings that override the ones here.
 * @throws EmbeddedError with a message for the operator.
 */
export async function startEmbedded(options: {
  dataDir: string | undefined
  checkoutDir: string
  fallbackDir?: string
  port?: number
  settings?: Record<string, string>
}): Promise<EmbeddedPostgres> {
  const place = await chooseDataDir(options)
  const binaries = await prepareBinaries(place.user, options.fallbackDir)
  const settings = { ...SETTINGS, ...options.settings }
  const port = options.port ?? (WINDOWS ? await freePort() : undefined)
  const passwordFile = port === undefined ? undefined : await ensurePassword(place.dataDir)
  await ensureCluster(place, binaries, passwordFile, settings['fsync'] === 'off')
  const socket = WINDOWS ? undefined : await chooseSocketDir(place, port ?? DEFAULT_PORT)
  const password = passwordFile && (await readFile(passwordFile, 'utf8')).trim()
  const connection = {
    host: socket ?? '127.0.0.1',
    port: port ?? DEFAULT_PORT,
    user: ROLE,
    database: DATABASE,
    ...(socket === undefined && password !== undefined ? { password } : {}),
  }
  const args = Object.entries({
    ...settings,
    listen_addresses: port === undefined ? '' : '127.0.0.1',
    port: String(connection.port),
    unix_socket_directories: socket ?? '',
    unix_socket_permissions: '0700',
  }).flatMap(([name, value]) => ['-c', `${name}=${value}`])

  const server = await launch(place, binaries, args, connection)
  try {
    await prepareDatabase(connection, port === undefined ? undefined : password)
  } catch (error) {
    await server.stop()
    throw error
  }
  return {
    connection,
    url: urlOf(connection),
    dataDir: place.dataDir,
    version: binaries.version,
    ...(passwordFile === undefined ? {} : { passwordFile }),
    ...server,
  }
}

async function launch(
  place: DataPlace,
  binaries: Binaries,
  args: string[],
  connection: EmbeddedPostgres['connection'],
): Promise<Pick<EmbeddedPostgres, 'stop' | 'exited'>> {
  const logFile = join(place.dataDir, 'postgres.log')
  const began = Date.now()
  for (;;) {
    const stranger = await awaitPredecessor(place.cluster)
    const log = await openLog(logFile)
    const child = supervise({
      postgres: binaries.postgres,
      cluster: place.cluster,
      args,
      user: place.user,
      log: log.fd,
      stranger,
    })
    const ended = new Promise<string>((resolve) => {
      child.once('error', (error) => resolve(error.message))
      child.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
    })
    await log.close()
    const outcome = await Promise.race([ready(child, connection), ended])
    if (outcome === true) return attend(child, ended, logFile, log.start)

    await endSupervisor(child, ended)
    const said = await logSince(logFile, log.start)
    // Another process started a server between our look and our start, or the children of a server
    // that was killed are not quite gone: go back and judge again.
    if (LEFTOVER.test(said.all) && Date.now() - began < LEFTOVER_MS) {
      await sleep(100)
      continue
    }
    throw new EmbeddedError(startFault(outcome, said.last, connection.port, logFile))
  }
}

/** Waits until the server that `child` started, and not a rival's on the same socket, answers a query. */
async function ready(
  child: ChildProcess,
  connection: EmbeddedPostgres['connection'],
): Promise<true | string> {
  const deadline = Date.now() + READY_MS
  while (child.exitCode === null && child.signalCode === null && Date.now() < deadline) {
    const client = new pg.Client({
      ...connection,
      database: 'postgres',
      connectionTimeoutMillis: 5_000,
    })
    client.on('error', () => {})
    try {
      await client.connect()
      const { rows } = await client.query(
        "select current_setting('taskflow.supervisor', true) as pid",
      )
      if (rows[0]?.pid === String(child.pid)) return true
    } catch {
      // No socket yet, or 57P03: it accepts connections a moment before it answers queries.
    } finally {
      await client.end().catch(() => {})
    }
    await sleep(20)
  }
  return `it did not answer within ${READY_MS / 1000} s`
}

function attend(
  child: ChildProcess,
  ended: Promise<string>,
  logFile: string,
  logStart: number,
): Pick<EmbeddedPostgres, 'stop' | 'exited'> {
  let stopping: Promise<void> | undefined
  const trimmer = keepLogSmall(logFile)
  // Neither the child nor its pipe may keep the service's process from ending.
  child.unref()
  if (child.stdin !== null && 'unref' in child.stdin && typeof child.stdin.unref === 'function') {
    child.stdin.unref()
  }
  const exited = ended.then(async (how) => {
    clearInterval(trimmer)
    if (stopping !== undefined) return new Promise<never>(() => {})
    const { last } = await logSince(logFile, logStart)
    const words = last === '' ? '' : `: ${last}`
    return { reason: `The embedded Postgres ended (${how})${words}. Its log is ${logFile}.` }
  })
  return {
    exited,
    stop: () => {
      stopping ??= endSupervisor(child, ended)
      return stopping
    },
  }
}

async function endSupervisor(child: ChildProcess, ended: Promise<string>): Promise<void> {
  child.ref()
  child.stdin?.on('error', () => {})
  child.stdin?.end()
  await ended
}

function startFault(how: string, said: string, port: number, logFile: string): string {
  if (/Address already in use/.test(said) && /TCP\/IP|IPv4/.test(said)) {
    return `The embedded Postgres cannot listen on 127.0.0.1:${port}: something else does. Choose another port, or stop that program.`
  }
  const words = said === '' ? how : said
  return `The embedded Postgres did not start: ${words}. Its log is ${logFile}. Mend what it names, or set DATABASE_URL to use a PostgreSQL of your own.`
}

/** Makes the database on first use, and gives the role its password when visitors may come by TCP. */
async function prepareDatabase(
  connection: EmbeddedPostgres['connection'],
  password: string | undefined,
): Promise<void> {
  const client = new pg.Client({ ...connection, database: 'postgres' })
  client.on('error', () => {})
  await client.connect()
  try {
    const { rows } = await client.query('select from pg_database where datname = $1', [DATABASE])
    if (rows.length === 0) await client.query(`create database ${DATABASE}`)
    if (password !== undefined && !WINDOWS) {
      await client.query(`alter role ${ROLE} password ${client.escapeLiteral(password)}`)
    }
  } finally {
    await client.end()
  }
}

async function freePort(): Promise<number> {
  const probe = createServer()
  await new Promise<void>((resolve) => probe.listen(0, '127.0.0.1', resolve))
  const address = probe.address()
  await new Promise((resolve) => probe.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : DEFAULT_PORT
}

function urlOf(connection: EmbeddedPostgres['connection']): string {
  const { host, port, user, database, password } = connection
  const secret = password === undefined ? '' : `:${encodeURIComponent(password)}`
  if (!host.startsWith('/')) return `postgres://${user}${secret}@${host}:${port}/${database}`
  // The host in the authority is only there because URL parsers want one; `?host=` wins everywhere.
  return `postgres://${user}${secret}@localhost:${port}/${database}?host=${encodeURIComponent(host)}`
}

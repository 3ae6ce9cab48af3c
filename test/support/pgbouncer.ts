// A real pgbouncer in transaction mode: one that is installed, else the Debian packages, unpacked into a cache.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, mkdirSync, readdirSync } from 'node:fs'
import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import pg from 'pg'
import { freePort, until } from './service.ts'

const cache = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'taskflow/pgbouncer')

export interface Pooler {
  /** Leads to the database of the URL that it was made for. */
  url: string
  /** Gives up its connections to the server: the next ones are new. */
  reconnect(): Promise<void>
  stop(): Promise<void>
}

/** Starts one in front of a database. Fails, and never skips, where none can be had. */
export async function startPooler(
  databaseUrl: string,
  settings: Record<string, string> = {},
): Promise<Pooler> {
  const { binary, libraries } = findPooler()
  const target = new URL(databaseUrl)
  const host = target.searchParams.get('host') ?? target.hostname
  const name = target.pathname.slice(1)
  const port = await freePort()
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-pgbouncer-'))
  await chmod(folder, 0o755)
  const password = target.password === '' ? '' : ` password=${decodeURIComponent(target.password)}`
  const all = {
    listen_addr: '127.0.0.1',
    listen_port: String(port),
    unix_socket_dir: '',
    auth_type: 'any',
    admin_users: 'console',
    pool_mode: 'transaction',
    default_pool_size: '3',
    ...settings,
  }
  const lines = Object.entries(all).map(([setting, value]) => `${setting} = ${value}`)
  const toServer = `host=${host} port=${target.port || 5432} dbname=${name} user=${target.username}`
  const ini = `[databases]\n${name} = ${toServer}${password}\n[pgbouncer]\n${lines.join('\n')}\n`
  const file = join(folder, 'pgbouncer.ini')
  await writeFile(file, ini)
  // It refuses to run as root, and has to reach a socket that only its server's user and root may.
  const as = process.getuid?.() === 0 ? ['-u', ownerOf(host)] : []
  const child = spawn(binary, [...as, file], {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], LD_LIBRARY_PATH: libraries },
  })
  let log = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log += text
  })
  await until(() => child.exitCode !== null || answers(port), 10_000, 'pgbouncer answers')
  if (child.exitCode !== null) throw new Error(`pgbouncer ended: ${log}`)
  return {
    url: `postgres://${target.username}@127.0.0.1:${port}/${name}`,
    async reconnect() {
      const console = new pg.Client(`postgres://console@127.0.0.1:${port}/pgbouncer`)
      await console.connect()
      await console.query('reconnect')
      await console.end()
    },
    stop: () => stop(child, folder),
  }
}

async function stop(child: ChildProcess, folder: string): Promise<void> {
  if (child.exitCode === null) {
    child.kill('SIGKILL')
    await once(child, 'exit')
  }
  await rm(folder, { recursive: true, force: true })
}

/** The account that may use a server's socket. */
function ownerOf(path: string): string {
  if (!path.startsWith('/')) return 'nobody'
  return execFileSync('stat', ['-c', '%U', path], { encoding: 'utf8' }).trim()
}

function findPooler(): { binary: string; libraries: string } {
  for (const binary of ['/usr/sbin/pgbouncer', '/usr/local/bin/pgbouncer']) {
    if (canRun(binary)) return { binary, libraries: '' }
  }
  const binary = join(cache, 'usr/sbin/pgbouncer')
  if (!canRun(binary)) unpack()
  if (!canRun(binary)) {
    throw new Error(
      'These tests need pgbouncer: apt-get install pgbouncer, brew install pgbouncer.',
    )
  }
  const library = join(cache, 'usr/lib')
  const folders = readdirSync(library).map((name) => join(library, name))
  return { binary, libraries: [library, ...folders].join(':') }
}

/** Needs apt and its lists, not root: nothing is installed. */
function unpack(): void {
  mkdirSync(cache, { recursive: true })
  const options = { cwd: cache, stdio: 'ignore' } as const
  for (const name of ['pgbouncer', 'libc-ares2', 'libevent-2.1-7']) {
    try {
      execFileSync('apt-get', ['download', name], options)
    } catch {
      // Said by whoever finds that there is none.
      return
    }
  }
  for (const file of readdirSync(cache).filter((name) => name.endsWith('.deb'))) {
    execFileSync('dpkg-deb', ['-x', file, cache], options)
  }
}

function canRun(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return existsSync(path)
  } catch {
    return false
  }
}

function answers(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1')
    const settle = (yes: boolean) => {
      socket.destroy()
      resolve(yes)
    }
    socket.on('connect', () => settle(true)).on('error', () => settle(false))
  })
}

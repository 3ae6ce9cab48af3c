// Decides which user the embedded Postgres runs as and which directory holds its data, and makes that directory safely.

import { execFile } from 'node:child_process'
import { constants } from 'node:fs'
import { access, chmod, lstat, mkdir, readFile, stat } from 'node:fs/promises'
import { homedir, userInfo } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { promisify } from 'node:util'

/** A start that cannot go on. The message is written for the operator and names the repair. */
export class EmbeddedError extends Error {
  override readonly name = 'EmbeddedError'
}

/** The account that the server runs as. `dropped` says that it is not the service's own. */
export interface ServerUser {
  name: string
  uid: number
  gid: number
  dropped: boolean
}

/** Where the data is: `cluster` (the PostgreSQL data directory) always is `<dataDir>/postgres`. */
export interface DataPlace {
  dataDir: string
  cluster: string
  user: ServerUser
}

export const WINDOWS = process.platform === 'win32'

/** No variable of the service reaches the server: its environment holds secrets, and a `PG*` one would misdirect us. */
export const SERVER_ENV: NodeJS.ProcessEnv = WINDOWS
  ? {}
  : { PATH: '/usr/local/bin:/usr/bin:/bin', LC_ALL: 'C', TZ: 'UTC' }

/** Any user of the machine can guess this name and take it before we do. */
const FORESEEABLE = /^\/var\/tmp\/taskflow-\d+$/

const run = promisify(execFile)

/** The options that make a child process run as `user`, from a directory every user may enter. */
export function asUser(user: ServerUser) {
  if (WINDOWS) return {}
  const ids = user.dropped ? { uid: user.uid, gid: user.gid } : {}
  return { ...ids, cwd: '/', env: SERVER_ENV }
}

/**
 * Finds the data directory of the embedded Postgres and makes it.
 *
 * 1. `dataDir`, when given (TASKFLOW_DATA_DIR). Nothing else is tried.
 * 2. `<checkoutDir>/.data`, when the server's user can reach it.
 * 3. As root `/var/lib/taskflow`, else `~/.local/share/taskflow` (both: or `fallbackDir`).
 * 4. `/var/tmp/taskflow-<uid of the service>`.
 *
 * PostgreSQL refuses to run as root, so for a service that runs as root the server's user is the
 * owner of the cluster that is already there, else `postgres`, else `nobody`. Otherwise it is the
 * user of the service.
 *
 * @throws EmbeddedError when `dataDir` cannot be used, nothing else can either, or the cluster that
 * is there belongs to another user (going on elsewhere would look like lost data).
 */
export async function chooseDataDir(options: {
  dataDir: string | undefined
  checkoutDir: string
  fallbackDir?: string | undefined
}): Promise<DataPlace> {
  if (options.dataDir !== undefined) {
    const dataDir = resolve(options.dataDir)
    const user = await serverUser(dataDir)
    const fault = await prepare(dataDir, user)
    if (fault === undefined) return { dataDir, cluster: join(dataDir, 'postgres'), user }
    throw new EmbeddedError(
      user.dropped
        ? `TASKFLOW_DATA_DIR=${dataDir} cannot be used: ${fault}. PostgreSQL refuses to run as root, so it runs as '${user.name}', who needs a way in. Set TASKFLOW_DATA_DIR to a directory whose parents everyone may enter (for example /var/lib/taskflow), allow it with chmod o+x, or run the service as an ordinary user.`
        : `TASKFLOW_DATA_DIR=${dataDir} cannot be used: ${fault}. Make the directory writable for '${user.name}', or set TASKFLOW_DATA_DIR to one that is.`,
    )
  }
  const faults: string[] = []
  for (const dataDir of [
    join(options.checkoutDir, '.data'),
    ...fallbackDirs(options.fallbackDir),
  ]) {
    const user = await serverUser(dataDir)
    const fault = await prepare(dataDir, user)
    if (fault === undefined) return { dataDir, cluster: join(dataDir, 'postgres'), user }
    faults.push(`${dataDir}: ${fault}`)
  }
  throw new EmbeddedError(
    `No place for the data of the embedded Postgres (${faults.join('; ')}). Set TASKFLOW_DATA_DIR to a writable directory, or DATABASE_URL to use a PostgreSQL of your own.`,
  )
}

/** What is kept outside the checkout, best place first. Each is made on first use. */
export function fallbackDirs(fallbackDir: string | undefined): string[] {
  if (fallbackDir !== undefined) return [fallbackDir]
  const uid = process.getuid?.()
  if (uid === undefined) return [join(homedir(), 'AppData', 'Local', 'taskflow')]
  const home = uid === 0 ? '/var/lib/taskflow' : join(homedir(), '.local/share/taskflow')
  return [home, `/var/tmp/taskflow-${uid}`]
}

/**
 * Makes `dir` and its missing parents, with the usual mode: never 0700, which would lock the
 * server's user out, nor what a narrow umask makes of 0777 when that user is another one.
 *
 * @returns why the server's user could not live in it, or undefined.
 */
export async function prepare(dir: string, user: ServerUser): Promise<string | undefined> {
  const missing: string[] = []
  let existing = dir
  while (!(await exists(existing))) {
    missing.unshift(existing)
    existing = dirname(existing)
  }
  const closed = await firstClosed(existing, user)
  if (closed !== undefined) return `'${user.name}' may not enter ${closed}`
  try {
    for (const level of missing) {
      await mkdir(level).catch(ignore('EEXIST'))
      if (user.dropped) await chmod(level, 0o755)
    }
    await access(dir, constants.W_OK | constants.X_OK)
    const found = await lstat(dir)
    if (FORESEEABLE.test(dir) && (found.uid !== process.getuid?.() || !found.isDirectory())) {
      return 'it belongs to someone else'
    }
    return undefined
  } catch (error) {
    return `${codeOf(error)} on ${dir}`
  }
}

async function serverUser(dataDir: string): Promise<ServerUser> {
  const uid = process.getuid?.()
  const gid = process.getgid?.()
  if (uid === undefined || gid === undefined) {
    return { name: userInfo().username, uid: -1, gid: -1, dropped: false }
  }
  const cluster = join(dataDir, 'postgres')
  const found = await stat(cluster).catch(() => undefined)
  const accounts = await readAccounts()
  const nameOf = (id: number) => accounts.find((account) => account.uid === id)?.name ?? `uid ${id}`
  if (uid !== 0) {
    if (found !== undefined && found.uid !== uid) {
      throw new EmbeddedError(
        `The data in ${cluster} belongs to '${nameOf(found.uid)}', and this service runs as '${nameOf(uid)}'. Start it as root or as '${nameOf(found.uid)}', or set TASKFLOW_DATA_DIR to another directory.`,
      )
    }
    return { name: nameOf(uid), uid, gid, dropped: false }
  }
  if (found !== undefined && found.uid !== 0) {
    return { name: nameOf(found.uid), uid: found.uid, gid: found.gid, dropped: true }
  }
  const account = ['postgres', 'nobody'].flatMap(
    (name) => accounts.find((a) => a.name === name) ?? [],
  )[0]
  if (account === undefined) {
    throw new EmbeddedError(
      "PostgreSQL refuses to run as root, and this machine has neither a 'postgres' nor a 'nobody' account to run it as. Start the service as an ordinary user, or set DATABASE_URL to use a PostgreSQL of your own.",
    )
  }
  return { ...account, dropped: true }
}

async function readAccounts(): Promise<{ name: string; uid: number; gid: number }[]> {
  const passwd = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const accounts = passwd.split('\n').flatMap((line) => {
    const [name, , uid, gid] = line.split(':')
    if (!name || !uid || !gid || name.startsWith('#')) return []
    // macOS writes the uid of nobody as -2.
    return [{ name, uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }]
  })
  const own = ownAccount()
  return own === undefined ? accounts : [...accounts, own]
}

/** The account of the service itself, or undefined when its uid has none (`docker run --user 12345`). */
export function ownAccount(): { name: string; uid: number; gid: number } | undefined {
  try {
    const { username, uid, gid } = userInfo()
    return { name: username, uid, gid }
  } catch {
    return undefined
  }
}

/** The uppermost directory on the way to `dir` that `user` may not enter. Asks the kernel, which knows ACLs and more. */
async function firstClosed(dir: string, user: ServerUser): Promise<string | undefined> {
  if (!user.dropped || (await mayEnter(dir, user))) return undefined
  const parent = dirname(dir)
  return parent === dir ? dir : ((await firstClosed(parent, user)) ?? dir)
}

async function mayEnter(dir: string, user: ServerUser): Promise<boolean> {
  try {
    await run('/bin/sh', ['-c', 'cd "$1"', 'sh', dir], asUser(user))
    return true
  } catch (error) {
    if (codeOf(error) === 'EPERM') {
      throw new EmbeddedError(
        `The service runs as root but may not become '${user.name}', which PostgreSQL needs because it refuses to run as root. Give the container the capabilities SETUID and SETGID, start the service as an ordinary user, or set DATABASE_URL to use a PostgreSQL of your own.`,
      )
    }
    return false
  }
}

async function exists(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    (error) => {
      if (['ENOENT', 'ENOTDIR'].includes(codeOf(error))) return false
      // Behind a door that is closed to us as well: it is there as far as we are concerned.
      if (['EACCES', 'EPERM'].includes(codeOf(error))) return true
      throw error
    },
  )
}

export function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : ''
}

/** A catch handler that swallows the errors of these codes and no others. */
export function ignore(...codes: string[]): (error: unknown) => void {
  return (error) => {
    if (!codes.includes(codeOf(error))) throw error
  }
}

// Makes what the embedded Postgres keeps on disk: the cluster, the directory of its socket, its password.

import { execFile } from 'node:child_process'
import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import {
  chmod,
  chown,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  writeFile,
} from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { type Binaries, sweep } from './embedded-binaries.ts'
import {
  asUser,
  codeOf,
  type DataPlace,
  EmbeddedError,
  ignore,
  ownAccount,
  type ServerUser,
  WINDOWS,
} from './embedded-place.ts'

/** The superuser of the cluster, as which the service connects. */
export const ROLE = 'taskflow'

/** Text is UTF-8 in code point order on every machine: nothing depends on the locales it has. */
const LOCALE = [
  '--encoding=UTF8',
  '--locale=C',
  '--locale-provider=builtin',
  '--builtin-locale=C.UTF-8',
]

/** `sun_path` is 108 bytes on Linux and 104 on macOS, the closing NUL included. */
const SOCKET_PATH_BYTES = process.platform === 'darwin' ? 103 : 107

/**
 * Makes the cluster beside its place and renames it, so that a start that is killed never leaves
 * half of one. Only what is made here changes hands.
 */
export async function ensureCluster(
  place: DataPlace,
  binaries: Binaries,
  passwordFile: string | undefined,
  volatile: boolean,
): Promise<void> {
  const { cluster, dataDir, user } = place
  const major = binaries.version.split('.')[0]
  const made = await readFile(join(cluster, 'PG_VERSION'), 'utf8').catch(ignore('ENOENT'))
  if (made !== undefined) {
    if (made.trim() === major) return
    throw new EmbeddedError(
      `The data in ${cluster} was made by PostgreSQL ${made.trim()}, and this release of Taskflow carries PostgreSQL ${major}, which cannot read it. Dump it with the release that made it and load the dump into a new TASKFLOW_DATA_DIR, or set DATABASE_URL to a PostgreSQL ${made.trim()} that serves it, or move ${cluster} away to begin with no data.`,
    )
  }
  if ((await readdir(cluster).catch(ignore('ENOENT')))?.length) {
    throw new EmbeddedError(
      `${cluster} holds files but no PostgreSQL cluster. Move it away, or set TASKFLOW_DATA_DIR to another directory.`,
    )
  }
  if (!WINDOWS && !user.dropped && ownAccount() === undefined) {
    throw new EmbeddedError(
      `The user of this service (uid ${user.uid}) has no entry in /etc/passwd, which PostgreSQL needs to make a cluster. Run the service as a user that has one, or set DATABASE_URL to use a PostgreSQL of your own.`,
    )
  }
  await sweep(dataDir, 'postgres.new-')
  const fresh = await mkdtemp(join(dataDir, 'postgres.new-'))
  try {
    await chmod(fresh, 0o700)
    if (user.dropped) await chown(fresh, user.uid, user.gid)
    const args = ['-D', fresh, '-U', ROLE, ...LOCALE, '--auth-host=scram-sha-256']
    // No password on the socket: its directory admits those alone who could read the files as well.
    args.push(WINDOWS ? '--auth-local=scram-sha-256' : '--auth-local=trust')
    if (WINDOWS && passwordFile !== undefined) args.push(`--pwfile=${passwordFile}`)
    if (volatile) args.push('--no-sync')
    await promisify(execFile)(binaries.initdb, args, asUser(user))
    // Onto an empty directory or nothing. A rival that was faster wins, and its cluster serves.
    await rename(fresh, cluster).catch(ignore('ENOTEMPTY', 'EEXIST'))
    if (!volatile) await syncDir(dataDir)
  } catch (error) {
    const said =
      error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : String(error)
    throw new EmbeddedError(
      `PostgreSQL could not make its cluster in ${dataDir}: ${said}. Mend what it names, set TASKFLOW_DATA_DIR to another directory, or set DATABASE_URL to use a PostgreSQL of your own.`,
    )
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

async function syncDir(dir: string): Promise<void> {
  if (WINDOWS) return
  const handle = await open(dir, constants.O_RDONLY)
  await handle.sync().finally(() => handle.close())
}

/**
 * The cluster itself is the socket's directory: PostgreSQL insists that no one else may enter it,
 * and it needs no second owner. A path too long for a socket has a short one under /tmp instead.
 */
export async function chooseSocketDir(place: DataPlace, port: number): Promise<string> {
  const { cluster, user } = place
  if (Buffer.byteLength(join(cluster, `.s.PGSQL.${port}`)) <= SOCKET_PATH_BYTES) return cluster
  const name = createHash('sha256').update(cluster).digest('hex').slice(0, 12)
  const dir = `/tmp/taskflow-${user.uid}-${name}`
  try {
    await mkdir(dir, { mode: 0o700 })
    if (user.dropped) await chown(dir, user.uid, user.gid)
    return dir
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
    return (await isPrivate(dir, user)) ? dir : privateDir(user)
  }
}

async function privateDir(user: ServerUser): Promise<string> {
  const dir = await mkdtemp('/tmp/taskflow-')
  if (user.dropped) await chown(dir, user.uid, user.gid)
  return dir
}

async function isPrivate(dir: string, user: ServerUser): Promise<boolean> {
  const found = await lstat(dir)
  return found.isDirectory() && found.uid === user.uid && (found.mode & 0o077) === 0
}

/** The password for TCP, kept beside the cluster so that psql can be told it; only the service's user may read it. */
export async function ensurePassword(dataDir: string): Promise<string> {
  const path = join(dataDir, 'postgres.password')
  const password = randomBytes(24).toString('base64url')
  await writeFile(path, `${password}\n`, { flag: 'wx', mode: 0o600 }).catch(ignore('EEXIST'))
  return path
}

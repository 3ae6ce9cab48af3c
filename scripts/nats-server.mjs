// Starts a NATS server with JetStream for development and tests: one that is installed, else the
// Debian package, unpacked into a cache. Prints its URL, and stops it at the end of this process.
//
//   node scripts/nats-server.mjs [--port 4222] [--store DIR] [--stop-with-stdin] [-- more for nats-server]
import { spawn, spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { connect, createServer } from 'node:net'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { apt } from './apt.mjs'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    port: { type: 'string' },
    store: { type: 'string' },
    'stop-with-stdin': { type: 'boolean', default: false },
  },
})

const binary = findInstalled() ?? findCached() ?? unpackPackage()
if (binary === null) {
  console.error(`There is no nats-server here. Install one, version 2.9 or newer:
  Debian, Ubuntu  apt-get install nats-server
  macOS           brew install nats-server
  else            https://docs.nats.io/running-a-nats-service/introduction/installation`)
  process.exit(1)
}
const port = values.port === undefined ? await freePort() : Number(values.port)
const store = values.store ?? mkdtempSync(join(tmpdir(), 'taskflow-nats-'))
const more = ['-a', '127.0.0.1', '-p', String(port), '-js', '-sd', store, ...positionals]
const server = spawn(binary, more, { stdio: ['ignore', 'ignore', 'pipe'] })
let log = ''
server.stderr.setEncoding('utf8').on('data', (text) => {
  log = (log + text).slice(-10_000)
})
server.on('exit', (code, signal) => {
  if (values.store === undefined) rmSync(store, { recursive: true, force: true })
  if (!stopping) console.error(`nats-server ended (${signal ?? code}):\n${log}`)
  process.exit(stopping ? 0 : 1)
})
let stopping = false
const stop = () => {
  stopping = true
  server.kill('SIGTERM')
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
// Whoever holds the other end cannot leave the server behind, however it ends.
if (values['stop-with-stdin']) process.stdin.on('end', stop).resume()
while (!(await answers(port))) await sleep(20)
console.log(`nats://127.0.0.1:${port}`)

function findInstalled() {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    ...['/usr/sbin', '/usr/local/bin', '/opt/homebrew/bin'],
  ]
  return folders.map((folder) => join(folder, 'nats-server')).find(canRun)
}

function cacheFolder() {
  return join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'taskflow', 'nats-server')
}

function findCached() {
  const path = join(cacheFolder(), 'usr', 'sbin', 'nats-server')
  return canRun(path) ? path : null
}

/**
 * Needs apt and its lists, not root: nothing is installed. Unpacked beside the cache and then renamed,
 * so that of several that do this at once none sees half a server.
 */
function unpackPackage() {
  const cache = cacheFolder()
  mkdirSync(dirname(cache), { recursive: true })
  const folder = mkdtempSync(`${cache}-`)
  const run = (command, args) =>
    spawnSync(command, args, { cwd: folder, stdio: 'ignore' }).status === 0
  const download = () => apt(['download', 'nats-server'], { cwd: folder })
  try {
    if (!download() && !(process.getuid?.() === 0 && apt(['update', '-qq']) && download()))
      return null
    const file = readdirSync(folder).find((name) => /^nats-server_.*\.deb$/.test(name))
    if (file === undefined || !run('dpkg-deb', ['-x', file, folder])) return null
    rmSync(join(folder, file))
    if (findCached() === null) {
      rmSync(cache, { recursive: true, force: true })
      renameSync(folder, cache)
    }
  } catch {
    // Another one was faster.
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
  return findCached()
}

function canRun(path) {
  try {
    accessSync(path, constants.X_OK)
    return existsSync(path)
  } catch {
    return false
  }
}

function freePort() {
  return new Promise((resolve, reject) => {
    const probe = createServer().on('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port: found } = probe.address()
      probe.close(() => resolve(found))
    })
  })
}

/** A server greets whoever connects. */
function answers(at) {
  return new Promise((resolve) => {
    const socket = connect(at, '127.0.0.1')
    const settle = (yes) => {
      socket.destroy()
      resolve(yes)
    }
    socket
      .on('error', () => settle(false))
      .on('data', (data) => settle(String(data).startsWith('INFO ')))
    socket.setTimeout(500, () => settle(false))
  })
}

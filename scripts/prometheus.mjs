// Finds Prometheus with its promtool for the tests of dashboard and alerts, and prints the folder of both:
// one that is installed, else the Debian package, unpacked into a cache. Nothing is started.
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  constants,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { apt } from './apt.mjs'

const cache = join(
  process.env.XDG_CACHE_HOME || join(homedir(), '.cache'),
  'taskflow',
  'prometheus',
)
const folder = find() ?? unpackPackage()
if (folder === null) {
  console.error(`There is no Prometheus here. Install one, version 2.40 or newer:
  Debian, Ubuntu  apt-get install prometheus
  macOS           brew install prometheus
  else            https://prometheus.io/download/`)
  process.exit(1)
}
console.log(folder)

function find() {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/opt/homebrew/bin',
    cachedFolder(),
  ]
  return folders.find((path) =>
    ['prometheus', 'promtool'].every((name) => canRun(join(path, name))),
  )
}

function cachedFolder() {
  return join(cache, 'usr', 'bin')
}

/**
 * Needs apt and its lists, not root: nothing is installed, and so no service is started. Unpacked beside
 * the cache and then renamed, so that of several that do this at once none sees half of it.
 */
function unpackPackage() {
  mkdirSync(dirname(cache), { recursive: true })
  const made = mkdtempSync(`${cache}-`)
  const download = () => apt(['download', 'prometheus'], { cwd: made })
  try {
    if (!download() && !(process.getuid?.() === 0 && apt(['update', '-qq']) && download()))
      return null
    const file = readdirSync(made).find((name) => /^prometheus_.*\.deb$/.test(name))
    if (file === undefined) return null
    const unpacked = spawnSync('dpkg-deb', ['-x', file, made], { cwd: made, stdio: 'ignore' })
    if (unpacked.status !== 0) return null
    rmSync(join(made, file))
    if (find() === undefined) {
      rmSync(cache, { recursive: true, force: true })
      renameSync(made, cache)
    }
  } catch {
    // Another one was faster.
  } finally {
    rmSync(made, { recursive: true, force: true })
  }
  return find() ?? null
}

function canRun(path) {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}

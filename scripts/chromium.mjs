// Finds a Chromium for the browser tests and prints its path; installs the one of Debian or Ubuntu where
// there is none. Without root it is unpacked, with what it needs, into the user's cache.
import { spawnSync } from 'node:child_process'
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { apt } from './apt.mjs'

const names = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']
const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'taskflow', 'chromium')
const launcher = join(cache, 'chromium')

const path = find() ?? install()
if (path === null) {
  console.error(
    'There is no Chromium here, and none could be installed. Install chromium or Google Chrome, or set CHROMIUM_PATH.',
  )
  process.exit(1)
}
console.log(path)

/** The first one that runs: the one that was named, those on the path, the one that was unpacked before. */
function find() {
  const named = process.env.CHROMIUM_PATH
  const folders = (process.env.PATH ?? '').split(delimiter).filter(Boolean)
  const candidates = named
    ? [named]
    : [...names.flatMap((name) => folders.map((folder) => join(folder, name))), launcher]
  return candidates.find((candidate) => isExecutable(candidate) && works(candidate)) ?? null
}

function isExecutable(candidate) {
  try {
    accessSync(candidate, constants.X_OK)
    return true
  } catch {
    return false
  }
}

/** Some are stubs that only tell how to install the real one. */
function works(candidate) {
  const { status, stdout } = spawnSync(candidate, ['--version'], { encoding: 'utf8' })
  return status === 0 && /\d+\.\d+/.test(stdout)
}

function install() {
  if (process.env.CHROMIUM_PATH) return null
  if (spawnSync('apt-get', ['--version']).error !== undefined) return null
  console.error('Installing Chromium.')
  const done = process.getuid?.() === 0 ? installPackages() : unpackPackages()
  return done ? find() : null
}

/** Output of the tools goes to stderr: stdout has the path alone. */
function run(command, args) {
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  return spawnSync(command, args, { stdio: ['ignore', 2, 2], env }).status === 0
}

function installPackages() {
  const packages = ['install', '-y', '-qq', '--no-install-recommends', 'chromium']
  return apt(packages) || (apt(['update', '-qq']) && apt(packages))
}

/** Downloads what is missing on this machine with lists and archives of our own, and unpacks it. */
function unpackPackages() {
  const [lists, archives, root] = ['lists', 'archives', 'root'].map((name) => join(cache, name))
  for (const folder of [join(lists, 'partial'), join(archives, 'partial'), root]) {
    mkdirSync(folder, { recursive: true })
  }
  const own = [
    ...['-o', `Dir::State::lists=${lists}`],
    ...['-o', `Dir::Cache=${cache}`],
    ...['-o', `Dir::Cache::archives=${archives}`],
    ...['-o', 'Debug::NoLocking=true'],
  ]
  const download = [
    'install',
    '-y',
    '-qq',
    '--no-install-recommends',
    '--download-only',
    'chromium',
  ]
  if (!apt([...own, 'update', '-qq'])) return false
  if (!apt([...own, ...download])) return false
  for (const name of readdirSync(archives).filter((one) => one.endsWith('.deb'))) {
    if (!run('dpkg-deb', ['-x', join(archives, name), root])) return false
  }
  const binary = join(root, 'usr/lib/chromium/chromium')
  if (!existsSync(binary)) return false
  const libraries = ['usr/lib', 'lib'].flatMap((folder) => {
    const base = join(root, folder)
    if (!existsSync(base)) return []
    const inner = readdirSync(base).filter((name) => name.endsWith('-linux-gnu'))
    return [base, ...inner.map((name) => join(base, name))]
  })
  writeFileSync(
    launcher,
    `#!/bin/sh\nLD_LIBRARY_PATH='${libraries.join(':')}' exec '${binary}' "$@"\n`,
  )
  chmodSync(launcher, 0o755)
  return true
}

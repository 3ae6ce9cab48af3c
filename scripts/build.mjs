// Compiles src/ to dist/. With --if-stale it returns at once when dist/ is newer than every source,
// so that a second `npm start` costs nothing.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const stamp = join(dist, '.built')

/** The newest modification time, in milliseconds, under a folder (or of one file). */
function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(
    stat.mtimeMs,
    ...readdirSync(path, { withFileTypes: true }).map((entry) => newest(join(path, entry.name))),
  )
}

function isFresh() {
  const inputs = ['src', 'tsconfig.json', 'package.json'].map((name) => join(root, name))
  return existsSync(stamp) && Math.max(...inputs.map(newest)) < statSync(stamp).mtimeMs
}

/** Compiles beside dist/ and puts the result in its place: one that is interrupted leaves the old. */
function build() {
  // The time is taken before compiling: an edit made meanwhile must count as newer.
  const started = new Date()
  const fresh = mkdtempSync(join(root, '.dist-'))
  try {
    const args = [compiler(), '-p', join(root, 'tsconfig.json'), '--outDir', fresh]
    const { status } = spawnSync(process.execPath, args, { stdio: 'inherit' })
    if (status !== 0) return status ?? 1
    // npm makes a bin runnable when it installs one; a checkout is not installed.
    chmodSync(join(fresh, 'cli.js'), 0o755)
    writeFileSync(join(fresh, '.built'), '')
    utimesSync(join(fresh, '.built'), started, started)
    const old = `${fresh}-old`
    if (existsSync(dist)) renameSync(dist, old)
    renameSync(fresh, dist)
    rmSync(old, { recursive: true, force: true })
    return 0
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function compiler() {
  try {
    return createRequire(import.meta.url).resolve('typescript/bin/tsc')
  } catch {
    console.error('The compiler is not installed. Run npm ci without --omit=dev, then try again.')
    process.exit(1)
  }
}

if (!(process.argv.includes('--if-stale') && isFresh())) process.exit(build())

// Compiles src/ to dist/. With --if-stale it returns at once when dist/ is newer than every source,
// so that a second `npm start` costs nothing.
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const stamp = join(root, 'dist', '.built')

/** The newest modification time, in milliseconds, under a folder (or of one file). */
function newest(path) {
  const stat = statSync(path)
  if (!stat.isDirectory()) return stat.mtimeMs
  return Math.max(
    stat.mtimeMs,
    ...readdirSync(path, { withFileTypes: true }).map((entry) => newest(join(path, entry.name))),
  )
}

const inputs = ['src', 'tsconfig.json', 'package.json'].map((name) => join(root, name))
const fresh =
  existsSync(stamp) &&
  (!existsSync(inputs[0]) || Math.max(...inputs.map(newest)) < statSync(stamp).mtimeMs)

if (!(process.argv.includes('--if-stale') && fresh)) {
  // The time is taken before compiling: an edit made meanwhile must count as newer.
  const started = new Date()
  rmSync(join(root, 'dist'), { recursive: true, force: true })
  const tsc = createRequire(import.meta.url).resolve('typescript/bin/tsc')
  const { status } = spawnSync(process.execPath, [tsc, '-p', join(root, 'tsconfig.json')], {
    stdio: 'inherit',
  })
  if (status !== 0) process.exit(status ?? 1)
  writeFileSync(stamp, '')
  utimesSync(stamp, started, started)
}

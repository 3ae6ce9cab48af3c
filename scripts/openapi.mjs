// Writes the OpenAPI document and its 3.0 twin to openapi/. With --check it writes nothing and fails
// when the files there are not what the routes say.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const build = join(root, 'scripts', 'build.mjs')
const { status } = spawnSync(process.execPath, [build, '--if-stale'], { stdio: 'inherit' })
if (status !== 0) process.exit(status ?? 1)

const { createApp } = await import('../dist/http/app.js')
const { makeTwin } = await import('../dist/http/openapi-twin.js')
const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))

// The document comes from the routes alone: whoever asks the engine for anything has a bug.
const engine = new Proxy({}, { get: (_, name) => fail(`the engine was asked for ${String(name)}`) })
const app = createApp(engine, {
  logger: pino({ level: 'silent' }),
  version,
  shutdown: new AbortController().signal,
  limits: { body_bytes: 1_048_576, json_depth: 32 },
  timeouts: { request: 30_000, headers: 10_000, handler: 10_000 },
})
await app.ready()
const document = app.openApi()
await app.close()

const folder = join(root, 'openapi')
mkdirSync(folder, { recursive: true })
const stale = []
for (const [name, content] of [
  ['openapi.json', document],
  ['openapi-3.0.json', makeTwin(document)],
]) {
  const path = join(folder, name)
  const text = `${JSON.stringify(content, null, 2)}\n`
  if (!process.argv.includes('--check')) writeFileSync(path, text)
  else if (read(path) !== text) stale.push(`openapi/${name}`)
}
if (stale.length > 0) {
  console.error(`${stale.join(' and ')} is not what the routes say. Run: node scripts/openapi.mjs`)
  process.exit(1)
}

function read(path) {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return null
  }
}

function fail(message) {
  throw new Error(message)
}

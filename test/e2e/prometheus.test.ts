// A real Prometheus scrapes the built service under load: every query of the dashboard has an answer, every
// alert can be judged and is silent, and promtool accepts all files.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { checkout } from '../support/docs.ts'
import { alertsIn, panelsIn } from '../support/ops.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

const ops = (name: string) => join(checkout, 'ops', name)
let tools: string
let folder: string
let database: TestDatabase
let service: ServiceProcess
let receiver: Server
let prometheus: ChildProcess
let base: string
let log = ''
const load = new AbortController()
let loaded: Promise<void>

beforeAll(async () => {
  tools = execFileSync(process.execPath, [join(checkout, 'scripts/prometheus.mjs')], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  }).trim()
  folder = await mkdtemp(join(tmpdir(), 'taskflow-prometheus-'))
  database = await createTestDatabase()
  receiver = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{"kind": "complete"}')
  })
  receiver.listen(0, '127.0.0.1')
  await once(receiver, 'listening')
  service = await startService({
    DATABASE_URL: database.url,
    LOG_LEVEL: 'warn',
    TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
    TASKFLOW_METRICS_INTERVAL: 'PT1S',
  })
  loaded = keepBusy()
  await startPrometheus()
}, 400_000)

afterAll(async () => {
  load.abort()
  await loaded
  if (prometheus?.exitCode === null) {
    prometheus.kill('SIGTERM')
    await once(prometheus, 'exit')
  }
  await service?.kill('SIGTERM')
  receiver?.closeAllConnections()
  receiver?.close()
  await database?.drop()
  await rm(folder, { recursive: true, force: true })
})

/** The example of a configuration, with the target and the pace of this test. */
async function startPrometheus(): Promise<void> {
  const example = await readFile(ops('prometheus.yml'), 'utf8')
  const config = example
    .replaceAll('15s', '1s')
    .replace('127.0.0.1:3000', `127.0.0.1:${service.port}`)
    .replace('- alerts.yml', `- ${ops('alerts.yml')}`)
  expect(config).toContain(`127.0.0.1:${service.port}`)
  await writeFile(join(folder, 'prometheus.yml'), config)
  const port = await freePort()
  base = `http://127.0.0.1:${port}/api/v1`
  prometheus = spawn(
    join(tools, 'prometheus'),
    [
      `--config.file=${join(folder, 'prometheus.yml')}`,
      `--storage.tsdb.path=${join(folder, 'data')}`,
      `--web.listen-address=127.0.0.1:${port}`,
    ],
    { stdio: ['ignore', 'ignore', 'pipe'] },
  )
  prometheus.stderr?.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-10_000)
  })
  await until(
    () =>
      fetch(`${base}/targets`).then(
        (answer) => answer.ok,
        () => false,
      ),
    30_000,
    log,
  )
}

const newFlow = {
  controller_id: 'busy/pull',
  goal: 'keep busy',
  owner_session_key: 'test',
  requester_origin: 'test',
  start: true,
}

/** A little of everything that the service does, again and again. */
async function keepBusy(): Promise<void> {
  const address = receiver.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  const url = `http://127.0.0.1:${address.port}/`
  const at = service.base
  const make = async (more: object = {}) =>
    (await send<{ id: string }>(at, 'POST', '/flows', { ...newFlow, ...more })).body.id
  await send(at, 'PUT', '/controllers/busy%2Fpush', { url })
  await send(at, 'POST', '/hooks', { url, kinds: ['finished'] })
  await fetch(`${at}/events/stream`, { signal: load.signal }).catch(() => {})
  for (let round = 0; !load.signal.aborted; round++) {
    const timer = await make()
    await send(at, 'POST', `/flows/${timer}/wait`, { kind: 'timer', after: 'PT0.1S' })
    const waits = await make()
    const key = { topic: 'busy', correlation_id: `order-${round}` }
    await send(at, 'POST', `/flows/${waits}/wait`, { kind: 'external_event', ...key })
    await send(at, 'POST', '/signals', key)
    await send(at, 'POST', `/flows/${waits}/finish`, {})
    await send(at, 'POST', `/flows/${waits}/finish`, {})
    await make({ steps: [{ task: 'pulled' }] })
    await make({ controller_id: 'busy/push', steps: [{ task: 'pushed' }] })
    const claim = { worker_id: 'w', controllers: ['busy/pull'], max: 10 }
    const { body } = await send<{ items: { id: string; lease_token: string }[] }>(
      at,
      'POST',
      '/steps/claim',
      claim,
    )
    for (const { id, lease_token } of body.items) {
      await send(at, 'POST', `/steps/${id}/outcome`, { lease_token, outcome: { kind: 'succeed' } })
    }
    await sleep(50)
  }
}

interface Result {
  metric: Record<string, string>
  value: [number, string]
}

async function ask<Data>(path: string, query: Record<string, string> = {}): Promise<Data> {
  const answer = await fetch(`${base}${path}?${new URLSearchParams(query)}`)
  const { status, error, data } = (await answer.json()) as {
    status: string
    error?: string
    data: Data
  }
  if (status !== 'success') throw new Error(`${JSON.stringify(query)}: ${error}`)
  return data
}

const query = async (text: string) =>
  (await ask<{ result: Result[] }>('/query', { query: text })).result

it('promtool accepts the configuration, the alerts, and their tests', () => {
  const run = (...args: string[]) =>
    execFileSync(join(tools, 'promtool'), args, { encoding: 'utf8', cwd: join(checkout, 'ops') })
  expect(run('check', 'config', 'prometheus.yml')).toContain('SUCCESS')
  expect(run('check', 'rules', 'alerts.yml')).toContain('SUCCESS')
  expect(run('test', 'rules', 'alerts.test.yml')).toContain('SUCCESS')
})

it('promtool has nothing to say against the metrics of the service', async () => {
  const text = await fetch(`${service.base}/metrics`).then((answer) => answer.text())
  // Those of Node are named by others.
  const own = text
    .split('\n')
    .filter((line) => /^(# (HELP|TYPE) )?taskflow_/.test(line))
    .join('\n')
  expect(own.length).toBeGreaterThan(5_000)
  execFileSync(join(tools, 'promtool'), ['check', 'metrics'], { input: `${own}\n`, stdio: 'pipe' })
})

it('the target is up, and what it tells can be read', { timeout: 60_000 }, async () => {
  await until(
    async () => (await query('up{job="taskflow"}'))[0]?.value[1] === '1',
    50_000,
    'it is up',
  )
  const { activeTargets } = await ask<{ activeTargets: { health: string; lastError: string }[] }>(
    '/targets',
  )
  expect(activeTargets).toMatchObject([{ health: 'up', lastError: '' }])
})

it('every query of the dashboard returns figures', { timeout: 120_000 }, async () => {
  const panels = panelsIn(await readFile(ops('grafana-dashboard.json'), 'utf8'))
  const queries = panels.flatMap(({ title, queries: of }) => of.map((text) => ({ title, text })))
  expect(queries.length).toBeGreaterThan(40)
  const asked = (text: string) =>
    query(text.replaceAll('$__rate_interval', '15s').replaceAll('$instance', '.*'))
  for (const { title, text } of queries) {
    const figures = async () => {
      const results = await asked(text)
      // A quantile of nothing is not a number: the load has something of everything.
      return results.length > 0 && results.some(({ value }) => value[1] !== 'NaN')
    }
    await until(figures, 40_000, `the panel ${title} has figures: ${text}`)
  }
})

it('every alert can be judged, and none fires', { timeout: 60_000 }, async () => {
  interface Rule {
    name: string
    health: string
    state: string
    lastError?: string
  }
  const rules = async () =>
    (await ask<{ groups: { rules: Rule[] }[] }>('/rules')).groups.flatMap((group) => group.rules)
  const judged = async () => (await rules()).every(({ health }) => health !== 'unknown')
  await until(judged, 30_000, 'all are judged')
  const names = alertsIn(await readFile(ops('alerts.yml'), 'utf8')).map(({ name }) => name)
  const found = await rules()
  expect(found.map(({ name }) => name)).toEqual(names)
  expect(found.filter(({ health }) => health !== 'ok')).toEqual([])
  expect(found.filter(({ state }) => state === 'firing').map(({ name }) => name)).toEqual([])
})

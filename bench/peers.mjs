// The contenders of the steps: what users pick instead. Each runs in a process of its own, and only while it is measured.

import { spawn } from 'node:child_process'
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { cpuOf } from './cpu.mjs'
import { connect } from './postgres.mjs'
import { progress, say } from './report.mjs'

const directory = join(import.meta.dirname, 'peers')

/** @typedef {import('./lifecycle.mjs').Round} Round */

/**
 * @typedef {object} Peer
 * @property {string} name
 * @property {string} title
 * @property {boolean} single whether each job is acknowledged on its own
 * @property {(seconds: number, options?: { callers?: number }) => Promise<Round | null>} measure Null when it
 *   does not run here, or did not before.
 * @property {() => Promise<void>} analyze
 * @property {() => Promise<void>} check
 * @property {() => Promise<void>} close
 */

/**
 * How each was at its best on two cores: more callers or workers gained nothing. `counts` tells how many units
 * its database holds as finished (null when it deletes them) and as anything else.
 */
const contenders = [
  {
    name: 'dbos',
    title: 'DBOS Transact: startWorkflow, one step, getResult',
    script: 'dbos',
    options: { callers: 16, workers: 10, batch: 1 },
    counts: `select count(*) filter (where status = 'SUCCESS')::integer as finished,
      count(*) filter (where status <> 'SUCCESS')::integer as others from dbos.workflow_status`,
  },
  {
    name: 'pg-boss',
    title: 'pg-boss: send, fetch 1, complete 1',
    script: 'pg-boss',
    options: { callers: 64, workers: 10, batch: 1 },
    counts: `select count(*) filter (where state = 'completed')::integer as finished,
      count(*) filter (where state <> 'completed')::integer as others
      from pgboss.job where name = 'bench'`,
  },
  {
    name: 'graphile-worker',
    title: 'graphile-worker: addJob, one by one',
    script: 'graphile-worker',
    options: { callers: 16, workers: 10, batch: 1 },
    counts: `select null::integer as finished, count(*)::integer as others
      from graphile_worker._private_jobs`,
  },
  {
    name: 'pg-boss-batch',
    title: 'pg-boss: send, fetch 50, complete 50',
    script: 'pg-boss',
    options: { callers: 64, workers: 2, batch: 50 },
    counts: `select count(*) filter (where state = 'completed')::integer as finished,
      count(*) filter (where state <> 'completed')::integer as others
      from pgboss.job where name = 'bench'`,
  },
  {
    name: 'graphile-worker-batch',
    title: 'graphile-worker: local queue of 500, completed in batches',
    script: 'graphile-worker',
    options: { callers: 64, workers: 24, batch: 500 },
    counts: `select null::integer as finished, count(*)::integer as others
      from graphile_worker._private_jobs`,
  },
  {
    name: 'restate',
    title: 'Restate: one call of its ingress, one ctx.run (its own log, no PostgreSQL)',
    script: 'restate',
    options: { callers: 64, workers: 1, batch: 1 },
    counts: null,
  },
]

/**
 * Opens all contenders that can run here, with a database for each; none when they cannot be installed.
 *
 * @param {import('./postgres.mjs').Server} server
 * @returns {Promise<Peer[]>}
 */
export async function openPeers(server) {
  if (!(await installed()) && !(await install())) {
    say('The contenders could not be installed (npm ci --prefix bench/peers): this run has none.')
    return []
  }
  const peers = []
  for (const contender of contenders) peers.push(await peerOf(server, contender))
  return peers
}

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {typeof contenders[number]} contender
 * @returns {Promise<Peer>}
 */
async function peerOf(server, { name, title, script, options, counts }) {
  const url = await server.createDatabase(name.replaceAll('-', '_'))
  let started = 0
  let fails = false
  return {
    name,
    title,
    single: options.batch === 1,
    async measure(seconds, { callers = options.callers } = {}) {
      if (fails) return null
      try {
        const { round, units } = await runScript(server, script, url, {
          ...options,
          callers,
          seconds,
        })
        started += units
        return round
      } catch (error) {
        fails = true
        say(`${title}: does not run here. ${error instanceof Error ? error.message : error}`)
        return null
      }
    },
    async analyze() {
      await withClient(url, (client) => client.query('vacuum (analyze)'))
    },
    async check() {
      if (counts === null || fails) return
      const { rows } = await withClient(url, (client) => client.query(counts))
      const { finished, others } = rows[0]
      if (others !== 0 || (finished !== null && finished !== started)) {
        throw new Error(`${title}: ${started} started, ${finished} finished, ${others} are not`)
      }
    },
    close: () => server.dropDatabase(url),
  }
}

/**
 * Runs a contender's script once and counts the CPU of its time.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {string} script
 * @param {string} url
 * @param {Record<string, number>} options
 * @returns {Promise<{ round: Round, units: number }>}
 */
async function runScript(server, script, url, options) {
  const args = Object.entries(options).map(([name, value]) => `--${name}=${value}`)
  const child = spawn(process.execPath, [join(directory, `${script}.mjs`), ...args], {
    env: { ...process.env, DATABASE_URL: url, NODE_ENV: 'production' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const stop = () => child.kill('SIGTERM')
  process.once('exit', stop)
  const ended = new Promise((resolve) => void child.once('close', resolve))
  const overdue = setTimeout(stop, (options.seconds + 60) * 1000)
  let said = ''
  child.stderr.on('data', (text) => {
    said = (said + text).slice(-4000)
  })
  const pid = /** @type {number} */ (child.pid)
  /** @type {number[]} */
  let pids = []
  const used = () => ({ own: cpuOf(pid), server: pids.length === 0 ? server.cpu() : sumOf(pids) })
  let before = used()
  let after = before
  /** @type {{ rate: number, p50_ms: number, p99_ms: number, done: number, started: number } | null} */
  let figures = null
  for await (const line of createInterface({ input: child.stdout })) {
    if (!line.startsWith('{')) continue
    const told = JSON.parse(line)
    if (told.begin) {
      pids = told.pids
      before = used()
    } else if (told.end) after = used()
    else figures = told
  }
  await ended
  clearTimeout(overdue)
  process.off('exit', stop)
  if (figures === null) throw new Error(reasonIn(said))
  const { rate, p50_ms: p50, p99_ms: p99, done, started } = figures
  const each = (/** @type {number | null} */ from, /** @type {number | null} */ to) =>
    from === null || to === null ? null : ((to - from) * 1e6) / done
  const own = each(before.own, after.own)
  return {
    round: { rate, p50, p99, own, server: each(before.server, after.server) },
    units: started,
  }
}

/** The line of an error's text that tells most. @param {string} said */
function reasonIn(said) {
  const lines = said.split('\n').filter((line) => line.trim() !== '')
  return (
    lines.find((line) => /\w*Error\b.*:/.test(line))?.trim() ?? lines.at(-1) ?? 'It said nothing.'
  )
}

/** @param {number[]} pids */
function sumOf(pids) {
  return pids.map(cpuOf).reduce((sum, one) => (sum === null || one === null ? null : sum + one), 0)
}

/**
 * @template T
 * @param {string} url
 * @param {(client: import('pg').Client) => Promise<T>} use
 */
async function withClient(url, use) {
  const client = await connect(url)
  try {
    return await use(client)
  } finally {
    await client.end()
  }
}

/** Whether what the lock file names is there. */
async function installed() {
  try {
    const [wanted, found] = await Promise.all(
      ['package-lock.json', 'node_modules/.package-lock.json'].map((name) =>
        stat(join(directory, name)),
      ),
    )
    return found.mtimeMs >= wanted.mtimeMs
  } catch {
    return false
  }
}

/** @returns {Promise<boolean>} */
async function install() {
  progress('npm ci --prefix bench/peers: the contenders of this bench')
  const npm = spawn('npm', ['ci', '--prefix', directory], {
    stdio: ['ignore', 'ignore', 'inherit'],
    shell: process.platform === 'win32',
  })
  return new Promise((resolve) => {
    npm.once('error', () => resolve(false))
    npm.once('close', (code) => resolve(code === 0))
  })
}

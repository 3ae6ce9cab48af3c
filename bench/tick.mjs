// What a tick costs when nothing is due, however many flows wait, and whatever fired timers left in the index.

import { createEngine } from '../dist/engine/engine.js'
import { openDatabase } from '../dist/store/db.js'
import { readNextDue } from '../dist/store/due.js'
import { connect } from './postgres.mjs'
import { figure, heading, judge, percentile, progress, say, table } from './report.mjs'
import { insertWaiting, settle } from './rows.mjs'

const passes = 1000
const slack = 60_000

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ quick: boolean }} options
 */
export async function tick(server, { quick }) {
  heading(`Empty ticks: ${passes} passes in a row, half the flows on timers a year ahead`)
  const sizes = quick ? [1_000, 100_000] : [1_000, 100_000, 1_000_000]
  const url = await server.createDatabase('tick')
  const client = await connect(url)
  const engine = openEngine(url)
  /** @type {string[][]} */
  const rows = []
  /** @type {number[]} */
  const medians = []
  try {
    let present = 0
    for (const size of sizes) {
      progress(`${size} waiting flows`)
      const due = `now() + interval '1 year' + i * interval '1 second'`
      await insertWaiting(client, { count: size - present, waits: 'mixed', due })
      present = size
      await settle(client)
      const idle = await time(() => readNextDue(engine.reader, { from: mark(), except: [] }))
      const whole = await time(() => engine.tick())
      medians.push(percentile(idle, 0.5))
      rows.push([
        `${size.toLocaleString('en-US')} waiting`,
        ...columns(idle),
        String(await buffersOf(client, mark())),
        ...columns(whole),
      ])
    }
    const dead = quick ? 20_000 : 200_000
    rows.push(...(await withDeadEntries(server, dead)))
    table(['', 'idle p50 ms', 'p99', 'buffers', 'tick() p50 ms', 'p99'], rows)
    say('idle: the statement that the wait engine runs when nothing is due (readNextDue).')
    say('tick(): a whole transaction as POST /engine/tick runs it, always without the mark.')
    const slowest = Math.max(...medians)
    judge('empty tick, p50 ms, worst size', '< 1', figure(slowest), slowest < 1)
    const growth = (medians.at(-1) ?? 0) / (medians[0] ?? 1)
    judge(
      `empty tick, ${sizes.at(-1)?.toLocaleString('en-US')} / 1,000 waiting`,
      '≤ 1.5',
      figure(growth),
      growth <= 1.5,
    )
  } finally {
    await engine.close()
    await client.end()
    await server.dropDatabase(url)
  }
}

/**
 * Timers that fired while an old snapshot is open leave index entries that nobody may remove.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {number} dead
 */
async function withDeadEntries(server, dead) {
  const url = await server.createDatabase('dead')
  const client = await connect(url)
  const holder = await connect(url)
  const engine = openEngine(url)
  try {
    progress(`firing ${dead} timers under an old snapshot`)
    const ahead = `now() + interval '1 year' + i * interval '1 second'`
    await insertWaiting(client, { count: 100_000, waits: 'mixed', due: ahead })
    const past = `now() - interval '1 hour' + i * interval '10 milliseconds'`
    await insertWaiting(client, { count: dead, waits: 'timers', due: past })
    await settle(client)
    await holder.query('begin isolation level repeatable read')
    await holder.query('select from flows limit 1')
    await engine.tick()
    const marked = await time(() => readNextDue(engine.reader, { from: mark(), except: [] }))
    const full = await time(() => readNextDue(engine.reader, { from: null, except: [] }), 50)
    const whole = await time(() => engine.tick(), 50)
    const label = `100,000 waiting, ${dead.toLocaleString('en-US')} dead entries`
    const p50 = percentile(marked, 0.5)
    judge('empty tick over dead index entries, p50 ms', '< 1', figure(p50), p50 < 1)
    return [
      [label, ...columns(marked), String(await buffersOf(client, mark())), '', ''],
      [
        `${label}, no mark (once a minute)`,
        ...columns(full),
        String(await buffersOf(client, null)),
        ...columns(whole),
      ],
    ]
  } finally {
    await holder.end()
    await engine.close()
    await client.end()
    await server.dropDatabase(url)
  }
}

/** The low-water mark of a wait engine that has just looked at everything. */
function mark() {
  return new Date(Date.now() - slack).toISOString()
}

/** The engine of the service without its loops. @param {string} url */
function openEngine(url) {
  const database = openDatabase({
    connectionString: url,
    writers: 2,
    readers: 1,
    applicationName: 'bench',
    onError: () => {},
  })
  const engine = createEngine({
    scope: database.scope,
    version: 'bench',
    limits: { state_bytes: 262_144, labels: 32, open_steps: 1_000 },
    signals: {
      ttl: 86_400_000,
      max_ttl: 86_400_000,
      kept: 1000,
      payload_bytes: 65_536,
      retention: 86_400_000,
    },
    commit: { inFlight: 1, batchSize: 256, queueLimit: 1000 },
    readsInFlight: 1,
    tick: { interval: 1000, batchSize: 500 },
    inbound: { allowUnsigned: false, retention: 86_400_000 },
    steps: { bytes: 65_536, memos: { bytes: 65_536, count: 10 } },
    streams: { total: 1, perCaller: 1, perNamespace: 0 },
    hooks: {
      rules: { allowPrivate: false },
      limit: 1,
      timeout: 1_000,
      retention: 86_400_000,
      failed_retention: 86_400_000,
      source: '/bench',
    },
    push: {
      rules: { allowPrivate: false },
      wire: { write: () => '', read: () => ({ fault: 'nothing is pushed here' }) },
      answerBytes: 1_024,
    },
    outbound: {
      send: async () => ({ failure: 'connect', message: 'nothing is sent here', latency_ms: 0 }),
    },
    depths: { interval: 60_000 },
    listen: {},
    report: () => {},
  })
  return {
    reader: database.scope.reader,
    tick: () => engine.waitEngine.tick(),
    async close() {
      await engine.stop()
      await database.close()
    },
  }
}

/**
 * @param {() => Promise<unknown>} work
 * @param {number} [times]
 */
async function time(work, times = passes) {
  for (let i = 0; i < Math.min(20, times); i++) await work()
  const took = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    await work()
    took.push(performance.now() - began)
  }
  return took
}

/** @param {number[]} took */
function columns(took) {
  return [figure(percentile(took, 0.5)), figure(percentile(took, 0.99))]
}

/**
 * Pages that the idle pass touches.
 *
 * @param {import('pg').Client} client
 * @param {string | null} from
 * @returns {Promise<number>}
 */
async function buffersOf(client, from) {
  /** @type {{ text: string, values: unknown[] } | undefined} */
  let sent
  const spy = {
    query: async (/** @type {{ text: string, values: unknown[] }} */ config) => {
      sent = config
      return { rows: [{ now: '', in_ms: null }] }
    },
  }
  await readNextDue(/** @type {any} */ (spy), { from, except: [] })
  if (sent === undefined) throw new Error('readNextDue sent nothing')
  const { text, values } = sent
  let buffers = 0
  // The first run fills caches of the session.
  for (let i = 0; i < 2; i++) {
    const { rows } = await client.query({
      text: `explain (analyze, buffers, format json) ${text}`,
      values,
    })
    const { Plan: plan } = rows[0]['QUERY PLAN'][0]
    buffers = plan['Shared Hit Blocks'] + plan['Shared Read Blocks']
  }
  return buffers
}

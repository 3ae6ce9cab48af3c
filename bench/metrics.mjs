// What /metrics costs, idle and under load, and what it costs to read how much waits among a million flows.

import { openDatabase } from '../dist/store/db.js'
import { readDepths } from '../dist/store/depths.js'
import { openConnection } from './http-client.mjs'
import { connect } from './postgres.mjs'
import { figure, heading, judge, median, percentile, progress, say, table } from './report.mjs'
import { insertKept, insertSteps, insertWaiting, settle } from './rows.mjs'
import { startService } from './service.mjs'
import { task } from './step-work.mjs'

const scrapes = 500
const reads = 30
const writers = 16

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ quick: boolean }} options
 */
export async function metrics(server, { quick }) {
  heading(`Metrics: ${scrapes} scrapes in a row, and ${reads} reads of what waits`)
  const sizes = quick ? [1_000, 100_000] : [1_000, 1_000_000]
  /** @type {string[][]} */
  const rows = []
  /** @type {number[]} */
  const worst = []
  for (const size of sizes) {
    const url = await server.createDatabase(`metrics_${size}`)
    try {
      await fill(url, size)
      const read = await readTimes(url)
      const service = await startService({
        DATABASE_URL: url,
        // Often, so that scrapes meet reads.
        TASKFLOW_METRICS_INTERVAL: 'PT1S',
        TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
      })
      try {
        const connection = await openConnection(service.port)
        const series = await visitRoutes(service.port)
        const idle = await scrapeTimes(connection)
        const stop = await underLoad(service.port)
        const loaded = await scrapeTimes(connection)
        const changes = await stop()
        connection.close()
        worst.push(percentile(idle, 0.99))
        rows.push([
          size.toLocaleString('en-US'),
          String(series),
          figure(percentile(idle, 0.5)),
          figure(percentile(idle, 0.99)),
          figure(percentile(loaded, 0.5)),
          figure(percentile(loaded, 0.99)),
          figure(changes),
          figure(median(read)),
          figure(Math.max(...read)),
        ])
      } finally {
        await service.stop()
      }
    } finally {
      await server.dropDatabase(url)
    }
  }
  table(
    [
      'waiting flows, and as many steps',
      'series',
      'scrape p50 ms',
      'p99',
      `with ${writers} writers p50 ms`,
      'p99',
      'changes/s',
      'read of what waits p50 ms',
      'worst',
    ],
    rows,
  )
  say(
    'Series: after a request to every route. The read is every TASKFLOW_METRICS_INTERVAL, beside the requests.',
  )
  const slowest = Math.max(...worst)
  judge('GET /metrics, p99 ms, worst size', '≤ 10', figure(slowest), slowest <= 10)
}

/** @param {string} url @param {number} size */
async function fill(url, size) {
  const client = await connect(url)
  try {
    progress(`${size} waiting flows`)
    const due = `now() + interval '1 year' + i * interval '1 second'`
    await insertWaiting(client, { count: size, waits: 'mixed', due })
    await insertKept(client, { count: size / 10 })
    await insertSteps(client, { count: size / 2, task, runAt: `now() - interval '1 minute'` })
    const later = `now() + interval '1 day' + i * interval '1 second'`
    await insertSteps(client, { count: size / 2, task, runAt: later, offset: size / 2 })
    await settle(client)
  } finally {
    await client.end()
  }
}

/** Milliseconds of reads of what waits. @param {string} url */
async function readTimes(url) {
  const database = openDatabase({
    connectionString: url,
    writers: 1,
    readers: 1,
    applicationName: 'bench',
    onError: () => {},
  })
  try {
    /** @type {number[]} */
    const took = []
    for (let i = 0; i < reads; i++) {
      const began = performance.now()
      await readDepths(database.scope)
      took.push(performance.now() - began)
    }
    return took.slice(1)
  } finally {
    await database.close()
  }
}

/**
 * Sends a request to every route, so that each has its series; answers how many there are.
 *
 * @param {number} port
 */
async function visitRoutes(port) {
  const base = `http://127.0.0.1:${port}`
  /** @type {{ paths: Record<string, Record<string, object>> }} */
  const document = await (await fetch(`${base}/openapi.json`)).json()
  for (const [path, methods] of Object.entries(document.paths)) {
    if (path.endsWith('/stream')) continue
    const url = base + path.replace(/\{[^}]*\}/g, '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15')
    for (const method of Object.keys(methods)) {
      const body = method === 'get' ? {} : { body: '{}' }
      const headers = { 'content-type': 'application/json' }
      const answer = await fetch(url, { method: method.toUpperCase(), headers, ...body })
      await answer.arrayBuffer()
    }
  }
  const text = await (await fetch(`${base}/metrics`)).text()
  return text.split('\n').filter((line) => line !== '' && !line.startsWith('#')).length
}

/** Milliseconds of each scrape. @param {import('./http-client.mjs').Connection} connection */
async function scrapeTimes(connection) {
  /** @type {number[]} */
  const took = []
  for (let i = 0; i < scrapes; i++) {
    const began = performance.now()
    const { status } = await connection.send('GET', '/metrics', '')
    took.push(performance.now() - began)
    if (status !== 200) throw new Error(`GET /metrics answered ${status}`)
  }
  return took
}

/**
 * Creates flows on several connections; what it answers stops that, and tells how many a second there were.
 *
 * @param {number} port
 */
async function underLoad(port) {
  const body = JSON.stringify({
    controller_id: 'bench/metrics',
    goal: 'load',
    owner_session_key: 'bench',
    requester_origin: 'bench',
  })
  let going = true
  let made = 0
  const began = performance.now()
  const loops = Array.from({ length: writers }, async () => {
    const connection = await openConnection(port)
    while (going) {
      const { status } = await connection.send('POST', '/flows', body)
      if (status !== 201) throw new Error(`POST /flows answered ${status}`)
      made++
    }
    connection.close()
  })
  return async () => {
    going = false
    await Promise.all(loops)
    return made / ((performance.now() - began) / 1000)
  }
}

// What deleting flows that ended long ago does to the callers of the API, and how fast it goes.

import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf } from './cpu.mjs'
import { httpLane } from './lifecycle.mjs'
import { connect } from './postgres.mjs'
import {
  figure,
  heading,
  judge,
  median,
  percentile,
  progress,
  say,
  spread,
  table,
} from './report.mjs'
import { insertClosed, settle } from './rows.mjs'
import { startService } from './service.mjs'

/** Callers, and how long each rests between two requests, in milliseconds. */
const loads = [
  { name: '32 callers who rest', lanes: 32, rest: 60 },
  { name: '32 callers without a rest', lanes: 32, rest: 0 },
]

/**
 * @typedef {{ p50: number, p99: number, rate: number, deleted: number, own: number | null, server: number | null }} Round
 *   Milliseconds, requests and deleted flows per second, CPU seconds per second.
 */

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, flows: number }} options
 */
export async function retention(server, { seconds, rounds, flows }) {
  const size = flows.toLocaleString('en-US')
  heading(`Retention: ${size} flows past their time; ${rounds} rounds of ${seconds} s`)
  const url = await server.createDatabase('retention')
  const client = await connect(url)
  try {
    progress(`inserting ${size} finished flows with 5 events and a step each`)
    const closed = `now() - interval '200 days' + i * interval '1 second'`
    await insertClosed(client, { count: flows, closed })
    await settle(client)
    /** @type {Map<string, Round[]>} */
    const results = new Map()
    for (let round = 0; round < rounds; round++) {
      for (const load of loads) {
        // The order turns: what runs second finds caches warm and the log longer.
        const order = round % 2 === 0 ? ['off', 'P90D'] : ['P90D', 'off']
        for (const setting of order) {
          progress(`${load.name}, retention ${setting}, round ${round + 1} of ${rounds}`)
          const id = `${load.name}/${setting}`
          const found = await measure(server, client, url, setting, load, seconds)
          results.set(id, [...(results.get(id) ?? []), found])
        }
      }
    }
    print(results)
    await storage(client, url)
    await alone(server, client, url, seconds)
    await check(client)
  } finally {
    await client.end()
    await server.dropDatabase(url)
  }
}

/** @param {Map<string, Round[]>} results */
function print(results) {
  const rows = loads.flatMap(({ name }) =>
    ['off', 'P90D'].map((setting) => {
      const of = results.get(`${name}/${setting}`) ?? []
      return [
        `${name}, retention ${setting}`,
        spread(of.map(({ rate }) => rate)),
        spread(of.map(({ p50 }) => p50)),
        spread(of.map(({ p99 }) => p99)),
        spread(of.map(({ deleted }) => deleted)),
        figure(median(of.flatMap(({ own }) => own ?? []))),
        figure(median(of.flatMap(({ server }) => server ?? []))),
      ]
    }),
  )
  table(['', 'requests/s', 'p50 ms', 'p99 ms', 'deleted/s', 'Node cores', 'PG cores'], rows)
  for (const { name } of loads) {
    const base = results.get(`${name}/off`) ?? []
    const busy = results.get(`${name}/P90D`) ?? []
    const ratios = busy.map(({ p99 }, i) => p99 / (base[i]?.p99 ?? Number.NaN))
    const holds = median(ratios) <= 1.5
    judge(`API p99 during deletions, ${name}`, '≤ 1.5 × without', spread(ratios), holds)
  }
}

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {import('pg').Client} client
 * @param {string} url
 * @param {string} setting
 * @param {{ lanes: number, rest: number }} load
 * @param {number} seconds
 * @returns {Promise<Round>}
 */
async function measure(server, client, url, setting, load, seconds) {
  const service = await startService({ DATABASE_URL: url, TASKFLOW_FLOW_RETENTION: setting })
  const lanes = await Promise.all(Array.from({ length: load.lanes }, () => httpLane(service.port)))
  try {
    await drive(lanes, load.rest, 2)
    const before = { own: cpuOf(service.pid), server: server.cpu(), deleted: await total(client) }
    const took = await drive(lanes, load.rest, seconds)
    const deleted = (await total(client)) - before.deleted
    const cores = (/** @type {number | null} */ from, /** @type {number | null} */ to) =>
      from === null || to === null ? null : (to - from) / seconds
    if (setting !== 'off' && deleted === 0) throw new Error('nothing was deleted: use more flows')
    return {
      p50: percentile(took, 0.5),
      p99: percentile(took, 0.99),
      rate: took.length / seconds,
      deleted: deleted / seconds,
      own: cores(before.own, cpuOf(service.pid)),
      server: cores(before.server, server.cpu()),
    }
  } finally {
    for (const lane of lanes) lane.close()
    await service.stop()
  }
}

/**
 * Lives of flows, with a rest before each request; answers how long each request took.
 *
 * @param {readonly import('./lifecycle.mjs').Lane[]} lanes
 * @param {number} rest
 * @param {number} seconds
 */
async function drive(lanes, rest, seconds) {
  /** @type {number[]} */
  const took = []
  const deadline = performance.now() + seconds * 1000
  await Promise.all(
    lanes.map(async ({ steps }) => {
      const flow = { id: '' }
      for (;;) {
        for (const step of steps) {
          if (rest > 0) await sleep(rest * (0.5 + Math.random()))
          const began = performance.now()
          await step(flow)
          const ended = performance.now()
          if (ended > deadline) return
          took.push(ended - began)
        }
      }
    }),
  )
  return took
}

/** What operators ask, while much is there. @param {import('pg').Client} client @param {string} url */
async function storage(client, url) {
  const { rows } = await client.query(`select count(*)::integer as count from flows`)
  const service = await startService({ DATABASE_URL: url, TASKFLOW_FLOW_RETENTION: 'off' })
  try {
    const report = await (await fetch(`http://127.0.0.1:${service.port}/engine/storage`)).json()
    const each = report.tables.map(
      (/** @type {{ name: string, table_bytes: number, index_bytes: number }} */ one) =>
        `${one.name} ${figure(one.table_bytes / rows[0].count)} + ${figure(one.index_bytes / rows[0].count)}`,
    )
    say(`Bytes for each flow, of the table and its indexes: ${each.slice(0, 3).join(', ')}`)
    for (const path of ['/engine/storage', '/engine/retention?retention=P90D', '/engine/queues']) {
      /** @type {number[]} */
      const took = []
      for (let i = 0; i < 50; i++) {
        const began = performance.now()
        const answer = await fetch(`http://127.0.0.1:${service.port}${path}`)
        await answer.text()
        if (answer.status !== 200) throw new Error(`${path} answered ${answer.status}`)
        took.push(performance.now() - began)
      }
      const size = Number(rows[0].count).toLocaleString('en-US')
      say(
        `GET ${path}, ${size} flows: p50 ${figure(percentile(took, 0.5))} ms, p99 ${figure(percentile(took, 0.99))} ms`,
      )
    }
  } finally {
    await service.stop()
  }
}

/**
 * How fast it goes when nobody calls.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {import('pg').Client} client
 * @param {string} url
 * @param {number} seconds
 */
async function alone(server, client, url, seconds) {
  const service = await startService({ DATABASE_URL: url })
  try {
    await sleep(2_000)
    const before = { deleted: await total(client), server: server.cpu(), at: performance.now() }
    await sleep(Math.max(seconds, 5) * 1000)
    const passed = (performance.now() - before.at) / 1000
    const rate = ((await total(client)) - before.deleted) / passed
    const after = server.cpu()
    const cores = before.server === null || after === null ? null : (after - before.server) / passed
    say(
      `Nobody calls: ${figure(rate)} flows deleted per second, ${figure(cores)} cores of PostgreSQL`,
    )
  } finally {
    await service.stop()
  }
}

/** @param {import('pg').Client} client */
async function total(client) {
  const { rows } = await client.query(`select deleted_total::integer as n from sweepers`)
  return Number(rows[0].n)
}

/** Nothing is left of what went, and all is there of what stayed. @param {import('pg').Client} client */
async function check(client) {
  const { rows } = await client.query(`
    select (select count(*) from flow_events e
        where not exists (select 1 from flows f where f.id = e.flow_id))::integer as events,
      (select count(*) from flow_steps s
        where not exists (select 1 from flows f where f.id = s.flow_id))::integer as steps,
      (select count(*) from flows f where f.revision + 1 <> (
        select count(*) from flow_events e where e.flow_id = f.id))::integer as gaps`)
  const { events, steps, gaps } = rows[0]
  if (events + steps + gaps > 0) {
    throw new Error(
      `${events} events and ${steps} steps of no flow, ${gaps} flows without all events`,
    )
  }
  say('Checked: no event and no step of a deleted flow is left, and no flow lacks one of its own.')
}

// Due timers fired per second by one process of the service, at several batch sizes.

import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf } from './cpu.mjs'
import { connect } from './postgres.mjs'
import { figure, heading, judge, median, progress, spread, table } from './report.mjs'
import { insertWaiting } from './rows.mjs'
import { startService } from './service.mjs'

/** The batch size that the service has unless told otherwise. */
const usual = 500
/** Timers that fire before the ones that count. */
const warmUp = 5_000

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ rounds: number, quick: boolean }} options
 */
export async function timers(server, { rounds, quick }) {
  const count = quick ? 10_000 : 50_000
  const sizes = quick ? [usual] : [100, usual, 1000]
  heading(`Timers: ${count} flows whose timers are due at once; ${rounds} rounds`)
  /** @type {Map<number, { rate: number, own: number | null, server: number | null }[]>} */
  const results = new Map(sizes.map((size) => [size, []]))
  for (let round = 0; round < rounds; round++) {
    for (const size of sizes) {
      progress(`batches of ${size}, round ${round + 1} of ${rounds}`)
      results.get(size)?.push(await fireAll(server, count, size))
    }
  }
  table(
    ['batch', 'fired per second', 'Node µs/timer', 'PG µs/timer'],
    sizes.map((size) => {
      const of = results.get(size) ?? []
      return [
        String(size),
        spread(of.map(({ rate }) => rate)),
        figure(median(of.flatMap(({ own }) => own ?? []))),
        figure(median(of.flatMap(({ server }) => server ?? []))),
      ]
    }),
  )
  const rates = (results.get(usual) ?? []).map(({ rate }) => rate)
  judge('timers fired per second', '≥ 20,000', spread(rates), median(rates) >= 20_000)
}

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {number} count
 * @param {number} size
 */
async function fireAll(server, count, size) {
  const url = await server.createDatabase(`timers_${size}`)
  const client = await connect(url)
  const service = await startService({ DATABASE_URL: url, TASKFLOW_TICK_BATCH: String(size) })
  try {
    // A service that has run for a while has compiled its code and planned its statements.
    await setOff(client, warmUp, () => {})
    const cpu = () => ({ own: cpuOf(service.pid), server: server.cpu() })
    const { now, before } = await setOff(client, count, cpu)
    const after = cpu()
    const { rows } = await client.query(
      `with r as (select flow_id, at, max(at) over () as last, min(at) over () as first
         from flow_events where kind = 'resumed' and at >= $1)
       select count(*)::integer as events, count(distinct flow_id)::integer as flows,
         (select count(*) from flows where status = 'running' and revision = 3)::integer as running,
         -- Events bear the time of their batch's start: the last batch is not over at its own.
         count(*) filter (where at < last) / extract(epoch from max(last) - min(first)) as rate
       from r`,
      [now],
    )
    const { events, flows, running, rate } = rows[0]
    if (events !== count || flows !== count || running !== count + warmUp) {
      throw new Error(`${count} timers: ${events} events, ${flows} flows, ${running} running`)
    }
    const each = (/** @type {number | null} */ from, /** @type {number | null} */ to) =>
      from === null || to === null ? null : ((to - from) * 1e6) / count
    return {
      rate: Number(rate),
      own: each(before.own, after.own),
      server: each(before.server, after.server),
    }
  } finally {
    await service.stop()
    await client.end()
    await server.dropDatabase(url)
  }
}

/**
 * Lets flows appear that are due at once, all in one moment, and waits until none is left. Answers
 * when they appeared, and what was `read` just before.
 *
 * @template Reading
 * @param {import('pg').Client} client
 * @param {number} count
 * @param {() => Reading} read
 */
async function setOff(client, count, read) {
  await client.query('begin')
  await insertWaiting(client, { count, waits: 'timers', due: 'now()', events: true })
  await client.query('analyze flows')
  const { rows } = await client.query('select clock_timestamp()::text as now')
  const before = read()
  await client.query('commit')
  while ((await waiting(client)) > 0) await sleep(50)
  return { now: rows[0].now, before }
}

/** @param {import('pg').Client} client @returns {Promise<number>} */
async function waiting(client) {
  const { rows } = await client.query(
    'select count(*)::integer as n from (select from flows where wake_at is not null limit 1) f',
  )
  return rows[0].n
}

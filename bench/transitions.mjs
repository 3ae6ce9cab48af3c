// Transitions per second through HTTP, against one transaction per request and against plain pools.

import { drive, httpLane, liveLane, measure } from './lifecycle.mjs'
import { plainTransactions, singleStatements } from './plain-pool.mjs'
import { connect } from './postgres.mjs'
import { figure, heading, judge, median, progress, say, spread, table } from './report.mjs'
import { startService } from './service.mjs'

/** @typedef {import('./lifecycle.mjs').Contender} Contender */
/** @typedef {import('./lifecycle.mjs').Round} Round */

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, quick: boolean }} options
 */
export async function transitions(server, { seconds, rounds, quick }) {
  const levels = quick ? [1, 64] : [1, 16, 64, 128]
  heading(`Transitions: create, wait, resume, patch, finish; ${rounds} rounds of ${seconds} s`)
  const batched = await service(server, 'batched', 'service', {})
  const contenders = [
    batched,
    ...(quick
      ? []
      : [await service(server, 'single4', 'service, batch of 1, 4 at once', singly(4))]),
    await service(server, 'single16', 'service, batch of 1, 16 at once', singly(16)),
    singleStatements(await server.createDatabase('pool')),
    plainTransactions(await server.createDatabase('transactions')),
    httpAlone(batched),
  ]
  try {
    for (const contender of contenders) await warmUp(contender, quick ? 0.5 : 1.5)
    /** @type {Map<string, Round[]>} */
    const results = new Map()
    for (const level of levels) {
      for (let round = 0; round < rounds; round++) {
        progress(`${level} connections, round ${round + 1} of ${rounds}`)
        // The order turns with the rounds: nobody always runs behind the same other.
        for (let i = 0; i < contenders.length; i++) {
          const contender = contenders[(i + round) % contenders.length]
          const id = `${contender.name}/${level}`
          const sofar = results.get(id) ?? []
          const lanes = await contender.open(level)
          sofar.push(await measure(server, contender.pid, lanes, seconds))
          results.set(id, sofar)
        }
      }
    }
    for (const level of levels) printLevel(contenders, results, level)
    for (const contender of contenders) await checkAudit(contender)
    judgeAll(contenders, results, levels)
  } finally {
    for (const contender of contenders) {
      await contender.close()
      if (contender.url !== null) await server.dropDatabase(contender.url)
    }
  }
}

/** One transaction for each request. @param {number} concurrency */
function singly(concurrency) {
  return { TASKFLOW_COMMIT_BATCH: '1', TASKFLOW_COMMIT_CONCURRENCY: String(concurrency) }
}

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {string} name
 * @param {string} title
 * @param {Record<string, string>} env
 * @returns {Promise<Contender & { port: number }>}
 */
async function service(server, name, title, env) {
  const url = await server.createDatabase(name)
  const { pid, port, stop } = await startService({ DATABASE_URL: url, ...env })
  return {
    name,
    title,
    url,
    pid,
    port,
    open: (count) => Promise.all(Array.from({ length: count }, () => httpLane(port))),
    close: stop,
  }
}

/**
 * What the service and its callers spend on HTTP, whatever is done behind it.
 *
 * @param {{ pid: number, port: number }} of
 * @returns {Contender}
 */
function httpAlone({ pid, port }) {
  return {
    name: 'http',
    title: 'service, GET /health/live: no database',
    url: null,
    pid,
    open: (count) => Promise.all(Array.from({ length: count }, () => liveLane(port))),
    close: async () => {},
  }
}

/** Compiles, connects and plans, and leaves tables with statistics. @param {Contender} contender @param {number} seconds */
async function warmUp(contender, seconds) {
  const lanes = await contender.open(64)
  await drive(lanes, seconds)
  for (const lane of lanes) lane.close()
  if (contender.url === null) return
  const client = await connect(contender.url)
  await client.query('vacuum (analyze)')
  await client.end()
}

/**
 * @param {Contender[]} contenders
 * @param {Map<string, Round[]>} results
 * @param {number} level
 */
function printLevel(contenders, results, level) {
  say('')
  table(
    [
      `${level} connection${level === 1 ? '' : 's'}`,
      'per second',
      'p50 ms',
      'p99 ms',
      'Node µs/op',
      'PG µs/op',
    ],
    contenders.map(({ name, title }) => {
      const of = results.get(`${name}/${level}`) ?? []
      return [
        title,
        spread(of.map(({ rate }) => rate)),
        spread(of.map(({ p50 }) => p50)),
        spread(of.map(({ p99 }) => p99)),
        figure(median(of.flatMap(({ own }) => own ?? []))),
        figure(median(of.flatMap(({ server }) => server ?? []))),
      ]
    }),
  )
}

/** Every revision has its event, whoever wrote it. @param {Contender} contender */
async function checkAudit({ url, title }) {
  if (url === null) return
  const client = await connect(url)
  const { rows } = await client.query(`
    select (select sum(revision + 1) from flows)::integer as revisions,
      (select count(*) from flow_events)::integer as events`)
  await client.end()
  const { revisions, events } = rows[0]
  if (revisions !== events) throw new Error(`${title}: ${revisions} revisions, ${events} events`)
}

/**
 * @param {Contender[]} contenders
 * @param {Map<string, Round[]>} results
 * @param {number[]} levels
 */
function judgeAll(contenders, results, levels) {
  const of = (/** @type {string} */ name, /** @type {number} */ level) =>
    results.get(`${name}/${level}`) ?? []
  const singles = contenders.map(({ name }) => name).filter((name) => name.startsWith('single'))
  for (const level of levels.filter((one) => one >= 64)) {
    const batched = of('batched', level)
    const overSingle = batched.map(
      ({ rate }, round) => rate / Math.max(...singles.map((name) => of(name, level)[round].rate)),
    )
    const overPool = batched.map(({ rate }, round) => rate / of('pool', level)[round].rate)
    judge(
      `service / one transaction per request, ${level} connections`,
      '≥ 4',
      spread(overSingle),
      median(overSingle) >= 4,
    )
    judge(
      `service / one CTE statement by a bare pool, ${level} connections`,
      '≥ 1',
      spread(overPool),
      median(overPool) >= 1,
    )
  }
  const latency = of('batched', 1).map(({ p50 }, round) => p50 / of('transactions', 1)[round].p50)
  judge(
    'p50 of the service / of one plain transaction, 1 connection',
    '≤ 1.3',
    spread(latency),
    median(latency) <= 1.3,
  )
  const added = of('transactions', 1).map(({ p50 }, round) => p50 + of('http', 1)[round].p50)
  const overAdded = of('batched', 1).map(({ p50 }, round) => p50 / added[round])
  say('')
  say(
    `At 1 connection, p50 of the service / (one plain transaction + one empty HTTP request): ${spread(overAdded)}`,
  )
}

// Flows of one step per second through HTTP, beside what users pick instead, and how soon a worker that waits has a step.

import { openConnection } from './http-client.mjs'
import { openPeers } from './peers.mjs'
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
import { startService } from './service.mjs'
import { newFlow, post, runFlows, settleOne, task } from './step-work.mjs'

/** @typedef {import('./lifecycle.mjs').Round} Round */

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {string} title
 * @property {(seconds: number, options?: { callers?: number }) => Promise<Round | null>} measure
 */

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, quick: boolean }} options
 */
export async function steps(server, { seconds, rounds, quick }) {
  heading(`Steps: flows of one step, from creation to finished; ${rounds} rounds of ${seconds} s`)
  const url = await server.createDatabase('steps')
  const client = await connect(url)
  const service = await startService({ DATABASE_URL: url })
  const peers = await openPeers(server)
  let started = 0
  const ours = (/** @type {number} */ workers, /** @type {number} */ batch) => ({
    name: `${workers}x${batch}`,
    title: `service, ${workers} worker${workers === 1 ? '' : 's'}, ${
      batch === 1 ? 'one by one' : `created, claimed and settled up to ${batch} at once`
    }`,
    async measure(/** @type {number} */ time, { callers = batch === 1 ? 64 : 640 } = {}) {
      const options = { callers, workers, batch, warm: 1, seconds: time }
      const run = await runFlows(server, service, options)
      started += run.started
      return run.round
    },
  })
  /** @type {Contender[]} */
  const contenders = [ours(1, 1), ours(16, 1), ours(1, 50), ours(16, 50), ...peers]
  try {
    progress('run-up of all contenders')
    for (const { measure } of contenders) await measure(quick ? 0.5 : 1)
    await client.query('vacuum (analyze)')
    for (const peer of peers) await peer.analyze()
    /** @type {Map<string, Round[]>} */
    const results = new Map()
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`)
      for (let i = 0; i < contenders.length; i++) {
        const { name, measure } = contenders[(i + round) % contenders.length]
        const found = await measure(seconds)
        if (found !== null) results.set(name, [...(results.get(name) ?? []), found])
      }
    }
    printRates(contenders, results)
    judgeRates(peers, results)
    progress('one caller alone')
    /** @type {Map<string, Round[]>} */
    const alone = new Map()
    for (const { name, measure } of contenders.filter((one) => !/batch|50/.test(one.name))) {
      const found = await measure(Math.min(seconds, 2), { callers: 1 })
      if (found !== null) alone.set(name, [found])
    }
    say('')
    printRates(contenders, alone, '1 caller')
    await checkFlows(client, started)
    for (const peer of peers) await peer.check()
    await pickUp(service, quick ? 100 : 500)
  } finally {
    await service.stop()
    await client.end()
    await server.dropDatabase(url)
    for (const peer of peers) await peer.close()
  }
}

/**
 * @param {Contender[]} contenders
 * @param {Map<string, Round[]>} results
 * @param {string} [head]
 */
function printRates(contenders, results, head = '') {
  const rows = contenders.flatMap(({ name, title }) => {
    const of = results.get(name)
    if (of === undefined) return []
    return [
      [
        title,
        spread(of.map(({ rate }) => rate)),
        spread(of.map(({ p50 }) => p50)),
        spread(of.map(({ p99 }) => p99)),
        figure(median(of.flatMap(({ own }) => own ?? []))),
        figure(median(of.flatMap((one) => one.server ?? []))),
      ],
    ]
  })
  table([head, 'flows per second', 'p50 ms', 'p99 ms', 'Node µs/flow', 'PG µs/flow'], rows)
}

/**
 * Ratios within each round, of those rounds that all of them ran in.
 *
 * @param {import('./peers.mjs').Peer[]} peers
 * @param {Map<string, Round[]>} results
 */
function judgeRates(peers, results) {
  const of = (/** @type {string} */ name) => results.get(name) ?? []
  const singles = peers.filter(({ single, name }) => single && !['dbos', 'restate'].includes(name))
  for (const [name, title] of [
    ['16x50', 'up to 50 at once'],
    ['16x1', 'one by one'],
  ]) {
    const own = of(name)
    const over = (/** @type {string[]} */ others) =>
      own.flatMap(({ rate }, i) => {
        const rates = others.flatMap((other) => of(other)[i]?.rate ?? [])
        return rates.length === 0 ? [] : rate / Math.max(...rates)
      })
    const dbos = over(['dbos'])
    if (dbos.length > 0) {
      judge(`flows/s, 16 workers, ${title} / DBOS`, '≥ 6', spread(dbos), median(dbos) >= 6)
    }
    const queues = over(singles.map((peer) => peer.name))
    if (queues.length > 0) {
      judge(
        `flows/s, 16 workers, ${title} / the better of pg-boss and graphile-worker, one by one`,
        '≥ 3',
        spread(queues),
        median(queues) >= 3,
      )
    }
    if (name !== '16x50') continue
    const batched = over(peers.filter(({ single }) => !single).map((peer) => peer.name))
    if (batched.length > 0) {
      say('')
      say(`16 workers, ${title} / the better of those with batches: ${spread(batched)}`)
    }
  }
}

/**
 * How long it takes from the creation of a flow until a worker whose claim waits has its step.
 *
 * @param {import('./service.mjs').Service} service
 * @param {number} times
 */
async function pickUp(service, times) {
  const worker = await openConnection(service.port)
  const caller = await openConnection(service.port)
  const claim = `{"worker_id":"bench","tasks":["${task}"],"wait":"PT20S"}`
  /** @type {number[]} */
  const took = []
  for (let number = -20; number < times; number++) {
    const claimed = post(worker, '/steps/claim', claim)
    // The claim has to be waiting, and the moments must not all fall on the same beat of some interval.
    await new Promise((resolve) => void setTimeout(resolve, 5 + Math.random() * 10))
    const began = performance.now()
    const created = post(caller, '/flows', newFlow(number), 201)
    const { items } = await claimed
    if (number >= 0) took.push(performance.now() - began)
    await created
    if (items.length !== 1) throw new Error(`A claim that waited answered ${items.length} steps`)
    await settleOne(worker, items[0])
  }
  worker.close()
  caller.close()
  const [p50, p99] = [percentile(took, 0.5), percentile(took, 0.99)]
  say('')
  say(
    `From sending a creation until a waiting worker has its step, idle service, ${times} times: ` +
      `p50 ${figure(p50)} ms, p99 ${figure(p99)} ms.`,
  )
  judge('enqueued → claimed by a waiting worker, p50 ms', '< 5', figure(p50), p50 < 5)
  judge('enqueued → claimed by a waiting worker, p99 ms', '< 25', figure(p99), p99 < 25)
}

/**
 * Every flow finished once, by one step that was run once, and its events tell so.
 *
 * @param {import('pg').Client} client
 * @param {number} started
 */
async function checkFlows(client, started) {
  const { rows } = await client.query(`
    with told as (
      select flow_id, count(*) filter (where kind = 'step_settled') as settled,
        count(*) filter (where kind = 'finished') as finished, count(*) as events
      from flow_events group by flow_id)
    select count(*)::integer as flows,
      count(*) filter (where f.status = 'finished' and s.status = 'succeeded')::integer as finished,
      count(*) filter (where s.attempt > 1)::integer as again,
      count(*) filter (where t.settled <> 1 or t.finished <> 1
        or t.events <> f.revision + 1)::integer as wrong
    from flows f
      left join flow_steps s on s.flow_id = f.id and s.shard = f.shard
      left join told t on t.flow_id = f.id`)
  const { flows, finished, again, wrong } = rows[0]
  if (flows !== started || finished !== started || again !== 0 || wrong !== 0) {
    throw new Error(
      `${started} started: ${flows} flows with steps, ${finished} finished, ${again} run again, ${wrong} told wrongly`,
    )
  }
  say(`${started} flows, each finished once, by one run of its step that one event tells of.`)
}

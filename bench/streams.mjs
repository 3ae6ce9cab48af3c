// What event streams cost those who write: changes per second alone, with listeners on the flows that
// are changed, and with listeners on the feed.

import { setTimeout as sleep } from 'node:timers/promises'
import { cpuOf } from './cpu.mjs'
import { openConnection } from './http-client.mjs'
import { drive } from './lifecycle.mjs'
import { openListeners } from './listeners.mjs'
import { connect } from './postgres.mjs'
import { heading, judge, median, percentile, progress, say, spread, table } from './report.mjs'
import { startService } from './service.mjs'

const writers = 64
/** Changes per second that the listeners of the feed are told of; each of them is told of each. */
const toldPerSecond = 5

/** @typedef {{ rate: number, p50: number, p99: number, own: number, server: number, told: number }} Round */

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, quick: boolean }} options
 */
export async function streams(server, { seconds, rounds, quick }) {
  const count = quick ? 200 : 1_000
  heading(
    `Streams: ${writers} writers alone and beside ${count.toLocaleString('en-US')} listeners; ${rounds} rounds of ${seconds} s`,
  )
  const url = await server.createDatabase('streams')
  const service = await startService({
    DATABASE_URL: url,
    TASKFLOW_STREAMS_PER_CALLER: '2000',
    TASKFLOW_STREAMS_LIMIT: '2000',
  })
  const contenders = [
    { name: 'alone', title: 'writers alone', paths: () => [] },
    {
      name: 'flows',
      title: 'listeners on the flows that are changed',
      paths: (/** @type {string[]} */ flows) =>
        flows.map((id) => `/flows/${id}/events/stream?after=0`),
    },
    {
      name: 'feed',
      title: `listeners on the feed, told of ${toldPerSecond} changes per second`,
      paths: (/** @type {string[]} */ flows) =>
        flows.map(() => '/events/stream?kind=labels_updated'),
    },
  ]
  /** @type {Map<string, Round[]>} */
  const results = new Map(contenders.map(({ name }) => [name, []]))
  try {
    const lanes = await Promise.all(
      Array.from({ length: writers }, () => openConnection(service.port)),
    )
    const flows = await createFlows(lanes, count)
    await drive(changing(lanes, flows), 1)
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`)
      // The order turns with the rounds: nobody always runs behind the same other.
      for (let i = 0; i < contenders.length; i++) {
        const { name, paths } = contenders[(i + round) % contenders.length]
        const listeners = await openListeners({ port: service.port, paths: paths(flows) })
        const result = await measure(server, service, lanes, flows, listeners, seconds)
        results.get(name)?.push(result)
        await listeners.close()
        await sleep(200)
      }
    }
    for (const lane of lanes) lane.close()
    await checkAudit(url)
  } finally {
    await service.stop()
    await server.dropDatabase(url)
  }
  const of = (/** @type {string} */ name) => results.get(name) ?? []
  say('')
  table(
    ['', 'changes/s', 'p50 ms', 'p99 ms', 'Node µs/op', 'PG µs/op', 'told/s'],
    contenders.map(({ name, title }) => [
      title,
      spread(of(name).map(({ rate }) => rate)),
      spread(of(name).map(({ p50 }) => p50)),
      spread(of(name).map(({ p99 }) => p99)),
      spread(of(name).map(({ own }) => own)),
      spread(of(name).map(({ server }) => server)),
      spread(of(name).map(({ told }) => told)),
    ]),
  )
  for (const { name, title } of contenders.slice(1)) {
    const cost = of(name).map(({ rate }, round) => 100 * (1 - rate / of('alone')[round].rate))
    judge(`${count} ${title}: what they cost, %`, '< 15', spread(cost), median(cost) < 15)
  }
}

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {import('./service.mjs').Service} service
 * @param {import('./http-client.mjs').Connection[]} lanes
 * @param {string[]} flows
 * @param {{ arrived: () => Promise<number> }} listeners
 * @param {number} seconds
 * @returns {Promise<Round>}
 */
async function measure(server, service, lanes, flows, listeners, seconds) {
  const pacer = await openConnection(service.port)
  await drive(changing(lanes, flows), Math.min(0.3, seconds / 4))
  const before = {
    own: cpuOf(service.pid) ?? Number.NaN,
    server: server.cpu() ?? Number.NaN,
    told: await listeners.arrived(),
  }
  const [took] = await Promise.all([
    drive(changing(lanes, flows), seconds),
    relabel(pacer, flows[0], seconds),
  ])
  const perOperation = (/** @type {number} */ from, /** @type {number} */ to) =>
    ((to - from) * 1e6) / took.length
  pacer.close()
  return {
    rate: took.length / seconds,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    own: perOperation(before.own, cpuOf(service.pid) ?? Number.NaN),
    server: perOperation(before.server, server.cpu() ?? Number.NaN),
    told: ((await listeners.arrived()) - before.told) / seconds,
  }
}

/**
 * Callers that change one flow after the other.
 *
 * @param {import('./http-client.mjs').Connection[]} lanes
 * @param {string[]} flows
 */
function changing(lanes, flows) {
  let turn = 0
  return lanes.map(({ send, close }) => ({
    steps: [
      async () => {
        const n = turn++
        const path = `/flows/${flows[n % flows.length]}/state`
        const { status, body } = await send('PATCH', path, `{"patch":{"n":${n}}}`)
        if (status !== 200) throw new Error(`PATCH ${path} answered ${status}: ${body}`)
      },
    ],
    close,
  }))
}

/** @param {import('./http-client.mjs').Connection} pacer @param {string} flow @param {number} seconds */
async function relabel({ send }, flow, seconds) {
  for (let n = 0; n < seconds * toldPerSecond; n++) {
    await send('PATCH', `/flows/${flow}`, `{"labels":{"n":"${performance.now()}"}}`)
    await sleep(1000 / toldPerSecond)
  }
}

/**
 * @param {import('./http-client.mjs').Connection[]} lanes
 * @param {number} count
 * @returns {Promise<string[]>}
 */
export async function createFlows(lanes, count) {
  /** @type {string[]} */
  const flows = []
  await Promise.all(
    lanes.map(async ({ send }, lane) => {
      for (let n = lane; n < count; n += lanes.length) {
        const { status, body } = await send(
          'POST',
          '/flows',
          '{"controller_id":"bench","goal":"watch","owner_session_key":"bench","requester_origin":"bench","start":true}',
        )
        if (status !== 201) throw new Error(`POST /flows answered ${status}: ${body}`)
        flows.push(JSON.parse(body).id)
      }
    }),
  )
  return flows
}

/** Every revision has its event. @param {string} url */
async function checkAudit(url) {
  const client = await connect(url)
  const { rows } = await client.query(`
    select (select sum(revision + 1) from flows)::integer as revisions,
      (select count(*) from flow_events)::integer as events`)
  await client.end()
  if (rows[0].revisions !== rows[0].events) throw new Error(`streams: ${JSON.stringify(rows[0])}`)
}

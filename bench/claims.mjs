// What a claim costs while a million steps are pending, and while a million are delayed.

import { openConnection } from './http-client.mjs'
import { connect } from './postgres.mjs'
import { figure, heading, judge, median, percentile, progress, spread, table } from './report.mjs'
import { insertSteps, settle } from './rows.mjs'
import { startService } from './service.mjs'
import { post, task } from './step-work.mjs'

const claimOne = `{"worker_id":"bench","tasks":["${task}"],"lease":"PT1H"}`
const claimNone = '{"worker_id":"bench","tasks":["nobody-asked"]}'

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ rounds: number, quick: boolean }} options
 */
export async function claims(server, { rounds, quick }) {
  const many = quick ? 100_000 : 1_000_000
  const times = quick ? 300 : 1_000
  heading(`Claims: ${times} in a row on one connection, ${rounds} rounds`)
  const enough = rounds * times + 100
  const places = [
    await place(server, 'few', 'nothing else', { pending: enough, delayed: 0 }),
    await place(server, 'pending', `${many.toLocaleString('en-US')} pending`, {
      pending: many,
      delayed: 0,
    }),
    await place(server, 'delayed', `${many.toLocaleString('en-US')} delayed`, {
      pending: enough,
      delayed: many,
    }),
  ]
  // Opened when all is there: the service closes connections that are idle for long.
  const contenders = await Promise.all(
    places.map(async (one) => ({ ...one, connection: await openConnection(one.service.port) })),
  )
  try {
    /** @type {Map<string, { p50: number, p99: number }[]>} */
    const results = new Map()
    for (const { connection } of contenders) {
      await claimed(connection, claimOne, 100, 1)
      await claimed(connection, claimNone, 100, 0)
    }
    for (let round = 0; round < rounds; round++) {
      progress(`claims, round ${round + 1} of ${rounds}`)
      for (let i = 0; i < contenders.length; i++) {
        const { name, connection } = contenders[(i + round) % contenders.length]
        for (const [kind, body, count] of /** @type {const} */ ([
          ['one', claimOne, 1],
          ['none', claimNone, 0],
        ])) {
          const id = `${name}/${kind}`
          results.set(id, [
            ...(results.get(id) ?? []),
            await claimed(connection, body, times, count),
          ])
        }
      }
    }
    const of = (/** @type {string} */ id, /** @type {'p50' | 'p99'} */ share) =>
      (results.get(id) ?? []).map((round) => round[share])
    table(
      ['beside the claimed', 'claim of one p50 ms', 'p99', 'claim that finds none p50 ms', 'p99'],
      contenders.map(({ name, title }) => [
        title,
        spread(of(`${name}/one`, 'p50')),
        spread(of(`${name}/one`, 'p99')),
        spread(of(`${name}/none`, 'p50')),
        spread(of(`${name}/none`, 'p99')),
      ]),
    )
    for (const { name, title } of contenders.slice(1)) {
      for (const share of /** @type {const} */ (['p50', 'p99'])) {
        const growth = of(`${name}/one`, share).map((one, i) => one / of('few/one', share)[i])
        const holds = median(growth) <= 1.5
        judge(`claim among ${title} / among few, ${share}`, '≤ 1.5', figure(median(growth)), holds)
      }
    }
  } finally {
    for (const { connection, close } of contenders) {
      connection.close()
      await close()
    }
  }
}

/**
 * A service with steps in its database.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {string} name
 * @param {string} title
 * @param {{ pending: number, delayed: number }} counts
 */
async function place(server, name, title, { pending, delayed }) {
  progress(`steps: ${title}`)
  const url = await server.createDatabase(`claims_${name}`)
  const client = await connect(url)
  try {
    await insertSteps(client, { count: pending, task, runAt: `now() - interval '1 minute'` })
    if (delayed > 0) {
      const runAt = `now() + interval '1 day' + i * interval '1 second'`
      await insertSteps(client, { count: delayed, task, runAt, offset: pending })
    }
    await settle(client)
  } finally {
    await client.end()
  }
  const service = await startService({ DATABASE_URL: url })
  return {
    name,
    title,
    service,
    async close() {
      await service.stop()
      await server.dropDatabase(url)
    },
  }
}

/**
 * Milliseconds of so many claims, each of which must get so many steps.
 *
 * @param {import('./http-client.mjs').Connection} connection
 * @param {string} body
 * @param {number} times
 * @param {number} expected
 */
async function claimed(connection, body, times, expected) {
  /** @type {number[]} */
  const took = []
  for (let i = 0; i < times; i++) {
    const began = performance.now()
    const { items } = await post(connection, '/steps/claim', body)
    took.push(performance.now() - began)
    if (items.length !== expected) throw new Error(`A claim answered ${items.length} steps`)
  }
  return { p50: percentile(took, 0.5), p99: percentile(took, 0.99) }
}

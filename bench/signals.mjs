// Signals per second through HTTP, delivered and kept, beside plain transitions of the same run; and what a match costs, however many wait.

import { openConnection } from './http-client.mjs'
import { drive, httpLane, measure } from './lifecycle.mjs'
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
import { insertKept, insertWaiting, settle } from './rows.mjs'
import { startService } from './service.mjs'

/** @typedef {import('./lifecycle.mjs').Lane} Lane */
/** @typedef {import('./lifecycle.mjs').Round} Round */

const connections = 64

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, quick: boolean }} options
 */
export async function signals(server, { seconds, rounds, quick }) {
  heading(`Signals: ${connections} connections, ${rounds} rounds of ${seconds} s`)
  const url = await server.createDatabase('signals')
  const client = await connect(url)
  const service = await startService({ DATABASE_URL: url })
  const turns = Math.ceil(rounds * (seconds + 0.5) * 14_000)
  progress(`${turns} waiting flows`)
  await insertWaiting(client, { count: turns * 2, waits: 'mixed', due: ahead })
  await settle(client)
  const waiting = counter(1, 2)
  const keys = counter(1, 1)
  const contenders = [
    {
      name: 'transitions',
      title: 'transitions (create, wait, resume, patch, finish)',
      lane: () => httpLane(service.port),
    },
    {
      name: 'delivered',
      title: 'POST /signals, delivered',
      lane: () => signalLane(service.port, () => `order-${waiting()}`, 'delivered'),
    },
    {
      name: 'kept',
      title: 'POST /signals, kept',
      lane: () => signalLane(service.port, () => `nobody-${keys()}`, 'buffered'),
    },
    {
      name: 'identified',
      title: 'POST /signals with a sender’s id, kept',
      lane: () => signalLane(service.port, () => `nobody-${keys()}`, 'buffered', true),
    },
    {
      name: 'early',
      title: 'a kept signal and the wait that takes it, per request',
      lane: () => earlyLane(service.port, keys),
    },
  ]
  try {
    const warm = await lanesOf(contenders[0].lane, connections)
    await drive(warm, quick ? 0.5 : 1.5)
    for (const lane of warm) lane.close()
    /** @type {Map<string, Round[]>} */
    const results = new Map()
    for (let round = 0; round < rounds; round++) {
      progress(`round ${round + 1} of ${rounds}`)
      for (let i = 0; i < contenders.length; i++) {
        const { name, lane } = contenders[(i + round) % contenders.length]
        const sofar = results.get(name) ?? []
        sofar.push(await measure(server, service.pid, await lanesOf(lane, connections), seconds))
        results.set(name, sofar)
      }
    }
    table(
      ['', 'per second', 'p50 ms', 'p99 ms', 'Node µs/op', 'PG µs/op'],
      contenders.map(({ name, title }) => {
        const of = results.get(name) ?? []
        return [
          title,
          spread(of.map(({ rate }) => rate)),
          spread(of.map(({ p50 }) => p50)),
          spread(of.map(({ p99 }) => p99)),
          figure(median(of.flatMap(({ own }) => own ?? []))),
          figure(median(of.flatMap((one) => one.server ?? []))),
        ]
      }),
    )
    const of = (/** @type {string} */ name) => results.get(name) ?? []
    const ratio = of('delivered').map(({ rate }, i) => rate / of('transitions')[i].rate)
    judge('delivered signals/s / transitions/s', '≥ 0.6', spread(ratio), median(ratio) >= 0.6)
    await checkFates(client)
  } finally {
    await service.stop()
    await client.end()
    await server.dropDatabase(url)
  }
}

const ahead = `now() + interval '1 year' + i * interval '1 second'`

/**
 * What one match costs with few and with many waiting, and with few and many kept signals.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {{ quick: boolean }} options
 */
export async function matching(server, { quick }) {
  const sizes = quick ? [1_000, 100_000] : [1_000, 1_000_000]
  const times = quick ? 400 : 2_000
  heading(`Matching: ${times} requests in a row on one connection`)
  const url = await server.createDatabase('matching')
  const client = await connect(url)
  const service = await startService({ DATABASE_URL: url })
  const port = service.port
  try {
    /** @type {string[][]} */
    const rows = []
    /** @type {{ delivered: number[], taken: number[] }} */
    const p50s = { delivered: [], taken: [] }
    let present = 0
    let key = 0
    const waiting = counter(1, 2)
    const keys = () => `early-${++key}`
    for (const size of sizes) {
      progress(`${size} waiting flows and ${size} kept signals`)
      await insertWaiting(client, {
        count: (size - present) * 2,
        waits: 'mixed',
        due: ahead,
        offset: present * 2,
      })
      await insertKept(client, { count: size - present, offset: present })
      present = size
      await settle(client)
      const signal = await signalLane(port, () => `order-${waiting()}`, 'delivered')
      const early = await earlyLane(port, keys)
      await repeat(signal.steps, Math.min(100, size / 8))
      await repeat(early.steps, 50)
      const delivered = await repeat(signal.steps, Math.min(times, size / 2))
      // The wait that takes a kept signal is the fourth of its steps.
      const taken = (await repeat(early.steps, times / 4)).filter((_, i) => i % 4 === 2)
      signal.close()
      early.close()
      p50s.delivered.push(percentile(delivered, 0.5))
      p50s.taken.push(percentile(taken, 0.5))
      rows.push([
        size.toLocaleString('en-US'),
        figure(percentile(delivered, 0.5)),
        figure(percentile(delivered, 0.99)),
        figure(percentile(taken, 0.5)),
        figure(percentile(taken, 0.99)),
      ])
    }
    table(
      ['waiting and kept', 'signal delivered p50 ms', 'p99', 'wait that takes one p50 ms', 'p99'],
      rows,
    )
    for (const [name, found] of Object.entries(p50s)) {
      const growth = (found.at(-1) ?? 0) / (found[0] ?? 1)
      judge(
        `matching (${name}), ${sizes.at(-1)?.toLocaleString('en-US')} / 1,000, p50`,
        '≤ 1.2',
        figure(growth),
        growth <= 1.2,
      )
    }
  } finally {
    await service.stop()
    await client.end()
    await server.dropDatabase(url)
  }
}

/** @param {() => Promise<Lane>} lane @param {number} count */
function lanesOf(lane, count) {
  return Promise.all(Array.from({ length: count }, lane))
}

/** Counts up from a number. @param {number} from @param {number} by */
function counter(from, by) {
  let next = from - by
  return () => {
    next += by
    return next
  }
}

/**
 * Sends one signal after the other, each of which must have this outcome.
 *
 * @param {number} port
 * @param {() => string} correlation
 * @param {string} outcome
 * @param {boolean} [identified] with an id of the sender's
 * @returns {Promise<Lane>}
 */
async function signalLane(port, correlation, outcome, identified = false) {
  const connection = await openConnection(port)
  const expected = `"outcome":"${outcome}"`
  return {
    steps: [
      async () => {
        const key = correlation()
        const id = identified ? `,"id":"evt-${key}"` : ''
        const body = `{"topic":"order.paid","correlation_id":"${key}"${id},"payload":{"amount":4200,"currency":"EUR"}}`
        const answer = await connection.send('POST', '/signals', body)
        if (answer.status !== 201 || !answer.body.includes(expected)) {
          throw new Error(`POST /signals answered ${answer.status}: ${answer.body}`)
        }
      },
    ],
    close: connection.close,
  }
}

/**
 * A flow whose event comes before its wait.
 *
 * @param {number} port
 * @param {() => string | number} keys
 * @returns {Promise<Lane>}
 */
async function earlyLane(port, keys) {
  const { steps, close } = await httpLane(port)
  const connection = await openConnection(port)
  const [create, , , , finish] = steps
  const send = async (
    /** @type {string} */ path,
    /** @type {string} */ body,
    /** @type {string} */ expected,
  ) => {
    const answer = await connection.send('POST', path, body)
    if (!answer.body.includes(expected)) throw new Error(`${path} answered ${answer.body}`)
  }
  let key = ''
  return {
    steps: [
      create,
      async () => {
        key = `"topic":"order.paid","correlation_id":"early-${keys()}"`
        await send('/signals', `{${key},"payload":{"amount":4200}}`, '"buffered"')
      },
      ({ id }) => send(`/flows/${id}/wait`, `{"kind":"external_event",${key}}`, '"running"'),
      finish,
    ],
    close() {
      close()
      connection.close()
    },
  }
}

/** How long each of so many turns took, in milliseconds. @param {Lane['steps']} steps @param {number} turns */
async function repeat(steps, turns) {
  const took = []
  const flow = { id: '' }
  for (let i = 0; i < turns; i++) {
    for (const step of steps) {
      const began = performance.now()
      await step(flow)
      took.push(performance.now() - began)
    }
  }
  return took
}

/** Every delivery is told by a row and by an event. @param {import('pg').Client} client */
async function checkFates(client) {
  const { rows } = await client.query(`
    select (select sum(delivered_count) from signals)::integer as delivered,
      (select count(*) from flow_events where payload ? 'signal_id')::integer as told,
      (select count(*) from signals where outcome = 'buffered')::integer as kept`)
  const { delivered, told, kept } = rows[0]
  if (delivered !== told) throw new Error(`${delivered} deliveries, ${told} events tell of one`)
  say(`${delivered} delivered, each told by one event; ${kept} kept.`)
}

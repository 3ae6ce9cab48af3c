// What a key costs: transitions per second with and without one, on the same process and in turns.

import { drive, httpLane, measure } from './lifecycle.mjs'
import { figure, heading, judge, median, progress, spread, table } from './report.mjs'
import { startService } from './service.mjs'

/** @typedef {import('./lifecycle.mjs').Round} Round */

/**
 * The service asks for no key here, and honours one that it is sent: so both ways are of one process.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {{ seconds: number, rounds: number, quick: boolean }} options
 */
export async function auth(server, { seconds, rounds, quick }) {
  heading(`Keys: create, wait, resume, patch, finish; ${rounds * 2} rounds of ${seconds} s`)
  const url = await server.createDatabase('auth')
  const service = await startService({ DATABASE_URL: url })
  try {
    /** @type {{ title: string, key: string | null }[]} */
    const callers = [
      { title: 'without a key', key: null },
      { title: 'with a key', key: await keyOf(service.port, { name: 'all' }) },
      {
        title: 'with a key that is held to an owner, controllers, a horizon and a rate',
        key: await keyOf(service.port, {
          name: 'held',
          owner_session_key: 'agent:bench:session',
          requester_origin: 'bench',
          controllers: ['bench/inbox'],
          timer_max_horizon: 'P30D',
          rate: { per_minute: 1_000_000, burst: 1_000_000 },
        }),
      },
    ]
    const levels = quick ? [64] : [16, 64]
    /** @type {Map<string, Round[]>} */
    const results = new Map()
    for (const { key } of callers) await warmUp(service.port, key, quick ? 0.5 : 2)
    for (const level of levels) {
      // Twice as many as elsewhere: the difference that is looked for is small.
      for (let round = 0; round < rounds * 2; round++) {
        progress(`${level} connections, round ${round + 1} of ${rounds * 2}`)
        for (let i = 0; i < callers.length; i++) {
          const { title, key } = callers[(i + round) % callers.length]
          const lanes = await Promise.all(
            Array.from({ length: level }, () => httpLane(service.port, key)),
          )
          const id = `${title}/${level}`
          const sofar = results.get(id) ?? []
          sofar.push(await measure(server, service.pid, lanes, seconds))
          results.set(id, sofar)
        }
      }
    }
    const of = (/** @type {string} */ title, /** @type {number} */ level) =>
      results.get(`${title}/${level}`) ?? []
    table(
      ['caller', 'connections', 'per second', 'p50 ms', 'p99 ms', 'Node µs/op'],
      levels.flatMap((level) =>
        callers.map(({ title }) => [
          title,
          String(level),
          spread(of(title, level).map(({ rate }) => rate)),
          spread(of(title, level).map(({ p50 }) => p50)),
          spread(of(title, level).map(({ p99 }) => p99)),
          figure(median(of(title, level).flatMap(({ own }) => own ?? []))),
        ]),
      ),
    )
    const [bare, ...keyed] = callers
    for (const level of levels) {
      for (const { title } of keyed) {
        const cost = of(title, level).map(
          ({ rate }, round) =>
            100 * (1 - rate / (of(bare?.title ?? '', level)[round]?.rate ?? rate)),
        )
        judge(
          `cost of transitions ${title}, ${level} connections, %`,
          '≤ 5',
          spread(cost),
          median(cost) <= 5,
        )
      }
    }
  } finally {
    await service.stop()
    await server.dropDatabase(url)
  }
}

/**
 * A key of a new binding that may do all that a life of a flow needs.
 *
 * @param {number} port
 * @param {object} binding
 * @returns {Promise<string>}
 */
async function keyOf(port, binding) {
  const { id } = await post(port, '/bindings', { actions: ['*'], ...binding })
  return (await post(port, `/bindings/${id}/keys`, {})).key
}

/** @param {number} port @param {string} path @param {object} body */
async function post(port, path, body) {
  const answer = await fetch(`http://127.0.0.1:${port}${path}`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!answer.ok) throw new Error(`POST ${path} answered ${answer.status}: ${await answer.text()}`)
  return answer.json()
}

/** @param {number} port @param {string | null} key @param {number} seconds */
async function warmUp(port, key, seconds) {
  const lanes = await Promise.all(Array.from({ length: 64 }, () => httpLane(port, key)))
  await drive(lanes, seconds)
  for (const lane of lanes) lane.close()
}

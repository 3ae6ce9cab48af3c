// The work of the steps bench: callers that start flows of one step, workers that claim and settle these, all through HTTP.

import { closedLoop, waiters } from './closed-loop.mjs'
import { cpuOf } from './cpu.mjs'
import { openConnection } from './http-client.mjs'
import { input, result } from './peers/contend.mjs'
import { percentile } from './report.mjs'

/** @typedef {import('./http-client.mjs').Connection} Connection */
/** @typedef {import('./lifecycle.mjs').Round} Round */
/** @typedef {{ id: string, lease_token: string, input: { number: number } }} Claimed */

export const task = 'classify'
const flow = JSON.stringify({
  controller_id: 'bench/inbox',
  goal: 'triage the inbox of the morning',
  owner_session_key: 'agent:bench:session',
  requester_origin: 'bench',
})
const outcome = JSON.stringify({ kind: 'succeed', result })
/** Connections that create flows many at once. */
const creatorsOfBatches = 8

/**
 * The body of a creation with one step, which carries a number.
 *
 * @param {number} number
 * @param {string} [of] the task
 */
export function newFlow(number, of = task) {
  return `${flow.slice(0, -1)},"steps":[{"task":"${of}","input":${JSON.stringify({ ...input, number })}}]}`
}

/**
 * Sends a request and reads its answer, which must have this status.
 *
 * @param {Connection} connection
 * @param {string} path
 * @param {string} body
 * @param {number} [status]
 */
export async function post(connection, path, body, status = 200) {
  const answer = await connection.send('POST', path, body)
  if (answer.status !== status) {
    throw new Error(`POST ${path} answered ${answer.status}: ${answer.body}`)
  }
  return JSON.parse(answer.body)
}

/**
 * What creates flows: each alone, or those that gather while the connections are busy, up to so many in one request.
 *
 * @param {Connection[]} connections
 * @param {number} batch
 */
function creations(connections, batch) {
  const free = [...connections]
  /** @type {{ number: number, resolve: () => void, reject: (error: unknown) => void }[]} */
  let waiting = []

  let flushing = false

  function flush() {
    flushing = false
    while (free.length > 0 && waiting.length > 0) {
      const some = waiting.slice(0, batch)
      waiting = waiting.slice(batch)
      void send(/** @type {Connection} */ (free.pop()), some)
    }
  }

  /** @param {Connection} connection @param {typeof waiting} some */
  async function send(connection, some) {
    try {
      await (batch === 1
        ? post(connection, '/flows', newFlow(some[0].number), 201)
        : createMany(
            connection,
            some.map(({ number }) => number),
          ))
      for (const { resolve } of some) resolve()
    } catch (error) {
      for (const { reject } of some) reject(error)
    }
    free.push(connection)
    flush()
  }

  /** @param {number} number @returns {Promise<void>} */
  return (number) =>
    new Promise((resolve, reject) => {
      waiting.push({ number, resolve, reject })
      // Those that begin in the same turn go together.
      if (!flushing) setImmediate(flush)
      flushing = true
    })
}

/** @param {Connection} connection @param {number[]} numbers */
async function createMany(connection, numbers) {
  const body = `{"items":[${numbers.map((number) => newFlow(number)).join(',')}]}`
  const { results } = await post(connection, '/flows/batch', body)
  for (const one of results) {
    if (!one.ok || !one.created) throw new Error(`A creation answered ${JSON.stringify(one)}`)
  }
}

/**
 * Settles one claimed step, which ends its flow.
 *
 * @param {Connection} connection
 * @param {Claimed} step
 * @param {string} [claim] what to claim with it
 * @returns {Promise<Claimed[]>} what was claimed with it
 */
export async function settleOne(connection, { id, lease_token: token }, claim) {
  const body = `{"lease_token":"${token}","outcome":${outcome}${claiming(claim)}}`
  const answer = await post(connection, `/steps/${id}/outcome`, body)
  if (answer.discarded || answer.repeated || answer.flow.status !== 'finished') {
    throw new Error(`The outcome of ${id} answered ${JSON.stringify(answer)}`)
  }
  return answer.items ?? []
}

/**
 * Settles claimed steps in one request.
 *
 * @param {Connection} connection
 * @param {readonly Claimed[]} steps
 * @param {string} [claim] what to claim with it
 * @returns {Promise<Claimed[]>} what was claimed with it
 */
async function settleMany(connection, steps, claim) {
  const items = steps.map(
    ({ id, lease_token: token }) =>
      `{"step_id":"${id}","lease_token":"${token}","outcome":${outcome}}`,
  )
  const body = `{"items":[${items.join(',')}]${claiming(claim)}}`
  const answer = await post(connection, '/steps/outcomes', body)
  for (const one of answer.results) {
    if (!one.ok || one.discarded || one.repeated) {
      throw new Error(`The outcome of ${one.step_id} answered ${JSON.stringify(one)}`)
    }
  }
  return answer.items ?? []
}

/** @param {string | undefined} claim */
function claiming(claim) {
  return claim === undefined ? '' : `,"claim_next":${claim}`
}

/**
 * Runs flows of one step from their creation to their end: callers wait for the creation's answer and for the
 * worker's, so that both sides know of the commit.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {import('./service.mjs').Service} service
 * @param {{ callers: number, workers: number, batch: number, warm: number, seconds: number }} options
 * @returns {Promise<{ round: Round, started: number }>}
 */
export async function runFlows(server, service, { callers, workers, batch, warm, seconds }) {
  const finished = waiters()
  let numbers = 0
  let over = false
  /** @type {Connection[]} */
  const free = []
  const creators = batch === 1 ? callers : creatorsOfBatches
  for (let i = 0; i < creators; i++) free.push(await openConnection(service.port))
  const create = creations(free, batch)

  const work = async (/** @type {number} */ _, /** @type {number} */ i) => {
    const connection = await openConnection(service.port)
    const claim = `{"worker_id":"bench-${i}","tasks":["${task}"],"max":${batch}}`
    // Short waits, so that workers see that the time is over.
    const waiting = `${claim.slice(0, -1)},"wait":"PT1S"}`
    /** @type {Claimed[]} */
    let steps = []
    while (!over || steps.length > 0) {
      if (steps.length === 0) steps = (await post(connection, '/steps/claim', waiting)).items
      if (steps.length === 0) continue
      const next = await (batch === 1
        ? settleOne(connection, steps[0], claim)
        : settleMany(connection, steps, claim))
      for (const { input: of } of steps) finished.settle(of.number)
      steps = next
    }
    connection.close()
  }
  const working = Array.from({ length: workers }, () => 0).map(work)
  // A worker that fails leaves its callers waiting.
  const failed = new Promise((_, reject) => {
    for (const one of working) one.catch(reject)
  })

  const used = () => ({ own: cpuOf(service.pid), server: server.cpu() })
  let before = used()
  let after = before
  const loop = closedLoop({
    callers,
    warm,
    seconds,
    async run() {
      const number = ++numbers
      const done = finished.of(number)
      await create(number)
      await done
    },
    begin: () => {
      before = used()
    },
    end: () => {
      after = used()
    },
  })
  const { took, started } = await Promise.race([loop, failed])
  over = true
  await Promise.all(working)
  for (const connection of free) connection.close()
  const each = (/** @type {number | null} */ from, /** @type {number | null} */ to) =>
    from === null || to === null ? null : ((to - from) * 1e6) / took.length
  return {
    round: {
      rate: took.length / seconds,
      p50: percentile(took, 0.5),
      p99: percentile(took, 0.99),
      own: each(before.own, after.own),
      server: each(before.server, after.server),
    },
    started,
  }
}

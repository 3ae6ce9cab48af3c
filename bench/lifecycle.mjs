// The work of the transition benchmark: one flow's life in five requests, and how a lane of it is driven.

import { cpuOf } from './cpu.mjs'
import { openConnection } from './http-client.mjs'
import { percentile } from './report.mjs'

/**
 * @typedef {object} Lane One sequential caller.
 * @property {((flow: { id: string }) => Promise<void>)[]} steps The transitions of one flow's life.
 * @property {() => void} close
 */

/**
 * @typedef {object} Contender
 * @property {string} name
 * @property {string} title
 * @property {string | null} url of its database, if it has one of its own
 * @property {number} pid of the process whose CPU is told beside that of PostgreSQL
 * @property {(count: number) => Promise<Lane[]>} open
 * @property {() => Promise<void>} close
 */

export const goal = 'triage the inbox of the morning'
export const state = {
  messages: 10,
  processed: 0,
  folders: ['inbox', 'later', 'archive'],
  owner: { name: 'Kate', language: 'en' },
}
export const patch = { processed: 7, last_message: 'message-0042' }

const newFlow = JSON.stringify({
  controller_id: 'bench/inbox',
  goal,
  owner_session_key: 'agent:bench:session',
  requester_origin: 'bench',
  current_step: 'classify',
  state,
  start: true,
})
const statePatch = JSON.stringify({ patch })

/**
 * A caller over HTTP.
 *
 * @param {number} port
 * @param {string | null} [key]
 * @returns {Promise<Lane>}
 */
export async function httpLane(port, key = null) {
  const connection = await openConnection(port, key)
  const change = async (
    /** @type {string} */ method,
    /** @type {string} */ path,
    /** @type {string} */ body,
    status = 200,
  ) => {
    const answer = await connection.send(method, path, body)
    if (answer.status !== status) {
      throw new Error(`${method} ${path} answered ${answer.status}: ${answer.body}`)
    }
    return answer.body
  }
  return {
    steps: [
      async (flow) => {
        const body = await change('POST', '/flows', newFlow, 201)
        const at = body.indexOf('"id":"') + 6
        flow.id = body.slice(at, at + 36)
      },
      async ({ id }) => void (await change('POST', `/flows/${id}/wait`, '{"kind":"manual"}')),
      async ({ id }) => void (await change('POST', `/flows/${id}/resume`, '{}')),
      async ({ id }) => void (await change('PATCH', `/flows/${id}/state`, statePatch)),
      async ({ id }) => void (await change('POST', `/flows/${id}/finish`, '{}')),
    ],
    close: connection.close,
  }
}

/**
 * A caller whose requests need no database: what HTTP alone takes.
 *
 * @param {number} port
 * @returns {Promise<Lane>}
 */
export async function liveLane(port) {
  const connection = await openConnection(port)
  return {
    steps: [
      async () => {
        const { status } = await connection.send('GET', '/health/live', '')
        if (status !== 200) throw new Error(`GET /health/live answered ${status}`)
      },
    ],
    close: connection.close,
  }
}

/**
 * Drives all lanes for a time; answers how long each transition took, in milliseconds. Those still
 * under way when the time is over are awaited and not counted.
 *
 * @param {readonly Lane[]} lanes
 * @param {number} seconds
 */
export async function drive(lanes, seconds) {
  /** @type {number[]} */
  const took = []
  const deadline = performance.now() + seconds * 1000
  await Promise.all(
    lanes.map(async ({ steps }) => {
      const flow = { id: '' }
      for (;;) {
        for (const step of steps) {
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

/**
 * @typedef {{ rate: number, p50: number, p99: number, own: number | null, server: number | null }} Round
 *   Per second, milliseconds, and microseconds of CPU for each operation: of a process, and of PostgreSQL.
 */

/**
 * Drives lanes for a time after a short run-up, tells what that took, and closes them.
 *
 * @param {import('./postgres.mjs').Server} server
 * @param {number} pid
 * @param {readonly Lane[]} lanes
 * @param {number} seconds
 * @returns {Promise<Round>}
 */
export async function measure(server, pid, lanes, seconds) {
  await drive(lanes, Math.min(0.3, seconds / 4))
  const before = { own: cpuOf(pid), server: server.cpu() }
  const took = await drive(lanes, seconds)
  const perOperation = (/** @type {number | null} */ from, /** @type {number | null} */ to) =>
    from === null || to === null ? null : ((to - from) * 1e6) / took.length
  const round = {
    rate: took.length / seconds,
    p50: percentile(took, 0.5),
    p99: percentile(took, 0.99),
    own: perOperation(before.own, cpuOf(pid)),
    server: perOperation(before.server, server.cpu()),
  }
  for (const lane of lanes) lane.close()
  return round
}

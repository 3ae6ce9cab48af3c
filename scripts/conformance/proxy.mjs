// Stands between a worker and the service: writes down every request, and plays the faults of networks and services.

import { createServer, request as send } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'

/**
 * A request of the worker.
 *
 * @typedef {object} Seen
 * @property {string} kind claim, heartbeat, outcome, outcomes, release, or other.
 * @property {string | null} step The id in the path.
 * @property {string} path
 * @property {any} body Parsed; null when it is not JSON.
 * @property {number} at When all of it had come, in milliseconds of `performance.now()`.
 * @property {number | null} status Of the answer of the service, or of the one made up; null while there is none.
 * @property {any} answer Parsed.
 * @property {number} answeredAt
 * @property {boolean} played The answer was made up, or kept from the worker.
 *
 * What to do instead of handing a request on: to answer it, or to keep the service's answer back.
 *
 * @typedef {{ status: number, headers?: Record<string, string>, body: string } | 'lose'} Fault
 *
 * @typedef {object} Proxy
 * @property {string} url
 * @property {Seen[]} seen In the order in which they came.
 * @property {(play: (seen: Seen) => Fault | undefined) => void} play Asked for every request; the newest rule first.
 * @property {() => void} close
 */

/** @param {{ host: string, port: number }} service @returns {Promise<Proxy>} */
export async function createProxy(service) {
  /** @type {Seen[]} */
  const seen = []
  const plays = []

  const server = createServer(async (request, response) => {
    const chunks = []
    for await (const chunk of request) chunks.push(chunk)
    const bytes = Buffer.concat(chunks)
    const one = { ...told(request.url ?? ''), body: parsed(bytes), at: performance.now() }
    const entry = { ...one, status: null, answer: null, answeredAt: Infinity, played: false }
    seen.push(entry)
    const note = (status, body) =>
      Object.assign(entry, { status, answer: parsed(body), answeredAt: performance.now() })

    const fault = plays.map((play) => play(entry)).find((found) => found !== undefined)
    if (fault !== undefined && fault !== 'lose') {
      note(fault.status, fault.body)
      entry.played = true
      response.writeHead(fault.status, { 'content-type': 'application/json', ...fault.headers })
      response.end(fault.body)
      return
    }
    const { method, url, headers } = request
    const { host, port: at } = service
    const onward = send({ host, port: at, method, path: url, headers, agent: false })
    // Who waits no more for a claim must not be given a step.
    response.on('close', () => onward.destroy())
    onward.on('error', () => response.destroy())
    onward.on('response', async (answer) => {
      const parts = []
      try {
        for await (const part of answer) parts.push(part)
      } catch {
        return response.destroy()
      }
      const body = Buffer.concat(parts)
      note(answer.statusCode ?? 0, body)
      if (fault === 'lose') {
        entry.played = true
        response.destroy()
        return
      }
      const { 'transfer-encoding': _, ...rest } = answer.headers
      response.writeHead(answer.statusCode ?? 502, { ...rest, 'content-length': body.length })
      response.end(body)
    })
    onward.end(bytes)
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(null)))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    seen,
    play: (play) => void plays.unshift(play),
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** What a path is about. */
function told(path) {
  const [, step = null, verb = 'other'] =
    /^\/steps(?:\/([0-9a-f-]{36}))?\/(claim|heartbeat|outcomes?|release)(?:\?|$)/.exec(path) ?? []
  return { kind: verb, step, path }
}

function parsed(bytes) {
  try {
    return JSON.parse(String(bytes))
  } catch {
    return null
  }
}

/** Waits for a condition; answers what it answered, or null when `ms` milliseconds were not enough. */
export async function until(condition, ms) {
  for (const began = performance.now(); performance.now() - began < ms; await sleep(25)) {
    const value = await condition()
    if (value) return value
  }
  return null
}

// Deliveries of hooks per second, from the creation of flows until the last receiver has been told of each.

import { createServer } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './http-client.mjs'
import { connect } from './postgres.mjs'
import { heading, progress, say, spread, table } from './report.mjs'
import { startService } from './service.mjs'
import { post } from './step-work.mjs'

const connections = 64
const flow = JSON.stringify({
  controller_id: 'bench/hooks',
  goal: 'tell others',
  owner_session_key: 'agent:bench:session',
  requester_origin: 'bench',
})

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ rounds: number, quick: boolean }} options
 */
export async function deliveries(server, { rounds, quick }) {
  const flows = quick ? 500 : 4_000
  heading(`Deliveries: ${flows} flows created by ${connections} connections, ${rounds} rounds`)
  let arrived = 0
  const receiver = createServer((request, response) => {
    request.resume().once('end', () => {
      arrived++
      response.end('ok')
    })
  })
  await new Promise((resolve) => receiver.listen(0, '127.0.0.1', () => resolve(null)))
  const address = receiver.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  const url = await server.createDatabase('deliveries')
  const client = await connect(url)
  const service = await startService({
    DATABASE_URL: url,
    TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
  })
  /** @type {import('./http-client.mjs').Connection[]} */
  const callers = []
  for (let i = 0; i < connections; i++) callers.push(await openConnection(service.port))
  try {
    /** @type {string[][]} */
    const rows = []
    let hooks = 0
    for (const many of [1, 8]) {
      for (; hooks < many; hooks++) {
        const body = { url: `http://127.0.0.1:${port}/${hooks}`, kinds: ['created'] }
        await post(callers[0], '/hooks', JSON.stringify(body), 201)
      }
      progress(`${many} hooks`)
      /** @type {{ created: number, told: number }[]} */
      const found = []
      for (let round = 0; round < rounds; round++) {
        const owed = flows * many
        arrived = 0
        let left = flows
        const began = performance.now()
        await Promise.all(
          callers.map(async (caller) => {
            while (left-- > 0) await post(caller, '/flows', flow, 201)
          }),
        )
        const created = performance.now() - began
        while (arrived < owed) {
          if (performance.now() - began > 120_000) throw new Error(`${arrived} of ${owed} arrived`)
          await sleep(2)
        }
        const told = performance.now() - began
        found.push({ created: (flows * 1000) / created, told: (owed * 1000) / told })
      }
      rows.push([
        `${many} hook${many === 1 ? '' : 's'}`,
        spread(found.map(({ created }) => created)),
        spread(found.map(({ told }) => told)),
      ])
    }
    table(['', 'flows created per second', 'deliveries per second, until the last'], rows)
    await checkDelivered(client)
  } finally {
    for (const caller of callers) caller.close()
    await service.stop()
    await client.end()
    await server.dropDatabase(url)
    receiver.closeAllConnections()
    receiver.close()
  }
}

/**
 * Each event has the deliveries that it owes, each delivered once.
 *
 * @param {import('pg').Client} client
 */
async function checkDelivered(client) {
  for (let tries = 0; ; tries++) {
    const { rows } = await client.query(
      `select count(*)::integer as all, count(*) filter (where status = 'delivered' and attempt = 1)::integer as once
       from deliveries`,
    )
    if (rows[0].all === rows[0].once) {
      say(`${rows[0].all} deliveries, each made by one attempt.`)
      return
    }
    if (tries > 50) throw new Error(`${rows[0].once} of ${rows[0].all} were delivered at once`)
    await sleep(100)
  }
}

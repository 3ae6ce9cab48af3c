// How late timers fire under light load: set through HTTP, measured by their audit events.

import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './http-client.mjs'
import { connect } from './postgres.mjs'
import { figure, heading, judge, percentile, progress, table } from './report.mjs'
import { insertWaiting, settle } from './rows.mjs'
import { startService } from './service.mjs'

const perSecond = 100
const callers = 10

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ quick: boolean }} options
 */
export async function lateness(server, { quick }) {
  const seconds = quick ? 4 : 20
  const others = quick ? 10_000 : 100_000
  heading(
    `Lateness: ${perSecond} timers per second for ${seconds} s, ${others.toLocaleString('en-US')} other flows waiting`,
  )
  const url = await server.createDatabase('lateness')
  const client = await connect(url)
  try {
    const due = `now() + interval '1 year' + i * interval '1 second'`
    await insertWaiting(client, { count: others, waits: 'mixed', due })
    await settle(client)
    const service = await startService({ DATABASE_URL: url })
    try {
      progress('setting timers')
      await setTimers(service.port, seconds)
      await sleep(4_000)
      const { rows } = await client.query(`
        select extract(epoch from r.at - (w.payload->'wait'->>'at')::timestamptz) * 1000 as late
        from flow_events w
        left join flow_events r
          on r.flow_id = w.flow_id and r.kind = 'resumed' and r.revision = w.revision + 1
        where w.kind = 'waiting'`)
      if (rows.some(({ late }) => late === null)) throw new Error('a timer did not fire')
      const late = rows.map((row) => Number(row.late))
      if (late.some((ms) => ms < 0)) throw new Error('a timer fired before its time')
      table(
        ['timers', 'p50 ms', 'p99 ms', 'max ms'],
        [
          [
            String(late.length),
            figure(percentile(late, 0.5)),
            figure(percentile(late, 0.99)),
            figure(Math.max(...late)),
          ],
        ],
      )
      const p99 = percentile(late, 0.99)
      judge('lateness of timers, p99 ms', '< 25', figure(p99), p99 < 25)
    } finally {
      await service.stop()
    }
  } finally {
    await client.end()
    await server.dropDatabase(url)
  }
}

/** @param {number} port @param {number} seconds */
async function setTimers(port, seconds) {
  const began = performance.now()
  let next = 0
  await Promise.all(
    Array.from({ length: callers }, async () => {
      const connection = await openConnection(port)
      while (next < perSecond * seconds) {
        const turn = began + (next++ * 1000) / perSecond
        await sleep(Math.max(0, turn - performance.now()))
        await setTimer(connection)
      }
      connection.close()
    }),
  )
}

/** A flow whose timer is due in one to three seconds. @param {import('./http-client.mjs').Connection} connection */
async function setTimer(connection) {
  const created = await connection.send(
    'POST',
    '/flows',
    '{"controller_id":"bench","goal":"wait","owner_session_key":"bench","requester_origin":"bench","start":true}',
  )
  const { id } = JSON.parse(created.body)
  const at = new Date(Date.now() + 1000 + Math.random() * 2000).toISOString()
  const answer = await connection.send(
    'POST',
    `/flows/${id}/wait`,
    JSON.stringify({ kind: 'timer', at }),
  )
  if (answer.status !== 200) throw new Error(`a timer was refused: ${answer.body}`)
}

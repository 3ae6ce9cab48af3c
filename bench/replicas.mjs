// How long a signal takes to be visible, as its flow goes on, to those who watch: on the same replica and on another.

import { get } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { openConnection } from './http-client.mjs'
import { figure, heading, judge, percentile, progress, table } from './report.mjs'
import { startService } from './service.mjs'
import { createFlows } from './streams.mjs'

/** Callers that change other flows meanwhile. */
const others = 4

/**
 * @param {import('./postgres.mjs').Server} server
 * @param {{ quick: boolean }} options
 */
export async function replicas(server, { quick }) {
  const changes = quick ? 60 : 400
  heading(
    `Replicas: from sending a signal until its flow is seen to go on, ${changes} signals beside ${others} other writers`,
  )
  const url = await server.createDatabase('replicas')
  const here = await startService({ DATABASE_URL: url })
  const there = await startService({ DATABASE_URL: url })
  const lanes = await Promise.all(
    Array.from({ length: others + 1 }, () => openConnection(here.port)),
  )
  try {
    const [flow, ...rest] = await createFlows(lanes, 21)
    // The two learn of each other.
    await sleep(500)
    /** @type {Map<string, { seen: Map<number, number>, title: string }>} */
    const watchers = new Map()
    let stopping = false
    const stop = () => stopping
    /** @type {(() => void)[]} */
    const closers = []
    for (const [name, port] of /** @type {const} */ ([
      ['the same replica', here.port],
      ['another replica', there.port],
    ])) {
      for (const [kind, path] of [
        ['stream of the flow', `/flows/${flow}/events/stream?after=0`],
        ['stream of the feed', '/events/stream?kind=resumed'],
      ]) {
        const seen = new Map()
        watchers.set(`${name}, ${kind}`, { seen, title: name })
        closers.push(await stream(port, path, seen))
      }
      const seen = new Map()
      watchers.set(`${name}, long poll`, { seen, title: name })
      void longPoll(port, flow, seen, stop)
    }
    const load = lanes.slice(1).map(async ({ send }, lane) => {
      for (let n = lane; !stopping; n++) {
        await send('PATCH', `/flows/${rest[n % rest.length]}/state`, `{"patch":{"n":${n}}}`)
        await sleep(1)
      }
    })
    progress(`${changes} signals`)
    /** @type {Map<number, number>} */
    const sent = new Map()
    for (let n = 0; n < changes; n++) {
      const key = '"topic":"order.paid","correlation_id":"order-42"'
      await lanes[0].send('POST', `/flows/${flow}/wait`, `{"kind":"external_event",${key}}`)
      await sleep(20 + Math.random() * 20)
      const at = performance.now()
      const answer = await lanes[0].send('POST', '/signals', `{${key},"payload":${n}}`)
      sent.set(JSON.parse(answer.body).deliveries[0].revision, at)
      await sleep(20 + Math.random() * 20)
    }
    await sleep(1_500)
    stopping = true
    await Promise.all(load)
    for (const close of closers) close()
    const late = [...watchers].map(([name, { seen, title }]) => ({
      name,
      title,
      values: [...sent].flatMap(([revision, at]) => {
        const when = seen.get(revision)
        // A long poll may step over a change that was followed by another at once.
        return when === undefined ? [] : [when - at]
      }),
    }))
    table(
      ['seen on', 'signals', 'p50 ms', 'p99 ms', 'max ms'],
      late.map(({ name, values }) => [
        name,
        String(values.length),
        figure(percentile(values, 0.5)),
        figure(percentile(values, 0.99)),
        figure(Math.max(...values)),
      ]),
    )
    for (const { name, title, values } of late) {
      if (!name.endsWith('long poll') && values.length !== changes) {
        throw new Error(`${name}: ${values.length} of ${changes} signals were seen`)
      }
      if (title !== 'another replica') continue
      const p99 = percentile(values, 0.99)
      judge(`signal to visible on ${name}, p99 ms`, '< 50', figure(p99), p99 < 50)
    }
  } finally {
    for (const lane of lanes) lane.close()
    await here.stop()
    await there.stop()
    await server.dropDatabase(url)
  }
}

/**
 * @param {number} port
 * @param {string} path
 * @param {Map<number, number>} seen when each revision came
 * @returns {Promise<() => void>}
 */
function stream(port, path, seen) {
  return new Promise((resolve, reject) => {
    const request = get({ port, host: '127.0.0.1', path, agent: false }, (response) => {
      response.setEncoding('utf8')
      response.on('error', () => {})
      response.on('data', (/** @type {string} */ text) => {
        for (const [, revision] of text.matchAll(/"revision":(\d+)/g)) {
          seen.set(Number(revision), performance.now())
        }
      })
      resolve(() => request.destroy())
    })
    request.once('error', reject)
  })
}

/**
 * @param {number} port
 * @param {string} flow
 * @param {Map<number, number>} seen
 * @param {() => boolean} stopping
 */
async function longPoll(port, flow, seen, stopping) {
  const address = `http://127.0.0.1:${port}/flows/${flow}`
  let tag = '"1"'
  while (!stopping()) {
    const answer = await fetch(`${address}?wait=PT1S`, { headers: { 'if-none-match': tag } }).catch(
      () => null,
    )
    if (answer === null) return
    await answer.arrayBuffer()
    tag = answer.headers.get('etag') ?? tag
    if (answer.status === 200) seen.set(Number(tag.slice(1, -1)), performance.now())
  }
}

// Replicas that wake each other through LISTEN, and what becomes of it when the session dies, goes deaf or is a pooler's.

import { connect, createServer } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { createHints, type Hints, hintKey } from '../../src/engine/hints.ts'
import type { Notice } from '../../src/engine/notice.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  toldTo,
  until,
} from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { openProxy } from '../support/proxy.ts'

let place: TestDatabase
let session: Session
const running: (() => Promise<unknown>)[] = []

beforeEach(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
})

afterEach(async () => {
  for (const stop of running.splice(0).reverse()) await stop()
  await session.end()
  await place.drop()
})

interface TestHints extends Hints {
  notices: Notice[]
  /** What came: short keys, or null for anything. */
  heard: (string[] | null)[]
}

/** One replica's hints, tested often. */
function listenAt(url: string, more: { patience?: number } = {}): TestHints {
  const notices: Notice[] = []
  const heard: (string[] | null)[] = []
  const hints = createHints(
    { connectionString: url, testEvery: 60, patience: 400, ...more },
    toldTo(notices),
  )
  hints.subscribe('flows', (keys) => heard.push(keys === null ? null : [...keys]))
  hints.start()
  running.push(hints.stop)
  return { ...hints, notices, heard }
}

const isOk = (hints: Hints) => () => hints.status() === 'ok'

/** Publishes until it is heard: replicas know of each other a moment after they listen. */
async function tells(one: Hints, other: TestHints, key: string): Promise<void> {
  await until(`${key} is heard`, () => {
    one.publish('flows', [key])
    return other.heard.some((keys) => keys?.includes(hintKey(key)))
  })
}

async function killListeners(): Promise<number> {
  const { rowCount } = await session.query(
    `select pg_terminate_backend(pid) from pg_stat_activity
     where datname = current_database() and application_name = 'taskflow/listener'`,
  )
  return rowCount ?? 0
}

/** A way to the database that changes what goes through it, in place. */
async function openTwister(twist: (text: string) => string): Promise<string> {
  // The proxy's address is one of TCP, also where that of the server is not.
  const proxy = await openProxy(place.url)
  const { hostname, port } = new URL(proxy.url)
  const turn = (chunk: Buffer) => Buffer.from(twist(chunk.toString('latin1')), 'latin1')
  const server = createServer((client) => {
    const upstream = connect(Number(port), hostname)
    client.on('data', (chunk) => upstream.write(turn(chunk)))
    upstream.on('data', (chunk) => client.write(turn(chunk)))
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      from.on('error', () => {})
      from.on('close', () => to.destroy())
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  running.unshift(proxy.close, () => new Promise((resolve) => server.close(resolve)))
  const url = new URL(proxy.url)
  const address = server.address()
  url.hostname = '127.0.0.1'
  url.port = String(typeof address === 'object' ? address?.port : '')
  return url.href
}

describe('hints', () => {
  test('reach other replicas, and not their sender', async () => {
    const [a, b, c] = [listenAt(place.url), listenAt(place.url), listenAt(place.url)]
    await tells(a, b, 'x')
    await tells(a, c, 'y')
    await tells(b, a, 'z')
    expect(a.heard.flat()).not.toContain(hintKey('x'))
  })

  test('are not sent while nobody else listens', async () => {
    const told: string[] = []
    session.on('notification', ({ payload = '' }) => told.push(payload))
    await session.query('listen taskflow')
    const isTold = (text: string) => told.some((payload) => payload.includes(text))
    /** Waits for three tests of the session: what was published before would have come by then. */
    const testedThrice = async () => {
      const signs = () => told.filter((payload) => payload.endsWith(' here')).length
      const before = signs()
      await until('it was tested three times', () => signs() > before + 2)
    }
    const a = listenAt(place.url)
    await until('it listens', isOk(a))
    a.publish('flows', ['early'])
    await testedThrice()
    expect(isTold('flows')).toBe(false)
    const b = listenAt(place.url)
    await tells(a, b, 'x')
    await until('the session hears it too', () => isTold(hintKey('x')))
    await b.stop()
    await until('the leave is told', () => isTold('bye'))
    // Told is not yet heard by the other; what comes later on the channel is.
    await testedThrice()
    a.publish('flows', ['late'])
    await testedThrice()
    expect(isTold(hintKey('late'))).toBe(false)
  })

  test('that come close together go together, and many become one', async () => {
    const [a, b] = [listenAt(place.url), listenAt(place.url)]
    await tells(a, b, 'x')
    const keys = Array.from({ length: 60 }, (_, n) => `key ${n}`)
    const before = b.heard.length
    for (const key of keys) a.publish('flows', [key])
    await until('all is heard', () => {
      const heard = new Set(b.heard.flat())
      return keys.every((key) => heard.has(hintKey(key)))
    })
    // One more at most: of the first key, which was told until it was heard.
    expect(b.heard.length - before).toBeLessThan(4)
    const nulls = () => b.heard.filter((one) => one === null).length
    const known = nulls()
    a.publish(
      'flows',
      Array.from({ length: 5_000 }, (_, n) => `more ${n}`),
    )
    await until('it is heard', () => nulls() > known)
    expect(b.heard.flat()).not.toContain(hintKey('more 0'))
  })

  test('go on after the session was ended, and whoever was deaf meanwhile is told to look', async () => {
    const [a, b] = [listenAt(place.url), listenAt(place.url)]
    await tells(a, b, 'x')
    b.heard.length = 0
    await until('the sessions are gone', async () => (await killListeners()) > 0)
    await until('it is noticed', () => b.notices.length > 0)
    await until('it hears again', isOk(b))
    expect(b.notices.map(({ type }) => type)).toEqual(['listen_degraded', 'listen_recovered'])
    expect(b.heard).toContainEqual(null)
    await tells(a, b, 'y')
  })

  test('a way that swallows everything is found out, and the session replaced', async () => {
    const proxy = await openProxy(place.url)
    running.push(proxy.close)
    const [a, b] = [listenAt(place.url), listenAt(proxy.url)]
    await tells(a, b, 'x')
    await proxy.set('blackhole')
    await until('it is noticed', () => b.notices.length > 0)
    expect(b.status()).toBe('degraded')
    expect(b.notices).toMatchObject([{ type: 'listen_degraded' }])
    await proxy.set('pass')
    await until('it hears again', isOk(b))
    await tells(a, b, 'y')
  })

  test.each([
    ['takes LISTEN and drops it', 'listen "taskflow"', `select 'taskflow'`, /pooler/],
    ['never delivers', ' here\0', ' lost\0', /did not arrive/],
  ])('a pooler that %s is found out', async (_, from, to, reason) => {
    const url = await openTwister((text) => text.replaceAll(from, to))
    const hints = listenAt(url)
    await until('it is noticed', () => hints.notices.length > 0)
    expect(hints.status()).toBe('degraded')
    expect(hints.notices).toHaveLength(1)
    expect(String((hints.notices[0] as { cause?: Error }).cause?.message)).toMatch(reason)
  })
})

describe('two engines', () => {
  let engines: [TestEngine, TestEngine]

  beforeEach(() => {
    engines = [1, 2].map(() =>
      openEngine(place.url, { listen: { connectionString: place.url, testEvery: 100 } }),
    ) as [TestEngine, TestEngine]
    for (const engine of engines) {
      engine.start()
      running.push(engine.close)
    }
  })

  /** How long changes on one take to be seen on the other, by long polls of a flow and of the feed. */
  async function lateness(rounds: number): Promise<number> {
    const [here, there] = engines
    const signal = new AbortController().signal
    const { id } = await createFlow(here)
    let late = 0
    for (let n = 0; n < rounds; n++) {
      const { revision } = await there.flows.get(caller, id)
      const seen = there.flows.waitFor(caller, id, { revision }, 20_000, signal)
      const listed = there.events.list(
        caller,
        id,
        { after: revision },
        { limit: 1 },
        { ms: 20_000, signal },
      )
      // Both have looked once when this is answered.
      await there.flows.get(caller, id)
      await here.flows.change(caller, id, { type: 'update_state', patch: { n } })
      const changed = performance.now()
      expect((await seen).revision).toBe(revision + 1)
      expect((await listed).items).toMatchObject([{ revision: revision + 1 }])
      late += performance.now() - changed
    }
    return late / rounds
  }

  test('see each other’s changes long before they look', async () => {
    await until('both listen', () => engines.every(({ status }) => status().listen === 'ok'))
    await lateness(2)
    // By looking alone it would be 500 on average.
    expect(await lateness(20)).toBeLessThan(250)
  })

  test('see them by looking while the sessions are ended again and again', async () => {
    let over = false
    const killer = (async () => {
      while (!over) {
        await killListeners()
        await session.query('select pg_sleep(0.05)')
      }
    })()
    expect(await lateness(4)).toBeLessThan(5_000)
    over = true
    await killer
    await until('both listen again', () => engines.every(({ status }) => status().listen === 'ok'))
    expect(engines.map(({ notices }) => notices.map(({ type }) => type).slice(0, 2))).toEqual([
      ['listen_degraded', 'listen_recovered'],
      ['listen_degraded', 'listen_recovered'],
    ])
  })
})

// What a broken way to the database may do: delay and refuse, but never lose what was answered and never do anything twice.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  caller,
  codeOf,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
} from '../support/engine.ts'
import { checkHistory, checkInvariants, createHistory } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type DatabaseProxy, openProxy } from '../support/proxy.ts'

/** As named statements stand in the protocol. */
const begin = '\0begin\0'
const commit = '\0commit\0'

let place: TestDatabase
let proxy: DatabaseProxy
let engine: TestEngine
let session: Session

beforeEach(async () => {
  place = await createTestDatabase()
  proxy = await openProxy(place.url)
  engine = openEngine(proxy.url)
  session = await openSession(place.url)
})

afterEach(async () => {
  await proxy.set('pass')
  await engine.close()
  await proxy.close()
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

function update(id: string, patch: Record<string, number>, actor = 'tester') {
  return engine.flows.change({ ...caller, actor }, id, { type: 'update_state', patch })
}

async function eventsOf(id: string): Promise<string[]> {
  const { rows } = await session.query<{ kind: string }>(
    'select kind from flow_events where flow_id = $1 order by revision',
    [id],
  )
  return rows.map((row) => row.kind)
}

function doubts() {
  return engine.notices.flatMap((notice) => (notice.type === 'commit_in_doubt' ? [notice] : []))
}

describe('the answer to COMMIT is lost', () => {
  test('a change that was committed is answered as one, with its state, and is done once', async () => {
    const flow = await createFlow(engine, { state: { base: 1 } })
    await update(flow.id, { warm: 1 })
    const seen = proxy.once(commit, 'drop-reply')
    const { flow: after } = await update(flow.id, { n: 1 })
    await seen
    expect(after).toMatchObject({ revision: 3, state: { base: 1, warm: 1, n: 1 } })
    expect(doubts()).toMatchObject([{ committed: true }])
    expect(await eventsOf(flow.id)).toEqual([
      'created',
      'started',
      'state_updated',
      'state_updated',
    ])
  })

  test('so is a whole batch, refusals and creations and all', async () => {
    const flows = await Promise.all([1, 2, 3].map(() => createFlow(engine)))
    const [a, b, c] = flows.map(({ id }) => id)
    const seen = proxy.once(commit, 'drop-reply')
    const answers = await Promise.allSettled([
      update(a ?? '', { n: 1 }),
      update(a ?? '', { n: 2 }),
      engine.flows.change(caller, b ?? '', { type: 'start' }),
      engine.flows.change(caller, c ?? '', { type: 'finish' }),
      createFlow(engine, { key: 'k' }),
    ])
    await seen
    expect(
      answers.map((one) => {
        if (one.status === 'rejected') return one.reason.code
        return 'flow' in one.value ? one.value.flow.revision : one.value.revision
      }),
    ).toEqual([2, 3, 'illegal_transition', 2, 1])
    expect(doubts()).toMatchObject([{ committed: true }])
  })

  test('a tick whose answer is lost has fired once, and says so', async () => {
    const flow = await createFlow(engine)
    const wait = { kind: 'timer', after: 0 } as const
    await engine.flows.change(caller, flow.id, { type: 'wait', wait_id: flow.id, wait })
    const seen = proxy.once(commit, 'drop-reply')
    expect(await engine.waitEngine.tick()).toMatchObject({ scanned: 1, resumed: 1, errors: 0 })
    await seen
    expect(await eventsOf(flow.id)).toEqual(['created', 'started', 'waiting', 'resumed'])
  })

  test('with an Idempotency-Key, the repeat gets the same answer', async () => {
    const flow = await createFlow(engine)
    const keep = { idempotency: { key: 'k', fingerprint: 'f' } }
    const finish = () => engine.flows.change(caller, flow.id, { type: 'finish' }, keep)
    const seen = proxy.once(commit, 'drop-reply')
    const first = await finish()
    await seen
    expect(first).toMatchObject({ replayed: false, flow: { status: 'finished', revision: 2 } })
    expect(await finish()).toEqual({ ...first, replayed: true })
  })
})

describe('the connection breaks', () => {
  test('before COMMIT arrives: rolled back for certain, done again once', async () => {
    const flow = await createFlow(engine)
    const seen = proxy.once(commit, 'reset')
    const { flow: after } = await update(flow.id, { n: 1 })
    await seen
    expect(after.revision).toBe(2)
    expect(doubts()).toMatchObject([{ committed: false }])
    expect(await eventsOf(flow.id)).toEqual(['created', 'started', 'state_updated'])
  })

  test('before BEGIN arrives: done again once', async () => {
    const flow = await createFlow(engine)
    const seen = proxy.once(begin, 'reset')
    expect((await update(flow.id, { n: 1 })).flow.revision).toBe(2)
    await seen
  })

  test('while idle: the next request does not notice', async () => {
    const flow = await createFlow(engine)
    for (let n = 0; n < 5; n++) {
      await session.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name like $1 and datname = current_database()`,
        [`${engine.applicationName}/%`],
      )
      expect((await update(flow.id, { n })).flow.revision).toBe(n + 2)
      expect((await engine.flows.get(caller, flow.id)).revision).toBe(n + 2)
    }
  })
})

describe('the database is away', () => {
  test('refusing connections: unavailable at once, and back by itself', async () => {
    const flow = await createFlow(engine)
    engine.start()
    await proxy.set('refuse')
    const started = performance.now()
    expect(await codeOf(update(flow.id, { n: 1 }))).toBe('unavailable')
    expect(await codeOf(engine.flows.get(caller, flow.id))).toBe('unavailable')
    expect(await codeOf(createFlow(engine))).toBe('unavailable')
    expect(performance.now() - started).toBeLessThan(2_000)
    expect((await engine.ready()).ready).toBe(false)
    await until('the loop tells of it', () =>
      engine.notices.some(
        (notice) => notice.type === 'loop_failed' && notice.loop === 'wait-engine',
      ),
    )
    await proxy.set('pass')
    expect((await update(flow.id, { n: 2 })).flow.revision).toBe(2)
    await until('ready again', async () => (await engine.ready()).ready)
    await until('the loop tells that it works again', () =>
      engine.notices.some(
        (notice) => notice.type === 'loop_recovered' && notice.loop === 'wait-engine',
      ),
    )
  })

  test('a timer that came due meanwhile fires when it is back', async () => {
    const flow = await createFlow(engine)
    engine.start()
    const wait = { kind: 'timer', after: 300 } as const
    await engine.flows.change(caller, flow.id, { type: 'wait', wait_id: flow.id, wait })
    await proxy.set('refuse')
    await until('it is due', async () => {
      const { rows } = await session.query('select 1 from flows where wake_at < now()')
      return rows.length === 1
    })
    expect(await eventsOf(flow.id)).not.toContain('resumed')
    await proxy.set('pass')
    await until('it has fired', async () => (await eventsOf(flow.id)).includes('resumed'))
  })

  test('swallowing everything: every call is answered within eight seconds', async () => {
    const flow = await createFlow(engine)
    await engine.flows.get(caller, flow.id)
    await proxy.set('blackhole')
    const started = performance.now()
    const codes = await Promise.all([
      codeOf(update(flow.id, { n: 1 })),
      codeOf(createFlow(engine)),
      codeOf(engine.flows.get(caller, flow.id)),
      engine.ready().then(({ ready }) => `ready: ${ready}`),
    ])
    expect(codes).toEqual(['unavailable', 'unavailable', 'unavailable', 'ready: false'])
    expect(performance.now() - started).toBeLessThan(8_500)
    await proxy.set('pass')
    await until('changes go through again', () =>
      update(flow.id, { n: 2 }).then(
        () => true,
        () => false,
      ),
    )
  })

  test('a read-only database, as after a failover: unavailable, and back by itself', async () => {
    const flow = await createFlow(engine)
    const dbname = new URL(place.url).pathname.slice(1)
    const end = () =>
      session.query(
        'select pg_terminate_backend(pid) from pg_stat_activity where application_name like $1',
        [`${engine.applicationName}/%`],
      )
    await session.query(`alter database ${dbname} set default_transaction_read_only = on`)
    await end()
    expect(await codeOf(update(flow.id, { n: 1 }))).toBe('unavailable')
    expect((await engine.flows.get(caller, flow.id)).revision).toBe(1)
    await session.query(`alter database ${dbname} reset default_transaction_read_only`)
    await end()
    expect((await update(flow.id, { n: 2 })).flow.revision).toBe(2)
  })
})

describe('under load', () => {
  /** Clients that keep asking until told to stop; answers what they were told. */
  function load(flows: readonly string[], clients: number) {
    const history = createHistory()
    let stopped = false
    const done = Promise.all(
      Array.from({ length: clients }, async (_, client) => {
        for (let n = 0; !stopped; n++) {
          const id = flows[(client + n) % flows.length] ?? ''
          const { outcome } = await history.run((actor) =>
            n % 10 === 9
              ? engine.flows.create(
                  { ...caller, actor },
                  { controller_id: 'c', goal: 'g', owner_session_key: 'o', requester_origin: 'r' },
                )
              : update(id, { [`c${client}`]: n }, actor),
          )
          // Callers who are told to come back do not hammer.
          if (outcome === 'unknown') await new Promise((resolve) => setTimeout(resolve, 20))
        }
      }),
    )
    return {
      history,
      stop: async () => {
        stopped = true
        await done
      },
    }
  }

  test('sessions are ended at random: nothing answered is lost, nothing is done twice', async () => {
    const flows = await Promise.all(Array.from({ length: 12 }, () => createFlow(engine)))
    const { history, stop } = load(
      flows.map(({ id }) => id),
      24,
    )
    let ended = 0
    for (let round = 0; round < 30; round++) {
      const { rows } = await session.query<{ ended: boolean }>(
        `select pg_terminate_backend(pid) as ended from pg_stat_activity
         where application_name = $1 and datname = current_database() and state <> 'idle'
         order by random() limit 1`,
        [`${engine.applicationName}/writer`],
      )
      ended += rows.filter((row) => row.ended).length
      const before = history.operations.length
      await until('the load goes on', () => history.operations.length > before + 40)
    }
    await stop()
    expect(ended).toBeGreaterThan(5)
    const { logs } = await checkInvariants(session)
    checkHistory(history.operations, logs)
    const changed = history.operations.filter(({ outcome }) => outcome === 'changed').length
    expect(changed).toBeGreaterThan(history.operations.length / 2)
    for (const { id } of flows) await update(id, { end: 1 })
  })

  test('answers to COMMIT are lost again and again', async () => {
    const flows = await Promise.all(Array.from({ length: 12 }, () => createFlow(engine)))
    const { history, stop } = load(
      flows.map(({ id }) => id),
      24,
    )
    for (let round = 0; round < 20; round++) {
      await proxy.once(commit, round % 2 === 0 ? 'drop-reply' : 'reset')
    }
    await stop()
    expect(doubts().length).toBeGreaterThanOrEqual(15)
    const { logs } = await checkInvariants(session)
    checkHistory(history.operations, logs)
    expect(history.operations.filter(({ outcome }) => outcome === 'unknown')).toEqual([])
  })

  test('the database goes and comes back, several times', async () => {
    const flows = await Promise.all(Array.from({ length: 6 }, () => createFlow(engine)))
    const { history, stop } = load(
      flows.map(({ id }) => id),
      12,
    )
    for (let round = 0; round < 3; round++) {
      const changed = () => history.operations.filter(({ outcome }) => outcome === 'changed').length
      const before = changed()
      await until('the load runs', () => changed() > before + 50)
      await proxy.set('refuse')
      const told = engine.notices.length
      await until('connections fail', () => engine.notices.length > told + 4)
      await proxy.set('pass')
    }
    await stop()
    const { logs } = await checkInvariants(session)
    checkHistory(history.operations, logs)
    for (const { id } of flows) await update(id, { end: 1 })
  })
})

// Signals where they are hard: at the edge of their time, in crowds larger than a batch, at their bounds, and between namespaces.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { FlowRecord } from '../../src/domain/flow.ts'
import type { WaitSpec } from '../../src/domain/wait.ts'
import { matchText } from '../../src/engine/entry.ts'
import { mintId } from '../../src/engine/ids.ts'
import { deleteOldSignals, expireSignals, listWaking } from '../../src/store/signal-lists.ts'
import {
  caller,
  codeOf,
  createFlow,
  newFlow,
  openEngine,
  openSession,
  type Session,
  signalSettings,
  type TestEngine,
  until,
  untilBlockedBy,
} from '../support/engine.ts'
import { fold } from '../support/fold.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engine: TestEngine
let rival: TestEngine
let session: Session

beforeEach(async () => {
  place = await createTestDatabase()
  engine = openEngine(place.url)
  rival = openEngine(place.url, { signals: { ...signalSettings, kept: 2 } })
  session = await openSession(place.url)
})

afterEach(async () => {
  await Promise.all([engine.close(), rival.close()])
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

const target = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
const event = target

async function wait(id: string, spec: WaitSpec = event, by = engine) {
  const command = { type: 'wait', wait_id: mintId(), wait: spec } as const
  return (await by.flows.change(caller, id, command)).flow
}

async function waiters(count: number, spec: WaitSpec = event): Promise<string[]> {
  const flows = await Promise.all(Array.from({ length: count }, () => createFlow(engine)))
  await Promise.all(flows.map(({ id }) => wait(id, spec)))
  return flows.map(({ id }) => id)
}

/** Lets the waker's work be done here and now; answers how many turns it took. */
async function wakeAll(): Promise<number> {
  for (let turns = 0; turns < 20; turns++) {
    const waking = await listWaking(engine.database.scope, 16)
    if (waking.length === 0) return turns
    engine.start()
    await until('the waker has looked', async () => {
      const now = await listWaking(engine.database.scope, 16)
      return JSON.stringify(now) !== JSON.stringify(waking)
    })
    await engine.stop()
  }
  throw new Error('the waker does not come to an end')
}

describe('at the edge of its time', () => {
  test('a kept signal that expires while a wait stands before a lock hides no other', async () => {
    const { id } = await createFlow(engine)
    await engine.signals.send(caller, { target, payload: 'short', ttl: 400 })
    await engine.signals.send(caller, { target, payload: 'long' })
    const text = matchText('default', target)
    await session.query('select pg_advisory_lock(hashtextextended($1, 11))', [text])
    const waiting = wait(id)
    await untilBlockedBy(session)
    await session.query("select pg_sleep_until(min(expires_at) + interval '2 ms') from signals")
    await session.query('select pg_advisory_unlock_all()')
    expect((await waiting).state).toEqual({ resume_event: 'long' })
  })

  test('a kept signal whose row is held elsewhere is waited for', async () => {
    const { id } = await createFlow(engine)
    const { signal_id } = await engine.signals.send(caller, { target, payload: 1 })
    await session.query('begin')
    await session.query('select from signals where id = $1 for no key update', [signal_id])
    const waiting = wait(id)
    await untilBlockedBy(session)
    await session.query('commit')
    expect((await waiting).state).toEqual({ resume_event: 1 })
  })

  test('an expired signal is not taken, whether or not that is written down', async () => {
    const { id } = await createFlow(engine)
    await engine.signals.send(caller, { target, payload: 1 })
    await session.query(`update signals set expires_at = now() - interval '1 minute'`)
    expect((await wait(id)).status).toBe('waiting')
    expect(await expireSignals(engine.database.scope, 10)).toBe(1)
    const other = await createFlow(engine)
    expect((await wait(other.id)).status).toBe('waiting')
  })
})

test('what has served its time is deleted, and nothing that is kept or goes on', async () => {
  const { id } = await createFlow(engine)
  await wait(id)
  for (const payload of [1, 2]) await engine.signals.send(caller, { target, payload })
  const day = 86_400_000
  expect(await deleteOldSignals(engine.database.scope, 0, 10), 'the delivered one').toBe(1)
  expect(await deleteOldSignals(engine.database.scope, day, 10)).toBe(0)
  const { rows } = await session.query('select outcome from signals')
  expect(rows).toEqual([{ outcome: 'buffered' }])
  await session.query('delete from flow_events where flow_id = $1', [id])
  await session.query('delete from flows where id = $1', [id])
})

describe('for all', () => {
  test('waits that begin while it goes on are not woken, however many', async () => {
    await waiters(110)
    const fate = await engine.signals.send(caller, { target, deliver: 'all', payload: 1 })
    expect(fate.deliveries).toHaveLength(100)
    const late = await waiters(120)
    expect(await wakeAll()).toBeLessThan(5)
    const { flows } = await checkInvariants(session)
    const waiting = flows.filter(({ status }) => status === 'waiting').map(({ id }) => id)
    expect(waiting.sort()).toEqual(late.sort())
  }, 60_000)

  test('a wait with two branches for it is advanced once', async () => {
    await waiters(130, { kind: 'all', of: [event, { kind: 'manual' }, event] })
    const fate = await engine.signals.send(caller, { target, deliver: 'all', payload: 1 })
    expect(fate.deliveries).toHaveLength(100)
    await wakeAll()
    const { flows, signals } = await checkInvariants(session)
    expect(signals[0]?.delivered_count).toBe(130)
    for (const { wait } of flows) expect(wait).toMatchObject({ satisfied: [true, false, false] })
  }, 60_000)

  test('one that is redelivered wakes every wait there is by then', async () => {
    const { signal_id } = await engine.signals.send(caller, { target, deliver: 'all', payload: 1 })
    await session.query(`update signals set expires_at = now() - interval '1 minute'`)
    await waiters(120)
    await engine.signals.redeliver(caller, signal_id)
    await waiters(3)
    await wakeAll()
    const { flows, signals } = await checkInvariants(session)
    expect(signals[0]?.delivered_count).toBe(120)
    expect(flows.filter(({ status }) => status === 'waiting')).toHaveLength(3)
  }, 60_000)

  test('a wait that is locked elsewhere is not passed by', async () => {
    const ids = await waiters(5)
    await session.query('begin')
    await session.query('select from flows where id = $1 for update', [ids[2]])
    const { outcome } = await engine.signals.send(caller, { target, deliver: 'all', payload: 1 })
    expect(outcome).toBe('delivered')
    await session.query('rollback')
    await wakeAll()
    const { flows } = await checkInvariants(session)
    expect(flows.map(({ status }) => status)).toEqual(Array(5).fill('running'))
  })

  test('two engines wake one crowd together, each wait once', async () => {
    await waiters(250)
    engine.start()
    rival.start()
    await Promise.all(
      [engine, rival, engine].map(({ signals }) =>
        signals.send(caller, { target, deliver: 'all', payload: 1 }),
      ),
    )
    await until('all are woken', async () => {
      const { rows } = await session.query('select 1 from flows where status = $1', ['waiting'])
      return rows.length === 0 && (await listWaking(engine.database.scope, 1)).length === 0
    })
    await Promise.all([engine.stop(), rival.stop()])
    const { signals } = await checkInvariants(session)
    expect(signals.reduce((sum, signal) => sum + signal.delivered_count, 0)).toBe(250)
  }, 60_000)
})

test('one signal wakes the wait that is the oldest, and one that began anew is not', async () => {
  const [a = '', b = ''] = [await waiters(1), await waiters(1)].flat()
  // One batch: the line was looked up while the first wait of `a` still stood in it.
  const [, , fate] = await Promise.all([
    engine.flows.change(caller, a, { type: 'resume' }),
    wait(a),
    engine.signals.send(caller, { target, payload: 1 }),
  ])
  expect(fate.deliveries.map(({ flow_id }) => flow_id)).toEqual([b])
})

test('a signal for one flow is not taken by another that waits for the same', async () => {
  const [{ id }, other] = await Promise.all([createFlow(engine), createFlow(engine)])
  await engine.signals.send(caller, { target, flow_id: id, payload: 1 })
  expect((await wait(other.id)).status).toBe('waiting')
  expect((await wait(id)).state).toEqual({ resume_event: 1 })
})

test('a flow that is to be cancelled takes no signal from others', async () => {
  const [a = '', b = ''] = [await waiters(1), await waiters(1)].flat()
  await engine.flows.change(caller, a, { type: 'request_cancel' })
  const fates = []
  for (const payload of [1, 2]) fates.push(await engine.signals.send(caller, { target, payload }))
  expect(fates.map(({ outcome }) => outcome)).toEqual(['delivered', 'buffered'])
  expect((await engine.flows.get(caller, b)).state).toEqual({ resume_event: 1 })
  expect(await codeOf(engine.signals.redeliver(caller, a))).toBe('not_found')
  const again = await engine.signals.redeliver(caller, fates[1]?.signal_id ?? '')
  expect(again.outcome).toBe('buffered')
})

test('a line of flows that take nothing is looked through to its end', async () => {
  const idle = await waiters(45)
  for (const id of idle) await engine.flows.change(caller, id, { type: 'request_cancel' })
  expect((await engine.signals.send(caller, { target, ttl: 0 })).outcome).toBe('unmatched')
  const [last = ''] = await waiters(1)
  const { deliveries } = await engine.signals.send(caller, { target })
  expect(deliveries.map(({ flow_id }) => flow_id)).toEqual([last])
})

test('in one batch with commands and signals, each answer has the state of its own revision', async () => {
  const { id } = await createFlow(engine, { state: { base: 1 } })
  const other = await createFlow(engine)
  const all: WaitSpec = { kind: 'all', of: [event, { kind: 'manual' }] }
  const answers: { revision: number; state: unknown }[] = []
  const note = async (work: Promise<{ flow: FlowRecord | null }>) => {
    const flow = await work.then((reply) => reply.flow).catch(() => null)
    if (flow?.id === id) answers.push({ revision: flow.revision, state: flow.state })
  }
  const patch = (n: number) =>
    note(engine.flows.change(caller, id, { type: 'update_state', patch: { n } }))
  const batches = engine.status().committer.batches_total
  await Promise.all([
    patch(1),
    note(engine.signals.send(caller, { target, payload: 'kept' })),
    note(wait(id, all).then((flow) => ({ flow }))),
    note(wait(other.id).then((flow) => ({ flow }))),
    patch(2),
    note(engine.signals.send(caller, { target, payload: 'for the other', deliver: 'all' })),
    note(
      engine.signals.send(caller, {
        target: { kind: 'manual', signal: 'x' },
        flow_id: id,
        payload: 'named',
      }),
    ),
    patch(3),
    note(wait(id).then((flow) => ({ flow }))),
    note(engine.signals.send(caller, { target, payload: 'last' })),
    patch(4),
  ])
  expect(engine.status().committer.batches_total).toBe(batches + 1)
  const { logs } = await checkInvariants(session)
  const log = logs.get(id) ?? []
  expect(log.map(({ kind }) => kind).slice(2)).toEqual([
    ...['state_updated', 'waiting', 'wait_progressed', 'state_updated', 'resumed'],
    ...['state_updated', 'waiting', 'resumed', 'state_updated'],
  ])
  expect(answers).toHaveLength(7)
  for (const { revision, state } of answers) {
    expect(state, `revision ${revision}`).toEqual(fold(log.slice(0, revision + 1)).state)
  }
})

test('a flow without room for a payload leaves it to the next in line', async () => {
  const roomy = openEngine(place.url)
  const [a = '', b = ''] = [await waiters(1), await waiters(1)].flat()
  await engine.flows.change(caller, a, { type: 'update_state', patch: { x: 'x'.repeat(262_000) } })
  const { deliveries } = await roomy.signals.send(caller, { target, payload: 'y'.repeat(500) })
  expect(deliveries.map(({ flow_id }) => flow_id)).toEqual([b])
  await roomy.close()
})

test('a wait for two busy things has its turn, however their holders alternate', async () => {
  const { id } = await createFlow(engine)
  const other = { ...target, correlation_id: 'd' }
  const gates = [await openSession(place.url), await openSession(place.url)]
  const sides = [target, other].map((key, i) => {
    const gate = gates[i] as Session
    const text = matchText('default', key)
    let settled = true
    return {
      gate,
      settled: () => settled,
      /** Lets a transaction of this engine stand before the key; false when somebody else has it. */
      async shut() {
        const { rows } = await gate.query<{ had: boolean }>(
          'select pg_try_advisory_lock(hashtextextended($1, 11)) as had',
          [text],
        )
        if (rows[0]?.had !== true) return false
        settled = false
        // On a slow machine it may give up: it only has to stand there for a while.
        const settle = () => {
          settled = true
        }
        engine.signals.send(caller, { target: key, ttl: 0 }).then(settle, settle)
        await untilBlockedBy(gate)
        return true
      },
      open: () => gate.query('select pg_advisory_unlock_all()'),
    }
  })
  const blockedBy = async ({ pid }: Session) => {
    const { rows } = await session.query<{ count: number }>(
      `select count(*)::integer as count from pg_stat_activity where $1 = any(pg_blocking_pids(pid))`,
      [pid],
    )
    return rows[0]?.count ?? 0
  }
  for (const side of sides) await side.shut()
  const waiting = wait(id, { kind: 'any', of: [event, other] })
  let turns = 0
  for (let had = false; !had && turns < 40; turns++) {
    const [side, facing] = turns % 2 === 0 ? sides : sides.toReversed()
    if (side === undefined || facing === undefined) break
    await side.open()
    await until('the key is free, or the wait has it and stands before the other', async () => {
      had = (await blockedBy(facing.gate)) > 1
      return had || side.settled()
    })
    had ||= !(await side.shut())
  }
  for (const side of sides) await side.open()
  expect((await waiting).status).toBe('waiting')
  await until('all are answered', () => sides.every((side) => side.settled()))
  for (const gate of gates) await gate.end()
  expect(turns).toBeLessThan(40)
})

describe('at their bounds', () => {
  const start_if_absent = { ...newFlow, key: 'k', start: true }

  test('a signal that may not be kept starts no flow', async () => {
    for (const payload of [1, 2]) await rival.signals.send(caller, { target, payload })
    const refused = rival.signals.send(caller, { target, start_if_absent })
    expect(await codeOf(refused)).toBe('quota_exceeded')
    expect((await checkInvariants(session)).flows).toEqual([])
  })

  test('a signal that started a flow is answered alike again, also when it was not kept', async () => {
    const input = { target, start_if_absent, ttl: 0 }
    const idempotency = { key: 'once', fingerprint: 'f' }
    const first = await engine.signals.send(caller, input, { idempotency })
    const again = await engine.signals.send(caller, input, { idempotency })
    expect([first.outcome, first.started, first.replayed]).toEqual(['unmatched', true, false])
    expect(again).toEqual({ ...first, replayed: true })
  })

  test('as many are kept for one key as allowed, also when all come at once', async () => {
    const twin = openEngine(place.url, { signals: { ...signalSettings, kept: 2 } })
    const sent = await Promise.allSettled(
      Array.from({ length: 12 }, (_, n) =>
        (n % 2 === 0 ? rival : twin).signals.send(caller, { target, payload: n }),
      ),
    )
    await twin.close()
    expect(sent.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
  })
})

describe('kept for a wait with several branches', () => {
  test('named and nameless branches take all that they could', async () => {
    const { id } = await createFlow(engine)
    for (const payload of [1, 2]) {
      const named = { kind: 'manual', signal: 'x' } as const
      await engine.signals.send(caller, { target: named, flow_id: id, payload })
    }
    const flow = await wait(id, {
      kind: 'all',
      of: [{ kind: 'manual' }, { kind: 'manual', signal: 'x' }],
    })
    expect([flow.status, flow.state]).toEqual([
      'running',
      { resume_event: 2, resume_events: [1, 2] },
    ])
  })

  test('payloads of an earlier wait do not show through', async () => {
    const { id } = await createFlow(engine)
    const both: WaitSpec = { kind: 'all', of: [event, event] }
    for (const payload of ['old-0', 'old-1']) await engine.signals.send(caller, { target, payload })
    expect((await wait(id, both)).state['resume_events']).toEqual(['old-0', 'old-1'])
    await wait(id, { kind: 'all', of: [{ kind: 'timer', after: 0 }, event, event] })
    await engine.waitEngine.tick()
    await engine.signals.send(caller, { target, payload: 'new' })
    const { state, wait: present } = await engine.flows.get(caller, id)
    expect(present).toMatchObject({ satisfied: [true, true, false] })
    expect(state['resume_events']).toEqual([null, 'new', null])
  })
})

test('a sender of another namespace learns nothing from an id that was used', async () => {
  const { id } = await createFlow(engine)
  const named = { target: { kind: 'manual', signal: 'x' }, flow_id: id, sender_id: 's' } as const
  await engine.signals.send(caller, { ...named, payload: 1 })
  const stranger = { namespace: 'other', actor: 'tester' }
  expect(await codeOf(engine.signals.send(stranger, named))).toBe('not_found')
})

describe('a tick tells', () => {
  test('progress and deadlines for what they are, not for faults', async () => {
    const timer = { kind: 'timer', after: 0 } as const
    const made = [1, 2, 3].map(async () => (await createFlow(engine)).id)
    const [a = '', b = '', c = ''] = await Promise.all(made)
    await wait(a, { kind: 'all', of: [timer, { kind: 'manual' }] })
    await wait(b, { kind: 'manual', timeout: { after: 0 }, on_timeout: 'fail' })
    await wait(c, { kind: 'manual', timeout: { after: 0 }, on_timeout: 'cancel' })
    const report = await engine.waitEngine.tick()
    expect(report).toMatchObject({ scanned: 3, still_waiting: 1, cancelled: 1, errors: 0 })
    expect(engine.notices).toEqual([])
  })
})

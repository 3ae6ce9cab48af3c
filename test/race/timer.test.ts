// A timer against everything else that can happen to its flow, in both orders, each held still in the middle of its transaction.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Command } from '../../src/domain/command.ts'
import { mintId } from '../../src/engine/ids.ts'
import {
  caller,
  createFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  until,
  untilBlockedBy,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let clock: TestEngine
let rival: TestEngine
let session: Session
let gate: Session

beforeEach(async () => {
  place = await createTestDatabase()
  clock = openEngine(place.url)
  rival = openEngine(place.url)
  session = await openSession(place.url)
  gate = await openSession(place.url)
  // Whoever writes an event as `held by gate` stands still in the middle of its transaction, with
  // its flow locked, until the gate opens.
  await session.query(`
    create table held (actor text);
    create function hold() returns trigger language plpgsql as $$
      begin
        if exists (select 1 from held where actor = new.actor) then
          perform pg_advisory_xact_lock(42);
        end if;
        return new;
      end $$;
    create trigger hold before insert on flow_events for each row execute function hold()`)
})

afterEach(async () => {
  await gate.end()
  await Promise.all([clock.close(), rival.close()])
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

async function shut(actor: string): Promise<void> {
  await session.query('insert into held values ($1)', [actor])
  await gate.query('select pg_advisory_lock(42)')
}

async function open(): Promise<void> {
  await gate.query('select pg_advisory_unlock(42)')
  await session.query('delete from held')
}

/** Waits until a session of this engine is blocked by another one's row lock. */
async function untilBlocked(engine: TestEngine): Promise<void> {
  await until(`${engine.applicationName} is blocked`, async () => {
    const { rows } = await session.query(
      `select 1 from pg_stat_activity where application_name = $1
         and cardinality(pg_blocking_pids(pid)) > 0`,
      [`${engine.applicationName}/writer`],
    )
    return rows.length > 0
  })
}

async function dueTimer(): Promise<{ id: string; wait_id: string }> {
  const { id } = await createFlow(rival, { state: { a: 1 } })
  const wait_id = mintId()
  const wait = { kind: 'timer', at: '2001-01-01T00:00:00.000Z' } as const
  await rival.flows.change(caller, id, { type: 'wait', wait_id, wait })
  return { id, wait_id }
}

async function logOf(id: string): Promise<string[]> {
  const { rows } = await session.query<{ kind: string; by: string | null; actor: string }>(
    `select kind, payload->>'by' as by, actor from flow_events where flow_id = $1 order by revision`,
    [id],
  )
  return rows.slice(3).map(({ kind, by, actor }) => [kind, by, actor].filter(Boolean).join(' '))
}

const later = new Date(Date.now() + 3_600_000).toISOString()
const newWait = { kind: 'timer', at: later } as const

interface Rivalry {
  /** Sent together, so that they make one batch. */
  commands: (wait_id: string) => Command[]
  /** What becomes of them when the timer has fired before. */
  afterTimer: { answers: string[]; log: string[] }
  /** What stands in the log when they came first, and what the tick then does. */
  beforeTimer: { log: string[]; status: string; tick: string[] }
}

const fired = 'resumed timer wait-engine'
const rivalries: Record<string, Rivalry> = {
  'a resume': {
    commands: () => [{ type: 'resume' }],
    afterTimer: { answers: ['illegal_transition'], log: [fired] },
    beforeTimer: { log: ['resumed manual rival'], status: 'running', tick: [] },
  },
  'a resume of just this wait': {
    commands: (wait_id) => [{ type: 'resume', wait_id }],
    afterTimer: { answers: ['stale_wait'], log: [fired] },
    beforeTimer: { log: ['resumed manual rival'], status: 'running', tick: [] },
  },
  'a resume and a new wait': {
    commands: () => [{ type: 'resume' }, { type: 'wait', wait_id: mintId(), wait: newWait }],
    afterTimer: { answers: ['illegal_transition', 'waiting'], log: [fired, 'waiting rival'] },
    beforeTimer: { log: ['resumed manual rival', 'waiting rival'], status: 'waiting', tick: [] },
  },
  'a cancel': {
    commands: () => [{ type: 'cancel' }],
    afterTimer: { answers: ['cancelled'], log: [fired, 'cancelled caller rival'] },
    beforeTimer: { log: ['cancelled caller rival'], status: 'cancelled', tick: [] },
  },
  'a requested cancel': {
    commands: () => [{ type: 'request_cancel' }],
    afterTimer: { answers: ['running'], log: [fired, 'cancel_requested rival'] },
    beforeTimer: {
      log: ['cancel_requested rival'],
      status: 'waiting',
      tick: ['cancelled request wait-engine'],
    },
  },
  'a failure': {
    commands: () => [{ type: 'fail', reason: 'r' }],
    afterTimer: { answers: ['failed'], log: [fired, 'failed rival'] },
    beforeTimer: { log: ['failed rival'], status: 'failed', tick: [] },
  },
  'a finish': {
    commands: () => [{ type: 'finish' }],
    afterTimer: { answers: ['finished'], log: [fired, 'finished rival'] },
    beforeTimer: { log: [], status: 'waiting', tick: [fired] },
  },
  'a timer that is moved away': {
    commands: () => [{ type: 'move_timer', at: later }],
    afterTimer: { answers: ['wait_conflict'], log: [fired] },
    beforeTimer: { log: ['wait_moved rival'], status: 'waiting', tick: [] },
  },
  'a patch': {
    commands: () => [{ type: 'update_state', patch: { b: 2 } }],
    afterTimer: { answers: ['running'], log: [fired, 'state_updated rival'] },
    beforeTimer: { log: ['state_updated rival'], status: 'waiting', tick: [fired] },
  },
}

function send(id: string, commands: Command[]): Promise<string[]> {
  return Promise.all(
    commands.map((command) =>
      rival.flows.change({ ...caller, actor: 'rival' }, id, command).then(
        ({ flow }) => flow.status as string,
        (error: { code: string }) => error.code,
      ),
    ),
  )
}

describe.each(Object.entries(rivalries))('%s', (_, { commands, afterTimer, beforeTimer }) => {
  test('arrives while the timer fires', async () => {
    const { id, wait_id } = await dueTimer()
    await shut('wait-engine')
    const tick = clock.waitEngine.tick()
    await untilBlockedBy(gate)
    const answers = send(id, commands(wait_id))
    await untilBlocked(rival)
    await open()
    expect(await tick).toMatchObject({ scanned: 1, resumed: 1, errors: 0 })
    expect(await answers).toEqual(afterTimer.answers)
    expect(await logOf(id)).toEqual(afterTimer.log)
  })

  test('is under way when the timer is due', async () => {
    const { id, wait_id } = await dueTimer()
    await shut('rival')
    const answers = send(id, commands(wait_id))
    if (beforeTimer.log.length > 0) {
      await untilBlockedBy(gate)
      expect(await clock.waitEngine.tick(), 'it does not wait for a locked flow').toMatchObject({
        scanned: 0,
      })
    }
    await open()
    await answers
    expect(await logOf(id)).toEqual(beforeTimer.log)
    expect((await rival.flows.get(caller, id)).status).toBe(beforeTimer.status)
    await clock.waitEngine.tick()
    expect(await logOf(id)).toEqual([...beforeTimer.log, ...beforeTimer.tick])
  })
})

test('two engines look at one due timer: one fires, the other passes by', async () => {
  const { id } = await dueTimer()
  await shut('wait-engine')
  const first = clock.waitEngine.tick()
  await untilBlockedBy(gate)
  expect(await rival.waitEngine.tick()).toMatchObject({ scanned: 0 })
  await open()
  expect(await first).toMatchObject({ resumed: 1 })
  expect(await rival.waitEngine.tick()).toMatchObject({ scanned: 0 })
  expect(await logOf(id)).toEqual([fired])
})

test('a signal and its wait: the one that locks first decides, and nobody is asked twice', async () => {
  const { id } = await createFlow(rival)
  const wait = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
  await shut('rival')
  const waiting = send(id, [{ type: 'wait', wait_id: mintId(), wait }])
  await untilBlockedBy(gate)
  const signals = Promise.all(
    [1, 2, 3].map((payload) =>
      clock.signals.send(caller, { target: wait, flow_id: id, payload, ttl: 0 }),
    ),
  )
  await untilBlocked(clock)
  await open()
  expect(await waiting).toEqual(['waiting'])
  const outcomes = (await signals).map(({ outcome }) => outcome)
  expect(outcomes).toEqual(['delivered', 'unmatched', 'unmatched'])
})

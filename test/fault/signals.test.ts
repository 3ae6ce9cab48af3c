// Signals over a broken way to the database: what was answered is so, what was not answered is found out, and nothing acts twice.

import { afterEach, beforeEach, expect, test } from 'vitest'
import type { WaitSpec } from '../../src/domain/wait.ts'
import { mintId } from '../../src/engine/ids.ts'
import {
  caller,
  createFlow,
  newFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type DatabaseProxy, openProxy } from '../support/proxy.ts'
import { type Answer, answerOf, judge } from '../support/race.ts'

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
  await session.end()
  await place.drop()
})

const target = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const

function wait(id: string, spec: WaitSpec = target) {
  return engine.flows.change(caller, id, { type: 'wait', wait_id: mintId(), wait: spec })
}

test('the answer to COMMIT is lost: each fate is answered as it is stored, with its state', async () => {
  const { id } = await createFlow(engine)
  const lost = async <T>(work: () => Promise<T>): Promise<T> => {
    const seen = proxy.once(commit, 'drop-reply')
    const done = work()
    await seen
    return done
  }
  const kept = await lost(() => engine.signals.send(caller, { target, payload: 1, sender_id: 's' }))
  expect(kept.outcome).toBe('buffered')
  const again = await engine.signals.send(caller, { target, payload: 1, sender_id: 's' })
  expect([again.outcome, again.signal_id]).toEqual(['duplicate', kept.signal_id])
  const taken = await lost(() => wait(id))
  expect([taken.flow.status, taken.flow.state]).toEqual(['running', { resume_event: 1 }])
  await wait(id)
  const aimed = await lost(() => engine.signals.send(caller, { target, flow_id: id, payload: 2 }))
  expect([aimed.outcome, aimed.flow?.state]).toEqual(['delivered', { resume_event: 2 }])
  const start_if_absent = { ...newFlow, key: 'k', start: true }
  const started = await lost(() => engine.signals.send(caller, { target, start_if_absent }))
  expect([started.outcome, started.started]).toEqual(['buffered', true])
  const doubts = engine.notices.filter(({ type }) => type === 'commit_in_doubt')
  expect(doubts).toHaveLength(4)
  await checkInvariants(session)
})

test('answers to COMMIT are lost again and again under load', async () => {
  const flows = await Promise.all(Array.from({ length: 8 }, () => createFlow(engine)))
  const answers: Answer[] = []
  let stopped = false
  const clients = Array.from({ length: 16 }, async (_, client) => {
    for (let n = 0; !stopped; n++) {
      const id = flows[(client + n) % flows.length]?.id ?? ''
      const key = { ...target, correlation_id: `c-${n % 3}` }
      const all = n % 5 === 0
      const work =
        client % 2 === 0
          ? wait(id, n % 2 === 0 ? key : { kind: 'any', of: [key, target] })
          : engine.signals.send(caller, {
              target: key,
              payload: n,
              deliver: all ? 'all' : 'one',
              ...(n % 4 === 0 && { flow_id: id }),
              ...(n % 3 === 0 && { sender_id: `s-${client}-${n}` }),
            })
      answers.push(await answerOf(work))
    }
  })
  for (let round = 0; round < 16; round++) {
    await proxy.once(commit, round % 2 === 0 ? 'drop-reply' : 'reset')
  }
  stopped = true
  await Promise.all(clients)
  const { kinds } = await judge(session, answers)
  expect(kinds.get('resumed') ?? 0).toBeGreaterThan(20)
  const doubts = engine.notices.filter(({ type }) => type === 'commit_in_doubt')
  expect(doubts.length).toBeGreaterThan(8)
})

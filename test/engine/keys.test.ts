// Business keys and Idempotency-Keys: exactly one effect, within a batch, across batches and across replicas.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { NewFlow } from '../../src/domain/create.ts'
import { deleteExpiredReplies } from '../../src/store/idempotency.ts'
import {
  caller,
  codeOf,
  createFlow,
  newFlow,
  openEngine,
  openSession,
  type Session,
  type TestEngine,
  type TestEngineOptions,
  until,
  untilBlockedBy,
} from '../support/engine.ts'
import { checkInvariants } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engine: TestEngine
let rival: TestEngine
let session: Session
const engines: TestEngine[] = []

function open(options: TestEngineOptions = {}): TestEngine {
  const made = openEngine(place.url, options)
  engines.push(made)
  return made
}

beforeEach(async () => {
  place = await createTestDatabase()
  engine = open()
  rival = open()
  session = await openSession(place.url)
})

afterEach(async () => {
  await Promise.all(engines.splice(0).map((one) => one.close()))
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

const indices = (length: number) => Array.from({ length }, (_, n) => n)

function create(on: TestEngine, more: Partial<NewFlow>) {
  return on.flows.create(caller, { ...newFlow, start: true, ...more })
}

/** `created`, `existing` or the code of the refusal, with the flow that the answer names. */
async function tryCreate(on: TestEngine, more: Partial<NewFlow>): Promise<[string, string]> {
  try {
    const { outcome, flow } = await create(on, more)
    return [outcome, flow.id]
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'detail' in error) {
      return [String(error.code), String((error.detail as { flow_id?: string }).flow_id)]
    }
    throw error
  }
}

async function countFlows(): Promise<number> {
  const { rows } = await session.query('select count(*)::integer as count from flows')
  return rows[0].count
}

describe('a business key', () => {
  test.each(['fail', 'use_existing'] as const)(
    'of 60 creations on two replicas one wins, with %s',
    async (on_conflict) => {
      for (let round = 0; round < 5; round++) {
        const key = `order-${round}`
        const answers = await Promise.all(
          indices(60).map((n) => tryCreate(n % 2 === 0 ? engine : rival, { key, on_conflict })),
        )
        const winners = answers.filter(([outcome]) => outcome === 'created')
        expect(winners).toHaveLength(1)
        const other = on_conflict === 'fail' ? 'key_conflict' : 'existing'
        expect(answers.filter(([outcome]) => outcome === other)).toHaveLength(59)
        expect(new Set(answers.map(([, id]) => id)), 'all name the winner').toEqual(
          new Set([winners[0]?.[1]]),
        )
        expect(await countFlows()).toBe(round + 1)
      }
    },
  )

  test('while another replica’s creation is open, this one waits, and then names that flow', async () => {
    const { flow } = await create(engine, { key: 'k' })
    await engine.flows.change(caller, flow.id, { type: 'finish' })
    const holder = await openSession(place.url)
    await holder.query('begin')
    // As another replica would: an open flow of this key that nobody can see yet.
    await holder.query(
      `with n as (
         insert into flows select (jsonb_populate_record(f, jsonb_build_object(
           'id', overlay(f.id::text placing '7fff' from 10 for 4), 'status', 'running',
           'closed_at', null, 'revision', 0))).*
         from flows f where id = $1 returning *)
       select id from n`,
      [flow.id],
    )
    const waiting = tryCreate(rival, { key: 'k' })
    await untilBlockedBy(holder)
    await holder.query('commit')
    const [outcome, id] = await waiting
    expect(outcome).toBe('key_conflict')
    expect(id).not.toBe(flow.id)
    await holder.query('delete from flows where id = $1', [id])
    await holder.end()
  })

  test('is free again once its flow has ended, also within one batch', async () => {
    const { flow } = await create(engine, { key: 'k' })
    const [ended, next] = await Promise.all([
      engine.flows.change(caller, flow.id, { type: 'finish' }),
      create(engine, { key: 'k' }),
    ])
    expect(ended.flow.status).toBe('finished')
    expect(next.outcome).toBe('created')
    expect(next.flow.id).not.toBe(flow.id)
    expect(next.flow.shard, 'a key has one shard for ever').toBe(flow.shard)
    const { rows } = await session.query('select count(*)::integer as n from flow_events')
    expect(rows[0].n).toBe(5)
  })

  test('is taken while its flow is open, in every status', async () => {
    const { flow } = await create(engine, { key: 'k', start: false })
    const change = (command: Parameters<typeof engine.flows.change>[2]) =>
      engine.flows.change(caller, flow.id, command)
    expect(await tryCreate(rival, { key: 'k' })).toEqual(['key_conflict', flow.id])
    await change({ type: 'start' })
    expect(await tryCreate(rival, { key: 'k' })).toEqual(['key_conflict', flow.id])
    await change({ type: 'wait', wait_id: flow.id, wait: { kind: 'manual' } })
    expect(await tryCreate(rival, { key: 'k' })).toEqual(['key_conflict', flow.id])
    await change({ type: 'request_cancel' })
    expect(await tryCreate(rival, { key: 'k' })).toEqual(['key_conflict', flow.id])
    await change({ type: 'cancel' })
    expect((await tryCreate(rival, { key: 'k' }))[0]).toBe('created')
  })

  test('use_existing answers the open flow as it is, and changes nothing', async () => {
    const { flow } = await create(engine, { key: 'k', state: { a: 1 } })
    await engine.flows.change(caller, flow.id, { type: 'update_state', patch: { b: 2 } })
    const { outcome, flow: found } = await create(rival, {
      key: 'k',
      on_conflict: 'use_existing',
      state: { other: true },
      goal: 'another',
    })
    expect(outcome).toBe('existing')
    expect(found).toEqual(await engine.flows.get(caller, flow.id))
    expect(found).toMatchObject({ revision: 2, state: { a: 1, b: 2 }, goal: newFlow.goal })
  })

  test('keys with quotes, brackets and backslashes are told apart', async () => {
    const keys = ['a', '"a"', "a'", 'a\\', 'a","b', '[]', '😀', ' a']
    const answers = await Promise.all(keys.map((key) => tryCreate(engine, { key })))
    expect(answers.map(([outcome]) => outcome)).toEqual(keys.map(() => 'created'))
    const again = await Promise.all(keys.map((key) => tryCreate(rival, { key })))
    expect(again.map(([, id]) => id)).toEqual(answers.map(([, id]) => id))
  })
})

describe('an Idempotency-Key', () => {
  const keep = (key: string, fingerprint = 'f') => ({ idempotency: { key, fingerprint } })

  test('gives the same answer again, also after the flow moved on', async () => {
    const first = await engine.flows.create(caller, { ...newFlow, state: { a: 1 } }, keep('k'))
    await engine.flows.change(caller, first.flow.id, { type: 'start' })
    await engine.flows.change(caller, first.flow.id, { type: 'finish' })
    for (const on of [engine, rival]) {
      const again = await on.flows.create(caller, { ...newFlow, state: { a: 1 } }, keep('k'))
      expect(again).toEqual({ ...first, replayed: true })
    }
    expect(await countFlows()).toBe(1)
  })

  test('of a change: its own answer, with the state of its revision', async () => {
    const flow = await createFlow(engine, { state: { base: 1 } })
    const put = (n: number, key: string, on = engine) =>
      on.flows.change(caller, flow.id, { type: 'update_state', patch: { n } }, keep(key))
    const one = await put(1, 'one')
    const two = await put(2, 'two')
    expect(await put(1, 'one', rival)).toEqual({ ...one, replayed: true })
    expect(await put(2, 'two', rival)).toEqual({ ...two, replayed: true })
    expect(one.flow.state).toEqual({ base: 1, n: 1 })
    expect((await engine.flows.get(caller, flow.id)).revision).toBe(3)
  })

  test('a replay comes before If-Match, terminal and everything else', async () => {
    const flow = await createFlow(engine)
    const options = { ...keep('k'), if_match: 1 }
    const finish = () => engine.flows.change(caller, flow.id, { type: 'finish' }, options)
    const first = await finish()
    expect(await finish()).toEqual({ ...first, replayed: true })
  })

  test('with another request is a mismatch, and has no effect', async () => {
    const first = await engine.flows.create(caller, newFlow, keep('k'))
    await expect(engine.flows.create(caller, newFlow, keep('k', 'other'))).rejects.toMatchObject({
      code: 'idempotency_mismatch',
      detail: { key: 'k' },
    })
    expect(await countFlows()).toBe(1)
    expect((await engine.flows.create(caller, newFlow, keep('k'))).flow.id).toBe(first.flow.id)
  })

  test('of 60 at once on two replicas one has the effect; the rest replay or are in progress', async () => {
    for (let round = 0; round < 5; round++) {
      const answers = await Promise.all(
        indices(60).map((n) =>
          (n % 2 === 0 ? engine : rival).flows
            .create(caller, newFlow, keep(`k${round}`))
            .then(({ replayed, flow }) => ({ kind: replayed ? 'replayed' : 'first', id: flow.id }))
            .catch((error: { code: string; detail: object }) => {
              expect(error).toMatchObject({
                code: 'idempotency_in_progress',
                detail: { retry_after: 1 },
              })
              return { kind: 'in progress', id: null }
            }),
        ),
      )
      expect(answers.filter(({ kind }) => kind === 'first')).toHaveLength(1)
      expect(new Set(answers.flatMap(({ id }) => id ?? [])).size).toBe(1)
      expect(await countFlows()).toBe(round + 1)
    }
  })

  test('whose first request is still running elsewhere is in progress', async () => {
    const flow = await createFlow(engine)
    const holder = await openSession(place.url)
    await holder.query('begin')
    await holder.query('select 1 from flows where id = $1 for update', [flow.id])
    const finish = (on: TestEngine) =>
      on.flows.change(caller, flow.id, { type: 'finish' }, keep('k'))
    const first = finish(engine)
    await untilBlockedBy(holder)
    expect(await codeOf(finish(rival))).toBe('idempotency_in_progress')
    await holder.query('commit')
    await holder.end()
    const answer = await first
    expect(await finish(rival)).toEqual({ ...answer, replayed: true })
  })

  test('a refusal is not kept: the same key is judged anew', async () => {
    const flow = await createFlow(engine, { start: false })
    const finish = () => engine.flows.change(caller, flow.id, { type: 'finish' }, keep('k'))
    expect(await codeOf(finish())).toBe('illegal_transition')
    await engine.flows.change(caller, flow.id, { type: 'start' })
    expect(await finish()).toMatchObject({ replayed: false, flow: { status: 'finished' } })
    const { rows } = await session.query('select key from idempotency_keys')
    expect(rows).toEqual([{ key: 'k' }])
  })

  test('no-ops and use_existing are kept too', async () => {
    const { flow } = await create(engine, { key: 'biz' })
    const input = { ...newFlow, key: 'biz', on_conflict: 'use_existing' as const }
    const first = await engine.flows.create(caller, input, keep('k'))
    expect(first.outcome).toBe('existing')
    const same = { type: 'update_labels', labels: {} } as const
    const noop = await engine.flows.change(caller, flow.id, same, keep('k'))
    expect(noop.outcome).toBe('unchanged')
    await engine.flows.change(caller, flow.id, { type: 'finish' })
    expect(await rival.flows.create(caller, input, keep('k'))).toEqual({ ...first, replayed: true })
    expect(await rival.flows.change(caller, flow.id, same, keep('k'))).toEqual({
      ...noop,
      replayed: true,
    })
  })

  test('is scoped to the caller and to the flow', async () => {
    const [a, b] = await Promise.all([createFlow(engine), createFlow(engine)])
    const other = { ...caller, actor: 'somebody else' }
    const answers = await Promise.all([
      engine.flows.change(caller, a.id, { type: 'finish' }, keep('k')),
      engine.flows.change(caller, b.id, { type: 'finish' }, keep('k')),
      engine.flows.create(caller, newFlow, keep('k')),
      engine.flows.create(other, newFlow, keep('k')),
    ])
    expect(answers.map(({ replayed }) => replayed)).toEqual([false, false, false, false])
  })

  test('expires: it can be used anew, and the sweeper takes it away', async () => {
    const first = await engine.flows.create(caller, newFlow, keep('k'))
    const { rows } = await session.query(
      'select extract(epoch from expires_at - now())::float8 as life from idempotency_keys',
    )
    expect(rows[0].life).toBeGreaterThan(24 * 3_600 - 60)
    expect(rows[0].life).toBeLessThanOrEqual(24 * 3_600)
    await session.query("update idempotency_keys set expires_at = now() - interval '1 second'")
    const second = await engine.flows.create(caller, newFlow, keep('k', 'other'))
    expect(second).toMatchObject({ replayed: false })
    expect(second.flow.id).not.toBe(first.flow.id)
    for (let n = 0; n < 5; n++) await engine.flows.create(caller, newFlow, keep(`old-${n}`))
    await session.query(
      "update idempotency_keys set expires_at = now() - interval '1 second' where key like 'old-%'",
    )
    expect(await deleteExpiredReplies(engine.database.scope, 2)).toBe(2)
    engine.start()
    await until('the sweeper has told of the rest', () =>
      engine.notices.some(
        (notice) => notice.type === 'expired_replies_deleted' && notice.count === 3,
      ),
    )
    expect((await session.query('select key from idempotency_keys')).rows).toEqual([{ key: 'k' }])
  })

  test('keeps what the answer held, to the letter: observations too', async () => {
    const flow = await createFlow(engine)
    const status = 'running' as const
    const seen = { run_id: 'r', task: 't', status, result: { a: [1, null] } }
    const first = await engine.steps.observe(caller, flow.id, seen, keep('k'))
    expect(first).toMatchObject({ step_created: true, step: { result: { a: [1, null] } } })
    expect(await rival.steps.observe(caller, flow.id, seen, keep('k'))).toEqual({
      ...first,
      replayed: true,
    })
  })
})

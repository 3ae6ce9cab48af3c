// The one way in which flows change, on a real Postgres: batches, refusals, folding, rows locked elsewhere, poison rows, limits.

import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Command } from '../../src/domain/command.ts'
import type { ChangeOptions } from '../../src/engine/change.ts'
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
import { checkHistory, checkInvariants, createHistory } from '../support/invariants.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

let place: TestDatabase
let engine: TestEngine
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
  session = await openSession(place.url)
})

afterEach(async () => {
  await session.query('rollback')
  await Promise.all(engines.splice(0).map((one) => one.close()))
  await checkInvariants(session)
  await session.end()
  await place.drop()
})

function change(id: string, command: Command, options?: ChangeOptions) {
  return engine.flows.change(caller, id, command, options)
}

function update(id: string, patch: Record<string, number>, on = engine, as = caller) {
  return on.flows.change(as, id, { type: 'update_state', patch })
}

const indices = (length: number) => Array.from({ length }, (_, n) => n)

describe('batches', () => {
  test('concurrent commands share transactions', async () => {
    const flows = await Promise.all(indices(200).map(() => createFlow(engine)))
    const before = engine.status().committer
    const replies = await Promise.all(flows.map(({ id }, n) => update(id, { n })))
    const after = engine.status().committer
    expect(after.commands_total - before.commands_total).toBe(200)
    expect(after.batches_total - before.batches_total).toBeLessThanOrEqual(10)
    const { rows } = await session.query(
      "select count(distinct xid)::integer as count from flow_events where kind = 'state_updated'",
    )
    expect(rows[0].count, 'transactions').toBe(after.batches_total - before.batches_total)
    expect(replies.map(({ flow }) => [flow.revision, flow.state])).toEqual(
      indices(200).map((n) => [2, { n }]),
    )
  })

  test('a lone command does not wait for others', async () => {
    const flow = await createFlow(engine)
    const before = engine.status().committer.batches_total
    await update(flow.id, { a: 1 })
    expect(engine.status().committer.batches_total - before).toBe(1)
  })

  test('a refused command rejects its own caller alone', async () => {
    const flows = await Promise.all(indices(20).map(() => createFlow(engine)))
    const answers = await Promise.allSettled([
      ...flows.map(({ id }, n) =>
        n % 2 === 0 ? update(id, { n }) : change(id, { type: 'start' }),
      ),
      update('00000000-0000-7000-8000-000000000000', { n: 1 }),
      update('no-id', { n: 1 }),
    ])
    expect(
      answers.map((one) =>
        one.status === 'fulfilled' ? one.value.flow.revision : one.reason.code,
      ),
    ).toEqual([
      ...indices(20).map((n) => (n % 2 === 0 ? 2 : 'illegal_transition')),
      'not_found',
      'not_found',
    ])
  })

  test('commands on one flow apply in order; each answer has the state of its own revision', async () => {
    const flow = await createFlow(engine, { state: { base: true } })
    const before = engine.status().committer.batches_total
    const replies = await Promise.all([
      change(flow.id, { type: 'update_state', patch: { a: 1 } }),
      change(flow.id, { type: 'update_state', patch: { a: 2, b: 1 }, next_step: 'second' }),
      change(flow.id, { type: 'update_state', unset: ['a', 'base'] }),
      change(flow.id, { type: 'update_labels', labels: { x: 'y' } }),
      change(flow.id, { type: 'update_state', patch: { a: 3 }, unset: ['b'] }),
      change(flow.id, { type: 'update_labels', labels: { x: 'y' } }),
      change(flow.id, { type: 'wait', wait_id: flow.id, wait: { kind: 'manual' } }),
      change(flow.id, { type: 'resume', state_patch: { c: 1 } }),
      change(flow.id, { type: 'finish', final_state: { c: 2 } }),
    ])
    expect(engine.status().committer.batches_total - before).toBe(1)
    expect(
      replies.map(({ outcome, flow: { revision, status, current_step, state } }) => [
        outcome,
        revision,
        status,
        current_step,
        state,
      ]),
    ).toEqual([
      ['changed', 2, 'running', 'init', { base: true, a: 1 }],
      ['changed', 3, 'running', 'second', { base: true, a: 2, b: 1 }],
      ['changed', 4, 'running', 'second', { b: 1 }],
      ['changed', 5, 'running', 'second', { b: 1 }],
      ['changed', 6, 'running', 'second', { a: 3 }],
      ['unchanged', 6, 'running', 'second', { a: 3 }],
      ['changed', 7, 'waiting', 'second', { a: 3 }],
      ['changed', 8, 'running', 'second', { a: 3, c: 1 }],
      ['changed', 9, 'finished', 'second', { a: 3, c: 2 }],
    ])
    expect((await engine.flows.get(caller, flow.id)).state).toEqual({ a: 3, c: 2 })
  })

  test('each kind of change alone answers the whole state', async () => {
    const commands: [Command, object][] = [
      [
        { type: 'update_state', patch: { a: 1, gone: 1 } },
        { base: 1, a: 1, gone: 1 },
      ],
      [
        { type: 'update_state', unset: ['gone'] },
        { base: 1, a: 1 },
      ],
      [
        { type: 'update_state', next_step: 'x' },
        { base: 1, a: 1 },
      ],
      [
        { type: 'update_labels', labels: { a: 'b' } },
        { base: 1, a: 1 },
      ],
      [
        { type: 'update_labels', labels: { a: 'b' } },
        { base: 1, a: 1 },
      ],
    ]
    const flow = await createFlow(engine, { state: { base: 1 } })
    for (const [command, state] of commands) {
      expect((await change(flow.id, command)).flow.state, command.type).toEqual(state)
    }
    const wait = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
    const waiting = await change(flow.id, { type: 'wait', wait_id: flow.id, wait })
    expect(waiting.flow.state).toEqual({ base: 1, a: 1 })
    const named = { kind: 'manual', signal: 'name' } as const
    const missed = await engine.signals.send(caller, { target: named, flow_id: flow.id, ttl: 0 })
    expect([missed.outcome, missed.flow]).toEqual(['unmatched', null])
    const event = { target: wait, flow_id: flow.id, payload: [1], sender_id: 's' }
    const hit = await engine.signals.send(caller, event)
    expect([hit.outcome, hit.flow?.state]).toEqual([
      'delivered',
      { base: 1, a: 1, resume_event: [1] },
    ])
    const asked = await change(flow.id, { type: 'request_cancel' })
    expect(asked.flow.state).toEqual(hit.flow?.state)
    const again = await change(flow.id, { type: 'request_cancel' })
    expect([again.outcome, again.flow.state]).toEqual(['unchanged', hit.flow?.state])
    expect((await change(flow.id, { type: 'cancel' })).flow.state).toEqual(hit.flow?.state)
  })

  test('a wait that opens and closes within one batch leaves no match key', async () => {
    const flow = await createFlow(engine)
    const wait = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
    const second = '00000000-0000-7000-8000-000000000001'
    await Promise.all([
      change(flow.id, { type: 'wait', wait_id: flow.id, wait }),
      change(flow.id, { type: 'resume' }),
      change(flow.id, { type: 'wait', wait_id: second, wait }),
    ])
    const { rows } = await session.query('select wait_id from match_keys')
    expect(rows).toEqual([{ wait_id: second }])
  })

  test('a hundred writers on one flow: nobody is lost, nobody starves', async () => {
    const flow = await createFlow(engine)
    const history = createHistory()
    const started = performance.now()
    await Promise.all(
      indices(100).map(async (writer) => {
        for (let n = 0; n < 5; n++) {
          await history.run((actor) =>
            update(flow.id, { [`w${writer}`]: n }, engine, { ...caller, actor }),
          )
        }
      }),
    )
    expect(performance.now() - started).toBeLessThan(10_000)
    const { logs, flows } = await checkInvariants(session)
    checkHistory(history.operations, logs)
    expect(flows[0]?.revision).toBe(501)
  })

  test('a body of many megabytes is spread over transactions', async () => {
    const flows = await Promise.all(indices(40).map(() => createFlow(engine)))
    const before = engine.status().committer.batches_total
    await Promise.all(
      flows.map(({ id }) =>
        change(id, { type: 'update_state', patch: { a: 'x'.repeat(200_000) } }),
      ),
    )
    expect(engine.status().committer.batches_total - before).toBeGreaterThanOrEqual(2)
  })

  test('what one caller was answered, every read sees at once', async () => {
    const flow = await createFlow(engine)
    const rival = open()
    for (let n = 0; n < 30; n++) {
      const on = n % 2 === 0 ? engine : rival
      const off = n % 2 === 0 ? rival : engine
      const { flow: after } = await update(flow.id, { n }, on)
      const read = await off.flows.get(caller, flow.id)
      expect([read.revision, read.state]).toEqual([after.revision, { n }])
    }
  })
})

describe('poison', () => {
  test('a row that the database refuses harms only itself', async () => {
    const flows = await Promise.all(indices(50).map(() => createFlow(engine)))
    const bad = flows[17]?.id
    await session.query(`
      create function poison() returns trigger language plpgsql as
        $$ begin raise exception 'poison'; end $$;
      create trigger poison before update on flows for each row
        when (old.id = '${bad}') execute function poison()`)
    const answers = await Promise.allSettled(flows.map(({ id }, n) => update(id, { n })))
    expect(
      answers.flatMap((one, n) => (one.status === 'rejected' ? [[n, one.reason.code]] : [])),
    ).toEqual([[17, 'internal']])
    expect(engine.notices.filter(({ type }) => type === 'batch_retried').length).toBeGreaterThan(0)
    await session.query('drop trigger poison on flows')
    expect((await update(bad ?? '', { healed: 1 })).flow.revision).toBe(2)
  })

  test('also among creations, and a value that jsonb cannot hold', async () => {
    const answers = await Promise.allSettled([
      createFlow(engine, { state: { ok: 1 } }),
      createFlow(engine, { state: { bad: 'nul \u0000' } }),
      createFlow(engine, { goal: 'nul \u0000' }),
      createFlow(engine, { state: { bad: '\ud800' } }),
      createFlow(engine, { state: { ok: '😀', big: 1e300, small: 5e-324, __proto__: null } }),
    ])
    expect(answers.map(({ status }) => status)).toEqual([
      'fulfilled',
      'rejected',
      'rejected',
      'rejected',
      'fulfilled',
    ])
    const { flows } = await checkInvariants(session)
    expect(flows).toHaveLength(2)
  })

  test('__proto__ and its kin are data all the way', async () => {
    const state = JSON.parse('{"__proto__":{"a":1},"constructor":null,"toString":"x"}')
    const flow = await createFlow(engine, { state })
    const patch = JSON.parse('{"__proto__":{"b":2}}')
    const { flow: after } = await change(flow.id, { type: 'update_state', patch })
    expect(JSON.parse(JSON.stringify(after.state))).toEqual(
      JSON.parse('{"__proto__":{"b":2},"constructor":null,"toString":"x"}'),
    )
    const folded = await Promise.all([
      change(flow.id, { type: 'update_state', unset: ['__proto__'] }),
      change(flow.id, { type: 'update_state', patch: { z: 1 } }),
    ])
    expect(JSON.stringify(Object.keys(folded[1].flow.state).sort())).toBe(
      '["constructor","toString","z"]',
    )
  })
})

describe('rows locked elsewhere', () => {
  async function hold(id: string): Promise<Session> {
    const holder = await openSession(place.url)
    await holder.query('begin')
    await holder.query('select 1 from flows where id = $1 for update', [id])
    return holder
  }

  test('do not stall others, and go on when released', async () => {
    const flows = await Promise.all(indices(20).map(() => createFlow(engine)))
    const locked = flows[3]?.id ?? ''
    const holder = await hold(locked)
    const waiting = update(locked, { n: 3 })
    const behind = update(locked, { m: 4 })
    let answered = false
    void waiting.then(() => {
      answered = true
    })
    await Promise.all(flows.filter(({ id }) => id !== locked).map(({ id }, n) => update(id, { n })))
    await untilBlockedBy(holder)
    await Promise.all(flows.filter(({ id }) => id !== locked).map(({ id }, n) => update(id, { n })))
    expect(answered).toBe(false)
    await holder.query('commit')
    await holder.end()
    expect((await waiting).flow.state).toEqual({ n: 3 })
    expect((await behind).flow).toMatchObject({ revision: 3, state: { n: 3, m: 4 } })
  })

  test('that stay locked are refused after a few lock time-outs, and nothing of them is done', async () => {
    const [flow, other] = await Promise.all([createFlow(engine), createFlow(engine)])
    const holder = await hold(flow.id)
    const started = performance.now()
    const refused = codeOf(update(flow.id, { n: 1 }))
    await untilBlockedBy(holder)
    expect((await update(other.id, { n: 1 })).flow.revision).toBe(2)
    expect(await refused).toBe('unavailable')
    expect(performance.now() - started).toBeLessThan(8_000)
    await holder.query('rollback')
    await holder.end()
    expect((await update(flow.id, { n: 2 })).flow).toMatchObject({ revision: 2, state: { n: 2 } })
  })

  test('three at once wait in two lanes, and others still pass', async () => {
    const flows = await Promise.all(indices(4).map(() => createFlow(engine)))
    const [a, b, c, free] = flows.map(({ id }) => id)
    const holder = await openSession(place.url)
    await holder.query('begin')
    await holder.query('select 1 from flows where id = any($1) for update', [[a, b, c]])
    const waiting = [a, b, c].map((id) => update(id ?? '', { n: 1 }))
    await untilBlockedBy(holder, 2)
    for (let n = 0; n < 10; n++) await update(free ?? '', { n })
    await holder.query('commit')
    await holder.end()
    for (const { flow } of await Promise.all(waiting)) expect(flow.revision).toBe(2)
  })

  test('a flow of another namespace or none is not waited for', async () => {
    const flow = await createFlow(engine)
    const holder = await hold(flow.id)
    expect(await codeOf(update(flow.id, { n: 1 }, engine, { ...caller, namespace: 'other' }))).toBe(
      'not_found',
    )
    await holder.end()
  })
})

describe('limits', () => {
  test('a full queue refuses the rest at once, and loses nothing', async () => {
    const small = open({ commit: { inFlight: 1, batchSize: 10, queueLimit: 25 } })
    const flow = await createFlow(small)
    const history = createHistory()
    const done = await Promise.all(
      indices(100).map((n) =>
        history.run((actor) => update(flow.id, { [`k${n}`]: n }, small, { ...caller, actor })),
      ),
    )
    expect(done.filter(({ outcome }) => outcome === 'changed')).toHaveLength(25)
    expect(done.filter(({ outcome }) => outcome === 'refused')).toHaveLength(75)
    const { logs } = await checkInvariants(session)
    checkHistory(history.operations, logs)
    expect((await update(flow.id, { again: 1 }, small)).flow.revision).toBe(27)
  })

  test('overloaded says when to come back', async () => {
    const small = open({ commit: { inFlight: 1, batchSize: 1, queueLimit: 1 } })
    const first = createFlow(small)
    await expect(createFlow(small)).rejects.toMatchObject({
      code: 'overloaded',
      detail: { retry_after: expect.any(Number) },
    })
    await first
  })

  test('the size of a state: the bound lets through what fits and refuses what does not', async () => {
    const tight = open({ limits: { state_bytes: 1_000, labels: 4, open_steps: 100 } })
    const flow = await createFlow(tight, { state: { a: 'x'.repeat(900) } })
    const put = (patch: Record<string, string>, unset?: string[]) =>
      tight.flows.change(caller, flow.id, {
        type: 'update_state',
        patch,
        ...(unset && { unset }),
      })
    // Replacing a member adds nothing, though bound and patch together pass the limit.
    for (let n = 0; n < 5; n++) await put({ a: `${n}`.repeat(900) })
    await expect(put({ b: 'y'.repeat(100) })).rejects.toMatchObject({
      code: 'limit_exceeded',
      detail: { limit: 'state_bytes', maximum: 1_000 },
    })
    const { flow: made } = await put({ b: 'y'.repeat(100) }, ['a'])
    expect(made.state).toEqual({ b: 'y'.repeat(100) })
    // Many small ones drift the bound upwards; it is judged anew when it reaches the limit.
    for (let n = 0; n < 30; n++) await put({ c: 'z'.repeat(50 + n) })
    const { flows } = await checkInvariants(session)
    expect(flows[0]?.state_bytes).toBeLessThanOrEqual(1_000)
    const wide = {
      d: 'w'.repeat(1_000 - JSON.stringify(flows[0]?.state).length - ',"d":""'.length),
    }
    expect((await put(wide)).flow.state).toHaveProperty('d')
    await expect(put({ e: '' })).rejects.toMatchObject({ code: 'limit_exceeded' })
  })

  test('two that fit alone and not together: the second is refused', async () => {
    const tight = open({ limits: { state_bytes: 1_000, labels: 4, open_steps: 100 } })
    const flow = await createFlow(tight)
    const answers = await Promise.allSettled(
      ['a', 'b'].map((member) =>
        tight.flows.change(caller, flow.id, {
          type: 'update_state',
          patch: { [member]: 'x'.repeat(600) },
        }),
      ),
    )
    expect(answers.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
  })
})

describe('If-Match', () => {
  test('judged at the flow’s turn: of many with one revision, one wins', async () => {
    const flow = await createFlow(engine)
    const rival = open()
    const answers = await Promise.allSettled(
      indices(20).map((n) =>
        (n % 2 === 0 ? engine : rival).flows.change(
          caller,
          flow.id,
          { type: 'update_state', patch: { n } },
          { if_match: 1 },
        ),
      ),
    )
    const won = answers.filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
    for (const one of answers) {
      if (one.status === 'rejected') {
        expect(one.reason).toMatchObject({
          code: 'revision_mismatch',
          detail: { flow_id: flow.id, expected: 1, actual: 2 },
        })
      }
    }
  })

  test('comes before terminal, and after unknown', async () => {
    const flow = await createFlow(engine)
    await change(flow.id, { type: 'finish' })
    expect(await codeOf(change(flow.id, { type: 'start' }, { if_match: 1 }))).toBe(
      'revision_mismatch',
    )
    expect(await codeOf(change(flow.id, { type: 'start' }, { if_match: 2 }))).toBe(
      'already_terminal',
    )
    const nobody = '00000000-0000-7000-8000-000000000000'
    expect(await codeOf(change(nobody, { type: 'start' }, { if_match: 1 }))).toBe('not_found')
  })

  test('binds a chain in one batch', async () => {
    const flow = await createFlow(engine)
    const replies = await Promise.all(
      indices(5).map((n) =>
        change(flow.id, { type: 'update_state', patch: { n } }, { if_match: n + 1 }),
      ),
    )
    expect(replies.map(({ flow: { revision } }) => revision)).toEqual([2, 3, 4, 5, 6])
  })
})

describe('namespaces', () => {
  const stranger = { namespace: 'other', actor: 'stranger' }

  test('flows of another do not exist, to read or to change', async () => {
    const flow = await createFlow(engine)
    expect(await codeOf(engine.flows.get(stranger, flow.id))).toBe('not_found')
    expect(await codeOf(update(flow.id, { n: 1 }, engine, stranger))).toBe('not_found')
    expect(await codeOf(engine.events.list(stranger, flow.id, {}, { limit: 10 }))).toBe('not_found')
    expect(await codeOf(engine.steps.list(stranger, flow.id, { limit: 10 }))).toBe('not_found')
    expect((await engine.flows.list(stranger, {}, 'created_at', { limit: 10 })).items).toEqual([])
  })

  test.each(['owner first', 'stranger first'])(
    'also when both ask within one batch: %s',
    async (order) => {
      const flow = await createFlow(engine)
      const asks = [
        () => update(flow.id, { mine: 1 }),
        () => codeOf(update(flow.id, { stolen: 1 }, engine, stranger)),
      ]
      if (order === 'stranger first') asks.reverse()
      const answers = await Promise.all(asks.map((ask) => ask()))
      if (order === 'stranger first') answers.reverse()
      const [mine, stolen] = answers
      expect(mine).toMatchObject({ flow: { revision: 2, state: { mine: 1 } } })
      expect(stolen).toBe('not_found')
      expect((await engine.flows.get(caller, flow.id)).state).toEqual({ mine: 1 })
    },
  )

  test('one key, two namespaces: two flows', async () => {
    const [a, b] = await Promise.all([
      createFlow(engine, { key: 'k' }),
      createFlow(engine, { key: 'k' }, stranger),
    ])
    expect(a.id).not.toBe(b.id)
    const keep = { idempotency: { key: 'i', fingerprint: 'f' } }
    const [c, d] = await Promise.all([
      engine.flows.create(caller, newFlow, keep),
      engine.flows.create(stranger, newFlow, keep),
    ])
    expect(c.flow.id).not.toBe(d.flow.id)
  })
})

test('drain waits for everything accepted; stop refuses nothing of it', async () => {
  const flow = await createFlow(engine)
  const pending = indices(50).map((n) => update(flow.id, { [`k${n}`]: n }))
  await engine.stop()
  const answered = await Promise.all(pending)
  expect(answered.at(-1)?.flow.revision).toBe(51)
  await until('nothing is queued', () => engine.status().committer.queued === 0)
})

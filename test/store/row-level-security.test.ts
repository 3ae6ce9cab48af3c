// The second wall: under a role that owns nothing the database itself keeps namespaces apart, whatever a statement forgets to ask.

import { afterAll, beforeAll, describe, expect, it, test } from 'vitest'
import {
  type Database,
  inTransaction,
  openDatabase,
  read,
  readerOf,
  rows,
  writerOf,
} from '../../src/store/db.ts'
import { lockDue, readNextDue } from '../../src/store/due.ts'
import { promoteSteps, readNextDueStep } from '../../src/store/due-steps.ts'
import { findWaiters } from '../../src/store/match-keys.ts'
import { sql } from '../../src/store/sql.ts'
import { createWall, everywhere, nowhere, settingOf, type Within } from '../../src/store/wall.ts'
import { openEngine, openSession, type Session } from '../support/engine.ts'
import { prepare } from '../support/plans.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { createServiceRole, type ServiceRole } from '../support/service-role.ts'

let place: TestDatabase
let session: Session
let role: ServiceRole
/** The service's own pools, under the role. One connection each, so that what one leaves behind is seen. */
let database: Database

const open = (url: string) =>
  openDatabase({
    connectionString: url,
    writers: 1,
    readers: 1,
    applicationName: 'test-wall',
    onError: () => {},
  })

beforeAll(async () => {
  place = await createTestDatabase()
  session = await openSession(place.url)
  role = await createServiceRole(place.url)
  database = open(role.url)
  const engine = openEngine(place.url)
  for (const namespace of ['ours', 'theirs', 'others']) {
    const caller = { namespace, actor: 'a' }
    const { flow } = await engine.flows.create(caller, {
      controller_id: 'c',
      goal: `of ${namespace}`,
      owner_session_key: 'o',
      requester_origin: 'r',
      start: true,
      steps: [{ task: 't' }],
    })
    await engine.memos.put(caller, flow.id, { key: 'k', value: namespace, onlyNew: false })
  }
  await engine.close()
})

afterAll(async () => {
  await database?.close()
  await session?.end()
  await role?.drop()
  await place?.drop()
})

/** A read with the fault that the wall is for: it does not ask whose the flows are. */
const forgetful = sql`select namespace from flows order by namespace`

async function seen(within: Within): Promise<string[]> {
  const found = await read<{ namespace: string }>(database.scope, within, forgetful)
  return found.map(({ namespace }) => namespace)
}

/** The code of the error of a statement, or what it did. */
async function outcomeOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    (value) => value,
    (error: { code?: string }) => error.code,
  )
}

describe('a read that forgets to ask whose rows they are', () => {
  it.each([
    ['those of its caller', 'ours', ['ours']],
    ['those of its callers', ['theirs', 'ours', 'ours'], ['ours', 'theirs']],
    ['none for a namespace that has none', 'nobody', []],
    ['none for nobody', nowhere, []],
    ['none for a name that is made to mean all', '*', []],
    ['none for a name that is made to mean two', 'ours,theirs', []],
    ['all for background work', everywhere, ['others', 'ours', 'theirs']],
  ] as [string, Within, string[]][])('is answered %s', async (_, within, expected) => {
    expect(await seen(within)).toEqual(expected)
  })

  it('is answered what belongs to rows of its caller alone', async () => {
    const memos = sql`select value::text as value from flow_memos`
    expect(await read(database.scope, 'ours', memos)).toEqual([{ value: '"ours"' }])
    expect(await read(database.scope, nowhere, memos)).toEqual([])
  })

  it('leaves nothing behind on its connection', async () => {
    expect(await seen('ours')).toEqual(['ours'])
    expect(await seen(nowhere)).toEqual([])
    await expect(read(database.scope, 'ours', sql`select 1 / 0`)).rejects.toThrow()
    expect(await seen(nowhere)).toEqual([])
    expect(await seen('theirs')).toEqual(['theirs'])
  })

  it('is the same in a transaction', async () => {
    const found = await inTransaction(database.scope, ['ours', 'others'], (runner) =>
      rows(runner, forgetful),
    )
    expect(found).toEqual([{ namespace: 'others' }, { namespace: 'ours' }])
  })
})

describe('a session that says nothing', () => {
  it('sees no row of any table, and changes none', async () => {
    const walled = await wallsOf()
    const raw = await openSession(role.url)
    try {
      for (const { name } of walled) {
        const { rows: found } = await raw.query(`select 1 from ${name}`)
        expect([name, found.length]).toEqual([name, 0])
      }
      expect((await raw.query(`update flows set goal = 'mine'`)).rowCount).toBe(0)
      expect((await raw.query('delete from flow_steps')).rowCount).toBe(0)
    } finally {
      await raw.end()
    }
  })
})

describe('a write', () => {
  const key = (namespace: string) => sql`
    insert into idempotency_keys (namespace, scope, key, shard, fingerprint, reply, expires_at)
    values (${namespace}, 's', gen_random_uuid()::text, 60, 'f', '{}', now())`

  it('of a row of another namespace is refused', async () => {
    const runner = writerOf(database.scope, 'ours')
    expect(await outcomeOf(rows(runner, key('theirs')))).toBe('42501')
    expect(await outcomeOf(rows(runner, key('ours')))).toEqual([])
  })

  it('that hands a row to another namespace is refused', async () => {
    const runner = writerOf(database.scope, 'ours')
    const move = sql`update flows set namespace = 'theirs' where namespace = 'ours'`
    expect(await outcomeOf(rows(runner, move))).toBe('42501')
  })

  it('to what belongs to a row of another namespace is refused', async () => {
    const [flow] = (await session.query(`select id, shard from flows where namespace = 'theirs'`))
      .rows
    const memo = sql`
      insert into flow_memos (flow_id, shard, key, value, created_at, updated_at)
      values (${flow?.['id']}, ${flow?.['shard']}::smallint, 'planted', '1', now(), now())`
    expect(await outcomeOf(rows(writerOf(database.scope, 'ours'), memo))).toBe('42501')
    expect(await outcomeOf(rows(writerOf(database.scope, 'theirs'), memo))).toEqual([])
  })
})

describe('the owner of the tables', () => {
  it('is not held to it, and is sent nothing in addition', async () => {
    const owner = open(place.url)
    try {
      const told = sql`
        select current_setting('taskflow.namespaces', true) as word,
          (select count(*)::integer from flows) as flows`
      const untold = [{ word: null, flows: 3 }]
      expect(await rows(readerOf(owner.scope, 'ours'), told)).toEqual(untold)
      expect(await rows(writerOf(owner.scope, everywhere), told)).toEqual(untold)
      expect(await inTransaction(owner.scope, 'ours', (runner) => rows(runner, told))).toEqual(
        untold,
      )
      expect(owner.scope.wall.stands).toBe(false)
      expect(database.scope.wall.stands).toBe(true)
    } finally {
      await owner.close()
    }
  })
})

interface Walled {
  name: string
  namespaced: boolean
  walled: boolean
  owner_held: boolean
  policies: { command: string; roles: string; reads: boolean; writes: boolean }[] | null
}

/** All tables but those that are of the whole service. */
async function wallsOf(): Promise<Walled[]> {
  const { rows: found } = await session.query<Walled>(`
    select c.relname as name, c.relrowsecurity as walled, c.relforcerowsecurity as owner_held,
      exists (select 1 from pg_attribute a
        where a.attrelid = c.oid and a.attname = 'namespace' and not a.attisdropped) as namespaced,
      (select json_agg(json_build_object('command', p.polcmd, 'roles', p.polroles::regrole[]::text,
          'reads', p.polqual is not null, 'writes', p.polwithcheck is not null))
        from pg_policy p where p.polrelid = c.oid and p.polname = 'within_namespaces') as policies
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
      and c.relname not in ('schema_migrations', 'publishers', 'sweepers')
    order by 1`)
  return found
}

function unwalled(tables: readonly Walled[]): string[] {
  return tables.flatMap(({ name, walled, owner_held, policies }) => {
    const [policy] = policies ?? []
    const whole = policy?.command === '*' && policy.roles === '{-}' && policy.reads && policy.writes
    return walled && !owner_held && whole && policies?.length === 1 ? [] : [name]
  })
}

describe('every table', () => {
  it('that has a namespace, or belongs to one that has, has the policy', async () => {
    const tables = await wallsOf()
    expect(unwalled(tables)).toEqual([])
    expect(tables.filter(({ namespaced }) => !namespaced).map(({ name }) => name)).toEqual([
      'binding_keys',
      'delivery_attempts',
      'flow_memos',
      'step_attempts',
    ])
  })

  it('is looked at: one without is found', async () => {
    await session.query('begin')
    await session.query('create table planted (namespace text)')
    await session.query('alter table hooks disable row level security')
    await session.query('alter policy within_namespaces on flows to pg_monitor')
    expect(unwalled(await wallsOf())).toEqual(['flows', 'hooks', 'planted'])
    await session.query('rollback')
  })
})

test('what runs all the time is looked up by indexes all the same', async () => {
  const client = await database.scope.writer.connect()
  const due = { now: null, from: null, limit: 10 }
  const key = { namespace: 'ours', topic: 't', correlation_id: 'c', limit: 2 }
  const place_ = { since: '2026-01-01T00:00:00.000000Z', wait_id: crypto.randomUUID() }
  const statements: [string, RegExp, Parameters<typeof prepare>[3]][] = [
    ['the tick', /wake_at <= /, (runner) => lockDue(runner, { ...due, except: [] })],
    ['the next due', /wake_at >= /, (runner) => readNextDue(runner, { from: null, except: [] })],
    ['steps', /wake_at <= .* AND .*wake_at >= /, (runner) => promoteSteps(runner, due)],
    ['the next due step', /wake_at >= /, (runner) => readNextDueStep(runner, null)],
    [
      'waits',
      /ROW\(m.since, m.wait_id\)|ROW\(since, wait_id\)/,
      (runner) => findWaiters(runner, [{ ...key, after: place_ }]),
    ],
  ]
  try {
    for (const [n, [name, condition, call]] of statements.entries()) {
      const plan = await (await prepare(client, 'generic', `walled_${n}`, call)).explain()
      const conditions = plan.split('\n').filter((line) => line.includes('Index Cond'))
      expect(conditions.join('\n'), `${name}\n${plan}`).toMatch(condition)
    }
  } finally {
    client.release(true)
  }
})

describe('whether it stands', () => {
  it('is asked once, and again as long as there is no answer', async () => {
    const answers: (boolean | null | Error)[] = [new Error('away'), null, true]
    let asked = 0
    const wall = createWall(async () => {
      asked++
      const answer = answers.shift() ?? null
      if (answer instanceof Error) throw answer
      return answer
    })
    await expect(wall.ask()).rejects.toThrow('away')
    expect([await wall.ask(), wall.stands]).toEqual([false, null])
    expect(await Promise.all([wall.ask(), wall.ask()])).toEqual([true, true])
    expect([await wall.ask(), wall.stands, asked]).toEqual([true, true, 3])
  })

  it('is told to the database as a list that means what it says', () => {
    expect(settingOf(everywhere)).toBe('*')
    expect(settingOf(['b', 'a', 'b'])).toBe('b,a')
    expect(settingOf(['*', 'a,b', 'c'])).toBe('c')
    expect(settingOf(nowhere)).toBe('')
  })
})

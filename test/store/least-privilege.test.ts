// The roles of docs/security.md: the service runs under one, it may change neither the schema nor an event, and is held to row level security.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { read } from '../../src/store/db.ts'
import { sql } from '../../src/store/sql.ts'
import { openEngine, type TestEngine } from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { asOwner, asRole } from '../support/service-role.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/security.md'), 'utf8')
/** Of this run's: roles belong to the whole server. */
const role = `app_${process.pid}`
const byHand = `by_hand_${process.pid}`
const password = 'a password of this test'

let database: TestDatabase
let url: string
let service: TestEngine

/** The statements of the page that make a role. */
function statementsFor(name: string): string {
  const blocks = page.split('```sql\n').map((block) => block.split('```')[0])
  const statements = blocks.find((block) => block?.startsWith(`create role ${name} `))
  if (statements === undefined) throw new Error(`docs/security.md does not make the role ${name}`)
  return statements
}

beforeAll(async () => {
  database = await createTestDatabase()
  const made = statementsFor('app')
    .replace('role app login', `role ${role} login`)
    .replace("'change me'", `'${password}'`)
  expect(made).toContain(role)
  await asOwner(database.url, made)
  url = asRole(database.url, role, password)
  service = openEngine(url)
})
afterAll(async () => {
  await service?.close()
  await asOwner(database.url, `drop role ${role}`)
  await database?.drop()
})

it('lets the service do all that it does', async () => {
  const engine = service
  const caller = { namespace: 'default', actor: 'test' }
  engine.start()
  const { flow } = await engine.flows.create(caller, {
    controller_id: 'c',
    goal: 'g',
    owner_session_key: 'o',
    requester_origin: 'r',
    start: true,
    key: 'k',
    steps: [{ task: 't' }],
  })
  const target = { kind: 'external_event', topic: 't', correlation_id: 'c' } as const
  await engine.signals.send(caller, { target })
  const wait = { type: 'wait', wait_id: flow.id, wait: target } as const
  expect((await engine.flows.change(caller, flow.id, wait)).flow.status).toBe('running')
  const [step] = await engine.queue.claim(
    caller,
    { worker_id: 'w', max: 1, lease: 30_000, wait: 0 },
    new AbortController().signal,
  )
  expect(step?.task).toBe('t')
  const { items } = await engine.events.list(caller, flow.id, {}, { limit: 50 })
  expect(items.length).toBeGreaterThan(3)
  await engine.waitEngine.tick()
  expect((await engine.ready()).ready).toBe(true)
})

it('holds it to the rows of its caller', async () => {
  const { scope } = service.database
  expect(await scope.wall.ask()).toBe(true)
  const forgetful = sql`select distinct namespace from flow_events`
  expect(await read(scope, 'default', forgetful)).toEqual([{ namespace: 'default' }])
  expect(await read(scope, 'another', forgetful)).toEqual([])
})

it('grants the same by hand as migrations do', async () => {
  const made = statementsFor('taskflow_service').replaceAll('taskflow_service', byHand)
  await asOwner(database.url, made)
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    const granted = async (name: string) => {
      const { rows } = await client.query(
        `select table_name, privilege_type from information_schema.role_table_grants
         where grantee = $1 and table_schema = 'public'
         union all
         select 'later ones', a.privilege_type
         from pg_default_acl d cross join aclexplode(d.defaclacl) a
         where a.grantee = $1::regrole
         order by 1, 2`,
        [name],
      )
      return rows
    }
    const expected = await granted('taskflow_service')
    expect(expected.length).toBeGreaterThan(60)
    expect(await granted(byHand)).toEqual(expected)
  } finally {
    await client.end()
    await asOwner(database.url, `drop owned by ${byHand}; drop role ${byHand}`)
  }
})

it('lets it change neither the schema nor what was written', async () => {
  const client = new pg.Client({ connectionString: url })
  await client.connect()
  try {
    for (const statement of [
      'drop table flows',
      'alter table flows add column more text',
      'create table mine (id integer)',
      `update flow_events set actor = 'somebody else'`,
      'truncate flow_events',
      'delete from schema_migrations',
      `set session authorization '${new URL(database.url).username}'`,
    ]) {
      const refused = await client.query(statement).then(
        () => 'done',
        (error: pg.DatabaseError) => error.code,
      )
      expect([statement, refused]).toEqual([statement, '42501'])
    }
  } finally {
    await client.end()
  }
})

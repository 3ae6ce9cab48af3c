// The role of docs/security.md: the service runs under it, and it may change neither the schema nor an event.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openEngine, type TestEngine } from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'

const page = readFileSync(join(import.meta.dirname, '../../docs/security.md'), 'utf8')
/** One of this run's: roles belong to the whole server. */
const role = `taskflow_service_${process.pid}`
const password = 'a password of this test'

let database: TestDatabase
let url: string
let service: TestEngine

async function asOwner(text: string): Promise<void> {
  const client = new pg.Client({ connectionString: database.url })
  await client.connect()
  try {
    await client.query(text)
  } finally {
    await client.end()
  }
}

beforeAll(async () => {
  const [, statements = ''] = /```sql\n(create role taskflow_service[\s\S]*?)```/.exec(page) ?? []
  expect(statements).toContain('grant')
  database = await createTestDatabase()
  await asOwner(
    statements.replaceAll('taskflow_service', role).replace("'change me'", `'${password}'`),
  )
  const place = new URL(database.url)
  place.username = role
  place.password = password
  url = place.href
  service = openEngine(url)
})
afterAll(async () => {
  await service?.close()
  await asOwner(`drop owned by ${role}; drop role ${role}`)
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

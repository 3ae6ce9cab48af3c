// Keys in two processes on one database that hear nothing of each other: what one revokes, the other believes for
// some seconds at most, and no longer.

import { afterAll, beforeAll, expect, it } from 'vitest'
import { openEngine, type TestEngine } from '../support/engine.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { until } from '../support/service.ts'

let database: TestDatabase
let here: TestEngine
let there: TestEngine

beforeAll(async () => {
  database = await createTestDatabase()
  // Without LISTEN: every hint is lost.
  here = openEngine(database.url)
  there = openEngine(database.url)
})
afterAll(async () => {
  await Promise.all([here?.close(), there?.close()])
  await database?.drop()
})

const binding = {
  actions: ['flows:read' as const],
  owner_session_key: null,
  requester_origin: null,
  controllers: null,
  timer_max_horizon_ms: null,
  rate: null,
  expires_at: null,
}

it('a revocation holds in another process within five seconds, although it is not told', async () => {
  const { anonymous } = here.credentials
  if (anonymous === null) throw new Error('this engine has an admin key')
  const { value: made } = await here.bindings.create(anonymous, { ...binding, name: 'told' })
  const { value: first } = await here.bindings.addKey(anonymous, made.id, {
    name: null,
    expires_in: null,
  })
  const key = first.key ?? ''
  const known = async () => (await there.credentials.authenticate(key)) !== null
  expect(await known()).toBe(true)
  // In use all the time: to be used keeps nothing believed for longer.
  await here.bindings.removeKey(anonymous, made.id, first.id)
  const revoked = performance.now()
  expect(await here.credentials.authenticate(key)).toBeNull()
  await until(async () => !(await known()), 5_000, 'the other process refuses the key')
  expect(performance.now() - revoked).toBeLessThan(5_000)
})

it('a key that is new is known in another process that was asked for it before', async () => {
  const { anonymous } = here.credentials
  if (anonymous === null) throw new Error('this engine has an admin key')
  const { value: made } = await here.bindings.create(anonymous, { ...binding, name: 'new' })
  const { value: first } = await here.bindings.addKey(anonymous, made.id, {
    name: null,
    expires_in: null,
  })
  const key = first.key ?? ''
  const wrong = `${key.slice(0, -1)}${key.endsWith('A') ? 'B' : 'A'}`
  expect(await there.credentials.authenticate(wrong)).toBeNull()
  expect((await there.credentials.authenticate(key))?.caller.actor).toBe('new')
})

// The second wall behind a pooler in transaction mode, where callers of all namespaces share a connection to the server.

import { expect, it, onTestFinished } from 'vitest'
import { openDatabase, read } from '../../src/store/db.ts'
import { sql } from '../../src/store/sql.ts'
import { createFlow, openEngine, openSession } from '../support/engine.ts'
import { startPooler } from '../support/pgbouncer.ts'
import { createTestDatabase } from '../support/postgres.ts'
import { createServiceRole } from '../support/service-role.ts'

it('stands between callers, whoever had the connection before', async () => {
  const place = await createTestDatabase()
  onTestFinished(() => place.drop())
  const role = await createServiceRole(place.url)
  onTestFinished(() => role.drop())
  const engine = openEngine(place.url)
  for (const namespace of ['ours', 'theirs']) {
    await createFlow(engine, {}, { namespace, actor: 'a' })
  }
  await engine.close()
  const pooler = await startPooler(role.url, {
    default_pool_size: '1',
    ignore_startup_parameters:
      'options,statement_timeout,lock_timeout,idle_in_transaction_session_timeout',
  })
  onTestFinished(() => pooler.stop())
  // One session of ours with statements by name, which older poolers cannot keep apart, and one that says nothing.
  const { scope, close } = openDatabase({
    connectionString: pooler.url,
    writers: 1,
    readers: 1,
    applicationName: 'test-pooler',
    onError: () => {},
  })
  onTestFinished(close)
  const silent = await openSession(pooler.url)
  onTestFinished(() => silent.end())
  const forgetful = sql`select namespace from flows`
  const asked = Array.from({ length: 60 }, (_, i) => (i % 2 === 0 ? 'ours' : 'theirs'))
  const answers = await Promise.all(
    asked.map(async (namespace) => [
      await read(scope, namespace, forgetful),
      (await silent.query('select namespace from flows')).rows,
    ]),
  )
  expect(answers).toEqual(asked.map((namespace) => [[{ namespace }], []]))
  expect(scope.wall.stands).toBe(true)
})

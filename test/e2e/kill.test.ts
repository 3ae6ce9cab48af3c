// The built service is killed with -9 again and again under load: nothing that was answered is lost.

import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

interface Flow {
  id: string
  revision: number
  status: string
}

let database: TestDatabase
let client: pg.Client
let service: ServiceProcess

beforeAll(async () => {
  database = await createTestDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
})

afterAll(async () => {
  await service?.kill('SIGKILL')
  await client?.end()
  await database?.drop()
})

const input = {
  controller_id: 'fault/kill',
  goal: 'survive',
  owner_session_key: 'test',
  requester_origin: 'test',
  start: true,
}

/** A change that was answered 2xx, as the client saw it. */
interface Acknowledged {
  flow_id: string
  revision: number
  status: string
}

it('loses no answered change, leaves no gap and fires no timer twice', async () => {
  const env = { DATABASE_URL: database.url, PORT: String(await freePort()), LOG_LEVEL: 'warn' }
  service = await startService(env)
  const acknowledged: Acknowledged[] = []
  let unknown = 0
  let stop = false

  const note = ({ id, revision, status }: Flow) =>
    acknowledged.push({ flow_id: id, revision, status })
  /** Sends until there is an answer; a repeat with the same key is the same request. */
  const change = async (path: string, body: unknown): Promise<Flow | null> => {
    const key = { 'idempotency-key': `k${Math.random()}` }
    while (!stop) {
      try {
        const answer = await send<Flow>(service.base, 'POST', path, body, key)
        if (answer.status < 300) {
          note(answer.body)
          return answer.body
        }
        if (answer.status !== 503 && answer.body && 'code' in answer.body) {
          expect(answer.body.code).toBe('idempotency_in_progress')
        }
      } catch {
        unknown++
      }
      await sleep(20)
    }
    return null
  }
  const worker = async () => {
    while (!stop) {
      const flow = await change('/flows', input)
      if (flow === null) return
      const path = `/flows/${flow.id}`
      if ((await change(`${path}/wait`, { kind: 'timer', after: 'PT0.15S' })) === null) return
      await until(
        async () =>
          stop ||
          (await send<Flow>(service.base, 'GET', path).then(
            ({ body }) => body.status === 'running',
            () => false,
          )),
        20_000,
        'the timer has fired',
      )
      await change(`${path}/finish`, {})
    }
  }
  const workers = Array.from({ length: 16 }, worker)
  const kills = 8
  for (let i = 0; i < kills; i++) {
    await sleep(400 + Math.random() * 300)
    await service.kill('SIGKILL')
    service = await startService(env)
  }
  await sleep(500)
  stop = true
  await Promise.all(workers)
  await until(
    async () => {
      const { rows } = await client.query(
        'select 1 from flows where wake_at is not null and wake_at < now()',
      )
      return rows.length === 0
    },
    10_000,
    'everything due has fired',
  )

  // The test must have tested something.
  expect(acknowledged.length).toBeGreaterThan(200)
  expect(unknown).toBeGreaterThan(kills)
  const lost = await client.query(
    `select a.flow_id, a.revision from json_to_recordset($1) as a(flow_id uuid, revision int)
     left join flow_events e on e.flow_id = a.flow_id and e.revision = a.revision
     where e.flow_id is null`,
    [JSON.stringify(acknowledged)],
  )
  expect(lost.rows).toEqual([])
  const gaps = await client.query(
    `select f.id from flows f join flow_events e on e.flow_id = f.id
     group by f.id, f.revision having max(e.revision) <> f.revision or count(*) <> f.revision + 1`,
  )
  expect(gaps.rows).toEqual([])
  const twice = await client.query(
    `select payload->>'wait_id' from flow_events where kind = 'resumed' group by 1 having count(*) > 1`,
  )
  expect(twice.rows).toEqual([])
  const early = await client.query(
    `select r.flow_id from flow_events r
     join flow_events w on w.flow_id = r.flow_id and w.kind = 'waiting'
       and w.payload->'wait'->>'id' = r.payload->>'wait_id'
     where r.kind = 'resumed' and r.at < (w.payload->'wait'->>'at')::timestamptz`,
  )
  expect(early.rows).toEqual([])
  const created = await client.query(
    `select count(*)::int as flows, count(distinct id)::int as ids from flows`,
  )
  const known = new Set(acknowledged.filter((one) => one.revision === 1).map((one) => one.flow_id))
  // A creation that was repeated after a lost answer made one flow; at most those under way at the end are not known.
  expect(created.rows[0].flows - known.size).toBeLessThanOrEqual(16)
}, 120_000)

// Hooks of the built service: killed with -9 in the middle of the work it owes nobody a delivery, and what
// it causes by itself comes to an end.

import {
  createServer,
  type IncomingHttpHeaders,
  type RequestListener,
  type Server,
} from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import pg from 'pg'
import { Webhook } from 'standardwebhooks'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

let database: TestDatabase
let client: pg.Client
let service: ServiceProcess
let receiver: Server | undefined

beforeEach(async () => {
  database = await createTestDatabase()
  client = new pg.Client({ connectionString: database.url })
  await client.connect()
})

afterEach(async () => {
  await service?.kill('SIGKILL')
  receiver?.closeAllConnections()
  receiver?.close()
  await client?.end()
  await database?.drop()
})

async function environment(): Promise<Record<string, string>> {
  return {
    DATABASE_URL: database.url,
    PORT: String(await freePort()),
    LOG_LEVEL: 'warn',
    TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
    TASKFLOW_HOOK_TIMEOUT: 'PT5S',
  }
}

/** Listens; answers the URL. */
async function receive(listener: RequestListener): Promise<string> {
  receiver = createServer(listener)
  const port = await freePort()
  await new Promise<void>((resolve) => receiver?.listen(port, '127.0.0.1', resolve))
  return `http://127.0.0.1:${port}/`
}

function bodyOf(request: AsyncIterable<Buffer>): Promise<string> {
  return (async () => {
    const pieces: Buffer[] = []
    for await (const piece of request) pieces.push(piece)
    return Buffer.concat(pieces).toString()
  })()
}

const newFlow = {
  controller_id: 'fault/hooks',
  goal: 'tell',
  owner_session_key: 'test',
  requester_origin: 'test',
  start: true,
}

const count = async (text: string) => {
  const { rows } = await client.query<{ n: number }>(`select count(*)::integer as n from ${text}`)
  return rows[0]?.n ?? 0
}

/** How long the service is killed again and again: `TEST_KILL_SECONDS=60` for a thorough look. */
const killSeconds = Number(process.env['TEST_KILL_SECONDS'] ?? 3)
const told = ['created', 'started', 'step_settled', 'finished']

it(
  'kill -9 again and again: no step is lost, every event is told, under one id, and nothing else is',
  async () => {
    const seen = new Map<string, Set<string>>()
    const requests: { headers: IncomingHttpHeaders; body: string }[] = []
    const url = await receive(async (request, response) => {
      const body = await bodyOf(request)
      const { headers } = request
      requests.push({ headers, body })
      const id = String(headers['webhook-id'])
      // Once at most: after the second failure in a row five minutes would pass.
      const fails = !seen.has(id) && Math.random() < 0.03
      seen.set(id, (seen.get(id) ?? new Set()).add(body))
      await sleep(Math.random() * 30)
      response.writeHead(fails ? 503 : 200).end('ok')
    })
    const env = await environment()
    service = await startService(env)
    const hook = await send<{ id: string; secret: string }>(service.base, 'POST', '/hooks', {
      url,
      kinds: told,
    })
    expect(hook.status).toBe(201)

    let stop = false
    let drained = false
    /** Sends until it is answered; null when it is not wanted any more. */
    const change = async <T>(
      path: string,
      body: unknown,
      isOver: () => boolean,
    ): Promise<T | null> => {
      const key = { 'idempotency-key': `k${Math.random()}` }
      while (!isOver()) {
        try {
          const answer = await send<T>(service.base, 'POST', path, body, key)
          // 409: its lease ran out meanwhile, and another worker has the step.
          if (answer.status < 300 || answer.status === 409) return answer.body
        } catch {
          // It was killed: the same again.
        }
        await sleep(10)
      }
      return null
    }
    const caller = async () => {
      while (!stop) {
        const flow = await change<{ id: string }>('/flows', newFlow, () => stop)
        if (flow !== null) await change(`/flows/${flow.id}/finish`, {}, () => stop)
      }
    }
    const { start: _, ...withSteps } = { ...newFlow, steps: [{ task: 'tell' }] }
    const enqueuer = async () => {
      while (!stop) await change('/flows', withSteps, () => stop)
    }
    const worker = async (_: unknown, i: number) => {
      const claim = { worker_id: `w${i}`, max: 5, lease: 'PT1S', wait: 'PT0.5S' }
      while (!drained) {
        const claimed = await change<{ items: { id: string; lease_token: string }[] }>(
          '/steps/claim',
          claim,
          () => drained,
        )
        for (const { id, lease_token } of claimed?.items ?? []) {
          const report = { lease_token, outcome: { kind: 'succeed' } }
          await change(`/steps/${id}/outcome`, report, () => drained)
        }
      }
    }
    const callers = [...Array.from({ length: 4 }, caller), ...Array.from({ length: 4 }, enqueuer)]
    const workers = Array.from({ length: 4 }, worker)
    let kills = 0
    for (const from = Date.now(); Date.now() - from < killSeconds * 1000 || kills < 8; kills++) {
      await sleep(150 + Math.random() * 200)
      await service.kill('SIGKILL')
      service = await startService(env)
    }
    stop = true
    await Promise.all(callers)
    const open = () => count(`flow_steps where status in ('pending', 'running')`)
    await until(async () => (await open()) === 0, 60_000, 'no step is open')
    drained = true
    await Promise.all(workers)
    await until(
      async () => (await count(`deliveries where status = 'pending'`)) === 0,
      60_000,
      'nothing is pending',
    )

    // The test must have tested something.
    expect(await count('step_attempts')).toBeGreaterThan(0)
    expect(await count('flow_steps')).toBeGreaterThan(50)
    expect(await count('flow_events')).toBeGreaterThan(300)
    expect(await count(`delivery_attempts where status_code = 503`)).toBeGreaterThan(0)
    expect(requests.length).toBeGreaterThan(seen.size)
    expect(await count(`flow_steps where status <> 'succeeded'`)).toBe(0)
    const settled = await client.query(
      `select s.id from flow_steps s left join flow_events e
       on e.flow_id = s.flow_id and e.kind in ('step_settled', 'finished')
     group by s.id having count(*) <> 2`,
    )
    expect(settled.rows).toEqual([])
    const { rows: owed } = await client.query<{ n: number; id: string | null }>(
      `select count(d.id)::integer as n, min(d.id::text) as id from flow_events e
     left join deliveries d on d.flow_id = e.flow_id and d.revision = e.revision
     where e.kind = any ($1) group by e.flow_id, e.revision`,
      [told],
    )
    expect(owed.filter(({ n }) => n !== 1)).toEqual([])
    expect([...seen.keys()].sort()).toEqual(owed.map(({ id }) => id).sort())
    expect([...seen.values()].filter((bodies) => bodies.size !== 1)).toEqual([])
    expect(await count(`deliveries where status <> 'delivered'`)).toBe(0)
    if (killSeconds > 10) {
      const steps = await count('flow_steps')
      process.stdout.write(`${kills} kills, ${steps} steps, ${seen.size} deliveries\n`)
    }
    const verifier = new Webhook(hook.body.secret)
    for (const { headers, body } of requests.slice(-200)) {
      verifier.verify(body, headers as Record<string, string>)
    }
  },
  180_000 + killSeconds * 2_000,
)

it('a hook that makes what it is told of ends with 508 after eight hops', async () => {
  const env = await environment()
  service = await startService(env)
  const answers: number[] = []
  const url = await receive(async (request, response) => {
    await bodyOf(request)
    const depth = String(request.headers['taskflow-depth'])
    const made = await send(service.base, 'POST', '/flows', newFlow, { 'taskflow-depth': depth })
    answers.push(made.status)
    response.writeHead(made.status).end()
  })
  await send(service.base, 'POST', '/hooks', { url, kinds: ['created'] })
  expect((await send(service.base, 'POST', '/flows', newFlow)).status).toBe(201)
  await until(() => answers.includes(508), 20_000, 'it has ended')
  expect(answers).toEqual([201, 201, 201, 201, 201, 201, 201, 508])
  expect(await count('flows')).toBe(8)
})

it('so does one whose deliveries are signals of the service itself', async () => {
  const env = await environment()
  service = await startService(env)
  const { base } = service
  const hook = await send<{ id: string; secret: string }>(base, 'POST', '/hooks', {
    url: `${base}/in/self`,
    kinds: ['wait_progressed'],
  })
  const source = await send(base, 'POST', '/sources', {
    id: 'self',
    verify: { scheme: 'standard-webhooks', secrets: [hook.body.secret] },
    map: { topic: 'loop', correlation_id: 'x' },
  })
  expect(source.status).toBe(201)
  const flow = await send<{ id: string }>(base, 'POST', '/flows', newFlow)
  const branch = { kind: 'external_event', topic: 'loop', correlation_id: 'x' }
  await send(base, 'POST', `/flows/${flow.body.id}/wait`, {
    kind: 'all',
    of: Array.from({ length: 16 }, () => branch),
  })
  await send(base, 'POST', '/signals', { topic: 'loop', correlation_id: 'x' })
  await until(
    async () => (await count(`delivery_attempts where status_code = 508`)) > 0,
    20_000,
    'it has ended',
  )
  expect(await count(`flow_events where kind = 'wait_progressed'`)).toBe(8)
})

// The reference workers against the built service: pulled and pushed to, killed and stopped in the middle.

import { createServer, type Server } from 'node:http'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { newSecret } from '../../src/engine/signing.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'
import {
  endpointCommands,
  endWorkers,
  signalAll,
  startWorker,
  workerCommands,
} from '../support/workers.ts'

interface Flow {
  id: string
  status: string
  revision: number
}
interface Step {
  id: string
  flow_id: string
  status: string
  attempt: number
  worker_id: string | null
  result: unknown
}
interface Items<Item> {
  items: Item[]
}

let database: TestDatabase
let service: ServiceProcess

beforeAll(async () => {
  database = await createTestDatabase()
  service = await startService({
    DATABASE_URL: database.url,
    LOG_LEVEL: 'warn',
    TASKFLOW_OUTBOUND_ALLOW_PRIVATE: 'true',
  })
})
afterAll(async () => {
  endWorkers()
  await service?.kill('SIGKILL')
  await database?.drop()
})

const read = async <Body>(path: string) => (await send<Body>(service.base, 'GET', path)).body

async function give(controller: string, task: string, input: unknown, more = {}): Promise<Flow> {
  const { status, body } = await send<Flow>(service.base, 'POST', '/flows', {
    controller_id: controller,
    goal: 'work',
    owner_session_key: 'test',
    requester_origin: 'test',
    steps: [{ task: `conformance.${task}`, input, ...more }],
  })
  expect(status).toBe(201)
  return body
}

const stepOf = async (flow: Flow): Promise<Step> => {
  const { items } = await read<Items<Step>>(`/flows/${flow.id}/steps`)
  const [step] = items
  if (step === undefined) throw new Error('a flow without its step')
  return step
}

const short = { timeouts: { heartbeat: 'PT2S' }, retry: { base: 'PT0.1S', max_attempts: 5 } }

it('a mixed crowd that pulls and is pushed to runs every step once, though one of it is killed', async () => {
  const controller = 'crowd'
  const secret = newSecret()
  const port = String(await freePort())
  startWorker(endpointCommands.node, { SECRET: secret, PORT: port })
  await until(
    () => fetch(`http://127.0.0.1:${port}`).catch(() => null),
    10_000,
    'the endpoint is up',
  )
  const url = `http://127.0.0.1:${port}/`
  const put = { url, secret, tasks: ['conformance.succeed'] }
  expect((await send(service.base, 'PUT', `/controllers/${controller}`, put)).status).toBe(201)

  const workers = new Map(
    Object.entries(workerCommands).map(([name, command]) => [
      name,
      startWorker(command, {
        TASKFLOW_URL: service.base,
        WORKER_ID: name,
        CONTROLLERS: controller,
      }),
    ]),
  )
  const slow = await Promise.all(
    Array.from({ length: 4 }, () => give(controller, 'slow', { ms: 1_200 }, short)),
  )
  const quick = await Promise.all(
    Array.from({ length: 24 }, () => give(controller, 'continue', { next: 'conformance.succeed' })),
  )
  const running = await until(
    async () => {
      const { items } = await read<Items<Step>>(
        '/steps?status=running&task=conformance.slow&controller_id=crowd',
      )
      return items[0]
    },
    20_000,
    'a slow step is run',
  )
  const victim = workers.get(running.worker_id ?? '')
  if (victim === undefined) throw new Error(`nobody is called ${running.worker_id}`)
  signalAll(victim, 'SIGKILL')

  for (const flow of [...slow, ...quick]) {
    await until(
      async () => (await read<Flow>(`/flows/${flow.id}`)).status === 'finished',
      40_000,
      'every flow is finished',
    )
    const { items } = await read<Items<{ payload: { outcome: string } }>>(
      `/flows/${flow.id}/events?kind=step_settled`,
    )
    const outcomes = items.map(({ payload }) => payload.outcome)
    expect(outcomes).toEqual(slow.includes(flow) ? ['succeed'] : ['continue', 'succeed'])
  }
  const again = await read<Step & Items<Step> & { attempts: { outcome: string }[] }>(
    `/steps/${running.id}`,
  )
  expect(again.attempt).toBeGreaterThan(1)
  expect(again.attempts[0]?.outcome).toBe('lease_expired')
  const pushed = await read<Items<Step>>(
    '/steps?task=conformance.succeed&controller_id=crowd&limit=100',
  )
  expect(pushed.items.map(({ worker_id }) => worker_id)).toEqual(quick.map(() => 'push:crowd'))
}, 90_000)

it.each(Object.entries(workerCommands))(
  'a worker in %s that was stopped for longer than its lease cannot report any more',
  async (name, command) => {
    const controller = `zombie/${name}`
    const recorder = await record(service.port)
    const env = { TASKFLOW_URL: recorder.url, CONTROLLERS: controller }
    const zombie = startWorker(command, { ...env, WORKER_ID: 'zombie' })
    const flow = await give(controller, 'slow', { ms: 700 }, short)
    await until(async () => (await stepOf(flow)).worker_id === 'zombie', 20_000, 'it has the step')
    signalAll(zombie, 'SIGSTOP')
    const helper = startWorker(command, { ...env, WORKER_ID: 'helper' })
    const done = await until(
      async () => {
        const step = await stepOf(flow)
        return step.status === 'succeeded' ? step : null
      },
      20_000,
      'another one has done the step',
    )
    expect(done).toMatchObject({ worker_id: 'helper', attempt: 2 })
    const { revision } = await read<Flow>(`/flows/${flow.id}`)
    signalAll(helper, 'SIGKILL')

    signalAll(zombie, 'SIGCONT')
    const refused = () =>
      recorder.seen.filter(({ path, status }) => path.includes(done.id) && status === 409)
    await until(() => refused().length > 0, 20_000, 'its word is refused')
    // It goes on with other steps, and what it was late with changed nothing.
    const next = await give(controller, 'succeed', { and: 'on' })
    await until(async () => (await stepOf(next)).status === 'succeeded', 20_000, 'it goes on')
    expect(await stepOf(flow)).toEqual(done)
    expect((await read<Flow>(`/flows/${flow.id}`)).revision).toBe(revision)
    recorder.close()
  },
  60_000,
)

/** Hands requests on to the service and writes down how they were answered. */
async function record(port: number) {
  const seen: { path: string; status: number }[] = []
  const server: Server = createServer(async (request, response) => {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk)
    const gone = new AbortController()
    response.on('close', () => gone.abort())
    try {
      const answer = await fetch(`http://127.0.0.1:${port}${request.url}`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: Buffer.concat(chunks),
        signal: gone.signal,
      })
      seen.push({ path: request.url ?? '', status: answer.status })
      response.writeHead(answer.status, { 'content-type': 'application/json' })
      response.end(await answer.text())
    } catch {
      response.destroy()
    }
  })
  const at = await freePort()
  await new Promise<void>((resolve) => server.listen(at, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${at}`,
    seen,
    close() {
      server.close()
      server.closeAllConnections()
    },
  }
}

// Workers as their users run them: the reference ones against the built service, killed and stopped in the
// middle, and the conformance kit, which has to praise these and to see through bad ones.

import { type ChildProcess, execFile, execFileSync, spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newSecret } from '../../src/engine/signing.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, send, startService, until } from '../support/service.ts'

const checkout = join(import.meta.dirname, '../..')
const commands = {
  bash: 'bash examples/workers/worker.sh',
  python: 'python3 examples/workers/worker.py',
  node: 'node examples/workers/worker.mjs',
}
const endpoints = {
  python: 'python3 examples/workers/endpoint.py',
  node: 'node examples/workers/endpoint.mjs',
}

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

const children: ChildProcess[] = []

function start(command: string, env: Record<string, string>): ChildProcess {
  const clean = Object.entries(process.env).filter(
    ([name]) => !/^(TASKFLOW_|https?_proxy)/i.test(name),
  )
  const [program = '', ...args] = command.split(' ')
  const child = spawn(program, args, {
    cwd: checkout,
    env: { ...Object.fromEntries(clean), ...env },
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  children.push(child)
  return child
}

/** Sends a signal to a process and all that it has started: what befalls a whole machine. */
function signalAll(child: ChildProcess, signal: NodeJS.Signals): void {
  const rows = execFileSync('ps', ['-eo', 'pid=,ppid='], { encoding: 'utf8' }).trim().split('\n')
  const pairs = rows.map((row) => row.trim().split(/\s+/).map(Number))
  const family = [child.pid ?? 0]
  for (const parent of family) {
    for (const [pid = 0, ppid] of pairs) if (ppid === parent) family.push(pid)
  }
  for (const pid of family) {
    try {
      process.kill(pid, signal)
    } catch {
      // It has ended meanwhile.
    }
  }
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
  for (const child of children) signalAll(child, 'SIGKILL')
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
  start(endpoints.node, { SECRET: secret, PORT: port })
  await until(
    () => fetch(`http://127.0.0.1:${port}`).catch(() => null),
    10_000,
    'the endpoint is up',
  )
  const url = `http://127.0.0.1:${port}/`
  const put = { url, secret, tasks: ['conformance.succeed'] }
  expect((await send(service.base, 'PUT', `/controllers/${controller}`, put)).status).toBe(201)

  const workers = new Map(
    Object.entries(commands).map(([name, command]) => [
      name,
      start(command, { TASKFLOW_URL: service.base, WORKER_ID: name, CONTROLLERS: controller }),
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

it.each(Object.entries(commands))(
  'a worker in %s that was stopped for longer than its lease cannot report any more',
  async (name, command) => {
    const controller = `zombie/${name}`
    const recorder = await record(service.port)
    const env = { TASKFLOW_URL: recorder.url, CONTROLLERS: controller }
    const zombie = start(command, { ...env, WORKER_ID: 'zombie' })
    const flow = await give(controller, 'slow', { ms: 700 }, short)
    await until(async () => (await stepOf(flow)).worker_id === 'zombie', 20_000, 'it has the step')
    signalAll(zombie, 'SIGSTOP')
    const helper = start(command, { ...env, WORKER_ID: 'helper' })
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

interface Kit {
  code: number
  text: string
}

function runKit(args: string[]): Promise<Kit> {
  return new Promise((resolve) => {
    const all = ['scripts/conformance.mjs', '--patience', '4', ...args]
    execFile(process.execPath, all, { cwd: checkout }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, text: stdout + stderr })
    })
  })
}

/** The whole kit: with a service and a database of its own, since it kills that. */
async function checkWorker(command: string): Promise<Kit> {
  const own = await createTestDatabase()
  try {
    return await runKit(['--worker', command, '--database', own.url])
  } finally {
    await own.drop()
  }
}

async function checkEndpoint(command: string): Promise<Kit> {
  const secret = newSecret()
  const port = String(await freePort())
  const endpoint = start(command, { SECRET: secret, PORT: port })
  const url = `http://127.0.0.1:${port}/`
  try {
    await until(() => fetch(url).catch(() => null), 10_000, 'the endpoint is up')
    return await runKit(['--push', url, '--secret', secret])
  } finally {
    endpoint.kill('SIGKILL')
  }
}

it('the rules that the kit names are those of docs/workers.md', async () => {
  const rules = await readFile(join(checkout, 'scripts/conformance/rules.mjs'), 'utf8')
  const page = await readFile(join(checkout, 'docs/workers.md'), 'utf8')
  const named = [...rules.matchAll(/^ {2}(\d+): '(.+)',$/gm)].map(([, n, title]) => `${n}. **${title}.**`)
  const told = [...page.matchAll(/^\d+\. \*\*.+?\*\*/gm)].map(([rule]) => rule)
  expect(named).toEqual(told)
  expect(named.length).toBe(19)
})

const failuresIn = ({ text }: Kit) => [...text.matchAll(/^FAIL {2}(\w+)/gm)].map(([, name]) => name)

// At once, since they mostly wait.
describe.concurrent('the conformance kit', () => {
  it.for(Object.entries(commands))(
    'finds nothing wrong with the worker in %s',
    { timeout: 120_000 },
    async ([, command], { expect }) => {
      const kit = await checkWorker(command)
      expect(kit.text).toMatch(/\n30 passed, 0 failed\n$/)
      expect(kit.code).toBe(0)
    },
  )

  it.for([
    ['silent', 'heartbeats,checkpoints', ['checkpoints', 'heartbeats']],
    ['stubborn', 'drops_result,goes_on_after_loss', ['drops_result']],
    ['impatient', 'waits,succeeds', ['waits']],
    ['fragile', 'unknown_task,succeeds', ['unknown_task']],
    ['wordy', 'known_outcomes,errors', ['known_outcomes']],
  ] as const)(
    'sees what the %s worker gets wrong',
    { timeout: 120_000 },
    async ([name, only, wrong], { expect }) => {
      const worker = `node test/fixtures/bad-workers/${name}.mjs`
      const kit = await runKit(['--worker', worker, '--service', service.base, '--only', only])
      expect(failuresIn(kit).toSorted(), kit.text).toEqual([...wrong])
      expect(kit.text).toMatch(/rule \d+ of docs\/workers\.md/)
      expect(kit.code).toBe(1)
    },
  )

  it.for(Object.entries(endpoints))(
    'finds nothing wrong with the endpoint in %s',
    { timeout: 60_000 },
    async ([, command], { expect }) => {
      const kit = await checkEndpoint(command)
      expect(kit.text).toMatch(/\n18 passed, 0 failed\n$/)
      expect(kit.code).toBe(0)
    },
  )

  it('sees that an endpoint believes everybody and runs everything twice', {
    timeout: 60_000,
  }, async ({ expect }) => {
    const kit = await checkEndpoint('node test/fixtures/bad-workers/trusting.mjs')
    expect(failuresIn(kit)).toEqual(
      expect.arrayContaining(['wrong_signature', 'old_timestamp', 'repeats', 'broken_json']),
    )
    expect(kit.text).toContain('pass  cancel_notice')
    expect(kit.code).toBe(1)
  })
})

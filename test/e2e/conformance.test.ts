// The conformance kit: it has to praise the reference workers, and to see through bad ones.

import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { newSecret } from '../../src/engine/signing.ts'
import { createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { freePort, type ServiceProcess, startService, until } from '../support/service.ts'
import { endpointCommands, endWorkers, startWorker, workerCommands } from '../support/workers.ts'

const checkout = join(import.meta.dirname, '../..')

let database: TestDatabase
let service: ServiceProcess

beforeAll(async () => {
  database = await createTestDatabase()
  service = await startService({ DATABASE_URL: database.url, LOG_LEVEL: 'warn' })
})
afterAll(async () => {
  endWorkers()
  await service?.kill('SIGKILL')
  await database?.drop()
})

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
  const endpoint = startWorker(command, { SECRET: secret, PORT: port })
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
  const named = [...rules.matchAll(/^ {2}(\d+): '(.+)',$/gm)].map(
    ([, n, title]) => `${n}. **${title}.**`,
  )
  const told = [...page.matchAll(/^\d+\. \*\*.+?\*\*/gm)].map(([rule]) => rule)
  expect(named).toEqual(told)
  expect(named.length).toBe(19)
})

const failuresIn = ({ text }: Kit) => [...text.matchAll(/^FAIL {2}(\w+)/gm)].map(([, name]) => name)

// At once, since they mostly wait.
describe.concurrent('the conformance kit', () => {
  it.for(Object.entries(workerCommands))(
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

  it.for(Object.entries(endpointCommands))(
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

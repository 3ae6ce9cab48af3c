// The command line as its users get it: the tour as a whole, what is packed, and the ways into the process.

import { execFile } from 'node:child_process'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type ServiceProcess, startService } from '../support/service.ts'
import { typeLine } from '../support/terminal.ts'

const run = promisify(execFile)
const checkout = join(import.meta.dirname, '../..')

let database: TestDatabase
let service: ServiceProcess
beforeAll(async () => {
  database = await createTestDatabase()
  service = await startService({ DATABASE_URL: database.url })
})
afterAll(async () => {
  await service.kill('SIGKILL')
  await database.drop()
})

interface TourReport {
  url: string
  steps: { title: string; command: string; curl: string; exit: number; output: string }[]
}

describe('the tour', () => {
  it('goes to its end on a service that is given', async () => {
    const { code, out, err } = await typeLine(`taskflow tour --url ${service.base} --json`)
    expect({ code, err }).toEqual({ code: 0, err: '' })
    const { url, steps }: TourReport = JSON.parse(out)
    expect(url).toBe(service.base)
    expect(steps.length).toBeGreaterThanOrEqual(12)
    for (const { command, curl } of steps) {
      expect(command).toMatch(/^taskflow /)
      expect(curl).toMatch(new RegExp(`^curl -sS .*${service.base}/`))
    }
    // What it narrates are requests that can be copied: its last read can be made again.
    const again = await typeLine(steps.at(-1)?.curl ?? '')
    expect(JSON.parse(again.out).items.at(-1)).toMatchObject({ kind: 'cancelled' })
  })

  it('brings a service of its own, and leaves nothing behind', { timeout: 60_000 }, async () => {
    const left = async () =>
      (await readdir(tmpdir())).filter((name) => name.startsWith('taskflow-tour-'))
    const before = await left()
    const { code, out, err } = await typeLine('taskflow tour')
    expect(code).toBe(0)
    expect(err).toBe('Starting a service for the tour; it ends with it.\n')
    expect(out).toContain('16/16  Read what happened')
    expect(out).toContain('That was the tour.')
    expect((await left()).filter((name) => !before.includes(name))).toEqual([])
    const [, url = ''] = /at (http:\S+)/.exec(out) ?? []
    await expect(fetch(url)).rejects.toThrow()
  })

  it('says where it ends when a step does not show what it should', async () => {
    // A service without a database worth the name: nothing can be created on it.
    const { code, err } = await typeLine(
      `taskflow tour --url http://127.0.0.1:${service.port}/docs`,
    )
    expect(code).toBe(1)
    expect(err).toMatch(/^error: the tour ends at step 1, /)
  })
})

describe('the ways in', () => {
  it('migrate alike, from npm and from the command line', async () => {
    const empty = await createEmptyDatabase()
    const env = { DATABASE_URL: empty.url, LOG_LEVEL: 'silent' }
    const first = await typeLine('taskflow migrate', env)
    expect(first).toMatchObject({
      code: 0,
      err: '',
      out: expect.stringMatching(/^Applied 0001_flows/),
    })
    const second = await typeLine(`node ${checkout}/dist/main.js migrate`, env)
    expect(second).toEqual({ code: 0, err: '', out: 'The schema is up to date.\n' })
    await empty.drop()
  })

  it('refuse a wrong setting alike', async () => {
    const env = { PORT: 'abc' }
    const served = await typeLine('taskflow serve', env)
    expect(served).toMatchObject({ code: 2, err: expect.stringContaining('PORT=abc') })
    expect(await typeLine(`node ${checkout}/dist/main.js`, env)).toEqual(served)
  })

  it('do not mind the variables of the command line', async () => {
    const env = { PORT: 'abc', TASKFLOW_URL: 'http://x', TASKFLOW_KEY: 'k', TASKFLOW_KEY_FILE: 'f' }
    const { err } = await typeLine('taskflow serve', env)
    expect(err.trim().split('\n')).toHaveLength(2)
  })
})

describe('the package', () => {
  it('has what the command needs', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
      cwd: checkout,
    })
    const [{ files }]: [{ files: { path: string }[] }] = JSON.parse(stdout)
    const paths = files.map(({ path }) => path)
    for (const path of ['dist/cli.js', 'dist/main.js', 'openapi/openapi.json', 'package.json']) {
      expect(paths).toContain(path)
    }
    expect(paths).toContain('migrations/0001_flows.sql')
    expect(paths.filter((path) => /^(src|test|bench|node_modules)\//.test(path))).toEqual([])
  })
})

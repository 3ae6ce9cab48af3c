// The command line as its users get it: the tour as a whole, what is packed, and the ways into the process.

import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createEmptyDatabase, createTestDatabase, type TestDatabase } from '../support/postgres.ts'
import { type ServiceProcess, startService, until } from '../support/service.ts'
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

/** Folders of services that tours have brought. */
async function leftovers(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('taskflow-tour-'))
}

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
    const before = await leftovers()
    const { code, out, err } = await typeLine('taskflow tour')
    expect(code).toBe(0)
    expect(err).toBe('Starting a service for the tour; it ends with it.\n')
    expect(out).toContain('16/16  Read what happened')
    expect(out).toContain('That was the tour.')
    expect((await leftovers()).filter((name) => !before.includes(name))).toEqual([])
    const [, url = ''] = /at (http:\S+)/.exec(out) ?? []
    await expect(fetch(url)).rejects.toThrow()
  })

  it.each([0, 1_500])('takes its service along when it is interrupted after %i ms', async (ms) => {
    const before = await leftovers()
    const child = spawn(process.execPath, [join(checkout, 'dist/cli.js'), 'tour'], {
      env: { PATH: process.env['PATH'] },
      cwd: '/tmp',
    })
    let said = ''
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
    await until(() => said.includes('Starting a service'), 10_000, 'the tour begins')
    // The handler stands right behind what is said.
    await sleep(100 + ms)
    child.kill('SIGINT')
    const [code] = await once(child, 'exit')
    expect(code).toBe(130)
    expect((await leftovers()).filter((name) => !before.includes(name))).toEqual([])
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

// The command line as a shell meets it: help, pipes, and how soon it is there.

import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Command } from 'commander'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { exitWords } from '../../src/cli/errors.ts'
import { makeProgram } from '../../src/cli/program.ts'
import { startNoter, type, typeLine } from '../support/terminal.ts'

const run = promisify(execFile)
const cli = join(import.meta.dirname, '../../dist/cli.js')

let noter: Awaited<ReturnType<typeof startNoter>>
beforeAll(async () => {
  noter = await startNoter({ body: '{"items":[]}' })
})
afterAll(() => noter.stop())

describe('help', () => {
  const terminal = { env: {}, out: { write: () => {}, columns: null } }
  // biome-ignore lint/suspicious/noExplicitAny: the tree is made and never run.
  const program = makeProgram(terminal as any, async () => 0)
  const paths = (command: Command, path: string[]): string[][] =>
    command.commands.flatMap((one) => [[...path, one.name()], ...paths(one, [...path, one.name()])])
  const all = paths(program, [])

  it('is there for every command', async () => {
    expect(all.length).toBeGreaterThan(40)
    for (const path of all) {
      const { code, out, err } = await type([...path, '--help'])
      expect({ code, err }).toEqual({ code: 0, err: '' })
      expect(out).toContain(`Usage: taskflow ${path[0]}`)
      expect(out).toContain('--json')
    }
  })

  it('shows examples that are commands', async () => {
    const nouns = ['flow', 'signal', 'step', 'binding', 'key', 'api', 'help']
    const shown = await Promise.all(nouns.map(async (noun) => type([noun, '--help'])))
    const examples = shown.flatMap(({ out }) => {
      const [block = ''] = /^Examples:\n( {2}.*\n)+/.exec(out) ?? []
      return [...block.matchAll(/^ {2}(taskflow .*)$/gm)].map(([, line = '']) => line)
    })
    expect(examples).toHaveLength(2 * nouns.length)
    for (const line of examples) {
      const { code, err } = await typeLine(`cd $(mktemp -d); ${line} --curl`, {
        TASKFLOW_URL: noter.url,
      })
      expect({ line, code, err: line.includes('--admin') ? '' : err }).toEqual({
        line,
        code: 0,
        err: '',
      })
    }
  })

  it('begins with examples and tells the exit codes', async () => {
    const { code, out } = await type(['help'])
    expect(code).toBe(0)
    expect(out).toMatch(/^Examples:\n {2}taskflow /)
    for (const [exit, words] of exitWords) expect(out).toContain(`${exit}`.padEnd(5) + words)
    expect((await typeLine('taskflow')).out).toBe(out)
    expect((await typeLine('taskflow --version')).out).toMatch(/^\d+\.\d+\.\d+\n$/)
  })
})

describe('in a pipe', () => {
  it('does not mind a reader that has seen enough', async () => {
    const { code, out, err } = await typeLine('set -o pipefail; taskflow api | head -1')
    expect({ code, err }).toEqual({ code: 0, err: '' })
    expect(out).toMatch(/^OPERATION /)
  })

  it('has no colours, and none on a terminal with NO_COLOR or --no-color', async () => {
    const esc = '\u001b['
    expect((await type(['api'])).out).not.toContain(esc)
    expect((await type(['api'], { columns: 80 })).out).toContain(esc)
    expect((await type(['api'], { columns: 80, env: { NO_COLOR: '1' } })).out).not.toContain(esc)
    expect((await type(['api', '--no-color'], { columns: 80 })).out).not.toContain(esc)
    expect((await type(['flw', '--no-color'], { columns: 80 })).err).not.toContain(esc)
  })
})

describe('the start', () => {
  it('takes less than 150 ms', async () => {
    // Of a processor: the time on the wall is that of whatever else the machine does as well.
    const spent: number[] = []
    for (let i = 0; i < 5; i++) {
      const { err } = await typeLine("TIMEFORMAT='%U %S'; time taskflow --version > /dev/null")
      const [user = Number.NaN, system = Number.NaN] = err.trim().split(' ').map(Number)
      spent.push(1000 * (user + system))
    }
    expect(Math.min(...spent)).toBeGreaterThan(10)
    expect(Math.min(...spent)).toBeLessThan(150)
  })

  it('loads no package but commander', async () => {
    const loaded = async (...words: string[]) => {
      const folder = await mkdtemp(join(tmpdir(), 'taskflow-loaded-'))
      const env = { ...process.env, NODE_V8_COVERAGE: folder, TASKFLOW_URL: noter.url }
      // The doctor ends with 1 where it finds something.
      await run(process.execPath, [cli, ...words], { env, cwd: '/tmp' }).catch(() => {})
      const files = await readdir(folder)
      const texts = await Promise.all(files.map((file) => readFile(join(folder, file), 'utf8')))
      await rm(folder, { recursive: true })
      const urls = [...texts.join('\n').matchAll(/"url":\s*"(file:[^"]+)"/g)].map(([, url]) => url)
      return new Set(
        urls.map((url) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(url ?? '')?.[1] ?? 'src'),
      )
    }
    expect(await loaded('flow', 'list', '--json')).toEqual(new Set(['src', 'commander']))
    // The check sees what a command does load.
    expect(await loaded('doctor', '--json')).toContain('pg')
  })
})

// Errors of commands: three lines, fixed exit codes, and repairs that are commands which work.

import { writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { freePort } from '../support/service.ts'
import { startNoter, type, typeLine } from '../support/terminal.ts'

let api: Api
let url: string
beforeAll(async () => {
  api = await startApi()
  url = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => api.close())

const taskflow = (...words: string[]) => type(words, { env: { TASKFLOW_URL: url } })
const unknown = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'

async function newFlow(...more: string[]): Promise<string> {
  const input = ['--controller', 'cli', '--goal', 'g', '--owner', 'o', '--requester', 'r']
  const { out } = await taskflow('flow', 'create', ...input, ...more, '--json')
  return JSON.parse(out).id
}

/** The three lines, or a complaint about what came instead. */
function linesOf(err: string): { what: string; why: string; repair: string } {
  const found = /^error: (.+)\n {2}why: (.+)\n {2}try: (.+)\n$/.exec(err)
  if (found === null) throw new Error(`not three lines: ${err}`)
  const [, what = '', why = '', repair = ''] = found
  return { what, why, repair }
}

describe('mistakes in what is typed', () => {
  it.each([
    [['flw'], '"flw" is not a command', 'Did you mean flow?', 'taskflow flow'],
    [['flow', 'lits'], '"lits" is not a command', 'Did you mean list?', 'taskflow flow list'],
    [['frobnicate'], '"frobnicate" is not a command', 'no command', 'taskflow --help'],
    [['flow', 'list', '--stauts', 'x'], '--stauts', '--status', 'taskflow flow list --help'],
    [['flow', 'show'], "missing required argument 'flow'", 'not how', 'taskflow flow show --help'],
    [['flow', 'list', '--limit', 'ten'], 'whole number', 'not how', 'taskflow flow list --help'],
    [['flow', 'list', '--label', 'gold'], 'name=value', 'not how', 'taskflow flow list --help'],
    [['flow', 'list', 'extra'], 'too many arguments', 'not how', 'taskflow flow list --help'],
    [['key', 'list'], '--binding', 'not how', 'taskflow key list --help'],
    [['flow', 'wait', 'x'], 'what it shall wait for', 'One of', 'taskflow flow wait --help'],
    [['flow', 'signal', 'x'], 'has a name', 'a person', 'taskflow flow explain x'],
    [['key', 'create'], 'which binding', 'allows', 'taskflow binding list'],
    [['completion', 'csh'], '"csh"', 'bash', 'source <(taskflow completion bash)'],
    [
      ['api', 'listFlow'],
      'no operation "listFlow"',
      'Did you mean listFlows?',
      'taskflow api listFlows',
    ],
    [
      ['api', 'getFlow'],
      'needs flow_id',
      'GET /flows/{flow_id}',
      'taskflow api getFlow -p flow_id=…',
    ],
    [
      ['api', 'listFlows', '-p', 'limmit=3'],
      '"limmit"',
      'limit?',
      'taskflow api listFlows -p limit=…',
    ],
    [['api', 'getEngine', '-f', 'a=1'], 'takes no body', 'GET /engine', '-p name=value'],
    [['api', 'FETCH', '/flows'], 'is not a request', 'GET, POST', 'taskflow api GET /flows'],
    [['api', 'listFlows', '-p', 'limit'], 'not name=value', 'no name', '--param name=value'],
    [
      ['api', 'createFlow', '-f', 'a=1', '--input', '{}'],
      'do not go',
      'whole',
      'taskflow api --help',
    ],
    [['api', 'listFlows', '--pick', '.itmes'], 'has no', 'items', 'without --pick'],
    [['api', 'listFlows', '--pick', '..'], 'not a path', 'members', '.items[0].id'],
    [['engine', 'show', '--url', 'ftp://x'], 'not the URL', '--url', 'http://127.0.0.1:3000'],
    [['engine', 'show', '--url', 'http://u:p@x'], 'not the URL', '--url', 'http://127.0.0.1:3000'],
    [['engine', 'show', '--key', '@/nowhere'], 'cannot be read', '@FILE', 'ls -l /nowhere'],
    [['engine', 'show', '--key', 'two words'], 'characters', 'one line', 'key create'],
    [['engine', 'show', '--max-time', 'soon'], '--max-time soon', 'It ', '--max-time PT30S'],
  ])('%j is told with its repair', async (words, what, why, repair) => {
    const typed = await taskflow(...words)
    expect(typed).toMatchObject({ code: 2, out: '' })
    const lines = linesOf(typed.err)
    expect(lines.what).toContain(what)
    expect(lines.why).toContain(why)
    expect(lines.repair).toContain(repair)
  })

  it('never shows a key', async () => {
    const file = join(tmpdir(), `taskflow-key-${process.pid}`)
    await writeFile(file, 'geheim\u0007geheim\n')
    for (const key of ['geheim geheim', `@${file}`]) {
      const typed = await taskflow('engine', 'show', '--key', key)
      expect(typed.code).toBe(2)
      expect(typed.err).not.toContain('geheim')
    }
  })
})

describe('what the service refuses', () => {
  it('has the exit code of its kind', async () => {
    const flow = await newFlow()
    const wrongs: [string[], number, string][] = [
      [['flow', 'show', unknown], 3, 'not_found'],
      [['step', 'retry', unknown], 3, 'not_found'],
      [['flow', 'finish', flow], 4, 'illegal_transition'],
      [['flow', 'start', flow, '--if-revision', '9'], 4, 'revision_mismatch'],
      [['flow', 'fail', flow], 2, 'invalid_request'],
      [['flow', 'list', '--status', 'wating'], 2, 'waiting'],
      [['flow', 'list', '--limit', '999'], 2, 'invalid_request'],
      [['flow', 'create', '--goal', 'g'], 2, 'controller_id'],
    ]
    for (const [words, code, said] of wrongs) {
      const typed = await taskflow(...words)
      expect(typed).toMatchObject({ code, out: '' })
      const { what, why } = linesOf(typed.err)
      expect(`${what} ${why}`).toContain(said)
    }
  })

  it.each([
    [401, 'unauthenticated', 5, '--key'],
    [403, 'forbidden', 5, 'taskflow binding show self'],
    [410, 'gone', 3, 'taskflow'],
    [422, 'idempotency_mismatch', 4, '/problems/'],
    [503, 'overloaded', 1, 'again in 2 s'],
  ])('%i %s ends with %i', async (status, code, exit, repair) => {
    const problem = { type: `/problems/${code}`, title: 'T', detail: 'D', code, request_id: 'r' }
    const body = JSON.stringify({ ...problem, ...(status === 503 && { retry_after: 2 }) })
    const noter = await startNoter({ status, type: 'application/problem+json', body })
    const typed = await type(['flow', 'show', 'x'], { env: { TASKFLOW_URL: noter.url } })
    await noter.stop()
    expect(typed.code).toBe(exit)
    expect(linesOf(typed.err).repair).toContain(repair)
  })

  it('is known from what is not Taskflow at all', async () => {
    const noter = await startNoter({ status: 502, type: 'text/html', body: '<h1>Bad Gateway' })
    const typed = await type(['flow', 'list'], { env: { TASKFLOW_URL: noter.url } })
    await noter.stop()
    expect(typed.code).toBe(1)
    expect(linesOf(typed.err).what).toContain('502 without a problem document')
  })

  it('comes with a command that works, in every status of a flow', async () => {
    const moves: [string[], string[]][] = [
      [[], ['finish']],
      [[], ['resume']],
      [['start'], ['resume']],
      [['start', 'wait --for PT1H'], ['finish']],
      [['start', 'wait --topic t --correlation-id it%27s'], ['finish']],
      [['start', 'wait --signal go'], ['finish']],
      [['start', 'wait --signal'], ['finish']],
      [
        ['start', 'cancel --request'],
        ['update', '--patch', '{"a":1}'],
      ],
      [['start', 'finish'], ['start']],
      [['cancel'], ['finish']],
    ]
    for (const [before, wrong] of moves) {
      const flow = await newFlow()
      for (const move of before) {
        const [verb = '', ...rest] = move.split(' ').map(decodeURIComponent)
        expect((await taskflow('flow', verb, flow, ...rest)).code).toBe(0)
      }
      const [verb = '', ...rest] = wrong
      const refused = await taskflow('flow', verb, flow, ...rest)
      expect(refused.code).toBe(4)
      const { repair } = linesOf(refused.err)
      expect(repair).toMatch(/^taskflow flow /)
      const repaired = await typeLine(repair, { TASKFLOW_URL: url })
      expect(repaired).toMatchObject({ code: 0, err: '' })
    }
  })
})

describe('where nobody answers', () => {
  it('the code is 6, and the repair starts a service', async () => {
    const port = await freePort()
    const typed = await type(['flow', 'list'], { env: { PORT: String(port) } })
    expect(typed.code).toBe(6)
    const { what, repair } = linesOf(typed.err)
    expect(what).toContain(`http://127.0.0.1:${port} (ECONNREFUSED)`)
    expect(repair).toBe('taskflow serve')
  })

  it('the code is 7 when a connection stays silent', async () => {
    const silent = createServer(() => {})
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
    const address = silent.address()
    const port = typeof address === 'object' && address !== null ? address.port : 0
    const typed = await type(['flow', 'list', '--max-time', '0.2'], {
      env: { TASKFLOW_URL: `http://127.0.0.1:${port}` },
    })
    silent.close()
    expect(typed.code).toBe(7)
    expect(linesOf(typed.err).what).toContain('within 0.2 s')
  })
})

describe('the checks themselves', () => {
  it('see an error that is not three lines', () => {
    expect(() => linesOf('error: a\n  why: b\n')).toThrow('not three lines')
    expect(() => linesOf('error: a\n  why: b\n  try: c\nmore\n')).toThrow('not three lines')
  })
})

// Commands for flows, signals and steps, against the whole service: what they do, and that `--json` is the REST answer.

import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Api, startApi } from '../support/api.ts'
import { type Typed, type } from '../support/terminal.ts'

let api: Api
let url: string
beforeAll(async () => {
  api = await startApi()
  url = await api.app.listen({ port: 0, host: '127.0.0.1' })
})
afterAll(() => api.close())

const taskflow = (...words: string[]): Promise<Typed> => type(words, { env: { TASKFLOW_URL: url } })

/** The body that a command prints with `--json`. */
// biome-ignore lint/suspicious/noExplicitAny: each test says what it expects in it.
async function json(...words: string[]): Promise<any> {
  const typed = await taskflow(...words, '--json')
  expect(typed.err).toBe('')
  expect(typed.code).toBe(0)
  return JSON.parse(typed.out)
}

async function newFlow(...more: string[]): Promise<string> {
  const input = ['--controller', 'cli', '--goal', 'be typed', '--owner', 'o', '--requester', 'r']
  const { id } = await json('flow', 'create', ...input, ...more)
  return id
}

async function rest(path: string): Promise<string> {
  return (await fetch(url + path)).text()
}

describe('a flow', () => {
  it('lives its whole life by commands', async () => {
    const id = await newFlow('--state', '{"items":3}', '--label', 'tier=gold', '--step', 'pay')
    expect(await json('flow', 'show', id)).toMatchObject({
      status: 'created',
      state: { items: 3 },
      labels: { tier: 'gold' },
      current_step: 'pay',
    })
    expect(await json('flow', 'start', id)).toMatchObject({ status: 'running', revision: 1 })
    expect(await json('flow', 'wait', id, '--signal', 'approved')).toMatchObject({
      wait: { kind: 'manual', signal: 'approved' },
    })
    const signalled = await json('flow', 'signal', id, 'approved', '--payload', '{"by":"ann"}')
    expect(signalled).toMatchObject({
      outcome: 'delivered',
      flow: { state: { resume_event: { by: 'ann' } } },
    })
    await json('flow', 'wait', id, '--topic', 't', '--correlation-id', 'c')
    const sent = await json('flow', 'signal', id, '--topic', 't', '--correlation-id', 'c')
    expect(sent.outcome).toBe('delivered')
    const { wait } = await json('flow', 'wait', id, '--for', 'PT1H', '--timeout', 'P1D')
    expect(wait).toMatchObject({ kind: 'timer' })
    const patch = ['--state-patch', '{"n":1}', '--wait-id', wait.id]
    expect(await json('flow', 'resume', id, ...patch)).toMatchObject({ state: { n: 1 } })
    const update = ['--patch', '{"m":2}', '--unset', 'items', '--unset', 'n', '--next-step', 'end']
    expect(await json('flow', 'update', id, ...update)).toMatchObject({
      current_step: 'end',
      state: { m: 2 },
    })
    const finished = await json('flow', 'finish', id, '--final-state', '{"done":true}')
    expect(finished).toMatchObject({ status: 'finished', state: { m: 2, done: true } })
    expect(await taskflow('flow', 'events', id)).toMatchObject({
      out: expect.stringMatching(/^REV +KIND[\s\S]*\n0 +created[\s\S]* finished /),
    })
  })

  it('can be failed, cancelled, and asked to cancel', async () => {
    const failed = await json('flow', 'fail', await newFlow('--start'), '--reason', 'no stock')
    expect(failed).toMatchObject({ status: 'failed', state: { failure: { reason: 'no stock' } } })
    const cancelled = await json('flow', 'cancel', await newFlow(), '--reason', 'changed my mind')
    expect(cancelled).toMatchObject({ status: 'cancelled' })
    const asked = await json('flow', 'cancel', await newFlow('--start'), '--request')
    expect(asked).toMatchObject({ status: 'running', cancel_requested: true })
  })

  it('takes --if-revision and --idempotency-key', async () => {
    const id = await newFlow()
    const stale = await taskflow('flow', 'start', id, '--if-revision', '7')
    expect(stale).toMatchObject({ code: 4, err: expect.stringContaining('revision_mismatch') })
    const key = ['--idempotency-key', `k-${id}`]
    const first = await taskflow('flow', 'start', id, '--if-revision', '0', ...key, '--json')
    const again = await taskflow('flow', 'start', id, '--if-revision', '0', ...key, '--json')
    expect(first.code).toBe(0)
    expect(again).toEqual(first)
  })

  it('takes JSON from the standard input and from files, digit for digit', async () => {
    const big = '{"n":12345678901234567890,"f":1.0}'
    const input = ['--controller', 'c', '--goal', 'g', '--owner', 'o', '--requester', 'r']
    const piped = await type(['flow', 'create', ...input, '--state', '-', '--curl'], {
      env: { TASKFLOW_URL: url },
      input: `${big}\n`,
    })
    expect(piped.out).toContain(`"state":${big}`)
    const wrong = await taskflow('flow', 'create', ...input, '--state', '@/nowhere.json')
    expect(wrong).toMatchObject({ code: 2, err: expect.stringContaining('/nowhere.json') })
    const broken = await taskflow('flow', 'create', ...input, '--state', '{items: 3}')
    expect(broken).toMatchObject({ code: 2, err: expect.stringContaining('--state is not JSON') })
  })

  it('is waited for, and the command ends with 7 when nothing comes', async () => {
    const id = await newFlow('--start')
    const late = await taskflow('flow', 'show', id, '--wait', 'PT0.3S')
    expect(late).toMatchObject({ code: 7, err: expect.stringContaining(`flow explain ${id}`) })
    const changed = json('flow', 'show', id, '--wait', '20')
    await api.engine.waitEngine.tick()
    await json('flow', 'wait', id, '--for', 'PT0.2S')
    expect((await changed).revision).toBeGreaterThan(1)
    const ended = json('flow', 'show', id, '--wait', '20', '--until', 'terminal')
    await json('flow', 'cancel', id)
    expect(await ended).toMatchObject({ status: 'cancelled' })
    // One that has ended is answered at once.
    expect(await json('flow', 'show', id, '--wait', 'PT1H')).toMatchObject({ status: 'cancelled' })
  })

  it('is followed until it has ended', async () => {
    const id = await newFlow('--start')
    const followed = taskflow('flow', 'follow', id, '--json')
    const shown = taskflow('flow', 'follow', id, '--kind', 'cancelled')
    await json('flow', 'update', id, '--patch', '{"n":1}')
    await json('flow', 'cancel', id)
    const lines = (await followed).out.trim().split('\n')
    expect(lines.map((line) => JSON.parse(line).kind)).toEqual([
      'created',
      'started',
      'state_updated',
      'cancelled',
    ])
    expect((await shown).out).toMatch(/^\S+Z +3 {2}cancelled +anonymous/)
    const lost = await taskflow('flow', 'follow', '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15')
    expect(lost).toMatchObject({ code: 3, out: '' })
  })

  it('is explained, with commands that move it', async () => {
    const id = await newFlow()
    const { out } = await taskflow('flow', 'explain', id)
    expect(out).toContain(`  taskflow flow start ${id}\n`)
    const [, command = ''] = /^ {2}taskflow (.*)$/m.exec(out) ?? []
    expect((await taskflow(...command.split(' '))).code).toBe(0)
    expect(await json('flow', 'show', id)).toMatchObject({ status: 'running' })
  })
})

describe('lists', () => {
  it('filter, page and come as a whole', async () => {
    const mark = `cli-${Date.now()}`
    for (let i = 0; i < 5; i++)
      await newFlow('--label', `mark=${mark}`, ...(i < 2 ? ['--start'] : []))
    const filter = ['--label', `mark=${mark}`]
    expect((await json('flow', 'list', ...filter, '--status', 'running')).items).toHaveLength(2)
    const both = ['--status', 'running', '--status', 'created']
    expect((await json('flow', 'list', ...filter, ...both)).items).toHaveLength(5)
    const page = await taskflow('flow', 'list', ...filter, '--limit', '2')
    expect(page.out.trim().split('\n')).toHaveLength(3)
    const cursor = /--cursor (\S+),/.exec(page.err)?.[1] ?? ''
    const next = await json('flow', 'list', ...filter, '--limit', '2', '--cursor', cursor)
    expect(next.items).toHaveLength(2)
    const all = await taskflow('flow', 'ls', ...filter, '--limit', '2', '--all')
    expect(all.out.trim().split('\n')).toHaveLength(6)
    expect(all.err).toBe('')
    const whole = await json('flows', 'list', ...filter, '--limit', '2', '--all')
    expect(whole).toMatchObject({ items: { length: 5 }, next_cursor: null })
    const none = await taskflow('flow', 'list', '--label', 'mark=nobody')
    expect(none).toEqual({ code: 0, out: '', err: 'No flows.\n' })
  })

  it('fit a terminal, whatever is in them, and cannot steer it', async () => {
    const mark = `wide-${Date.now()}`
    const nasty = `\u001b[2J\u202e${'漢字🙂'.repeat(30)}\nsecond line`
    await newFlow('--label', `mark=${mark}`)
    const input = ['--controller', 'c'.repeat(80), '--owner', 'o', '--requester', 'r']
    await json('flow', 'create', ...input, '--goal', nasty, '--label', `mark=${mark}`)
    const { out } = await type(['flow', 'list', '--label', `mark=${mark}`], {
      env: { TASKFLOW_URL: url, NO_COLOR: '1' },
      columns: 110,
    })
    const lines = out.trimEnd().split('\n')
    expect(lines).toHaveLength(3)
    for (const line of lines) expect(wide(line)).toBeLessThanOrEqual(110)
    expect(out).toContain('…')
    // biome-ignore lint/suspicious/noControlCharactersInRegex: none may come through.
    expect(out).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/)
    const coloured = await type(['flow', 'list'], { env: { TASKFLOW_URL: url }, columns: 110 })
    expect(coloured.out).toContain('\u001b[2mID')
    const id = /^\S{36}/m.exec(out)?.[0] ?? ''
    const shown = await taskflow('flow', 'show', id)
    expect(shown.out).not.toContain('\u001b')
  })
})

describe('signals and steps', () => {
  it('are sent, listed, shown and redelivered', async () => {
    const pair = ['--topic', 'cli.t', '--correlation-id', `c-${Date.now()}`]
    const receipt = await json('signal', 'send', ...pair, '--payload', '[1]', '--ttl', 'PT1H')
    expect(receipt).toMatchObject({ outcome: 'buffered' })
    expect((await json('signal', 'list', ...pair, '--outcome', 'buffered')).items).toHaveLength(1)
    expect(await json('signal', 'show', receipt.id)).toMatchObject({ payload: [1] })
    const again = await json('signal', 'redeliver', receipt.id)
    expect(again).toMatchObject({ id: receipt.id })
    const id = await newFlow('--start')
    expect(await json('flow', 'wait', id, ...pair)).toMatchObject({ status: 'running' })
  })

  it('are repaired', async () => {
    const id = await newFlow('--start')
    const dead = async (run: string) => {
      const step = await json(
        ...[
          'api',
          'enqueueStep',
          '-p',
          `flow_id=${id}`,
          '-f',
          'task=cli-die',
          '-f',
          `run_id=${run}`,
        ],
        ...['-f', 'on_dead=park', '-f', 'retry={"max_attempts":1}'],
      )
      const { items } = await json(
        ...['api', 'claimSteps', '-f', 'worker_id=w', '-f', 'tasks=["cli-die"]', '-f', 'wait=PT5S'],
      )
      await json(
        ...['api', 'reportOutcome', '-p', `step_id=${step.id}`],
        ...['-f', `lease_token=${items[0].lease_token}`],
        ...['-f', 'outcome={"kind":"error","message":"no","retryable":false}'],
      )
      return step.id as string
    }
    const [first, second, third] = [await dead('a'), await dead('b'), await dead('c')]
    const failed = await taskflow('step', 'list', '--flow', id, '--status', 'failed')
    expect(failed.out.trim().split('\n')).toHaveLength(4)
    expect(await json('step', 'retry', first)).toMatchObject(statusOf('pending'))
    expect((await taskflow('step', 'skip', second, '--reason', 'not needed')).code).toBe(0)
    expect((await taskflow('step', 'result', third, '--result', '{"ok":1}')).code).toBe(0)
    expect(await json('step', 'show', third)).toMatchObject({
      status: 'succeeded',
      result: { ok: 1 },
    })
  })
})

describe('--json', () => {
  it('is the body of the REST answer, to the letter', async () => {
    const id = await newFlow('--start', '--business-key', `k-${Date.now()}`)
    const reads = [
      [['flow', 'show', id], `/flows/${id}`],
      [['flow', 'list', '--owner', 'o', '--limit', '3'], '/flows?owner_session_key=o&limit=3'],
      [['flow', 'events', id, '--after', '0'], `/flows/${id}/events?after=0`],
      [['step', 'list', '--flow', id], `/steps?flow_id=${id}`],
      [['signal', 'list', '--limit', '5'], '/signals?limit=5'],
      [['api', 'listHooks'], '/hooks'],
      [['api', 'GET', '/controllers?limit=3'], '/controllers?limit=3'],
    ] as const
    for (const [words, path] of reads) {
      expect((await taskflow(...words, '--json')).out).toBe(`${await rest(path)}\n`)
    }
    const report = await json('tick')
    expect(Object.keys(report)).toEqual(Object.keys((await api.call('POST', '/engine/tick')).body))
    expect(await json('engine', 'show')).toMatchObject({ wait_engine: { running: true } })
    expect((await taskflow('engine', 'show')).out).toMatch(/^wait_engine\.running +true$/m)
  })

  it('sends the problem document to the standard error', async () => {
    const id = await newFlow()
    const { code, out, err } = await taskflow('flow', 'finish', id, '--json')
    expect({ code, out }).toEqual({ code: 4, out: '' })
    expect(JSON.parse(err)).toMatchObject({ code: 'illegal_transition', status: 409 })
  })
})

/** Some answers of repairs have the step beside the flow. */
function statusOf(status: string) {
  return expect.objectContaining({ status }) as unknown as object
}

/** The columns of a line, counted apart from the code under test: East Asian letters and pictures take two. */
function wide(line: string): number {
  return [...line].reduce((sum, letter) => sum + (/[漢字🙂]/u.test(letter) ? 2 : 1), 0)
}

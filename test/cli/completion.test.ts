// Completion: what can be typed next, as the command says it and as each shell offers it.

import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Home, isThere, offered } from '../support/shells.ts'
import { startNoter, type, typeLine } from '../support/terminal.ts'

const checkout = join(import.meta.dirname, '../..')

let noter: Awaited<ReturnType<typeof startNoter>>
let place: Home
beforeAll(async () => {
  noter = await startNoter({ body: '{"items":[{"id":"abc-1"},{"id":"abd-2"}]}' })
  const home = await mkdtemp(join(tmpdir(), 'taskflow-home-'))
  const bin = join(home, 'bin')
  await mkdir(bin)
  await symlink(join(checkout, 'dist/cli.js'), join(bin, 'taskflow'))
  const PATH = [bin, dirname(process.execPath), process.env['PATH']].join(':')
  place = { home, env: { PATH, HOME: home, TASKFLOW_URL: noter.url } }
})
afterAll(async () => {
  await noter.stop()
  await rm(place.home, { recursive: true })
})

const complete = async (...words: string[]) => {
  const { out } = await type(['__complete', '--', ...words], { env: { TASKFLOW_URL: noter.url } })
  return out.split('\n').filter((word) => word !== '')
}

describe('what can be typed next', () => {
  it('knows commands, flags, values, operations and ids', async () => {
    expect(await complete('fl')).toEqual(['flow'])
    expect(await complete('flow', 'e')).toEqual(['events', 'explain'])
    expect(await complete('flows', 'li')).toEqual(['list'])
    expect(await complete('flow', 'list', '--wait-')).toEqual([
      '--wait-correlation-id',
      '--wait-kind',
      '--wait-topic',
    ])
    expect(await complete('flow', 'list', '--status', 'w')).toEqual(['waiting'])
    expect(await complete('step', 'list', '--status', 's')).toEqual(['succeeded'])
    expect(await complete('binding', 'create', '--action', 'flows:')).toEqual([
      'flows:read',
      'flows:write',
      'flows:cancel',
    ])
    expect(await complete('api', 'listFlow')).toEqual([
      'listFlows',
      'listFlowSteps',
      'listFlowEvents',
    ])
    expect(await complete('completion', '')).toEqual(['bash', 'zsh', 'fish'])
    expect(await complete('flow', 'show', 'ab')).toEqual(['abc-1', 'abd-2'])
    expect(await complete('--json', 'flow', 'show', 'abd')).toEqual(['abd-2'])
    expect(await complete('flow', 'show', 'abc-1', '')).toEqual([])
    expect(await complete('step', 'list', '--flow', 'abc')).toEqual(['abc-1'])
    expect(await complete('--url', 'http://127.0.0.1:1', 'flow', 'show', '')).toEqual([])
  })

  it('is known of a flag and its value in one word, and of bash, for which the sign is a word', async () => {
    expect(await complete('flow', 'list', '--status=w')).toEqual(['--status=waiting'])
    expect(await complete('flow', 'list', '--status', '=', 'w')).toEqual(['waiting'])
    expect(await complete('flow', 'list', '--sort', '=')).toEqual(['created_at', '-created_at'])
    expect(await complete('flow', 'list', '--status=waiting', '--wait-k')).toEqual(['--wait-kind'])
    expect(await complete('--url=http://127.0.0.1:1', 'flow', 'show', '')).toEqual([])
  })
})

describe('in a shell', () => {
  it('works in bash', async () => {
    const { code, out } = await typeLine(
      `PATH=${place.home}/bin:$PATH; HOME=${place.home}; unset -f taskflow
       source <(taskflow completion bash)
       COMP_WORDS=(taskflow flow ex); COMP_CWORD=2; _taskflow; echo "\${COMPREPLY[@]}"
       COMP_WORDS=('~/bin/taskflow' flow show ""); COMP_CWORD=3; _taskflow; echo "\${COMPREPLY[@]}"
       complete -p taskflow`,
      { TASKFLOW_URL: noter.url },
    )
    expect(code).toBe(0)
    expect(out).toBe('explain\nabc-1 abd-2\ncomplete -o nosort -F _taskflow taskflow\n')
  })

  const typed: Record<string, string[]> = {
    'taskflow fl': ['flow'],
    'taskflow flow e': ['events', 'explain'],
    'taskflow --json flows st': ['start'],
    'taskflow flow list --wait-': ['--wait-correlation-id', '--wait-kind', '--wait-topic'],
    'taskflow flow list --status ': [
      'created',
      'running',
      'waiting',
      'finished',
      'failed',
      'cancelled',
    ],
    'taskflow flow list --status=w': ['--status=waiting'],
    'taskflow flow show ': ['abc-1', 'abd-2'],
    'taskflow flow show abc-1 ': [],
    'taskflow api listFlowSt': ['listFlowSteps'],
    "taskflow flow 'e": ['events', 'explain'],
    '~/bin/taskflow flow e': ['events', 'explain'],
  }

  it.each(['zsh', 'fish'] as const)(
    'works in %s; where that shell is missing, its script asks the same command',
    async (shell) => {
      const { out } = await type(['completion', shell])
      expect(out.match(/ __complete -- /g)).toHaveLength(1)
      // The script says of itself how it is loaded, and the documentation says the same.
      const [, told = ''] = /(?:: |\. )((?:source <\()?taskflow completion .*)/.exec(out) ?? []
      expect(await readFile(join(checkout, 'docs/cli.md'), 'utf8')).toContain(told)
      expect(told).toContain(`taskflow completion ${shell}`)
      if (!isThere(shell)) return
      const lines = Object.keys(typed)
      const found = await offered(shell, place, lines)
      expect(Object.fromEntries(lines.map((line, i) => [line, found[i]]))).toEqual(typed)
    },
    120_000,
  )

  it('works in zsh as a file that zsh finds by itself, from the first Tab on', async () => {
    const { out } = await type(['completion', 'zsh'])
    expect(out).toMatch(/^#compdef taskflow\n/)
    if (!isThere('zsh')) return
    const folder = join(place.home, 'functions')
    await mkdir(folder)
    await writeFile(join(folder, '_taskflow'), out)
    const load = `fpath=(${folder} $fpath); compinit -u -D`
    const found = await offered('zsh', place, ['taskflow flow e', 'taskflow flow w'], load)
    expect(found).toEqual([['events', 'explain'], ['wait']])
  }, 60_000)
})

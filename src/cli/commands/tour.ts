// `taskflow tour`: a guided run, in which every command is one that can be typed.

import { randomBytes } from 'node:crypto'
import { CommandError, exits } from '../errors.ts'
import type { Family, Run } from '../family.ts'
import { act, type Session } from '../session.ts'
import { commandLine } from '../shell.ts'
import { styled, type Terminal } from '../terminal.ts'
import { type Notes, type TourStep, tourSteps } from '../tour-steps.ts'

interface Told {
  title: string
  command: string
  curl: string
  exit: number
  output: string
}

export const addTour: Family = (program, terminal, run) => {
  program
    .command('tour')
    .description(
      'a guided run; without --url or TASKFLOW_URL on a service of its own, which ends with it',
    )
    .action(
      act(terminal, async (session) => {
        const given = program.opts<{ url?: string }>().url ?? terminal.env['TASKFLOW_URL']
        if (given) return walk(session, session.settings.base, run)
        const { startTemporary } = await import('../../temporary.ts')
        session.tell('Starting a service for the tour; it ends with it.')
        const starting = startTemporary()
        // Also in the middle of the start, which leaves something behind otherwise.
        terminal.onSignal(() => {
          const stopped = starting.then((service) => service.stop())
          void stopped.catch(() => {}).finally(() => terminal.exit(exits.interrupted))
        })
        const service = await starting
        try {
          await walk(session, service.url, run)
        } finally {
          await service.stop()
        }
      }),
    )
}

async function walk(session: Session, url: string, run: Run): Promise<void> {
  const { json, key } = session.settings
  // As short as what can be typed: the address and the key come from the environment.
  const env = { ...session.terminal.env, TASKFLOW_URL: url, ...(key && { TASKFLOW_KEY: key }) }
  const steps = tourSteps(`order-${randomBytes(3).toString('hex')}`)
  const told: Told[] = []
  let notes: Notes = {}
  if (!json) session.print(`The service is at ${url}\n`)
  for (const [i, step] of steps.entries()) {
    const words = step.command(notes)
    const curl = (await play(run, session.terminal, env, [...words, '--curl'])).output.trim()
    if (!json) announce(session, `${i + 1}/${steps.length}  ${step.title}`, step, words, curl)
    const { exit, output } = await play(run, session.terminal, env, words)
    told.push({ title: step.title, command: commandLine('taskflow', ...words), curl, exit, output })
    if (!json) session.print(`${output.replace(/^(?=.)/gm, '    ')}`)
    if (exit !== (step.exit ?? exits.ok) || !step.shows.test(output)) {
      throw new CommandError(exits.failed, {
        what: `the tour ends at step ${i + 1}, ${step.title}`,
        why: `The command ended with ${exit}, or did not show what it should.`,
        repair: commandLine('taskflow', '--url', url, ...words),
      })
    }
    for (const [name, pattern] of Object.entries(step.note ?? {})) {
      notes = { ...notes, [name]: pattern.exec(output)?.[1] ?? '' }
    }
  }
  if (json) session.print(JSON.stringify({ url, steps: told }))
  else session.print('That was the tour. taskflow --help lists all commands.')
}

function announce(
  { print, terminal, bold }: Session,
  heading: string,
  step: TourStep,
  words: readonly string[],
  curl: string,
): void {
  const dim = (text: string) => styled(terminal.out, terminal.env, 'dim', text)
  print(bold(heading))
  print(step.words)
  print('')
  print(`  $ ${commandLine('taskflow', ...words)}`)
  print(dim(`    ${curl}`))
  print('')
}

/** Runs a command as if it were typed, and keeps what it says. */
async function play(
  run: Run,
  terminal: Terminal,
  env: Terminal['env'],
  words: readonly string[],
): Promise<{ exit: number; output: string }> {
  let output = ''
  const write = (text: string) => {
    output += text
  }
  const page = { write, isTTY: false, columns: terminal.out.columns }
  const exit = await run(words, { ...terminal, env, out: page, err: page })
  return { exit, output }
}

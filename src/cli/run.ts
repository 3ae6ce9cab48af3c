// Runs one command line, from its words to its exit code.

import { CommanderError } from 'commander'
import { completions } from './completion.ts'
import { CommandError, Ended, exits } from './errors.ts'
import { makeProgram } from './program.ts'
import { harmless, styled, type Terminal } from './terminal.ts'

/** Runs it. Never throws; what went wrong has been told. */
export async function run(argv: readonly string[], typedAt: Terminal): Promise<number> {
  const plain = argv.includes('--no-color')
  const terminal = plain ? { ...typedAt, env: { ...typedAt.env, NO_COLOR: '1' } } : typedAt
  const program = makeProgram(terminal, run)
  try {
    if (argv[0] === '__complete') {
      const found = await completions(program, argv.slice(1), terminal)
      terminal.out.write(found.map((word) => `${word}\n`).join(''))
      return exits.ok
    }
    await program.parseAsync([...argv], { from: 'user' })
    return exits.ok
  } catch (error) {
    if (error instanceof Ended) return error.exit
    if (error instanceof CommanderError && error.exitCode === 0) return exits.ok
    const told = commandError(error, argv)
    if (told === null) {
      const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
      terminal.err.write(`taskflow has a fault: ${text}\n`)
      return exits.failed
    }
    tell(told, argv.includes('--json'), terminal)
    return told.exit
  }
}

function tell(error: CommandError, json: boolean, terminal: Terminal): void {
  if (json && error.document !== undefined) {
    terminal.err.write(`${error.document.trimEnd()}\n`)
    return
  }
  const paint = (style: 'red' | 'dim' | 'green', text: string) =>
    styled(terminal.err, terminal.env, style, text)
  terminal.err.write(`${paint('red', 'error:')} ${harmless(error.message)}\n`)
  terminal.err.write(`${paint('dim', '  why:')} ${harmless(error.why)}\n`)
  terminal.err.write(`${paint('green', '  try:')} ${harmless(error.repair)}\n`)
}

function commandError(error: unknown, argv: readonly string[]): CommandError | null {
  if (error instanceof CommandError) return error
  return error instanceof CommanderError ? misused(error, argv) : null
}

/** What commander found wrong, in our three lines. */
function misused(error: CommanderError, argv: readonly string[]): CommandError {
  const [said = '', hint = ''] = error.message.replace(/^error: /, '').split('\n')
  const guess = /\(Did you mean (?:one of )?([^?]*)\?\)/.exec(hint)?.[1]
  // Up to the first flag: commands come before what is given to them.
  const flag = argv.findIndex((word) => word.startsWith('-'))
  const words = flag === -1 ? argv : argv.slice(0, flag)
  if (error.code === 'commander.unknownCommand') {
    const wrong = /'([^']*)'/.exec(said)?.[1] ?? ''
    const parents = words.slice(0, words.indexOf(wrong)).join(' ')
    const prefix = parents === '' ? 'taskflow' : `taskflow ${parents}`
    return new CommandError(exits.usage, {
      what: `"${wrong}" is not a command`,
      why:
        guess === undefined ? `${prefix} has no command of that name.` : `Did you mean ${guess}?`,
      repair: guess === undefined ? `${prefix} --help` : `${prefix} ${guess.split(', ')[0]}`,
    })
  }
  return new CommandError(exits.usage, {
    what: said,
    why: guess === undefined ? 'That is not how this command is used.' : `Did you mean ${guess}?`,
    repair: `taskflow ${words.slice(0, 2).join(' ')} --help`.replace('  ', ' '),
  })
}

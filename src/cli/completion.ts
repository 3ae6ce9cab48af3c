// What can be typed next: commands and flags from the tree of commands, ids from the service.

import type { Command } from 'commander'
import { grants } from '../domain/binding.ts'
import { eventKinds } from '../domain/event.ts'
import { flowStatuses } from '../domain/flow.ts'
import { signalOutcomes } from '../domain/signal.ts'
import { stepStatuses } from '../domain/step.ts'
import { waitKinds } from '../domain/wait.ts'
import { root } from './family.ts'
import { readOperations } from './operations.ts'
import { request } from './request.ts'
import { type GlobalOptions, readSettings } from './settings.ts'
import type { Terminal } from './terminal.ts'

/** Nobody waits longer for a completion, in milliseconds. */
const patience = 1_000

/** Values of flags, by the noun where it matters. */
const flagValues: Readonly<Record<string, readonly string[]>> = {
  'flow --status': flowStatuses,
  'step --status': stepStatuses,
  '--kind': eventKinds,
  '--outcome': signalOutcomes,
  '--wait-kind': waitKinds,
  '--sort': ['created_at', '-created_at'],
  '--until': ['terminal'],
  '--on-timeout': ['resume', 'fail', 'cancel'],
  '--on-conflict': ['fail', 'use_existing'],
  '--deliver': ['one', 'all'],
  '--action': grants,
}

/** Where the ids of an argument are listed. */
const idSources: Readonly<Record<string, string>> = {
  flow: '/flows',
  step: '/steps',
  signal: '/signals',
  binding: '/bindings',
}

/** The words that can stand in the place of the last one, which may be empty. */
export async function completions(
  program: Command,
  typed: readonly string[],
  terminal: Terminal,
): Promise<string[]> {
  const { words, partial, joined } = splitEquals(typed[0] === '--' ? typed.slice(1) : typed)
  const { command, flag, values, given } = walk(program, words)
  const fits = (candidates: readonly string[]) =>
    candidates.flatMap((candidate) => (candidate.startsWith(partial) ? joined + candidate : []))
  if (flag !== null) {
    const noun = command.parent?.name() ?? ''
    const known = flagValues[`${noun} ${flag}`] ?? flagValues[flag]
    if (known !== undefined) return fits(known)
    const source = idSources[flag.replace(/^--(\w+?)(-id)?$/, '$1')]
    return source === undefined ? [] : fits(await idsAt(source, given, terminal))
  }
  if (partial.startsWith('-')) {
    const options = [...command.options, ...program.options, ...helpOf(command)]
    return fits([...new Set(options.flatMap(({ long }) => long ?? []))].toSorted())
  }
  if (command.commands.length > 0) {
    return fits(command.commands.map((one) => one.name()))
  }
  const argument = command.registeredArguments[values]?.name()
  if (argument === 'operation') return fits(readOperations(root).map(({ id }) => id))
  if (argument === 'shell') return fits(['bash', 'zsh', 'fish'])
  const source = argument === undefined ? undefined : idSources[argument]
  return source === undefined ? [] : fits(await idsAt(source, given, terminal))
}

/**
 * The words before the last one, and the last one as far as it is typed; `--flag=value` as two words. Where
 * that is one word for the shell, what it puts in the place of the word has to begin with what is `joined`.
 * bash gives the sign as a word of its own, and puts in the place of the value alone.
 */
function splitEquals(typed: readonly string[]): {
  words: string[]
  partial: string
  joined: string
} {
  const words: string[] = []
  let joined = ''
  for (const word of typed) {
    const [, flag, value] = /^(--[a-z-]+)=(.*)$/s.exec(word) ?? []
    joined = ''
    if (flag !== undefined && value !== undefined) {
      words.push(flag, value)
      joined = `${flag}=`
    } else if (word !== '=' || words.at(-1)?.startsWith('--') !== true) words.push(word)
    else if (word === typed.at(-1)) words.push('')
  }
  const partial = words.pop() ?? ''
  return { words, partial, joined }
}

function helpOf(command: Command): { long: string }[] {
  return command.parent === null
    ? [{ long: '--help' }, { long: '--version' }]
    : [{ long: '--help' }]
}

/** Where in the tree the words lead: the command, a flag that waits for its value, the number of arguments. */
function walk(program: Command, words: readonly string[]) {
  let command = program
  let flag: string | null = null
  let values = 0
  const given: GlobalOptions = {}
  for (const word of words) {
    if (flag !== null) {
      if (flag === '--url') given.url = word
      if (flag === '--key') given.key = word
      flag = null
    } else if (word.startsWith('-')) {
      const option = [...command.options, ...program.options].find(({ long, short }) =>
        [long, short].includes(word),
      )
      if (option?.required === true) flag = option.long ?? word
    } else {
      const next = command.commands.find(
        (one) => one.name() === word || one.aliases().includes(word),
      )
      if (next === undefined) values += 1
      else command = next
    }
  }
  return { command, flag, values, given }
}

/** Ids of the newest there are; none when the service does not answer: a completion never complains. */
async function idsAt(source: string, given: GlobalOptions, terminal: Terminal): Promise<string[]> {
  try {
    const settings = readSettings(given, terminal)
    const answer = await request(
      { ...settings, maxTime: patience },
      { method: 'GET', path: `${source}?limit=50` },
    )
    const { items }: { items: { id: string }[] } = JSON.parse(answer.text)
    return items.map(({ id }) => id)
  } catch {
    return []
  }
}

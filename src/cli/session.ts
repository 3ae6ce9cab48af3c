// One run of a command: its settings, and the ways to send requests and to show answers.

import type { Command } from 'commander'
import { Ended, exits } from './errors.ts'
import { refusal } from './refusal.ts'
import { type Answer, type Call, request } from './request.ts'
import { type GlobalOptions, readSettings, type Settings } from './settings.ts'
import { asCurl } from './shell.ts'
import { type Column, tableLines } from './table.ts'
import { styled, type Terminal } from './terminal.ts'

export interface Session {
  settings: Settings
  terminal: Terminal
  /** The command as it was named, for what is said to its user. */
  name: string
  /** Sends a request and answers what came; with `--curl` prints it and ends. Throws what was refused. */
  send(call: Call): Promise<Answer>
  /** Prints an answer: as it came with `--json`, else as the lines that `words` makes of it. */
  show<Body>(answer: Answer, words: (body: Body) => readonly string[]): void
  table<Row>(rows: readonly Row[], columns: readonly Column<Row>[]): string[]
  /** Prints data. */
  print(text: string): void
  /** Tells a person. */
  tell(text: string): void
  /** A piece of what is told, stressed. */
  bold(text: string): string
}

/** The action of a command: like `work`, with the session first and without what commander adds. */
export function act<Args extends unknown[]>(
  terminal: Terminal,
  work: (session: Session, ...args: Args) => Promise<void>,
): (...given: [...Args, Command]) => Promise<void> {
  return async (...given) => {
    const command = given.at(-1) as Command
    const session = openSession(terminal, command.optsWithGlobals(), nameOf(command))
    await work(session, ...(given.slice(0, -1) as Args))
  }
}

function nameOf(command: Command): string {
  return command.parent === null ? command.name() : `${nameOf(command.parent)} ${command.name()}`
}

function openSession(terminal: Terminal, options: GlobalOptions, name: string): Session {
  const settings = readSettings(options, terminal)
  const print = (text: string) => terminal.out.write(`${text}\n`)
  return {
    settings,
    terminal,
    name,
    async send(call) {
      if (settings.curl) {
        print(asCurl(settings.base, call, settings.key !== undefined))
        throw new Ended(exits.ok)
      }
      const answer = await request(settings, call)
      if (answer.status >= 300 && answer.status !== 304) {
        throw refusal(answer, settings.base, name)
      }
      return answer
    },
    show(answer, words) {
      if (answer.text === '') return
      if (settings.json) return print(answer.text.replace(/\n+$/, ''))
      for (const line of words(JSON.parse(answer.text))) print(line)
    },
    table(rows, columns) {
      const [head = '', ...lines] = tableLines(rows, columns, terminal.out)
      return [styled(terminal.out, terminal.env, 'dim', head), ...lines]
    },
    print,
    tell: (text) => terminal.err.write(`${text}\n`),
    bold: (text) => styled(terminal.out, terminal.env, 'bold', text),
  }
}

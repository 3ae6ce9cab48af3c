// The tree of commands. A command more is one file in `commands/` and one line here.

import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { addApi } from './commands/api.ts'
import { addBinding } from './commands/binding.ts'
import { addCompletion } from './commands/completion.ts'
import { addConfig } from './commands/config.ts'
import { addDoctor } from './commands/doctor.ts'
import { addEngine } from './commands/engine.ts'
import { addFlow } from './commands/flow.ts'
import { addKey } from './commands/key.ts'
import { addMcp } from './commands/mcp.ts'
import { addService } from './commands/service.ts'
import { addSignal } from './commands/signal.ts'
import { addStep } from './commands/step.ts'
import { addTour } from './commands/tour.ts'
import { exitWords } from './errors.ts'
import { type Family, type Run, root } from './family.ts'
import type { Terminal } from './terminal.ts'

const families: readonly Family[] = [
  addService,
  addFlow,
  addSignal,
  addStep,
  addBinding,
  addKey,
  addEngine,
  addDoctor,
  addTour,
  addMcp,
  addApi,
  addConfig,
  addCompletion,
]

function readVersion(): string {
  const manifest: { version: string } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  return manifest.version
}

export function makeProgram(terminal: Terminal, run: Run): Command {
  const program = new Command('taskflow')
    .description('Durable flows over HTTP on PostgreSQL.')
    .version(readVersion(), '--version', 'show the version')
    .helpOption('-h, --help', 'show help')
    .option('--url <url>', 'the service; else TASKFLOW_URL, else port PORT (3000) of this machine')
    .option('--key <key>', 'the key, or @FILE; else TASKFLOW_KEY or TASKFLOW_KEY_FILE')
    .option('--json', 'print what the service answers, as it answers it')
    .option('--curl', 'print the request as a curl command; send nothing')
    .option('--max-time <duration>', 'give up on an answer after this (PT30S, or 30)')
    .option('--no-color', 'no colours; NO_COLOR does the same')
    .configureHelp({ showGlobalOptions: true })
    .showSuggestionAfterError()
    // Errors become three lines in `run`.
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: () => {},
      getOutHelpWidth: () => terminal.out.columns ?? 80,
      getOutHasColors: () => false,
    })
    .addHelpText('before', examples)
    .addHelpText('after', epilogue())
  for (const add of families) add(program, terminal, run)
  return program
}

const examples = `Examples:
  taskflow flow create --controller shop --goal 'ship order 42' --owner me --requester me --start
  taskflow flow list --status waiting
`

function epilogue(): string {
  const codes = exitWords.map(([code, words]) => `  ${String(code).padEnd(4)} ${words}`)
  return `
Data goes to the standard output, all else to the standard error. --json is the body of the REST
answer; the tables and texts without it are for people and may change.

Exit codes:
${codes.join('\n')}`
}

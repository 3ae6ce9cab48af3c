// The process: its streams, environment and signals, and the code that it ends with. The only user of `process`.

import { existsSync } from 'node:fs'
import { run } from './cli/run.ts'
import type { Output, Terminal } from './cli/terminal.ts'

/**
 * Runs the command that was typed, and ends the process with its exit code.
 *
 * @param nothing the command when none was typed.
 */
export async function runProcess(nothing: readonly string[]): Promise<void> {
  const typed = process.argv.slice(2)
  // A reader that has seen enough (`| head`) is no failure.
  for (const stream of [process.stdout, process.stderr]) {
    stream.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EPIPE') throw error
      process.exit(0)
    })
  }
  if (existsSync('.env')) process.loadEnvFile('.env')
  const terminal: Terminal = {
    env: process.env,
    out: outputOf(process.stdout),
    err: outputOf(process.stderr),
    input: {
      isTTY: process.stdin.isTTY,
      async read() {
        let text = ''
        for await (const piece of process.stdin.setEncoding('utf8')) text += piece
        return text
      },
    },
    now: Date.now,
    nodeVersion: process.versions.node,
    onSignal(listener) {
      for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, listener)
    },
    exit: (code) => process.exit(code),
  }
  const code = await run(typed.length > 0 ? typed : nothing, terminal)
  // What was written to a pipe may still be on its way.
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)))
}

function outputOf(stream: NodeJS.WriteStream): Output {
  return {
    write: (text) => {
      stream.write(text)
    },
    isTTY: stream.isTTY === true,
    columns: stream.isTTY ? stream.columns : null,
  }
}

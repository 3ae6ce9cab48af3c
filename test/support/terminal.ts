// Commands typed in this process, with what they say kept; and services that only note what they are asked.

import { execFile } from 'node:child_process'
import { createServer, type IncomingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import { run } from '../../src/cli/run.ts'
import type { Terminal } from '../../src/cli/terminal.ts'

const checkout = join(import.meta.dirname, '../..')

export interface Typed {
  code: number
  out: string
  err: string
}

export interface TypingOptions {
  env?: Record<string, string>
  /** What stands on the standard input. */
  input?: string
  /** Makes the output a terminal of this width. */
  columns?: number
  now?: () => number
  nodeVersion?: string
}

/** Runs a command and answers what it said, and its exit code. */
export async function type(words: readonly string[], options: TypingOptions = {}): Promise<Typed> {
  const typed: Typed = { code: 0, out: '', err: '' }
  const page = (name: 'out' | 'err') => ({
    write: (text: string) => {
      typed[name] += text
    },
    isTTY: options.columns !== undefined,
    columns: options.columns ?? null,
  })
  const terminal: Terminal = {
    env: options.env ?? {},
    out: page('out'),
    err: page('err'),
    input: { isTTY: false, read: async () => options.input ?? '' },
    now: options.now ?? Date.now,
    nodeVersion: options.nodeVersion ?? process.versions.node,
    onSignal: () => {},
    exit: (code) => {
      throw new Error(`the command ended the process with ${code}`)
    },
  }
  typed.code = await run(words, terminal)
  return typed
}

/** Runs a line in bash, where `taskflow` is the one that was built. */
export async function typeLine(line: string, env: Record<string, string> = {}): Promise<Typed> {
  const script = `taskflow() { ${process.execPath} ${join(checkout, 'dist/cli.js')} "$@"; }\n${line}`
  const { PATH = '', HOME = '' } = process.env
  return new Promise((resolve) => {
    const options = { env: { PATH, HOME, ...env }, cwd: '/tmp', timeout: 60_000 }
    execFile('bash', ['-c', script], options, (error, out, err) => {
      const code = error === null ? 0 : typeof error.code === 'number' ? error.code : -1
      resolve({ code, out, err })
    })
  })
}

export interface Noted {
  method: string
  url: string
  headers: IncomingHttpHeaders
  body: string
}

/** A service that answers all alike, and notes what it was asked. */
export async function startNoter(
  answer: { status?: number; type?: string; body?: string } = {},
): Promise<{ url: string; noted: Noted[]; stop(): Promise<void> }> {
  const noted: Noted[] = []
  const { status = 200, type: media = 'application/json', body = '{}' } = answer
  const server = createServer((request, response) => {
    let text = ''
    request.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
    })
    request.on('end', () => {
      const { method = '', url = '', headers } = request
      noted.push({ method, url, headers, body: text })
      response.writeHead(status, { 'content-type': media })
      response.end(status === 204 ? '' : body)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  const port = typeof address === 'object' && address !== null ? address.port : 0
  return {
    url: `http://127.0.0.1:${port}`,
    noted,
    stop: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

// Reads the documentation as its readers do: pages, fenced blocks, links; and types what it tells them to type.

import { spawn } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const checkout = join(import.meta.dirname, '../..')

/** Pages that users and contributors read, relative to the checkout. */
export async function listPages(): Promise<string[]> {
  const found = await readdir(join(checkout, 'docs'), { recursive: true })
  const docs = found.filter((name) => name.endsWith('.md')).map((name) => `docs/${name}`)
  return ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', ...docs.toSorted()]
}

export function readPage(page: string): Promise<string> {
  return readFile(join(checkout, page), 'utf8')
}

export interface Block {
  /** The info string: what stands behind the opening fence. */
  info: string
  text: string
  /** The first line of its text, counted from 1. */
  line: number
}

/** The fenced blocks of a page. `<!-- run: stop the service -->` is one too, with that comment as its info. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = []
  let open: Block | null = null
  for (const [i, line] of markdown.split('\n').entries()) {
    const fence = /^```(.*)$/.exec(line)
    if (open !== null) {
      if (fence === null) open.text += `${line}\n`
      else {
        blocks.push(open)
        open = null
      }
    } else if (fence !== null) {
      open = { info: (fence[1] ?? '').trim(), text: '', line: i + 2 }
    } else {
      const directive = /^<!-- (run: .+) -->$/.exec(line)
      if (directive !== null) blocks.push({ info: directive[1] ?? '', text: '', line: i + 1 })
    }
  }
  if (open !== null) throw new Error(`the block at line ${open.line} is never closed`)
  return blocks
}

/** A block to type, and what the page says that comes out of it. */
export interface Typed {
  line: number
  script: string
  expected: { line: number; text: string } | null
}

const stopService =
  'kill -TERM "$DOCS_SERVICE_PID"; while kill -0 "$DOCS_SERVICE_PID" 2>/dev/null; do sleep 0.1; done'

/** What a reader types: the `sh run` blocks, each with the `text` block behind it. */
export function typedBlocks(markdown: string): Typed[] {
  const blocks = blocksOf(markdown)
  return blocks.flatMap((block, i): Typed[] => {
    if (block.info === 'run: stop the service') {
      return [{ line: block.line, script: stopService, expected: null }]
    }
    if (block.info.startsWith('run:')) throw new Error(`line ${block.line}: ${block.info}?`)
    if (block.info === 'text' && blocks[i - 1]?.info !== 'sh run') {
      throw new Error(`the output at line ${block.line} stands behind no sh run block`)
    }
    if (block.info !== 'sh run') return []
    const next = blocks[i + 1]
    const expected = next?.info === 'text' ? { line: next.line, text: next.text } : null
    return [{ line: block.line, script: block.text, expected }]
  })
}

/**
 * Whether an output is what a page shows: `…` stands for anything, a line break (with the indentation
 * behind it) for any white space or none, since pages break long lines.
 */
export function looksLike(expected: string, actual: string): boolean {
  const pattern = expected
    .trim()
    .split('…')
    .map((part) =>
      part
        .split(/(\s+)/)
        .map((piece) => {
          if (piece.trim() !== '') return piece.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')
          return piece === '' ? '' : piece.includes('\n') ? '\\s*' : '\\s+'
        })
        .join(''),
    )
    .join('[\\s\\S]*?')
  return new RegExp(`^${pattern}$`).test(actual.trim())
}

/** What a page's blocks did. `faults` is empty when all of it was as the page says. */
export interface Rehearsal {
  faults: string[]
  outputs: string[]
}

/**
 * Types the blocks of a page into one shell, in a folder that looks like a built checkout, against a
 * service on `port`. Stops at the first command that fails.
 */
export async function rehearse(
  page: string,
  typed: readonly Typed[],
  service: { port: number; pid?: number | undefined; env?: Record<string, string> },
): Promise<Rehearsal> {
  const folder = await mkdtemp(join(tmpdir(), 'taskflow-docs-'))
  const out = join(folder, 'out')
  await mkdir(out)
  for (const name of ['dist', 'examples', 'node_modules', 'package.json', 'scripts', 'test']) {
    await symlink(join(checkout, name), join(folder, name))
  }
  const here = (text: string) => text.replaceAll('localhost:3000', `localhost:${service.port}`)
  const lines = typed.map(
    ({ script }, i) => `exec >'${out}/${i}' 2>'${out}/${i}.err'\n${here(script)}`,
  )
  const shell = spawn('bash', ['-c', `set -euo pipefail\n${lines.join('\n')}`], {
    cwd: folder,
    detached: true,
    stdio: 'ignore',
    env: {
      ...cleanEnv(),
      ...service.env,
      PORT: String(service.port),
      DOCS_SERVICE_PID: String(service.pid ?? 'none'),
    },
  })
  const code = await new Promise<number | null>((resolve, reject) => {
    const late = setTimeout(() => killGroup(shell.pid), 90_000)
    shell.on('error', reject)
    shell.on('exit', (exitCode) => {
      clearTimeout(late)
      resolve(exitCode)
    })
  })
  // What the page started in the background goes with its shell.
  killGroup(shell.pid)
  const read = (name: string) => readFile(join(out, name), 'utf8').catch(() => null)
  const outputs: string[] = []
  const faults: string[] = []
  for (const [i, { line, expected }] of typed.entries()) {
    const actual = (await read(String(i)))?.replaceAll(
      `localhost:${service.port}`,
      'localhost:3000',
    )
    if (actual === undefined) break
    outputs.push(actual)
    const ended = (await read(String(i + 1))) !== null || code === 0
    if (!ended) {
      faults.push(`${page}:${line} failed (${code}): ${actual}${await read(`${i}.err`)}`)
    } else if (expected !== null && !looksLike(expected.text, actual)) {
      faults.push(`${page}:${expected.line} shows\n${expected.text}but there came\n${actual}`)
    }
  }
  await rm(folder, { recursive: true, force: true })
  return { faults, outputs }
}

function cleanEnv(): NodeJS.ProcessEnv {
  const foreign = /^(TASKFLOW_|NATS_URL|DATABASE_URL|PORT$|HOST$|LOG_LEVEL|MIGRATE_|https?_proxy)/i
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // All of it has ended by itself.
  }
}

/** Targets of links and images, without those of the web. */
export function linksOf(markdown: string): string[] {
  const prose = markdown.replace(/^```[\s\S]*?^```/gm, '').replace(/`[^`\n]*`/g, '')
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)]
    .map((match) => match[1] ?? '')
    .filter((target) => !/^[a-z]+:/.test(target))
}

/** The anchors that headings make, as GitHub does. */
export function anchorsOf(markdown: string): string[] {
  return markdown
    .replace(/^```[\s\S]*?^```/gm, '')
    .split('\n')
    .flatMap((line) => /^#+ (.+)$/.exec(line)?.[1] ?? [])
    .map((heading) =>
      heading
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .trim()
        .replace(/\s/g, '-'),
    )
}

/** The rows of a page's tables whose first cell is a name in backticks, as texts without backticks. */
export function rowsOf(markdown: string): string[][] {
  return markdown
    .split('\n')
    .filter((line) => /^\| `[^`|]+` \|/.test(line))
    .map((line) =>
      line
        .slice(1, line.lastIndexOf('|'))
        .split('|')
        .map((cell) => cell.trim().replaceAll('`', '')),
    )
}

// Which service a command talks to, as whom, and how it shows what it got: flags, else the environment, else defaults.

import { readFileSync } from 'node:fs'
import { durationFault, parseDuration } from '../domain/formats.ts'
import { misuse } from './errors.ts'
import type { Target } from './request.ts'
import type { Terminal } from './terminal.ts'

/** The options that every command has. */
export interface GlobalOptions {
  url?: string
  key?: string
  json?: boolean
  curl?: boolean
  maxTime?: string
}

export interface Settings extends Target {
  json: boolean
  curl: boolean
}

/** Where each of them came from, for `taskflow config`. */
export interface Origins {
  url: string
  key: string
}

const defaultMaxTime = 'PT30S'

/** Reads them. Throws a `CommandError` that says which one is wrong. */
export function readSettings(
  options: GlobalOptions,
  terminal: Pick<Terminal, 'env'>,
): Settings & { origins: Origins } {
  const [url, urlOrigin] = findUrl(options, terminal.env)
  const [key, keyOrigin] = findKey(options, terminal.env)
  return {
    base: plainUrl(url, urlOrigin),
    key,
    maxTime: readDuration(options.maxTime ?? defaultMaxTime, '--max-time'),
    json: options.json === true,
    curl: options.curl === true,
    origins: { url: urlOrigin, key: keyOrigin },
  }
}

function findUrl(options: GlobalOptions, env: Terminal['env']): [string, string] {
  if (options.url !== undefined) return [options.url, '--url']
  if (env['TASKFLOW_URL']) return [env['TASKFLOW_URL'], 'TASKFLOW_URL']
  // The service of the same folder: its .env is read here as well.
  if (/^[1-9]\d*$/.test(env['PORT'] ?? '')) return [`http://127.0.0.1:${env['PORT']}`, 'PORT']
  return ['http://127.0.0.1:3000', 'default']
}

function plainUrl(text: string, origin: string): string {
  const given = text.trim().replace(/\/+$/, '')
  const parsed = URL.canParse(given) ? new URL(given) : null
  const usable = parsed !== null && /^https?:$/.test(parsed.protocol)
  if (usable && `${parsed.username}${parsed.search}${parsed.hash}` === '') return given
  throw misuse(
    `"${text}" is not the URL of a service`,
    `It comes from ${origin}, and must begin with http:// or https://, without user and query.`,
    'taskflow --url http://127.0.0.1:3000 engine show',
  )
}

function findKey(options: GlobalOptions, env: Terminal['env']): [string | undefined, string] {
  if (options.key !== undefined) {
    return options.key.startsWith('@')
      ? [readKeyFile(options.key.slice(1)), `file ${options.key.slice(1)}`]
      : [plainKey(options.key, '--key'), '--key']
  }
  if (env['TASKFLOW_KEY']) return [plainKey(env['TASKFLOW_KEY'], 'TASKFLOW_KEY'), 'TASKFLOW_KEY']
  const file = env['TASKFLOW_KEY_FILE']
  return file ? [readKeyFile(file), `file ${file}`] : [undefined, 'none']
}

function readKeyFile(file: string): string {
  try {
    return plainKey(readFileSync(file, 'utf8'), file)
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error
    throw misuse(
      `the key cannot be read from ${file} (${String(error.code)})`,
      'A file with a key is given as --key @FILE or by TASKFLOW_KEY_FILE.',
      `ls -l ${file}`,
    )
  }
}

/** The value is never repeated: it is a secret. */
function plainKey(text: string, origin: string): string {
  const key = text.trim()
  if (/^[\x21-\x7e]+$/.test(key)) return key
  throw misuse(
    `the key from ${origin} is empty, or has characters that no key has`,
    'A key is one line of printable ASCII without spaces.',
    'taskflow key create --help',
  )
}

/** A duration as ISO 8601 (`PT30S`) or in seconds (`30`, `30s`), in milliseconds. */
export function readDuration(text: string, name: string): number {
  const seconds = /^(\d{1,7}(?:\.\d{1,3})?)s?$/.exec(text)?.[1]
  const fault = seconds === undefined ? durationFault(text) : null
  const value = seconds === undefined ? (fault === null ? parseDuration(text) : 0) : +seconds * 1000
  if (fault === null && value > 0) return value
  throw misuse(
    `${name} ${text} cannot be used`,
    `It ${fault ?? 'must be longer than nothing'}.`,
    `use a duration, as in ${name} PT30S`,
  )
}

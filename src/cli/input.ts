// What is given to commands as values: JSON on the command line, in files and from the standard input.

import { readFileSync } from 'node:fs'
import { InvalidArgumentError } from 'commander'
import { misuse } from './errors.ts'
import type { Terminal } from './terminal.ts'

/** JSON as it was given: its text is sent as it is, so that no number loses a digit. */
export interface JsonText {
  text: string
  value: unknown
}

/** Reads JSON from the value of a flag: the JSON itself, `@FILE`, or `-` for the standard input. */
export async function readJson(given: string, flag: string, terminal: Terminal): Promise<JsonText> {
  const text = (await readText(given, flag, terminal)).trim()
  try {
    return { text, value: JSON.parse(text) }
  } catch (error) {
    const fault = error instanceof Error ? error.message : String(error)
    throw misuse(
      `${flag} is not JSON`,
      `${fault}. A text needs its quotes, also inside those of the shell.`,
      `${flag} '{"items": 3}', ${flag} @file.json, or ${flag} - for the standard input`,
    )
  }
}

async function readText(given: string, flag: string, terminal: Terminal): Promise<string> {
  if (given === '-') return terminal.input.read()
  if (!given.startsWith('@')) return given
  try {
    return readFileSync(given.slice(1), 'utf8')
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    throw misuse(
      `${flag}: the file ${given.slice(1)} cannot be read (${code})`,
      'A value that begins with @ names a file.',
      `ls -l ${given.slice(1)}`,
    )
  }
}

/** The members of an object as JSON, each with the text it came as. Absent ones are left out. */
export function objectText(members: Readonly<Record<string, JsonText | unknown>>): string {
  const parts = Object.entries(members).flatMap(([name, value]) => {
    if (value === undefined) return []
    const text = isJsonText(value) ? value.text : JSON.stringify(value)
    return [`${JSON.stringify(name)}:${text}`]
  })
  return `{${parts.join(',')}}`
}

function isJsonText(value: unknown): value is JsonText {
  return typeof value === 'object' && value !== null && 'text' in value && 'value' in value
}

/** Gathers an option that may be repeated. */
export function gather(value: string, before: string[] | undefined): string[] {
  return [...(before ?? []), value]
}

/** Gathers `name=value` pairs. */
export function gatherPairs(
  value: string,
  before: Record<string, string> | undefined,
): Record<string, string> {
  const at = value.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be name=value.')
  return { ...before, [value.slice(0, at)]: value.slice(at + 1) }
}

/** Reads an option that is a whole number. */
export function wholeNumber(value: string): number {
  if (!/^\d{1,15}$/.test(value)) throw new InvalidArgumentError('It must be a whole number.')
  return Number(value)
}

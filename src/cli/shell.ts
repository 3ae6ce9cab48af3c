// Text for a shell: words that it takes as they are, and requests as commands of curl.

import type { Call } from './request.ts'

/** A word that a POSIX shell reads back as this text. */
function quoted(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`
}

/** A command line of words. */
export function commandLine(...words: readonly string[]): string {
  return words.map(quoted).join(' ')
}

/** The request as a curl command, with the key as a variable and never its value. */
export function asCurl(base: string, call: Call, withKey: boolean): string {
  const words = ['curl', call.stream === true ? '-sSN' : '-sS']
  if (call.method !== 'GET' && !(call.method === 'POST' && call.body !== undefined)) {
    words.push('-X', call.method)
  }
  words.push(quoted(base + call.path))
  // In double quotes, so that the shell that runs it fills it in.
  if (withKey) words.push('-H', '"Authorization: Bearer $TASKFLOW_KEY"')
  for (const [name, value] of Object.entries(call.headers ?? {})) {
    words.push('-H', quoted(`${name}: ${value}`))
  }
  if (call.body !== undefined) {
    words.push('-H', quoted('content-type: application/json'), '-d', quoted(call.body))
  }
  return words.join(' ')
}

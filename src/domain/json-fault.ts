// Says where in a JSON text a fault is: line and column for its grammar, a pointer for its meaning.

import { FlowError } from './errors.ts'

/** A member name longer than this is cut in a pointer. */
const maxSegment = 64

/** One segment of a JSON Pointer (RFC 6901): `~` and `/` escaped, cut to 64 characters. */
export function pointerSegment(name: string): string {
  const cut = name.length > maxSegment ? `${name.slice(0, maxSegment)}…` : name
  return cut.replaceAll('~', '~0').replaceAll('/', '~1')
}

/**
 * The pointer to the value, or the member name, that begins at or holds an offset.
 *
 * Runs once the text is refused already, so that the parser itself need not remember where it is.
 * Everything before the offset must be valid JSON.
 */
export function pointerAt(text: string, offset: number): string {
  const path: { index: number; name: string | null }[] = []
  let at = 0
  while (at < offset) {
    const top = path[path.length - 1]
    const char = text[at]
    if (char === '{') path.push({ index: -1, name: '' })
    else if (char === '[') path.push({ index: 0, name: null })
    else if (char === '}' || char === ']') path.pop()
    else if (char === ',' && top !== undefined) {
      if (top.name === null) top.index++
      else top.index = -1
    } else if (char === '"') {
      const end = stringEnd(text, at)
      if (top !== undefined && top.name !== null && top.index === -1) {
        top.name = readName(text.slice(at, end))
        top.index = 0
      }
      at = end
      continue
    }
    at++
  }
  const top = path[path.length - 1]
  // The fault is in a name itself, which the loop did not get to.
  if (top !== undefined && top.name !== null && top.index === -1) {
    if (text[offset] === '"') top.name = readName(text.slice(offset, stringEnd(text, offset)))
    else path.pop()
  }
  return path
    .map((part) => `/${part.name === null ? part.index : pointerSegment(part.name)}`)
    .join('')
}

function stringEnd(text: string, start: number): number {
  let at = start + 1
  while (at < text.length && text[at] !== '"') at += text[at] === '\\' ? 2 : 1
  return Math.min(at + 1, text.length)
}

/** What a name says, as far as it can be shown: NUL and lone surrogates become U+FFFD. */
function readName(quoted: string): string {
  try {
    const name: unknown = JSON.parse(quoted)
    return typeof name === 'string' ? name.replace(/\p{Surrogate}|\0/gu, '\ufffd') : ''
  } catch {
    return ''
  }
}

/** A `malformed_json` at an offset: where, what belongs there, and what is there. */
export function syntaxError(text: string, offset: number, expected: string): FlowError {
  const before = text.slice(0, offset)
  const line = before.split('\n').length
  const column = offset - before.lastIndexOf('\n')
  const hint = hintFor(text, offset, expected)
  const message = `Line ${line}, column ${column}: expected ${expected}, found ${foundAt(text, offset)}.${hint}`
  return new FlowError('malformed_json', message, {
    errors: [{ pointer: pointerAt(text, Math.min(offset, text.length)), code: 'syntax', message }],
  })
}

function foundAt(text: string, offset: number): string {
  if (offset >= text.length) return 'the end'
  const word = /^[A-Za-z_][A-Za-z0-9_]{0,19}/.exec(text.slice(offset, offset + 20))?.[0]
  if (word !== undefined) return word
  const code = text.codePointAt(offset) ?? 0
  if (code === 0x0a) return 'a line break'
  if (code === 0x09) return 'a tab'
  // Controls, joiners and unusual spaces: a character that cannot be seen is told by its number.
  if (code !== 0x20 && /[\p{C}\p{Z}]/u.test(String.fromCodePoint(code))) {
    return `U+${code.toString(16).toUpperCase().padStart(4, '0')}`
  }
  if (code === 0x20) return 'a space'
  return code === 0x22 ? 'a double quote' : `"${String.fromCodePoint(code)}"`
}

function hintFor(text: string, offset: number, expected: string): string {
  const char = text[offset]
  if (char === "'") return ' Use double quotes.'
  if (char === '/' || char === '#') return ' JSON has no comments.'
  if (expected === 'a closing quote' && char !== undefined) return ' Escape it, as in \\n.'
  if (char === '}' || char === ']')
    return /,\s*$/.test(text.slice(0, offset)) ? ' Remove the comma before it.' : ''
  const word = /^[A-Za-z]{1,20}/.exec(text.slice(offset, offset + 20))?.[0]?.toLowerCase()
  if (word === undefined) return ''
  if (['true', 'false', 'null'].includes(word)) return ' Write it in lower case.'
  if (word === 'none' || word === 'undefined' || word === 'nan' || word === 'infinity')
    return ' Use null.'
  return expected === 'a value' ? ' Text needs double quotes.' : ''
}

// Templates that build a text from a message: `{/json/pointer}` reads its body, `{header:name}` a
// header, `{subject}` and `{subject:2}` the subject that it came on, the rest is literal.

import type { JsonValue } from './json.ts'

/** What a template is filled from. Header names are in lower case; `body` is undefined when it has no members to read. */
export interface TemplateSource {
  headers: Readonly<Record<string, string>>
  body: JsonValue | undefined
  /** The subject of a message that came through NATS. */
  subject?: string
}

export type TemplatePart =
  | { kind: 'literal'; text: string }
  /** `text` is the pointer as written, `path` its segments without their escapes. */
  | { kind: 'pointer'; text: string; path: readonly string[] }
  | { kind: 'header'; name: string }
  /** The whole subject, or one of its tokens, counted from 1. */
  | { kind: 'subject'; token: number | null }

export type Template = readonly TemplatePart[]

/** A template, or a sentence without its subject that says what is wrong with its text. */
export type TemplateReading = { template: Template } | { fault: string }

/** A text cut into literals and the contents of its braces; `{{` and `}}` stand for a brace. */
export type Pieces = readonly { literal: boolean; text: string }[]

/** Cuts a text at its braces, or says which brace has no partner. */
export function cutTemplate(text: string): { pieces: Pieces } | { fault: string } {
  const pieces: { literal: boolean; text: string }[] = []
  let literal = ''
  for (let at = 0; at < text.length; at++) {
    const char = text.charAt(at)
    const doubled = text.charAt(at + 1) === char
    if ((char === '{' || char === '}') && doubled) {
      literal += char
      at++
    } else if (char === '}') {
      return { fault: `has a } at character ${at + 1} that closes nothing: write }} for a brace` }
    } else if (char === '{') {
      const end = text.indexOf('}', at)
      if (end < 0) return { fault: `has a { at character ${at + 1} that is never closed` }
      if (literal !== '') pieces.push({ literal: true, text: literal })
      literal = ''
      pieces.push({ literal: false, text: text.slice(at + 1, end) })
      at = end
    } else literal += char
  }
  if (literal !== '') pieces.push({ literal: true, text: literal })
  return { pieces }
}

const headerName = /^[a-z0-9!#$%&'*+.^_`|~-]{1,100}$/

/** The header that a placeholder names, in lower case; null when it names none, or none that can exist. */
export function headerOf(placeholder: string): string | null {
  if (!placeholder.startsWith('header:')) return null
  const name = placeholder.slice('header:'.length).toLowerCase()
  return headerName.test(name) ? name : null
}

const subjectToken = /^subject(?::([1-9]\d?))?$/

/** Reads the text of a template. Only messages that have one may be asked for their subject. */
export function parseTemplate(text: string, has: { subject?: boolean } = {}): TemplateReading {
  const cut = cutTemplate(text)
  if ('fault' in cut) return cut
  const template: TemplatePart[] = []
  for (const piece of cut.pieces) {
    if (piece.literal) {
      template.push({ kind: 'literal', text: piece.text })
      continue
    }
    const header = headerOf(piece.text)
    const subject = has.subject === true ? subjectToken.exec(piece.text) : null
    if (header !== null) template.push({ kind: 'header', name: header })
    else if (subject !== null) {
      template.push({
        kind: 'subject',
        token: subject[1] === undefined ? null : Number(subject[1]),
      })
    } else if (piece.text.startsWith('/')) {
      const path = piece.text.slice(1).split('/')
      if (path.some((segment) => /~(?![01])/.test(segment))) {
        return { fault: `has ${shown(piece.text)}, where ~ must be written ~0, and / in a name ~1` }
      }
      template.push({ kind: 'pointer', text: piece.text, path: path.map(unescaped) })
    } else {
      return { fault: `has ${shown(piece.text)}, which is neither {/pointer} nor {header:name}` }
    }
  }
  return { template }
}

/** A placeholder as messages repeat it. */
function shown(placeholder: string): string {
  return placeholder.length <= 40 ? `{${placeholder}}` : `{${placeholder.slice(0, 40)}…}`
}

/** In this order, so that `~01` is `~1` and not `/` (RFC 6901, 4). */
function unescaped(segment: string): string {
  return segment.replaceAll('~1', '/').replaceAll('~0', '~')
}

/** The text that a template makes of a message, or a sentence that says what the message lacks. */
export function fillTemplate(
  template: Template,
  source: TemplateSource,
): { text: string } | { fault: string } {
  let text = ''
  for (const part of template) {
    if (part.kind === 'literal') {
      text += part.text
      continue
    }
    if (part.kind === 'header') {
      if (!Object.hasOwn(source.headers, part.name)) {
        return { fault: `The message has no header ${part.name}.` }
      }
      text += source.headers[part.name]
      continue
    }
    if (part.kind === 'subject') {
      const token = tokenOf(source.subject ?? '', part.token)
      if (token === undefined) return { fault: `The subject has no token ${part.token}.` }
      text += token
      continue
    }
    if (source.body === undefined) {
      return { fault: `The body has no members, so there is no ${part.text}.` }
    }
    const value = valueAt(source.body, part.path)
    if (value === undefined) return { fault: `The body has no ${part.text}.` }
    if (value === null || typeof value === 'object') {
      const type = value === null ? 'null' : Array.isArray(value) ? 'an array' : 'an object'
      return { fault: `${part.text} is ${type}, which is no text.` }
    }
    text += String(value)
  }
  return { text }
}

/** A token of a subject, or all of it. */
function tokenOf(subject: string, token: number | null): string | undefined {
  return token === null ? subject : subject.split('.')[token - 1]
}

const arrayIndex = /^(?:0|[1-9]\d{0,9})$/

/** The value that a pointer leads to. Own members alone: what objects inherit is not in the message. */
function valueAt(value: JsonValue, path: readonly string[]): JsonValue | undefined {
  let at: JsonValue | undefined = value
  for (const segment of path) {
    if (typeof at !== 'object' || at === null) return undefined
    if (Array.isArray(at)) at = arrayIndex.test(segment) ? at[Number(segment)] : undefined
    else at = Object.hasOwn(at, segment) ? at[segment] : undefined
  }
  return at
}

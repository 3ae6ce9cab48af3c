// Reads JSON strictly: what it accepts means the same to the sender, to this service and to the
// database, and what would not is refused with its place.

import { FlowError } from './errors.ts'
import type { JsonObject, JsonValue } from './json.ts'
import { pointerAt, syntaxError } from './json-fault.ts'
import { isExact } from './json-number.ts'

export interface JsonLimits {
  /** How many arrays and objects may stand inside each other. */
  depth: number
}

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const openBracket = 0x5b
const backslash = 0x5c
const closeBracket = 0x5d
const openBrace = 0x7b
const closeBrace = 0x7d

/**
 * Parses a JSON text (RFC 8259) in one pass.
 *
 * Stricter than `JSON.parse` in what I-JSON (RFC 7493) warns of: duplicate names, lone surrogates,
 * numbers beyond a double. NUL is refused because PostgreSQL cannot store it. `-0` is read as `0`,
 * its equal. `__proto__`, `constructor` and the like become plain members of the object itself.
 *
 * @param text decoded from UTF-8, so that raw surrogates come in pairs.
 * @throws FlowError `malformed_json`, with line and column: not JSON.
 * @throws FlowError `invalid_request`, with the member's pointer: JSON that cannot be carried as sent.
 * @throws FlowError `limit_exceeded` `json_depth`.
 */
export function parseJsonText(text: string, limits: JsonLimits): JsonValue {
  let at = 0
  // Bound on the stack as well: the parser recurses once per level, and never past the limit.
  let level = 0

  skipSpace()
  const value = parseValue()
  skipSpace()
  if (at < text.length) throw syntaxError(text, at, 'the end')
  return value

  function skipSpace(): void {
    for (;;) {
      const unit = text.charCodeAt(at)
      if (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) at++
      else return
    }
  }

  function parseValue(): JsonValue {
    const unit = text.charCodeAt(at)
    if (unit === quote) return parseString()
    if (unit === openBrace) return parseObject()
    if (unit === openBracket) return parseArray()
    if (unit === 0x2d || (unit >= 0x30 && unit <= 0x39)) return parseNumber()
    if (unit === 0x74 && text.startsWith('true', at)) return word(4, true)
    if (unit === 0x66 && text.startsWith('false', at)) return word(5, false)
    if (unit === 0x6e && text.startsWith('null', at)) return word(4, null)
    throw syntaxError(text, at, 'a value')
  }

  function word<Value>(length: number, value: Value): Value {
    at += length
    return value
  }

  function enter(): void {
    if (++level > limits.depth) {
      const pointer = pointerAt(text, at)
      const message = `The JSON is nested more than ${limits.depth} levels deep here: flatten it.`
      throw new FlowError('limit_exceeded', message, {
        limit: 'json_depth',
        maximum: limits.depth,
        errors: [{ pointer, code: 'too_deep', message }],
      })
    }
    at++
    skipSpace()
  }

  function parseObject(): JsonObject {
    enter()
    const object: JsonObject = {}
    if (text.charCodeAt(at) === closeBrace) {
      at++
      level--
      return object
    }
    for (;;) {
      if (text.charCodeAt(at) !== quote) throw syntaxError(text, at, 'a member name in quotes')
      const start = at
      const name = parseString()
      if (Object.hasOwn(object, name)) {
        throw refusal(start, 'duplicate_member', 'A member is there twice: keep one.')
      }
      skipSpace()
      if (text.charCodeAt(at) !== colon) throw syntaxError(text, at, '":"')
      at++
      skipSpace()
      const value = parseValue()
      // Plain assignment would call the setter that every object inherits, and lose the member.
      if (name === '__proto__') {
        Object.defineProperty(object, name, {
          value,
          writable: true,
          enumerable: true,
          configurable: true,
        })
      } else object[name] = value
      skipSpace()
      const unit = text.charCodeAt(at)
      if (unit === comma) {
        at++
        skipSpace()
      } else if (unit === closeBrace) {
        at++
        level--
        return object
      } else throw syntaxError(text, at, '"," or "}"')
    }
  }

  function parseArray(): JsonValue[] {
    enter()
    const items: JsonValue[] = []
    if (text.charCodeAt(at) === closeBracket) {
      at++
      level--
      return items
    }
    for (;;) {
      items.push(parseValue())
      skipSpace()
      const unit = text.charCodeAt(at)
      if (unit === comma) {
        at++
        skipSpace()
      } else if (unit === closeBracket) {
        at++
        level--
        return items
      } else throw syntaxError(text, at, '"," or "]"')
    }
  }

  function parseString(): string {
    const opening = at
    let chunkStart = ++at
    let result = ''
    for (;;) {
      const unit = text.charCodeAt(at)
      if (unit === quote) {
        const last = text.slice(chunkStart, at++)
        return result === '' ? last : result + last
      }
      if (unit === backslash) {
        result += text.slice(chunkStart, at) + parseEscape(opening)
        chunkStart = at
      } else if (unit >= 0x20) at++
      // Also past the end of the text, where the unit is NaN.
      else throw syntaxError(text, at, 'a closing quote')
    }
  }

  function parseEscape(opening: number): string {
    const unit = text.charCodeAt(at + 1)
    if (unit === 0x75) {
      const code = hex(at)
      at += 6
      if (code === 0) {
        throw refusal(opening, 'nul_character', 'A text holds the NUL character: remove it.')
      }
      if (code < 0xd800 || code > 0xdfff) return String.fromCharCode(code)
      // Raw surrogates cannot occur, for the bytes were UTF-8: a pair is escaped as a whole.
      const low = code < 0xdc00 && text.startsWith('\\u', at) ? hex(at) : 0
      if (low < 0xdc00 || low > 0xdfff) {
        throw refusal(
          opening,
          'lone_surrogate',
          'A text holds half a surrogate pair: send both halves.',
        )
      }
      at += 6
      return String.fromCharCode(code, low)
    }
    const found = '"\\/bfnrt'.indexOf(text.charAt(at + 1))
    if (found < 0 || at + 1 >= text.length) throw syntaxError(text, at, 'an escape such as \\n')
    at += 2
    return '"\\/\b\f\n\r\t'.charAt(found)
  }

  function hex(start: number): number {
    let code = 0
    for (let i = start + 2; i < start + 6; i++) {
      const unit = text.charCodeAt(i)
      const lower = unit | 0x20
      if (unit >= 0x30 && unit <= 0x39) code = code * 16 + unit - 0x30
      else if (lower >= 0x61 && lower <= 0x66) code = code * 16 + lower - 0x57
      else throw syntaxError(text, i, 'four hexadecimal digits')
    }
    return code
  }

  function parseNumber(): number {
    const start = at
    if (text.charCodeAt(at) === 0x2d) at++
    const first = text.charCodeAt(at)
    digits()
    if (first === 0x30 && at - start > (text.charCodeAt(start) === 0x2d ? 2 : 1)) {
      throw syntaxError(text, start, 'a number without leading zeros')
    }
    let integral = true
    if (text.charCodeAt(at) === 0x2e) {
      integral = false
      at++
      digits()
    }
    if ((text.charCodeAt(at) | 0x20) === 0x65) {
      integral = false
      at++
      const sign = text.charCodeAt(at)
      if (sign === 0x2b || sign === 0x2d) at++
      digits()
    }
    const written = text.slice(start, at)
    const value = Number(written)
    // Fifteen digits always survive a double: only longer or broken numbers need a closer look.
    if (integral && written.length <= 15 ? false : !isExact(written, value)) {
      throw refusal(
        start,
        'inexact_number',
        'A number has more digits or range than JSON numbers carry exactly: send it as text.',
      )
    }
    // -0 equals 0, and nothing behind this parser keeps the difference.
    return value === 0 ? 0 : value
  }

  function digits(): void {
    const start = at
    for (let unit = text.charCodeAt(at); unit >= 0x30 && unit <= 0x39; unit = text.charCodeAt(at))
      at++
    if (at === start) throw syntaxError(text, at, 'a digit')
  }

  function refusal(offset: number, code: string, message: string): FlowError {
    return new FlowError('invalid_request', message, {
      errors: [{ pointer: pointerAt(text, offset), code, message }],
    })
  }
}

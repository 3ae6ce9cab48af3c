// The strict JSON parser against tables of refusals, and against JSON.parse by properties.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import type { JsonValue } from '../../src/domain/json.ts'
import { isExact } from '../../src/domain/json-number.ts'
import { parseJson } from '../../src/http/json.ts'

const parse = (text: string | Buffer, depth = 32): JsonValue =>
  parseJson(Buffer.isBuffer(text) ? text : Buffer.from(text), { depth })

interface Seen {
  code: string
  message: string
  pointer: string | undefined
  fault: string | undefined
}

function refusal(text: string | Buffer, depth = 32): Seen {
  try {
    parse(text, depth)
  } catch (error) {
    if (!(error instanceof FlowError)) throw error
    const errors = 'errors' in error.detail ? error.detail.errors : undefined
    return {
      code: error.code,
      message: error.message,
      pointer: errors?.[0]?.pointer,
      fault: errors?.[0]?.code,
    }
  }
  throw new Error(`accepted: ${text.toString().slice(0, 80)}`)
}

describe('accepts', () => {
  test.each([
    ['null', null],
    [' \t\r\n true ', true],
    ['"a"', 'a'],
    ['[]', []],
    ['{}', {}],
    ['[1,-2,0,0.1,1.0,1e2,1E+2,2.5e-3]', [1, -2, 0, 0.1, 1, 100, 100, 0.0025]],
    ['9007199254740991', Number.MAX_SAFE_INTEGER],
    ['9007199254740992', 2 ** 53],
    ['1.7976931348623157e308', Number.MAX_VALUE],
    ['5e-324', 5e-324],
    ['0.10', 0.1],
    ['100000000000000000000', 1e20],
    ['"\\u00e9\\ud83d\\ude00\\n\\/\\"\\\\"', 'é😀\n/"\\'],
    ['{"a":{"b":[1,{"c":null}]},"d":"e"}', { a: { b: [1, { c: null }] }, d: 'e' }],
    ['"\u007f\u2028"', '\u007f\u2028'],
  ])('%s', (text, value) => expect(parse(text)).toEqual(value))

  test('-0 is read as 0', () => {
    for (const zero of ['-0', '-0.0', '-0e5', '0e-9']) expect(Object.is(parse(zero), 0)).toBe(true)
  })

  test('members named like those of every object are plain data', () => {
    const text =
      '{"__proto__":{"admin":true},"constructor":{"prototype":1},"toString":2,"hasOwnProperty":3}'
    const value = parse(text)
    expect(JSON.stringify(value)).toBe(text)
    expect(Object.getPrototypeOf(value)).toBe(Object.prototype)
    expect(Reflect.get({}, 'admin')).toBeUndefined()
    expect(Reflect.get(Object(value), 'admin')).toBeUndefined()
  })

  test('nesting up to the limit', () => {
    expect(parse('[[[]]]', 3)).toEqual([[[]]])
    expect(parse('[[],[],{"a":[]}]', 3)).toEqual([[], [], { a: [] }])
  })
})

describe('refuses what is not JSON', () => {
  test.each([
    ['', 'Line 1, column 1: expected a value, found the end.'],
    ['  ', 'Line 1, column 3: expected a value, found the end.'],
    [
      '{"a":1,}',
      'Line 1, column 8: expected a member name in quotes, found "}". Remove the comma before it.',
    ],
    ['[1,]', 'Line 1, column 4: expected a value, found "]". Remove the comma before it.'],
    [
      "{'a':1}",
      `Line 1, column 2: expected a member name in quotes, found "'". Use double quotes.`,
    ],
    ['{a:1}', 'Line 1, column 2: expected a member name in quotes, found a.'],
    ['{"a":b}', 'Line 1, column 6: expected a value, found b. Text needs double quotes.'],
    ['{"a" 1}', 'Line 1, column 6: expected ":", found "1".'],
    ['{"a":1 "b":2}', 'Line 1, column 8: expected "," or "}", found a double quote.'],
    ['{"a":1}}', 'Line 1, column 8: expected the end, found "}".'],
    ['{"a":1', 'Line 1, column 7: expected "," or "}", found the end.'],
    ['[1 2]', 'Line 1, column 4: expected "," or "]", found "2".'],
    [
      '{\n  "a": True\n}',
      'Line 2, column 8: expected a value, found True. Write it in lower case.',
    ],
    ['[NaN]', 'Line 1, column 2: expected a value, found NaN. Use null.'],
    ['// x\n1', 'Line 1, column 1: expected a value, found "/". JSON has no comments.'],
    ['"a', 'Line 1, column 3: expected a closing quote, found the end.'],
    [
      '"a\nb"',
      'Line 1, column 3: expected a closing quote, found a line break. Escape it, as in \\n.',
    ],
    ['"\\x"', 'Line 1, column 2: expected an escape such as \\n, found "\\".'],
    ['"\\u12g4"', 'Line 1, column 6: expected four hexadecimal digits, found g4.'],
    ['"\\', 'Line 1, column 2: expected an escape such as \\n, found "\\".'],
    ['01', 'Line 1, column 1: expected a number without leading zeros, found "0".'],
    ['-01', 'Line 1, column 1: expected a number without leading zeros, found "-".'],
    ['1.', 'Line 1, column 3: expected a digit, found the end.'],
    ['.5', 'Line 1, column 1: expected a value, found ".".'],
    ['+1', 'Line 1, column 1: expected a value, found "+".'],
    ['-', 'Line 1, column 2: expected a digit, found the end.'],
    ['1e', 'Line 1, column 3: expected a digit, found the end.'],
    ['tru', 'Line 1, column 1: expected a value, found tru. Text needs double quotes.'],
    ['nullx', 'Line 1, column 5: expected the end, found x.'],
    ['\u00a01', 'Line 1, column 1: expected a value, found U+00A0.'],
  ])('%j', (text, message) => {
    expect(refusal(text)).toMatchObject({ code: 'malformed_json', message, fault: 'syntax' })
  })

  test('bytes that are not UTF-8, with their place', () => {
    const at = (bytes: number[]) => refusal(Buffer.from(bytes)).message
    expect(at([0x22, 0x61, 0xff, 0x22])).toBe(
      'The body is not UTF-8: byte 2 does not belong there.',
    )
    expect(at([0x22, 0xc3, 0xa9, 0xc3, 0x22])).toContain('byte 3')
    expect(at([0x22, 0xed, 0xa0, 0x80, 0x22])).toContain('byte 1')
    expect(at([0x22, 0xc0, 0xaf, 0x22])).toContain('byte 1')
    expect(at([0x22, 0x61, 0xf0, 0x9f, 0x98])).toContain('byte 2')
    expect(refusal(Buffer.from([0xff])).code).toBe('malformed_json')
  })

  test('a byte order mark', () => {
    expect(refusal('\ufeff{}')).toMatchObject({ code: 'malformed_json', fault: 'encoding' })
  })
})

describe('refuses what cannot be carried as sent, with its pointer', () => {
  test.each([
    ['{"a":["x","\\u0000"]}', '/a/1', 'nul_character'],
    ['{"a\\u0000":1}', '/a\ufffd', 'nul_character'],
    ['{"a":{"b":"\\ud800"}}', '/a/b', 'lone_surrogate'],
    ['{"a":"\\udc00"}', '/a', 'lone_surrogate'],
    ['["\\ud800\\u0041"]', '/0', 'lone_surrogate'],
    ['["\\ud800\\ud800"]', '/0', 'lone_surrogate'],
    ['{"\\udfff":1}', '/\ufffd', 'lone_surrogate'],
    ['{"a":1,"b":{"c":2,"c":3}}', '/b/c', 'duplicate_member'],
    ['{"a":1,"\\u0061":2}', '/a', 'duplicate_member'],
    ['{"__proto__":1,"__proto__":2}', '/__proto__', 'duplicate_member'],
    ['{"a":[0,9007199254740993]}', '/a/1', 'inexact_number'],
    ['{"a/b":{"c~d":1e400}}', '/a~1b/c~0d', 'inexact_number'],
    ['-1e400', '', 'inexact_number'],
    ['1e-400', '', 'inexact_number'],
    ['12345678901234567890', '', 'inexact_number'],
    ['0.1000000000000000055511151231257827', '', 'inexact_number'],
    ['3.14159265358979323846', '', 'inexact_number'],
    ['4.9406564584124654e-324', '', 'inexact_number'],
    [`{"${'k'.repeat(100)}":1e999}`, `/${'k'.repeat(64)}…`, 'inexact_number'],
  ])('%s', (text, pointer, fault) => {
    expect(refusal(text)).toMatchObject({ code: 'invalid_request', pointer, fault })
  })

  test('depth past the limit', () => {
    expect(refusal('{"a":[1,{"b":[]}]}', 3)).toMatchObject({
      code: 'limit_exceeded',
      pointer: '/a/1/b',
    })
    expect(refusal('['.repeat(500_000)).code).toBe('limit_exceeded')
    expect(refusal('{"a":'.repeat(100_000)).code).toBe('limit_exceeded')
  })

  test('every refusal is at most 25 words', () => {
    const texts = ['{"a":1,}', '["\\u0000"]', '["\\ud800"]', '{"a":1,"a":2}', '1e999', '["\u0001"]']
    for (const text of texts)
      expect(refusal(text).message.split(' ').length).toBeLessThanOrEqual(25)
    expect(refusal('[[]]', 1).message.split(' ').length).toBeLessThanOrEqual(25)
  })
})

describe('properties', () => {
  const json = fc
    .jsonValue({ maxDepth: 6, stringUnit: 'binary', noUnicodeString: false })
    .filter((value) => !JSON.stringify(value).includes('\\u0000'))

  test('what JSON.stringify writes is read back', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(undefined, 2, '\t'), (value, space) => {
        const text = JSON.stringify(value, null, space)
        expect(parse(text)).toEqual(JSON.parse(text))
        expect(JSON.stringify(parse(text))).toBe(JSON.stringify(value))
      }),
      { numRuns: 500 },
    )
  })

  test('it accepts nothing that JSON.parse refuses, and reads the same', () => {
    const fragment = fc.constantFrom(
      '{',
      '}',
      '[',
      ']',
      ',',
      ':',
      '"',
      '"a"',
      '1',
      '-',
      '.',
      'e',
      '0',
      'true',
      'null',
      ' ',
      '\\',
      '\\u00e9',
      '\n',
    )
    fc.assert(
      fc.property(fc.array(fragment, { maxLength: 12 }), (fragments) => {
        const text = fragments.join('')
        let value: JsonValue
        try {
          value = parse(text)
        } catch (error) {
          if (error instanceof FlowError && error.code === 'malformed_json') {
            expect(() => JSON.parse(text)).toThrow()
          }
          return
        }
        expect(JSON.stringify(value)).toBe(JSON.stringify(JSON.parse(text)))
      }),
      { numRuns: 5000 },
    )
  })

  test('every double survives its shortest form, and no digit more', () => {
    fc.assert(
      fc.property(fc.double({ noNaN: true, noDefaultInfinity: true }), (value) => {
        const text = JSON.stringify(value)
        expect(isExact(text, Number(text))).toBe(true)
        expect(parse(text)).toBe(value === 0 ? 0 : value)
      }),
      { numRuns: 1000 },
    )
    fc.assert(
      fc.property(fc.bigInt({ min: 2n ** 53n, max: 2n ** 70n }), (value) => {
        const text = String(value)
        expect(isExact(text, Number(text))).toBe(shortestIs(value))
      }),
    )
  })
})

/** Whether the shortest form of the nearest double is this integer. */
function shortestIs(value: bigint): boolean {
  const [digits = '', power = '0'] = Number(value).toExponential().replace('.', '').split('e+')
  return digits.padEnd(Number(power) + 1, '0') === String(value)
}

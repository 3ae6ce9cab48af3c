// Headers that users add: which are taken, and that none can touch the message or its signature.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { checkHeaders } from '../../src/engine/outbound-headers.ts'

function fault(headers: Record<string, string>): string | null {
  try {
    checkHeaders(headers)
    return null
  } catch (error) {
    if (!(error instanceof FlowError) || error.code !== 'invalid_request') throw error
    const [first] = (error as FlowError<'invalid_request'>).detail.errors
    expect(error.message.split(/\s+/).length).toBeLessThanOrEqual(25)
    return `${first?.pointer} ${first?.code}`
  }
}

describe('headers of users', () => {
  test('come back in lower case', () => {
    const headers = { Authorization: 'Bearer t0ken', 'X-Team': '~ a b !', 'x-empty': '' }
    expect(checkHeaders(headers)).toEqual({
      authorization: 'Bearer t0ken',
      'x-team': '~ a b !',
      'x-empty': '',
    })
    expect(checkHeaders({})).toEqual({})
  })

  test.each([
    'host',
    'Host',
    'content-length',
    'Content-Type',
    'content-encoding',
    'TRANSFER-ENCODING',
    'connection',
    'keep-alive',
    'te',
    'trailer',
    'upgrade',
    'expect',
    'cookie',
    'accept-encoding',
    'webhook-signature',
    'Webhook-Id',
    'webhook-anything',
    'taskflow-depth',
    'ce-type',
    'proxy-authorization',
  ])('%s is the service’s own', (name) => {
    expect(fault({ [name]: '1' })).toBe(`/headers/${name} not_allowed`)
  })

  test.each([
    ['', '1', '/headers/ format'],
    ['x y', '1', '/headers/x y format'],
    ['x_y', '1', '/headers/x_y format'],
    ['x:y', '1', '/headers/x:y format'],
    ['x/y', '1', '/headers/x~1y format'],
    ['x\r\ny', '1', '/headers/x\r\ny format'],
    ['é', '1', '/headers/é format'],
    ['ｈｏｓｔ', '1', '/headers/ｈｏｓｔ format'],
    ['x'.repeat(65), '1', `/headers/${'x'.repeat(64)}… format`],
    ['x-a', 'a\r\nx-b: 1', '/headers/x-a format'],
    ['x-a', 'a\n', '/headers/x-a format'],
    ['x-a', 'a\tb', '/headers/x-a format'],
    ['x-a', 'a\u0000', '/headers/x-a format'],
    ['x-a', 'a\u007f', '/headers/x-a format'],
    ['x-a', 'é', '/headers/x-a format'],
    ['x-a', 'a\u2028b', '/headers/x-a format'],
    ['x-a', 'a'.repeat(1025), '/headers/x-a format'],
  ])('%j: %j is refused', (name, value, expected) => {
    expect(fault({ [name]: value })).toBe(expected)
  })

  test('limits are the last that are taken', () => {
    expect(fault({ ['x'.repeat(64)]: 'a'.repeat(1024) })).toBeNull()
    const many = (count: number) =>
      Object.fromEntries(Array.from({ length: count }, (_, i) => [`x-${i}`, '']))
    expect(fault(many(20))).toBeNull()
    expect(fault(many(21))).toBe('/headers too_many')
  })

  test('the same name twice', () => {
    expect(fault({ 'X-Team': 'a', 'x-team': 'b' })).toBe('/headers/x-team duplicate')
  })

  test('a refusal does not repeat a value', () => {
    expect(() => checkHeaders({ authorization: 's3cret\n' })).toThrow(/^(?!.*s3cret)/s)
  })

  test('what is taken can be written into a message without a change of its shape', () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string({ unit: 'binary' }), fc.string()), (headers) => {
        let checked: Record<string, string>
        try {
          checked = checkHeaders(headers)
        } catch (error) {
          expect(error).toBeInstanceOf(FlowError)
          return
        }
        for (const [name, value] of Object.entries(checked)) {
          expect(`${name}: ${value}`).toMatch(/^[a-z0-9-]+: [ -~]*$/)
        }
      }),
    )
  })
})

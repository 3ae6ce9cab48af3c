// Sources: what can be defined, what is kept of a message, and what it is mapped to.

import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import {
  isKeptHeader,
  parseSourceAddress,
  type SourceDefinition,
  sourceAddress,
  sourceIdPattern,
  type Verification,
} from '../../src/domain/source.ts'
import { checkSource } from '../../src/domain/source-check.ts'
import { mapMessage } from '../../src/domain/source-map.ts'

const github: Verification = { scheme: 'github' }
const hmac: Extract<Verification, { scheme: 'hmac' }> = {
  scheme: 'hmac',
  header: 'x-mac',
  algorithm: 'sha256',
  encoding: 'hex',
  prefix: '',
  timestamp_header: null,
  signed_content: '{body}',
  tolerance_ms: 0,
}
const definition: SourceDefinition = {
  verify: github,
  secrets: ['s3cret'],
  map: { topic: 't', correlation_id: '{/id}' },
  ttl_ms: null,
  deliver: 'one',
}

/** Where a definition is refused, or null. */
function refusal(over: Partial<SourceDefinition>, allowUnsigned = false): string | null {
  try {
    checkSource({ ...definition, ...over }, allowUnsigned)
    return null
  } catch (error) {
    if (!(error instanceof FlowError) || !('errors' in error.detail)) throw error
    for (const secret of over.secrets ?? []) expect(error.message).not.toContain(secret)
    expect(error.message.split(/\s+/).length).toBeLessThanOrEqual(25)
    return error.detail.errors?.[0]?.pointer ?? ''
  }
}

describe('a definition', () => {
  test('is taken as long as all of it can work', () => {
    expect(refusal({})).toBeNull()
    expect(refusal({ verify: { scheme: 'none' } }, true)).toBeNull()
    expect(refusal({ verify: hmac })).toBeNull()
    const timed = { ...hmac, timestamp_header: 'x-at', signed_content: 'v0:{timestamp}:{body}' }
    expect(refusal({ verify: timed })).toBeNull()
    expect(refusal({ verify: { ...hmac, signed_content: '{header:x-id}.{body}' } })).toBeNull()
    const verify = { scheme: 'standard-webhooks', tolerance_ms: 1 } as const
    expect(
      refusal({ verify, secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw', 'TWZL'] }),
    ).toBeNull()
    expect(refusal({ map: { ...definition.map, event_id: null } })).toBeNull()
  })

  test.each<[string, Partial<SourceDefinition>]>([
    ['/verify/scheme', { verify: { scheme: 'none' } }],
    ['/map/topic', { map: { topic: '{x}', correlation_id: 'c' } }],
    ['/map/topic', { map: { topic: 'x'.repeat(256), correlation_id: 'c' } }],
    ['/map/correlation_id', { map: { topic: 't', correlation_id: '{/a' } }],
    ['/map/event_id', { map: { topic: 't', correlation_id: 'c', event_id: '}' } }],
    ['/map/topic', { map: { topic: '{header:Authorization}', correlation_id: 'c' } }],
    ['/map/topic', { map: { topic: '{header:x-mac}', correlation_id: 'c' }, verify: hmac }],
    ['/verify/signed_content', { verify: { ...hmac, signed_content: 'constant' } }],
    ['/verify/signed_content', { verify: { ...hmac, signed_content: '{body' } }],
    ['/verify/signed_content', { verify: { ...hmac, signed_content: '{/id}{body}' } }],
    ['/verify/signed_content', { verify: { ...hmac, signed_content: '{timestamp}{body}' } }],
    ['/verify/signed_content', { verify: { ...hmac, timestamp_header: 'x-at' } }],
    [
      '/verify/secrets/1',
      {
        verify: { scheme: 'standard-webhooks', tolerance_ms: 1 },
        secrets: ['whsec_TWZL', 'not base64!'],
      },
    ],
    ['/verify/secrets/0', { verify: { scheme: 'bearer' }, secrets: ['two words'] }],
  ])('is refused at %s', (pointer, over) => {
    expect(refusal(over)).toBe(pointer)
  })
})

describe('an address', () => {
  test('is the id, with the namespace in front unless it is the default', () => {
    expect(sourceAddress({ namespace: 'default', id: 'a' })).toBe('a')
    for (const source of [
      { namespace: 'default', id: 'a.b' },
      { namespace: 'team', id: 'a' },
      { namespace: 'a:b', id: 'c' },
    ]) {
      expect(parseSourceAddress(sourceAddress(source))).toEqual(source)
    }
  })

  test('holds ids that stand in a path as they are', () => {
    const id = new RegExp(sourceIdPattern)
    for (const good of ['a', '-', '_x', 'a.b-c_d', 'x'.repeat(100)])
      expect(id.test(good)).toBe(true)
    for (const bad of ['', '.', '..', '.a', 'a/b', 'a:b', 'ä', 'a b', 'x'.repeat(101), 'a\n']) {
      expect(id.test(bad), bad).toBe(false)
    }
  })
})

describe('headers that are kept', () => {
  test.each([
    'content-type',
    'user-agent',
    'x-github-event',
    'webhook-id',
    'idempotency-key',
    'x-author',
  ])('%s is', (name) => expect(isKeptHeader(name, github)).toBe(true))
  test.each([
    'authorization',
    'proxy-authorization',
    'cookie',
    'x-hub-signature-256',
    'stripe-signature',
    'webhook-signature',
    'x-gitlab-token',
    'x-api-key',
    'x-amz-security-token',
    'x-shared-secret',
    'content-length',
  ])('%s is not', (name) => expect(isKeptHeader(name, github)).toBe(false))

  test('the header of an hmac is not, whatever its name', () => {
    expect(isKeptHeader('x-mac', hmac)).toBe(false)
    expect(isKeptHeader('x-mac', github)).toBe(true)
  })
})

describe('a message', () => {
  const map = { topic: 'pay.{/type}', correlation_id: '{/order}' }
  const body = { type: 'paid', order: 42, id: 'evt_1' }
  const stripe: Verification = { scheme: 'stripe', tolerance_ms: 1 }

  test('is mapped, with the usual id of its scheme unless the map says otherwise', () => {
    const from = { headers: {}, body }
    const event = (over: object, verify: Verification = stripe) =>
      mapMessage({ verify, map: { ...map, ...over } }, from)
    const mapped = { topic: 'pay.paid', correlation_id: '42', event_id: 'evt_1' }
    expect(event({})).toEqual({ mapped })
    expect(event({ event_id: null })).toEqual({ mapped: { ...mapped, event_id: null } })
    expect(event({ event_id: 'x-{/order}' })).toEqual({ mapped: { ...mapped, event_id: 'x-42' } })
    expect(event({}, { scheme: 'bearer' })).toEqual({ mapped: { ...mapped, event_id: null } })
  })

  test('without the usual id has none; without one that was asked for is not mapped', () => {
    const verify: Verification = { scheme: 'slack', tolerance_ms: 1 }
    const from = { headers: {}, body: { type: 'command', order: 1 } }
    expect(mapMessage({ verify, map }, from)).toMatchObject({ mapped: { event_id: null } })
    expect(mapMessage({ verify, map: { ...map, event_id: '{/event_id}' } }, from)).toEqual({
      faults: [{ member: 'event_id', message: 'The body has no /event_id.' }],
    })
  })

  test('is told all that it lacks at once', () => {
    const long = { type: 'x'.repeat(300), order: '' }
    expect(mapMessage({ verify: stripe, map }, { headers: {}, body: long })).toEqual({
      faults: [
        { member: 'topic', message: 'It would have more than 255 characters.' },
        { member: 'correlation_id', message: 'It would be empty.' },
      ],
    })
  })
})

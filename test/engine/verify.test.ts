// Verification: vectors of the providers and of openssl, every scheme, rotation, time, and forgeries
// that differ by one bit.

import { execFileSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { HmacVerification, Verification } from '../../src/domain/source.ts'
import { type RawMessage, verifyMessage } from '../../src/engine/verify.ts'

const now = Date.parse('2026-04-23T15:00:00.000Z')
const seconds = now / 1000
const tolerance_ms = 300_000
const body = Buffer.from('{"type":"paid","note":"é \u{1F600}"}')

/** A digest by a program that shares no line with the service: `openssl dgst`. */
function openssl(algorithm: string, keyHex: string, content: Buffer): Buffer {
  return execFileSync(
    'openssl',
    ['dgst', `-${algorithm}`, '-mac', 'HMAC', '-macopt', `hexkey:${keyHex}`, '-binary'],
    { input: content },
  )
}
const keyOf = (secret: string) => Buffer.from(secret).toString('hex')
const hmac256 = (secret: string, ...content: (string | Buffer)[]) =>
  openssl('sha256', keyOf(secret), Buffer.concat(content.map((part) => Buffer.from(part))))

interface Sample {
  verify: Verification
  secret: string
  other: string
  message: RawMessage
  /** The header whose bits are the signature's alone. */
  signature: string
  /** How far into the header the signature begins. */
  from?: number
}

const standardKey = Buffer.from('a secret of twenty-four b')
const standardSecret = `whsec_${standardKey.toString('base64')}`
const standardSignature = openssl(
  'sha256',
  standardKey.toString('hex'),
  Buffer.concat([Buffer.from(`msg_1.${seconds}.`), body]),
).toString('base64')
const custom: HmacVerification = {
  scheme: 'hmac',
  header: 'x-mac',
  algorithm: 'sha512',
  encoding: 'base64',
  prefix: 'mac=',
  timestamp_header: 'x-at',
  signed_content: '{header:x-id}|{timestamp}|{body}',
  tolerance_ms,
}
const customSignature = openssl(
  'sha512',
  keyOf('s3cret'),
  Buffer.concat([Buffer.from(`77|${seconds}|`), body]),
).toString('base64')

const samples: Record<string, Sample> = {
  'standard-webhooks': {
    verify: { scheme: 'standard-webhooks', tolerance_ms },
    secret: standardSecret,
    other: `whsec_${Buffer.from('another secret of 24 b..').toString('base64')}`,
    message: {
      headers: {
        'webhook-id': 'msg_1',
        'webhook-timestamp': String(seconds),
        'webhook-signature': `v1,${standardSignature}`,
      },
      body,
    },
    signature: 'webhook-signature',
  },
  github: {
    verify: { scheme: 'github' },
    secret: 's3cret',
    other: 's3cres',
    message: {
      headers: { 'x-hub-signature-256': `sha256=${hmac256('s3cret', body).toString('hex')}` },
      body,
    },
    signature: 'x-hub-signature-256',
  },
  stripe: {
    verify: { scheme: 'stripe', tolerance_ms },
    secret: 'whsec_stripe',
    other: 'whsec_',
    message: {
      headers: {
        'stripe-signature': `t=${seconds},v1=${hmac256('whsec_stripe', `${seconds}.`, body).toString('hex')}`,
      },
      body,
    },
    signature: 'stripe-signature',
  },
  slack: {
    verify: { scheme: 'slack', tolerance_ms },
    secret: 's3cret',
    other: 'S3cret',
    message: {
      headers: {
        'x-slack-request-timestamp': String(seconds),
        'x-slack-signature': `v0=${hmac256('s3cret', `v0:${seconds}:`, body).toString('hex')}`,
      },
      body,
    },
    signature: 'x-slack-signature',
  },
  hmac: {
    verify: custom,
    secret: 's3cret',
    other: 's3cre',
    message: {
      headers: { 'x-id': '77', 'x-at': String(seconds), 'x-mac': `mac=${customSignature}` },
      body,
    },
    signature: 'x-mac',
  },
}

const verdict = ({ verify, secret, message }: Sample, at = now) =>
  verifyMessage(verify, [secret], message, at)
const withHeaders = (sample: Sample, over: Record<string, string | undefined>): Sample => {
  const entries = Object.entries({ ...sample.message.headers, ...over })
  const headers = Object.fromEntries(
    entries.flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])),
  )
  return { ...sample, message: { ...sample.message, headers } }
}
const named = Object.entries(samples)

describe('vectors of the providers', () => {
  test('GitHub: Hello, World!', () => {
    const message = {
      headers: {
        'x-hub-signature-256':
          'sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17',
      },
      body: Buffer.from('Hello, World!'),
    }
    const secrets = ["It's a Secret to Everybody"]
    expect(verifyMessage({ scheme: 'github' }, secrets, message, now)).toBe('verified')
  })

  test('Slack: a slash command', () => {
    const message = {
      headers: {
        'x-slack-request-timestamp': '1531420618',
        'x-slack-signature': 'v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503',
      },
      body: Buffer.from(
        'token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c',
      ),
    }
    const secrets = ['8f742231b10e8888abcd99yyyzzz85a5']
    const at = 1531420618_000
    const verify: Verification = { scheme: 'slack', tolerance_ms }
    expect(verifyMessage(verify, secrets, message, at)).toBe('verified')
    expect(verifyMessage(verify, secrets, message, now)).toBe('refused')
  })

  test('Standard Webhooks: the vector of the reference libraries, under both names', () => {
    const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    const bytes = Buffer.from('{"test": 2432232314}')
    const secrets = ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw']
    const verify: Verification = { scheme: 'standard-webhooks', tolerance_ms }
    for (const prefix of ['webhook', 'svix']) {
      const headers = {
        [`${prefix}-id`]: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        [`${prefix}-timestamp`]: '1614265330',
        [`${prefix}-signature`]: signature,
      }
      const message = { headers, body: bytes }
      expect(verifyMessage(verify, secrets, message, 1614265330_000)).toBe('verified')
    }
  })
})

describe.each(named)('%s', (_name, sample) => {
  test('takes what openssl signed', () => {
    expect(verdict(sample)).toBe('verified')
  })

  test('with several live secrets takes what any of them signed', () => {
    const { verify, secret, other, message } = sample
    expect(verifyMessage(verify, [other, secret], message, now)).toBe('verified')
    expect(verifyMessage(verify, [secret, other], message, now)).toBe('verified')
    expect(verifyMessage(verify, [other], message, now)).toBe('refused')
    expect(verifyMessage(verify, [], message, now)).toBe('refused')
  })

  test('tells a message without a signature from one with a wrong one', () => {
    expect(verdict(withHeaders(sample, { [sample.signature]: undefined }))).toBe('unsigned')
    for (const value of ['', '=', 'v1,', 'sha256=', 't=1,v1=', 'v0=', 'mac=', 'x'.repeat(10_000)]) {
      expect(verdict(withHeaders(sample, { [sample.signature]: value })), value).toBe('refused')
    }
  })

  test('refuses a body with any bit changed, one byte more, and one less', () => {
    fc.assert(
      fc.property(fc.nat(body.length * 8 - 1), (bit) => {
        const forged = Buffer.from(body)
        forged[bit >> 3] = (forged[bit >> 3] as number) ^ (1 << (bit & 7))
        expect(verdict({ ...sample, message: { ...sample.message, body: forged } })).toBe('refused')
      }),
    )
    for (const forged of [body.subarray(1), body.subarray(0, -1), Buffer.concat([body, body])]) {
      expect(verdict({ ...sample, message: { ...sample.message, body: forged } })).toBe('refused')
    }
  })

  test('refuses a header with any bit changed', () => {
    const { headers } = sample.message
    fc.assert(
      fc.property(fc.constantFrom(...Object.keys(headers)), fc.nat(), (name, n) => {
        const bytes = Buffer.from(headers[name] ?? '', 'latin1')
        const bit = n % (bytes.length * 8)
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
        const forged = withHeaders(sample, { [name]: bytes.toString('latin1') })
        expect(verdict(forged)).not.toBe('verified')
      }),
      { numRuns: 500 },
    )
  })

  test('never throws, whatever the headers hold', () => {
    const names = [...Object.keys(sample.message.headers), '__proto__', 'constructor']
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom(...names), fc.string({ unit: 'binary' })),
        (headers) => {
          expect(verdict({ ...sample, message: { headers, body } })).not.toBe('verified')
        },
      ),
    )
  })
})

const timed = named.filter(([, { verify }]) => 'tolerance_ms' in verify)
test.each(timed)('%s: a time of signing counts within the tolerance alone', (_name, sample) => {
  expect(verdict(sample, now + tolerance_ms)).toBe('verified')
  expect(verdict(sample, now - tolerance_ms)).toBe('verified')
  expect(verdict(sample, now + tolerance_ms + 1)).toBe('refused')
  expect(verdict(sample, now - tolerance_ms - 1)).toBe('refused')
})

describe('standard-webhooks', () => {
  const sample = samples['standard-webhooks'] as Sample
  test('takes one good signature among several, of version 1 alone', () => {
    const good = `v1,${standardSignature}`
    for (const [value, expected] of [
      [`v1,AAAA ${good}`, 'verified'],
      [`v1a,xxxx ${good}`, 'verified'],
      [`v2,${standardSignature}`, 'refused'],
      [`v1a,${standardSignature}`, 'refused'],
      [`${'v1,AAAA '.repeat(16)}${good}`, 'refused'],
    ] as const) {
      expect(verdict(withHeaders(sample, { 'webhook-signature': value })), value).toBe(expected)
    }
  })

  test('needs an id and a time', () => {
    for (const name of ['webhook-id', 'webhook-timestamp']) {
      for (const value of [undefined, '', ' ']) {
        expect(verdict(withHeaders(sample, { [name]: value }))).toBe('refused')
      }
    }
  })
})

describe('stripe', () => {
  const sample = samples['stripe'] as Sample
  const given = sample.message.headers['stripe-signature'] ?? ''
  test('takes one good signature among several, and one time', () => {
    const [time, good] = given.split(',')
    for (const [value, expected] of [
      [`${time},v1=${'0'.repeat(64)},${good}`, 'verified'],
      [`${time},v0=${'0'.repeat(64)}, ${good}`, 'verified'],
      [`${time},${good?.replace('v1', 'v0')}`, 'refused'],
      [`t=${seconds - 9999},${time},${good}`, 'refused'],
      [`${time},t=${seconds - 9999},${good}`, 'refused'],
      [`${good}`, 'refused'],
    ] as const) {
      expect(verdict(withHeaders(sample, { 'stripe-signature': value })), value).toBe(expected)
    }
  })
})

describe('hmac', () => {
  const sign = (over: Partial<HmacVerification>, signature: string, at = String(seconds)) => {
    const verify = { ...custom, prefix: '', signed_content: '{body}', ...over }
    const message = { headers: { 'x-mac': signature, 'x-at': at }, body }
    return verifyMessage(verify, ['s3cret'], message, now)
  }
  const plain = { timestamp_header: null }

  test.each(['sha256', 'sha512', 'sha1'] as const)('with %s, in both encodings', (algorithm) => {
    const made = openssl(algorithm, keyOf('s3cret'), body)
    const hex = made.toString('hex')
    const base64 = made.toString('base64')
    expect(sign({ ...plain, algorithm, encoding: 'hex' }, hex)).toBe('verified')
    expect(sign({ ...plain, algorithm, encoding: 'hex' }, hex.toUpperCase())).toBe('verified')
    expect(sign({ ...plain, algorithm, encoding: 'base64' }, base64)).toBe('verified')
    expect(sign({ ...plain, algorithm, encoding: 'base64' }, hex)).toBe('refused')
    expect(sign({ ...plain, algorithm: 'sha256', encoding: 'hex' }, hex)).toBe(
      algorithm === 'sha256' ? 'verified' : 'refused',
    )
  })

  test.each([
    [String(now), 'verified'],
    ['2026-04-23T15:00:00Z', 'verified'],
    ['2026-04-23T17:04:59.123456789+02:00', 'verified'],
    ['2026-04-23T15:06:00Z', 'refused'],
    ['2026-04-23', 'refused'],
    ['2026-13-23T15:00:00Z', 'refused'],
    ['', 'refused'],
    ['-1', 'refused'],
    ['1e9', 'refused'],
  ])('reads the time %s', (at, expected) => {
    const made = hmac256('s3cret', `${at}.`, body).toString('hex')
    const over = {
      algorithm: 'sha256',
      encoding: 'hex',
      signed_content: '{timestamp}.{body}',
    } as const
    expect(sign(over, made, at)).toBe(expected)
  })

  test('signs headers by their bytes', () => {
    const name = 'Zoë'
    const verify = { ...custom, ...plain, signed_content: '{header:x-name}:{body}' }
    const bytes = Buffer.concat([Buffer.from(name, 'utf8'), Buffer.from(':'), body])
    const made = openssl('sha512', keyOf('s3cret'), bytes).toString('base64')
    const headers = {
      'x-mac': `mac=${made}`,
      // As Node gives it.
      'x-name': Buffer.from(name, 'utf8').toString('latin1'),
    }
    expect(verifyMessage(verify, ['s3cret'], { headers, body }, now)).toBe('verified')
  })
})

describe('bearer', () => {
  const verify: Verification = { scheme: 'bearer' }
  const judge = (authorization?: string) =>
    verifyMessage(
      verify,
      ['old', 'token-1'],
      { headers: { ...(authorization !== undefined && { authorization }) }, body },
      now,
    )
  test.each([
    ['Bearer token-1', 'verified'],
    ['bearer old', 'verified'],
    ['Bearer token-2', 'refused'],
    ['Bearer token-11', 'refused'],
    ['Bearer ', 'refused'],
    ['Bearer', 'refused'],
    ['Basic token-1', 'refused'],
    ['token-1', 'refused'],
    ['', 'refused'],
  ])('%s', (header, expected) => expect(judge(header)).toBe(expected))
  test('nothing', () => expect(judge()).toBe('unsigned'))
})

test('none takes everything', () => {
  expect(verifyMessage({ scheme: 'none' }, [], { headers: {}, body }, now)).toBe('verified')
})

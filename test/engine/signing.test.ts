// Signatures, judged by the specification's own library and by the service's own verification.

import { Webhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { checkSecret, newSecret, signedHeaders } from '../../src/engine/signing.ts'
import { verifyMessage } from '../../src/engine/verify.ts'
import { unixNow } from '../support/webhooks.ts'

const id = '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15'
const body = '{"type":"flow.finished","note":"é \u{1F600}"}'
const secretOf = (bytes: number) => `whsec_${Buffer.alloc(bytes, 0xfb).toString('base64')}`

describe('a signature', () => {
  test('is what the specification gives as its example', () => {
    expect(
      signedHeaders({
        id: 'msg_p5jXN8AQM9LWM0D4loKWxJek',
        timestamp: 1614265330,
        body: '{"test": 2432232314}',
        secrets: ['whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw'],
      }),
    ).toEqual({
      'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
      'webhook-timestamp': '1614265330',
      'webhook-signature': 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=',
    })
  })

  test('is taken by the official library, as text and as bytes', () => {
    const secret = newSecret()
    for (const sent of [body, Buffer.from(body)]) {
      const headers = signedHeaders({ id, timestamp: unixNow(), body: sent, secrets: [secret] })
      expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body))
    }
  })

  test('one for each live secret, in order, and each receiver takes its own', () => {
    const secrets = [newSecret(), newSecret()]
    const headers = signedHeaders({ id, timestamp: unixNow(), body, secrets })
    expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/)
    for (const secret of secrets) new Webhook(secret).verify(body, headers)
    expect(() => new Webhook(newSecret()).verify(body, headers)).toThrow('No matching signature')
  })

  test.each([
    ['another body', (h: Headers) => [h, `${body} `] as const],
    ['another id', (h: Headers) => [{ ...h, 'webhook-id': 'x' }, body] as const],
    [
      'another time',
      (h: Headers) =>
        [{ ...h, 'webhook-timestamp': String(Number(h['webhook-timestamp']) + 1) }, body] as const,
    ],
  ])('does not fit %s', (_, forge) => {
    const secret = newSecret()
    const signed = signedHeaders({ id, timestamp: unixNow(), body, secrets: [secret] })
    const [headers, content] = forge(signed)
    expect(() => new Webhook(secret).verify(content, headers)).toThrow('No matching signature')
  })

  test('is taken by a source of this service', () => {
    const secret = newSecret()
    const timestamp = unixNow()
    const headers = signedHeaders({ id, timestamp, body, secrets: [newSecret(), secret] })
    const verify = { scheme: 'standard-webhooks', tolerance_ms: 300_000 } as const
    const message = { headers, body: Buffer.from(body) }
    expect(verifyMessage(verify, [secret], message, timestamp * 1000)).toBe('verified')
    expect(verifyMessage(verify, [newSecret()], message, timestamp * 1000)).toBe('refused')
  })
})

type Headers = ReturnType<typeof signedHeaders>

describe('a secret', () => {
  test('that is new has 32 random bytes', () => {
    const secrets = new Set(Array.from({ length: 100 }, newSecret))
    expect(secrets.size).toBe(100)
    for (const secret of secrets) {
      expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
      checkSecret(secret)
    }
  })

  test.each([24, 25, 26, 32, 63, 64])('of %i bytes is taken', (bytes) => {
    expect(() => checkSecret(secretOf(bytes))).not.toThrow()
  })

  test.each([
    ['nothing', ''],
    ['a prefix alone', 'whsec_'],
    ['no prefix', secretOf(32).slice(6)],
    ['another prefix', secretOf(32).replace('whsec', 'whpk')],
    ['23 bytes', secretOf(23)],
    ['65 bytes', secretOf(65)],
    ['no padding', secretOf(32).slice(0, -1)],
    ['base64url', secretOf(33).replaceAll('+', '-').replaceAll('/', '_')],
    ['a space within', secretOf(32).replace('w', 'w ')],
    ['a line break behind', `${secretOf(32)}\n`],
    ['a password', 'whsec_correct horse battery staple'],
    ['the prefix twice', `whsec_${secretOf(32)}`],
  ])('%s is refused, and not repeated', (_, secret) => {
    let refusal: unknown
    try {
      checkSecret(secret, '/hooks/0/secret')
    } catch (error) {
      refusal = error
    }
    expect(refusal).toBeInstanceOf(FlowError)
    expect(refusal).toMatchObject({
      code: 'invalid_request',
      detail: { errors: [{ pointer: '/hooks/0/secret', code: 'format' }] },
    })
    if (secret.length > 6) expect(JSON.stringify(refusal)).not.toContain(secret.slice(6))
  })
})

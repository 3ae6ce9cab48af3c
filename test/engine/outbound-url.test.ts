// URLs to send to: what is refused when one is saved, and why.

import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { checkOutboundUrl, type OutboundRules } from '../../src/engine/outbound-url.ts'

const open: OutboundRules = { allowPrivate: true }
const closed: OutboundRules = { allowPrivate: false, allowedPorts: [8443] }

function judge(text: string, rules: OutboundRules): string {
  try {
    return checkOutboundUrl(text, rules).href
  } catch (error) {
    if (!(error instanceof FlowError) || error.code !== 'url_not_allowed') throw error
    expect(error.message.split(/\s+/).length).toBeLessThanOrEqual(25)
    return `reason: ${(error as FlowError<'url_not_allowed'>).detail.reason}`
  }
}

describe('the public Internet', () => {
  test.each([
    ['https://example.com', 'https://example.com/'],
    ['https://example.com/hook?tenant=1&x=%20', 'https://example.com/hook?tenant=1&x=%20'],
    ['HTTPS://Example.COM/Hook', 'https://example.com/Hook'],
    ['https://example.com:443/', 'https://example.com/'],
    ['https://example.com:8443/', 'https://example.com:8443/'],
    ['https://bücher.example/', 'https://xn--bcher-kva.example/'],
    ['https://8.8.8.8/', 'https://8.8.8.8/'],
    ['https://[2606:4700:4700::1111]/', 'https://[2606:4700:4700::1111]/'],
    ['https://localhost.example.com/', 'https://localhost.example.com/'],
    ['https://notlocalhost/', 'https://notlocalhost/'],
    ['https://internal.example.com/', 'https://internal.example.com/'],
  ])('%s is let through', (text, href) => expect(judge(text, closed)).toBe(href))
})

describe('refused, whatever is allowed', () => {
  test.each([
    ['', 'malformed'],
    ['example.com/hook', 'malformed'],
    ['/hook', 'malformed'],
    ['https://', 'malformed'],
    ['https://exa mple.com/', 'malformed'],
    ['https://example.com/a b', 'malformed'],
    [' https://example.com/', 'malformed'],
    ['https://example.com/\r\nhost: evil', 'malformed'],
    ['ht\ntps://example.com/', 'malformed'],
    ['https://example.com/\u0000', 'malformed'],
    ['https://1.2.3.4.5/', 'malformed'],
    ['https://[::1', 'malformed'],
    ['https://[fe80::1%25eth0]/', 'malformed'],
    ['https://example.com:99999/', 'malformed'],
    [`https://example.com/${'x'.repeat(2048)}`, 'too_long'],
    ['ftp://example.com/', 'scheme'],
    ['file:///etc/passwd', 'scheme'],
    ['gopher://127.0.0.1:6379/_x', 'scheme'],
    ['javascript:alert(1)', 'scheme'],
    ['data:text/plain,x', 'scheme'],
    ['ws://example.com/', 'scheme'],
    ['https://user@example.com/', 'credentials'],
    ['https://user:pass@example.com/', 'credentials'],
    ['https://:pass@example.com/', 'credentials'],
    ['https://example.com@127.0.0.1/', 'credentials'],
    ['https://example.com/#x', 'fragment'],
    ['https://example.com/#', 'fragment'],
    ['https://example.com./', 'trailing_dot'],
    ['https://localhost./', 'trailing_dot'],
  ])('%j: %s', (text, reason) => {
    for (const rules of [open, closed]) expect(judge(text, rules)).toBe(`reason: ${reason}`)
  })

  test('the longest is still let through', () => {
    const text = `https://example.com/${'x'.repeat(2028)}`
    expect(text.length).toBe(2048)
    expect(judge(text, closed)).toBe(text)
  })
})

describe('refused, unless private networks are allowed', () => {
  test.each([
    ['http://example.com/', 'scheme'],
    ['https://localhost/', 'name'],
    ['https://LOCALHOST/', 'name'],
    ['https://ｌｏｃａｌｈｏｓｔ/', 'name'],
    ['https://%6cocalhost/', 'name'],
    ['https://local\u00adhost/', 'name'],
    ['https://a.localhost/', 'name'],
    ['https://printer.local/', 'name'],
    ['https://metadata.google.internal/computeMetadata/v1/', 'name'],
    ['https://internal/', 'name'],
    ['https://127.0.0.1/', 'address'],
    ['https://127.1/', 'address'],
    ['https://2130706433/', 'address'],
    ['https://0x7f.1/', 'address'],
    ['https://0177.0.0.1/', 'address'],
    ['https://①②⑦.⓪.⓪.①/', 'address'],
    ['https://0/', 'address'],
    ['https://169.254.169.254/latest/meta-data/', 'address'],
    ['https://100.100.100.200/', 'address'],
    ['https://192.0.0.192/', 'address'],
    ['https://[fd00:ec2::254]/', 'address'],
    ['https://[::1]/', 'address'],
    ['https://[::]/', 'address'],
    ['https://[::ffff:127.0.0.1]/', 'address'],
    ['https://[::ffff:7f00:1]/', 'address'],
    ['https://[::127.0.0.1]/', 'address'],
    ['https://[64:ff9b::7f00:1]/', 'address'],
    ['https://[2002:7f00:1::]/', 'address'],
    ['https://[2001:0:1::1]/', 'address'],
    ['https://[fe80::1]/', 'address'],
    ['https://example.com:80/', 'port'],
    ['https://example.com:22/', 'port'],
    ['https://example.com:6379/', 'port'],
    ['https://example.com:8444/', 'port'],
    ['https://8.8.8.8:5432/', 'port'],
  ])('%j: %s', (text, reason) => {
    expect(judge(text, closed)).toBe(`reason: ${reason}`)
    expect(judge(text, open)).toMatch(/^https?:/)
  })

  test('a refusal names the host as it was understood, and no credentials', () => {
    const refused = (text: string) => {
      try {
        checkOutboundUrl(text, closed)
      } catch (error) {
        return error
      }
      return null
    }
    expect(refused('https://0x7f.1/')).toMatchObject({
      code: 'url_not_allowed',
      detail: { url_host: '127.0.0.1', reason: 'address' },
    })
    expect(JSON.stringify(refused('https://user:s3cret@example.com/'))).not.toContain('s3cret')
    expect(refused('nonsense')).toMatchObject({ detail: { reason: 'malformed' } })
    expect(refused('nonsense')).not.toHaveProperty('detail.url_host')
  })
})

// Addresses: every one of a closed net is refused in every spelling, every other one is let through.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import { isPublicAddress } from '../../src/engine/net-guard.ts'
import { checkOutboundUrl } from '../../src/engine/outbound-url.ts'

/** Written as numbers, so that they share nothing with the lists of the service. */
const nets4: readonly (readonly [number, number])[] = [
  [0x00000000, 8],
  [0x0a000000, 8],
  [0x64400000, 10],
  [0x7f000000, 8],
  [0xa9fe0000, 16],
  [0xac100000, 12],
  [0xc0000000, 24],
  [0xc0000200, 24],
  [0xc0586300, 24],
  [0xc0a80000, 16],
  [0xc6120000, 15],
  [0xc6336400, 24],
  [0xcb007100, 24],
  [0xe0000000, 4],
  [0xf0000000, 4],
]

const nets6: readonly (readonly [bigint, number])[] = [
  [0n, 96],
  [0xffffn << 32n, 96],
  [0x0064_ff9bn << 96n, 96],
  [0x0064_ff9b_0001n << 80n, 48],
  [0x0100n << 112n, 64],
  [0x2001n << 112n, 32],
  [0x2001n << 112n, 23],
  [0x2001_0db8n << 96n, 32],
  [0x2002n << 112n, 16],
  [0x3fffn << 112n, 20],
  [0x5f00n << 112n, 16],
  [0xfc00n << 112n, 7],
  [0xfe80n << 112n, 10],
  [0xfec0n << 112n, 10],
  [0xff00n << 112n, 8],
]

const in4 = fc
  .tuple(fc.constantFrom(...nets4), fc.nat(0xffffffff))
  .map(([[net, prefix], any]) => (net + (any % 2 ** (32 - prefix))) >>> 0)
const in6 = fc
  .tuple(fc.constantFrom(...nets6), fc.bigInt(0n, (1n << 128n) - 1n))
  .map(([[net, prefix], any]) => net | (any & ((1n << BigInt(128 - prefix)) - 1n)))

const isClosed4 = (n: number) =>
  nets4.some(([net, prefix]) => Math.floor(n / 2 ** (32 - prefix)) === net / 2 ** (32 - prefix))
const isClosed6 = (n: bigint) =>
  n >> 125n !== 1n || nets6.some(([net, prefix]) => (n ^ net) >> BigInt(128 - prefix) === 0n)

const bytes = (n: number) => [n >>> 24, (n >>> 16) & 255, (n >>> 8) & 255, n & 255]
const dotted = (n: number) => bytes(n).join('.')
const full = (digits: string) =>
  digits.replace(/[0-9a-f.]/gi, (c) => String.fromCodePoint((c.codePointAt(0) ?? 0) + 0xfee0))
const circled = (digits: string) =>
  digits.replace(/[1-9]/g, (c) => String.fromCodePoint(0x2460 + Number(c) - 1)).replaceAll('0', '⓪')

/** What URL parsers, and the C functions that resolvers use, take for an IPv4 address. */
const spellings4: readonly ((n: number) => string)[] = [
  dotted,
  (n) => `${dotted(n)}.`,
  (n) => String(n),
  (n) => `0x${n.toString(16)}`,
  (n) => `0X${n.toString(16).toUpperCase()}`,
  (n) => `0${n.toString(8)}`,
  (n) =>
    bytes(n)
      .map((b) => `0x${b.toString(16)}`)
      .join('.'),
  (n) =>
    bytes(n)
      .map((b) => `0${b.toString(8)}`)
      .join('.'),
  (n) =>
    bytes(n)
      .map((b) => `000${b.toString(8)}`)
      .join('.'),
  (n) => `${n >>> 24}.${n & 0xffffff}`,
  (n) => `${n >>> 24}.${(n >>> 16) & 255}.0x${(n & 0xffff).toString(16)}`,
  (n) => full(dotted(n)),
  (n) => circled(dotted(n)),
  (n) => dotted(n).replaceAll('.', '。'),
  (n) => dotted(n).replace(/\d/g, (digit) => `%3${digit}`),
  (n) => dotted(n).replaceAll('.', '%2e'),
]

const groups = (n: bigint) =>
  Array.from({ length: 8 }, (_, i) => Number((n >> BigInt(112 - 16 * i)) & 0xffffn))
const hex = (n: number) => n.toString(16)
const shortened = (n: bigint) =>
  new URL(`http://[${groups(n).map(hex).join(':')}]`).hostname.slice(1, -1)
const spellings6: readonly ((n: bigint) => string)[] = [
  (n) => groups(n).map(hex).join(':'),
  (n) => groups(n).map(hex).join(':').toUpperCase(),
  (n) =>
    groups(n)
      .map((group) => hex(group).padStart(4, '0'))
      .join(':'),
  (n) => `${groups(n).slice(0, 6).map(hex).join(':')}:${dotted(Number(n & 0xffffffffn))}`,
  shortened,
]

/** Why a URL with this host is refused; null when it is not. */
function refusal(host: string): string | null {
  try {
    checkOutboundUrl(`https://${host}/hook`, { allowPrivate: false })
    return null
  } catch (error) {
    if (error instanceof FlowError && error.code === 'url_not_allowed') {
      return JSON.stringify(error.detail)
    }
    throw error
  }
}

describe('closed nets', () => {
  test('IPv4: every address of one is refused, however a URL spells it', () => {
    fc.assert(
      fc.property(in4, fc.constantFrom(...spellings4), (n, spell) => {
        expect(isPublicAddress(dotted(n))).toBe(false)
        expect(refusal(spell(n)), spell(n)).toContain('"address"')
      }),
      { numRuns: 2_000 },
    )
  })

  test('IPv6: every address of one is refused, however it is spelt', () => {
    fc.assert(
      fc.property(in6, fc.constantFrom(...spellings6), (n, spell) => {
        expect(isPublicAddress(spell(n)), spell(n)).toBe(false)
        expect(refusal(`[${spell(n)}]`), spell(n)).toContain('"address"')
      }),
      { numRuns: 2_000 },
    )
  })

  test('the first and the last address of each are in it, their neighbours are judged alone', () => {
    for (const [net, prefix] of nets4) {
      const last = net + 2 ** (32 - prefix) - 1
      for (const n of [net, last]) expect(isPublicAddress(dotted(n)), dotted(n)).toBe(false)
      for (const n of [net - 1, last + 1]) {
        if (n < 0 || n > 0xffffffff) continue
        expect(isPublicAddress(dotted(n)), dotted(n)).toBe(!isClosed4(n))
      }
    }
    for (const [net, prefix] of nets6) {
      const last = net + (1n << BigInt(128 - prefix)) - 1n
      for (const n of [net, last]) expect(isPublicAddress(shortened(n)), shortened(n)).toBe(false)
      for (const n of [net - 1n, last + 1n]) {
        if (n < 0n || n >> 128n !== 0n) continue
        expect(isPublicAddress(shortened(n)), shortened(n)).toBe(!isClosed6(n))
      }
    }
  })

  test('any IPv4 address, closed or not, is refused inside of IPv6', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (n) => {
        const tail = `${hex(n >>> 16)}:${hex(n & 0xffff)}`
        for (const address of [
          `::${dotted(n)}`,
          `::ffff:${dotted(n)}`,
          `::ffff:${tail}`,
          `0:0:0:0:0:FFFF:${tail}`,
          `::ffff:0:${dotted(n)}`,
          `64:ff9b::${dotted(n)}`,
          `64:ff9b:1::${tail}`,
          `2002:${tail}::1`,
          `2001:0:${tail}::${tail}`,
        ]) {
          expect(isPublicAddress(address), address).toBe(false)
          expect(refusal(`[${address}]`), address).toContain('"address"')
        }
      }),
      { numRuns: 200 },
    )
  })
})

describe('everything else', () => {
  test('IPv4 outside of them is public', () => {
    fc.assert(
      fc.property(fc.nat(0xffffffff), (n) => {
        expect(isPublicAddress(dotted(n)), dotted(n)).toBe(!isClosed4(n))
      }),
      { numRuns: 2_000 },
    )
  })

  test('IPv6 outside of them is public', () => {
    fc.assert(
      fc.property(fc.bigInt(0n, (1n << 125n) - 1n), fc.boolean(), (any, unicast) => {
        const n = (unicast ? 1n << 125n : 0n) + any
        expect(isPublicAddress(shortened(n)), shortened(n)).toBe(!isClosed6(n))
      }),
      { numRuns: 2_000 },
    )
  })

  test.each([
    '8.8.8.8',
    '1.1.1.1',
    '172.15.255.255',
    '172.32.0.0',
    '2606:4700:4700::1111',
    '2a00::',
  ])('%s is public', (address) => expect(isPublicAddress(address)).toBe(true))

  test.each([
    '',
    'localhost',
    'example.com',
    '8.8.8',
    '134744072',
    '0x8.8.8.8',
    '08.8.8.8',
    '8.8.8.8 ',
    '[2606:4700::1]',
    '2606:4700::1%eth0',
    '2606:4700::1%1',
    'fe80::1%eth0',
    '2606:4700:::1',
  ])('%j is not: resolvers and the URL parser do not write so', (address) => {
    expect(isPublicAddress(address)).toBe(false)
  })
})

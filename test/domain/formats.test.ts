// Timestamps and durations: what is taken, what is refused and why.

import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { FlowError } from '../../src/domain/errors.ts'
import {
  durationFault,
  parseDuration,
  parseTimestamp,
  timestampFault,
} from '../../src/domain/formats.ts'

describe('timestamps', () => {
  test.each([
    ['2026-04-23T15:00:00Z', '2026-04-23T15:00:00.000Z'],
    ['2026-04-23T15:00:00.5Z', '2026-04-23T15:00:00.500Z'],
    ['2026-04-23T15:00:00.123000000Z', '2026-04-23T15:00:00.123Z'],
    ['2026-04-23t15:00:00z', '2026-04-23T15:00:00.000Z'],
    ['2026-04-23T15:00:00+02:00', '2026-04-23T13:00:00.000Z'],
    ['2026-01-01T00:30:00+01:00', '2025-12-31T23:30:00.000Z'],
    ['2026-04-23T15:00:00-00:00', '2026-04-23T15:00:00.000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['0099-12-31T23:59:59.999Z', '0099-12-31T23:59:59.999Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z'],
  ])('%s', (text, value) => {
    expect(parseTimestamp(text)).toBe(value)
    expect(timestampFault(text)).toBeNull()
  })

  test.each([
    ['tomorrow', 'must be a time with a zone, for example 2026-04-23T15:00:00Z'],
    ['2026-04-23', 'must be a time with a zone'],
    ['2026-04-23T15:00:00', 'must be a time with a zone'],
    ['2026-04-23 15:00:00Z', 'must be a time with a zone'],
    ['2026-04-23T15:00Z', 'must be a time with a zone'],
    ['2026-04-23T15:00:00.Z', 'must be a time with a zone'],
    ['2026-04-23T15:00:00+0200', 'must be a time with a zone'],
    ['+012026-04-23T15:00:00Z', 'must be a time with a zone'],
    ['1766000000', 'must be a time with a zone'],
    ['', 'must be a time with a zone'],
    [`2026-04-23T15:00:00.${'0'.repeat(100)}Z`, 'must be a time with a zone'],
    ['2026-02-30T00:00:00Z', 'names a day that does not exist: 2026-02 has 28 days'],
    ['1900-02-29T00:00:00Z', 'names a day that does not exist: 1900-02 has 28 days'],
    ['2026-04-31T00:00:00Z', 'names a day that does not exist: 2026-04 has 30 days'],
    ['2026-01-00T00:00:00Z', 'names a day that does not exist'],
    ['2026-13-01T00:00:00Z', 'has a month outside 01 to 12'],
    ['2026-00-01T00:00:00Z', 'has a month outside 01 to 12'],
    ['2026-01-01T24:00:00Z', 'has an hour outside 00 to 23'],
    ['2026-01-01T00:60:00Z', 'has a minute outside 00 to 59'],
    ['2026-06-30T23:59:60Z', 'names a leap second'],
    ['2026-01-01T00:00:61Z', 'has a second outside 00 to 59'],
    ['2026-01-01T00:00:00+24:00', 'has a zone outside'],
    ['2026-01-01T00:00:00+00:60', 'has a zone outside'],
    ['2026-01-01T00:00:00.0001Z', 'is finer than a millisecond'],
    ['0000-01-01T00:00:00Z', 'must be in the years 0001 to 9999'],
    ['0001-01-01T00:00:00+00:01', 'must be in the years 0001 to 9999, counted in UTC'],
    ['9999-12-31T23:59:59-00:01', 'must be in the years 0001 to 9999, counted in UTC'],
  ])('%s is refused', (text, fault) => {
    expect(timestampFault(text)).toContain(fault)
    expect(() => parseTimestamp(text, '/at')).toThrow(FlowError)
    expect(() => parseTimestamp(text, '/at')).toThrow(`at ${fault}`)
  })

  test('every instant survives, whatever its zone', () => {
    const date = fc.date({
      min: new Date('0001-01-02T00:00:00Z'),
      max: new Date('9999-12-30T00:00:00Z'),
      noInvalidDate: true,
    })
    fc.assert(
      fc.property(date, fc.integer({ min: -23 * 60, max: 23 * 60 }), (instant, minutes) => {
        const local = new Date(instant.getTime() + minutes * 60_000).toISOString().slice(0, -1)
        const two = (value: number) => String(Math.trunc(Math.abs(value))).padStart(2, '0')
        const zone = `${minutes < 0 ? '-' : '+'}${two(minutes / 60)}:${two(minutes % 60)}`
        expect(parseTimestamp(local + zone)).toBe(instant.toISOString())
      }),
    )
  })
})

describe('durations', () => {
  test.each([
    ['PT30S', 30_000],
    ['PT0.3S', 300],
    ['PT0.001S', 1],
    ['PT0.0010S', 1],
    ['PT0S', 0],
    ['P2D', 172_800_000],
    ['P1W', 604_800_000],
    ['P1W2D', 777_600_000],
    ['PT1H', 3_600_000],
    ['PT1.5H', 5_400_000],
    ['P0.5D', 43_200_000],
    ['P1DT2H3M4.005S', 93_784_005],
    ['PT90M', 5_400_000],
  ])('%s', (text, millis) => {
    expect(parseDuration(text)).toBe(millis)
    expect(durationFault(text)).toBeNull()
  })

  test.each([
    ['', 'must be an ISO 8601 duration, for example PT30S'],
    ['P', 'must be an ISO 8601 duration'],
    ['PT', 'must be an ISO 8601 duration'],
    ['P1DT', 'must be an ISO 8601 duration'],
    ['30s', 'must be an ISO 8601 duration'],
    ['30', 'must be an ISO 8601 duration'],
    ['pt30s', 'must be an ISO 8601 duration'],
    ['PT1S1M', 'must be an ISO 8601 duration'],
    ['P1H', 'must be an ISO 8601 duration'],
    ['PT.5S', 'must be an ISO 8601 duration'],
    ['PT1,5S', 'must be an ISO 8601 duration'],
    [' PT1S', 'must be an ISO 8601 duration'],
    [`PT${'1'.repeat(100)}S`, 'must be an ISO 8601 duration'],
    ['P1M', 'must be in weeks, days, hours, minutes and seconds'],
    ['P1Y2D', 'must be in weeks, days, hours, minutes and seconds'],
    ['-PT1S', 'must not be negative'],
    ['PT-1S', 'must not be negative'],
    ['PT0.0005S', 'is finer than a millisecond'],
    ['PT0.00001M', 'is finer than a millisecond'],
    ['PT1.5H30M', 'can have a fraction on its last part only'],
    ['P99999999W', 'must not be longer than 9999 years'],
  ])('%s is refused', (text, fault) => {
    expect(durationFault(text)).toContain(fault)
    expect(() => parseDuration(text, '?wait')).toThrow(`wait ${fault}`)
  })

  test('milliseconds survive', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10 ** 12 }), (millis) => {
        expect(parseDuration(`PT${(millis / 1000).toFixed(3)}S`)).toBe(millis)
      }),
    )
  })
})

test('no sentence is longer than 25 words', () => {
  const faults = [
    'x',
    '2026-02-30T00:00:00Z',
    '2026-01-01T00:00:00.0001Z',
    '0001-01-01T00:00:00+00:01',
  ].map(timestampFault)
  faults.push(...['x', 'P1M', '-P1D', 'PT0.0001S', 'PT1.5H1M', 'P99999999W'].map(durationFault))
  for (const fault of faults) expect((fault ?? '').split(' ').length).toBeLessThanOrEqual(20)
})

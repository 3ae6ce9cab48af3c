// Rows as binary arrays: whatever is given to the server comes back as it was, as through JSON.

import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { arrayRows } from '../../src/store/arrays.ts'
import { type Database, openDatabase, rows, writerOf } from '../../src/store/db.ts'
import { raw, sql } from '../../src/store/sql.ts'
import { nowhere } from '../../src/store/wall.ts'
import { createTestDatabase } from '../support/postgres.ts'

let database: Database
let drop: () => Promise<void>
beforeAll(async () => {
  const made = await createTestDatabase()
  drop = made.drop
  database = openDatabase({
    connectionString: made.url,
    writers: 1,
    readers: 1,
    applicationName: 'arrays-test',
    onError: () => {},
  })
})
afterAll(async () => {
  await database?.close()
  await drop?.()
})

const table = arrayRows([
  ['id', 'uuid'],
  ['small', 'smallint'],
  ['whole', 'integer'],
  ['big', 'bigint'],
  ['flag', 'boolean'],
  ['words', 'text'],
  ['document', 'jsonb'],
  ['at', 'timestamptz'],
  ['xid', 'xid8'],
])

/** What the server has of rows: each value as text, so that no reading of ours hides a difference. */
async function through(given: readonly object[]): Promise<Record<string, string | null>[]> {
  return rows(
    writerOf(database.scope, nowhere),
    sql`
      select id::text, small::text, whole::text, big::text, flag::text, words, document::text,
        to_char(at at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US') as at, xid::text
      from ${table.of(given)} as t(${raw(table.names)})`,
  )
}

const nothing = {
  id: null,
  small: null,
  whole: null,
  big: null,
  flag: null,
  words: null,
  document: null,
  at: null,
  xid: null,
}

describe('arrayRows', () => {
  it('gives every type over, to its ends', async () => {
    const given = [
      {
        id: '00000000-0000-0000-0000-000000000000',
        small: -32_768,
        whole: -2_147_483_648,
        big: Number.MIN_SAFE_INTEGER,
        flag: true,
        words: '',
        document: {},
        at: '0001-01-01T00:00:00.000Z',
        xid: '0',
      },
      {
        id: 'ffFFffff-ABCD-abcd-9876-0123456789ab',
        small: 32_767,
        whole: 2_147_483_647,
        big: Number.MAX_SAFE_INTEGER,
        flag: false,
        words: 'ä€😀 {"\\,}\n null',
        document: [{ a: 'ä€😀"\\' }, 1e300, 0.1, false, null],
        at: '9999-12-31T23:59:59.999Z',
        xid: '18446744073709551615',
      },
      { ...nothing, at: '1969-12-31T23:59:59.999Z', xid: '9007199254740993', document: false },
      nothing,
    ]
    const found = await through(given)
    expect(found).toMatchObject([
      {
        id: given[0]?.id,
        small: '-32768',
        whole: '-2147483648',
        big: '-9007199254740991',
        flag: 'true',
        words: '',
        document: '{}',
        at: '0001-01-01T00:00:00.000000',
        xid: '0',
      },
      {
        id: given[1]?.id?.toLowerCase(),
        small: '32767',
        whole: '2147483647',
        big: '9007199254740991',
        // What is false is left out.
        flag: null,
        words: given[1]?.words,
        at: '9999-12-31T23:59:59.999000',
        xid: '18446744073709551615',
      },
      { ...nothing, at: '1969-12-31T23:59:59.999000', xid: '9007199254740993', document: 'false' },
      nothing,
    ])
    expect(JSON.parse(found[1]?.['document'] ?? '')).toEqual(given[1]?.document)
  })

  it('gives any rows over as they are, however large', async () => {
    const maybe = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { freq: 3 })
    const row = fc.record({
      id: maybe(fc.uuid()),
      small: maybe(fc.integer({ min: -32_768, max: 32_767 })),
      whole: maybe(fc.integer()),
      big: maybe(fc.maxSafeInteger()),
      flag: maybe(fc.constant(true)),
      // The server takes no NUL, and no half of a pair.
      words: maybe(fc.string({ unit: 'grapheme', maxLength: 200 }).map(withoutNul)),
      document: maybe(fc.string({ unit: 'grapheme' }).map((text) => ({ text: withoutNul(text) }))),
      at: maybe(
        fc.date({
          min: new Date(0),
          max: new Date('9999-12-31T23:59:59.999Z'),
          noInvalidDate: true,
        }),
      ).map((date) => date?.toISOString() ?? null),
      xid: maybe(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map(String)),
    })
    await fc.assert(
      fc.asyncProperty(fc.array(row, { minLength: 1, maxLength: 300 }), async (given) => {
        const found = await through(given)
        expect(found).toEqual(
          given.map((one) => ({
            id: one.id,
            small: one.small === null ? null : String(one.small),
            whole: one.whole === null ? null : String(one.whole),
            big: one.big === null ? null : String(one.big),
            flag: one.flag === null ? null : 'true',
            words: one.words,
            document: found[given.indexOf(one)]?.['document'] ?? null,
            at: one.at === null ? null : `${one.at.slice(0, -1)}000`,
            xid: one.xid,
          })),
        )
        for (const [i, { document }] of given.entries()) {
          expect(JSON.parse(found[i]?.['document'] ?? 'null')).toEqual(document)
        }
      }),
      { numRuns: 40 },
    )
    const large = 'x€'.repeat(300_000)
    const found = await through([
      { ...nothing, words: large },
      { ...nothing, words: 'y' },
    ])
    expect(found.map(({ words }) => words)).toEqual([large, 'y'])
  })

  it('tells no row from none', async () => {
    expect(await through([nothing, nothing])).toEqual([])
    expect(await through([])).toEqual([])
  })

  it('refuses what is no UUID, before anything is sent', () => {
    for (const id of ['', 'x', '00000000-0000-0000-0000-00000000000g', '0'.repeat(34)]) {
      expect(() => table.of([{ ...nothing, id }])).toThrow(RangeError)
    }
  })
})

function withoutNul(text: string): string {
  return text.replaceAll('\u0000', '')
}

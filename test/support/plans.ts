// Prepares what a store function sends as the driver does, and tells how the server plans and runs it.

import type pg from 'pg'
import type { Runner } from '../../src/store/db.ts'

function literal(value: unknown): string {
  if (value === null) return 'null'
  if (Buffer.isBuffer(value)) return literal(arrayIn(value))
  if (Array.isArray(value)) {
    const items = value.map((one) => JSON.stringify(one)).join(',')
    return `'{${items.replaceAll("'", "''")}}'`
  }
  return typeof value === 'number' ? String(value) : `'${String(value).replaceAll("'", "''")}'`
}

/** How the types of binary arrays are read, by their object ids. */
const readers: Record<number, (item: Buffer) => string | number | boolean> = {
  16: (item) => item[0] === 1,
  20: (item) => String(item.readBigInt64BE()),
  21: (item) => item.readInt16BE(),
  23: (item) => item.readInt32BE(),
  25: (item) => item.toString(),
  1184: (item) =>
    new Date(Number(item.readBigInt64BE() / 1000n) + Date.UTC(2000, 0, 1)).toISOString(),
  2950: (item) => item.toString('hex'),
  3802: (item) => item.toString('utf8', 1),
  5069: (item) => String(item.readBigUInt64BE()),
}

/** What a parameter in the binary form of an array says. */
function arrayIn(bytes: Buffer): (string | number | boolean | null)[] {
  const read = readers[bytes.readInt32BE(8)]
  if (read === undefined) throw new Error('an array of a type that is not known')
  let at = 20
  return Array.from({ length: bytes.readInt32BE(12) }, () => {
    const length = bytes.readInt32BE(at)
    at += 4
    if (length < 0) return null
    at += length
    return read(bytes.subarray(at - length, at))
  })
}

export interface Prepared {
  /** The plan as it is now. */
  explain(): Promise<string>
  /** Pages that running it touches. What it does is undone. */
  pages(): Promise<number>
  /** Pairs of rows that running it compares and finds not to belong together. What it does is undone. */
  mismatches(): Promise<number>
}

/** A node of a plan that was run. */
interface PlanNode {
  'Shared Hit Blocks'?: number
  'Shared Read Blocks'?: number
  'Rows Removed by Join Filter'?: number
  'Actual Loops'?: number
  Plans?: PlanNode[]
}

/**
 * Prepares what a store function sends, as the driver does, and has it planned. `generic` is the plan
 * that a connection keeps for all values.
 */
export async function prepare(
  client: pg.ClientBase,
  mode: 'generic' | 'custom',
  name: string,
  call: (runner: Runner) => Promise<unknown>,
): Promise<Prepared> {
  const sent: { text: string; values: unknown[] }[] = []
  const spy = {
    query: async (config: { text: string; values: unknown[] }) => {
      sent.push(config)
      return { rows: [] }
    },
  }
  // Some cannot do without an answer; what they sent is all that counts.
  await call(spy as unknown as Runner).catch(() => {})
  const [statement] = sent
  if (statement === undefined || sent.length !== 1) throw new Error(`${sent.length} statements`)
  const values = statement.values.map(literal).join(', ')
  const execute = `execute ${name}${values === '' ? '' : `(${values})`}`
  await client.query(`set plan_cache_mode = force_${mode}_plan`)
  await client.query(`prepare ${name} as ${statement.text}`)
  const explain = async () => {
    const { rows } = await client.query<{ 'QUERY PLAN': string }>(`explain ${execute}`)
    return rows.map((row) => row['QUERY PLAN']).join('\n')
  }
  const run = async (): Promise<PlanNode> => {
    await client.query('begin')
    const { rows } = await client.query<{ 'QUERY PLAN': [{ Plan: PlanNode }] }>(
      `explain (analyze, buffers, format json) ${execute}`,
    )
    await client.query('rollback')
    return rows[0]?.['QUERY PLAN'][0].Plan ?? {}
  }
  const pages = async () => {
    const plan = await run()
    return (plan['Shared Hit Blocks'] ?? 0) + (plan['Shared Read Blocks'] ?? 0)
  }
  const mismatches = async () => mismatchesIn(await run())
  await explain()
  return { explain, pages, mismatches }
}

/** Removed rows are told for each loop. */
function mismatchesIn(node: PlanNode): number {
  const own = (node['Rows Removed by Join Filter'] ?? 0) * (node['Actual Loops'] ?? 1)
  return (node.Plans ?? []).reduce((sum, one) => sum + mismatchesIn(one), own)
}

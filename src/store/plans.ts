// Keeps the plans of prepared statements true to the size of the tables. One that was made while a
// table was empty may read all of an index for each row; it would be kept while the table grows, until
// statistics are gathered anew, and that can be a minute and a hundred thousand rows away.

import { readerOf, rows, type Scope } from './db.ts'
import { sql } from './sql.ts'
import { nowhere } from './wall.ts'

/** Tables that a batch looks up rows in. */
const tables = [
  'flows',
  'match_keys',
  'signals',
  'flow_steps',
  'idempotency_keys',
  'flow_events',
  'hooks',
  'deliveries',
]

/** Pages that a table may have, in any case, before plans are made anew. */
const firstPages = 8
/** By how much a table may grow after that. */
const growth = 4
/** From so many pages on, no plan takes all of an index for a row. */
const largePages = 2_000

export interface PlanKeeper {
  /**
   * Looks at the sizes of the tables, and has plans made anew when one has grown by much since they
   * were made. Answers whether any table is so small that this must be looked at again.
   */
  look(): Promise<boolean>
}

export function createPlanKeeper(scope: Scope): PlanKeeper {
  /** Pages of each table when plans were made, or since then if that was less. */
  const planned = new Map<string, number>()
  return {
    async look() {
      const sizes = await rows<{ name: string; pages: number }>(
        readerOf(scope, nowhere),
        sql`
          select name, pg_relation_size(name::regclass) / current_setting('block_size')::integer as pages
          from unnest(${tables}::text[]) as name`,
      )
      const grown = sizes.some(({ name, pages }) => {
        const before = planned.get(name)
        return before !== undefined && pages > Math.max(firstPages, before * growth)
      })
      if (grown) scope.replan()
      for (const { name, pages } of sizes) {
        const before = planned.get(name) ?? pages
        planned.set(name, grown ? pages : Math.min(before, pages))
      }
      return sizes.some(({ pages }) => pages < largePages)
    },
  }
}

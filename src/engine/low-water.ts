// Keeps a loop over what is due from walking index entries of the past again and again: those that were
// removed stay in the index while any transaction might still see them.

import type { Timestamp } from '../domain/time.ts'

/** The mark lies this far behind the last look that found nothing, in milliseconds: above any transaction. */
const slack = 60_000
/** How often everything is looked at, without the mark, in milliseconds. */
const fullLookEvery = 60_000

export interface LowWater {
  /** Where the next look may begin; null when it is time to look at everything once. */
  from(): Timestamp | null
  /** Nothing was due behind `from` at this time of the database. */
  drained(from: Timestamp | null, now: Timestamp): void
}

export function createLowWater(): LowWater {
  let mark: Timestamp | null = null
  let markedAt = 0
  return {
    from: () => (performance.now() - markedAt < fullLookEvery ? mark : null),
    drained(from, now) {
      if (from !== null) return
      mark = new Date(Date.parse(now) - slack).toISOString()
      markedAt = performance.now()
    },
  }
}

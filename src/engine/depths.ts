// Reads now and then how much waits in the database, for the metrics.

import type { Scope } from '../store/db.ts'
import { readDepths } from '../store/depths.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'

/** @param interval between two reads, in milliseconds. */
export function createDepthLoop(scope: Scope, interval: number, report: Report): Loop {
  return createLoop({
    name: 'depths',
    interval,
    report,
    async pass() {
      report({ type: 'depths_read', depths: await readDepths(scope) })
      return interval
    },
  })
}

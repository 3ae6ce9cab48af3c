// Has the plans of the database made anew while its tables are small and grow.

import type { Scope } from '../store/db.ts'
import { createPlanKeeper } from '../store/plans.ts'
import type { Committer } from './committer.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'

/** Between two looks, in milliseconds: while there are commits and small tables, and otherwise. */
const soon = 500
const interval = 60_000

export function createPlanLoop(scope: Scope, committer: Committer, report: Report): Loop {
  const keeper = createPlanKeeper(scope)
  let small = true
  const loop = createLoop({
    name: 'plan-keeper',
    interval,
    report,
    async pass() {
      small = await keeper.look()
      return interval
    },
  })
  committer.onCommit(() => {
    if (small) loop.nudge(soon)
  })
  return loop
}

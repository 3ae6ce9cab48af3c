// Goes on with signals for all (`deliver: all`) until every wait that was there has been woken.

import type { Scope } from '../store/db.ts'
import { listWaking } from '../store/signal-lists.ts'
import type { Committer } from './committer.ts'
import { createLoop, type Loop } from './loop.ts'
import type { Report } from './notice.ts'

/** Between two looks, in milliseconds, when nobody nudges: after a restart, or for other processes. */
const interval = 1_000
/** Signals at once. */
const batchSize = 16

export function createSignalWaker(scope: Scope, committer: Committer, report: Report): Loop {
  return createLoop({
    name: 'signal-waker',
    interval,
    report,
    async pass() {
      const waking = await listWaking(scope, batchSize)
      await Promise.all(
        waking.map((signal) =>
          committer.submit({
            type: 'redeliver',
            caller: { namespace: signal.namespace, actor: signal.actor },
            keep: null,
            signal,
            waking: true,
          }),
        ),
      )
      return waking.length > 0 ? 0 : interval
    },
  })
}

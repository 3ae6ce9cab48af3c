// Everything about endpoints of controllers, put together: their definitions, the executor and the notices.

import type { Scope } from '../store/db.ts'
import type { ReadyGroup } from '../store/due-steps.ts'
import { type CancelNotices, createCancelNotices } from './cancel-notices.ts'
import type { Committer } from './committer.ts'
import { type Controllers, createControllers } from './controllers.ts'
import type { Hints } from './hints.ts'
import type { Report } from './notice.ts'
import type { Outbound } from './outbound.ts'
import type { OutboundRules } from './outbound-url.ts'
import { createPushAttempt } from './push-attempt.ts'
import type { PushWire } from './push-request.ts'
import { createStepExecutor, type StepExecutor } from './step-executor.ts'
import type { StepQueue } from './step-queue.ts'
import type { Steps } from './steps.ts'

export interface PushSettings {
  /** Where steps may be pushed to. */
  rules: OutboundRules
  wire: PushWire
  /** The largest answer that is read, in bytes. */
  answerBytes: number
}

export interface PushOptions extends PushSettings {
  scope: Scope
  committer: Committer
  hints: Hints
  steps: Steps
  queue: StepQueue
  outbound: Pick<Outbound, 'send'>
  userAgent: string
  report: Report
  /** Told that other steps than before can be pulled. */
  onPulled: () => void
}

export interface Push {
  controllers: Controllers
  executor: StepExecutor
  cancelNotices: CancelNotices
  /** Tells where steps became ready. */
  nudge(groups: readonly ReadyGroup[]): void
}

export function createPush(options: PushOptions): Push {
  const { scope, committer, hints, report, rules, outbound, userAgent } = options
  const controllers = createControllers({
    scope,
    rules,
    report,
    onChanged(namespace, id) {
      executor.changed(namespace, id)
      options.onPulled()
    },
  })
  const executor = createStepExecutor({
    scope,
    committer,
    hints,
    report,
    attempt: (signal) =>
      createPushAttempt({ ...options, signal, onGone: (gone) => controllers.disable(gone) }),
  })
  return {
    controllers,
    executor,
    cancelNotices: createCancelNotices({ scope, committer, outbound, userAgent, report }),
    nudge: executor.nudge,
  }
}

// Tells endpoints that run a step when its flow is to end: at least once, whatever restarts in between.
// What is to be told stands in the steps themselves.

import { setMaxListeners } from 'node:events'
import { type Scope, writerOf } from '../store/db.ts'
import {
  type CancelNotice,
  markCancelTold,
  putOffCancelNotice,
  takeCancelNotices,
} from '../store/pushed-steps.ts'
import { everywhere } from '../store/wall.ts'
import type { Committer } from './committer.ts'
import { createLoop } from './loop.ts'
import type { Report } from './notice.ts'
import type { Outbound } from './outbound.ts'
import { cancelRequest } from './push-request.ts'

export interface CancelNotices {
  start(): void
  stop(): Promise<void>
}

export interface CancelNoticesOptions {
  scope: Scope
  committer: Committer
  outbound: Pick<Outbound, 'send'>
  userAgent: string
  report: Report
}

/** Longest sleep, in milliseconds: bounds the lateness of what other processes leave behind. */
const interval = 1_000
/** Notices that are sent at a time, one to each controller. */
const atOnce = 16
/** For one notice, in milliseconds: there is nothing to be done but to take note. */
const timeout = 10_000
/** For how long a notice is its sender's, in milliseconds; past it another one sends it. */
const lease = 15_000
/** The first pause after a failure and the longest, in milliseconds; each is twice the one before. */
const firstPause = 1_000
const longestPause = 60_000

export function createCancelNotices(options: CancelNoticesOptions): CancelNotices {
  const { scope, committer, outbound, userAgent, report } = options
  /** Controllers that are being told something. */
  const busy = new Map<string, { namespace: string; id: string }>()
  /** Those that did not take it: until when they are left alone, and how often they failed in a row. */
  const resting = new Map<
    string,
    { namespace: string; id: string; until: number; failures: number }
  >()
  const sending = new Set<Promise<void>>()
  let givingUp = new AbortController()

  const loop = createLoop({ name: 'cancel-notices', interval, report, pass })
  committer.onSteps((steps) => {
    const concerned =
      steps === null || steps.some(({ pushed, cancel_requested }) => pushed && cancel_requested)
    if (concerned) loop.nudge(0)
  })

  async function pass(): Promise<number> {
    const limit = atOnce - busy.size
    if (limit <= 0) return interval
    const now = performance.now()
    const without = [...busy.values(), ...[...resting.values()].filter(({ until }) => until > now)]
    const { notices, taken } = await takeCancelNotices(writerOf(scope, everywhere), {
      without: without.map(({ namespace, id }) => ({ namespace, id })),
      limit,
      lease,
    })
    for (const notice of notices) send(notice)
    return taken > notices.length ? 0 : interval
  }

  function send(notice: CancelNotice): void {
    const { namespace, controller_id: id } = notice
    const key = JSON.stringify([namespace, id])
    busy.set(key, { namespace, id })
    const sent = tell(notice)
      .then(
        (told) => {
          if (told) resting.delete(key)
          else rest(key, notice)
        },
        (cause: unknown) => {
          rest(key, notice)
          report({ type: 'cancel_notice_failed', step_id: notice.step_id, cause })
        },
      )
      .finally(() => {
        busy.delete(key)
        sending.delete(sent)
        loop.nudge(0)
      })
    sending.add(sent)
  }

  /** Whether the endpoint knows it now. */
  async function tell(notice: CancelNotice): Promise<boolean> {
    const answer = await outbound.send({
      ...cancelRequest(notice, userAgent),
      timeout_ms: timeout,
      max_answer_bytes: 1_024,
      signal: givingUp.signal,
    })
    if ('status' in answer && answer.status >= 200 && answer.status < 300) {
      await markCancelTold(writerOf(scope, notice.namespace), notice)
      return true
    }
    await putOffCancelNotice(writerOf(scope, notice.namespace), notice, firstPause)
    return false
  }

  function rest(key: string, { namespace, controller_id: id }: CancelNotice): void {
    const failures = (resting.get(key)?.failures ?? 0) + 1
    const pause = Math.min(longestPause, firstPause * 2 ** Math.min(failures - 1, 10))
    resting.set(key, { namespace, id, until: performance.now() + pause, failures })
    loop.nudge(pause)
  }

  return {
    start() {
      givingUp = new AbortController()
      setMaxListeners(0, givingUp.signal)
      loop.start()
    },
    async stop() {
      await loop.stop()
      givingUp.abort()
      await Promise.all(sending)
    },
  }
}

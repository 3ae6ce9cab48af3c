// One push of a step: it is sent, its answer judged, and what came of it recorded under its token.

import { setTimeout as sleep } from 'node:timers/promises'
import { pushWorker } from '../domain/controller.ts'
import { FlowError } from '../domain/errors.ts'
import { leaseToken } from '../domain/lease.ts'
import { type Scope, writerOf } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import { handOverStep, type PushClaim } from '../store/pushed-steps.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { Report } from './notice.ts'
import type { Outbound } from './outbound.ts'
import type { OutcomeInput } from './outcome-input.ts'
import { badAnswer, type Health, judgeAnswer, type PushError, type Verdict } from './push-answer.ts'
import { type PushWire, stepRequest } from './push-request.ts'
import type { StepQueue } from './step-queue.ts'
import type { Steps } from './steps.ts'
import { spanEnd, tracePush } from './traced-requests.ts'

type Controller = PushClaim['controller']

export interface PushAttemptOptions {
  scope: Scope
  steps: Steps
  queue: StepQueue
  outbound: Pick<Outbound, 'send'>
  wire: PushWire
  userAgent: string
  /** The largest answer that is read, in bytes. */
  answerBytes: number
  report: Report
  /** Gives up what is under way. */
  signal: AbortSignal
  /** An endpoint wants no more. */
  onGone: (controller: Controller) => Promise<void>
}

export interface PushAttempt {
  /**
   * Sends a step and records what came of it. Never throws.
   *
   * @param judged told how the endpoint is as soon as it has answered. When it says `spare`, a step that
   *   did not arrive is given back without its attempt being counted.
   */
  push(
    controller: Controller,
    step: ClaimedStep,
    judged: (health: Health, notBefore: number) => { spare: boolean },
  ): Promise<void>
  /** Gives back a step that was not sent. Never throws. */
  giveBack(step: ClaimedStep): Promise<void>
}

/** How long a lease outlives its request, in milliseconds: for the result to be recorded. */
export const leaseMargin = 10_000
/** The shortest lease of a step that is settled later, in milliseconds. */
const shortestHandOver = 60_000
/** Pauses between tries to record a result, in milliseconds. */
const pauses = { first: 100, longest: 2_000 } as const

export function createPushAttempt(options: PushAttemptOptions): PushAttempt {
  const { scope, steps, queue, outbound, wire, userAgent, report, signal } = options

  const callerOf = ({ namespace, controller_id }: ClaimedStep) => ({
    namespace,
    actor: pushWorker(controller_id),
  })
  const tokenOf = ({ flow_id, lease_token }: ClaimedStep) =>
    leaseToken({ flow_id, token: lease_token ?? '' })

  /** Records a result; while the database is away, again and again for as long as the lease holds. */
  async function insist(until: number, work: () => Promise<unknown>) {
    for (let pause: number = pauses.first; ; pause = Math.min(2 * pause, pauses.longest)) {
      try {
        await work()
        return
      } catch (cause) {
        const error = toFlowError(cause)
        const passing = error.code === 'unavailable' || error.code === 'overloaded'
        if (!passing || signal.aborted || performance.now() + pause > until) throw error
        await sleep(pause)
      }
    }
  }

  async function act(
    controller: Controller,
    step: ClaimedStep,
    verdict: Verdict,
    until: number,
  ): Promise<void> {
    const release = (delay: number) => queue.release(callerOf(step), step.id, tokenOf(step), delay)
    switch (verdict.type) {
      case 'aborted':
        return
      case 'accepted':
        return insist(until, async () => {
          const { namespace, id: step_id, lease_token } = step
          const lease_ms = Math.max(controller.timeout_ms, shortestHandOver)
          await handOverStep(writerOf(scope, step.namespace), {
            namespace,
            step_id,
            token: lease_token ?? '',
            lease_ms,
          })
        })
      case 'not_now':
        return insist(until, () => release(verdict.delay))
      case 'gone':
        await insist(until, () => options.onGone(controller))
        return insist(until, () => release(0))
      case 'outcome': {
        const outcome = wire.read(verdict.body)
        if ('fault' in outcome) return act(controller, step, badAnswer(outcome.fault), until)
        return insist(until, () => settle(step, outcome))
      }
      case 'error':
        return insist(until, () => settle(step, { kind: 'error', ...verdict.error }))
    }
  }

  /** An outcome that is refused cannot be mended by anybody: the attempt has failed with the refusal. */
  async function settle(step: ClaimedStep, outcome: OutcomeInput): Promise<void> {
    const caller = callerOf(step)
    try {
      await steps.settle(caller, step.id, tokenOf(step), outcome)
    } catch (error) {
      const refusal = refusalOf(error)
      if (refusal === null || outcome.kind === 'error') throw error
      await steps.settle(caller, step.id, tokenOf(step), { kind: 'error', ...refusal })
    }
  }

  function tell(step: ClaimedStep, error: unknown): void {
    const overtaken =
      error instanceof FlowError && (error.code === 'lease_lost' || error.code === 'not_found')
    if (overtaken) report({ type: 'push_overtaken', step_id: step.id })
    else report({ type: 'push_not_recorded', step_id: step.id, cause: error })
  }

  return {
    async push(controller, step, judged) {
      const { timeout_ms, now } = controller
      const timeout = Math.min(timeout_ms, step.timeouts?.start_to_close ?? timeout_ms)
      const until = performance.now() + timeout_ms + leaseMargin
      const began = performance.now()
      const span = tracePush(step, controller.url)
      const { traceparent } = span ?? step
      try {
        const answer = await outbound.send({
          ...stepRequest(step, controller, now, wire, userAgent, traceparent),
          timeout_ms: timeout,
          max_answer_bytes: options.answerBytes,
          signal,
        })
        span?.end(spanEnd(answer))
        const { verdict, health } = judgeAnswer(answer, Date.now())
        const seconds = (performance.now() - began) / 1000
        report({ type: 'push_attempted', result: verdict.type, seconds })
        const { spare } = judged(health, verdict.type === 'not_now' ? verdict.delay : 0)
        if (health === 'unreached' && spare) {
          await insist(until, () => queue.release(callerOf(step), step.id, tokenOf(step), 0))
        } else await act(controller, step, verdict, until)
      } catch (error) {
        span?.end({ error: 'not sent' })
        tell(step, error)
      }
    },
    async giveBack(step) {
      try {
        await queue.release(callerOf(step), step.id, tokenOf(step), 0)
      } catch (error) {
        tell(step, error)
      }
    },
  }
}

/** Why an outcome was refused, as the error of its attempt; null when it was not the outcome's fault. */
function refusalOf(error: unknown): PushError | null {
  if (!(error instanceof FlowError)) return null
  switch (error.code) {
    case 'lease_lost':
    case 'not_found':
    case 'overloaded':
    case 'unavailable':
    case 'internal':
      return null
    case 'wait_conflict':
      return { code: error.code, message: error.message, retryable: true }
    default:
      return { code: error.code, message: error.message, retryable: false }
  }
}

// A claim beside a report: offered what becomes ready with that report, and else made after it.

import type { StepRecord } from '../domain/step.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { ClaimLine, ClaimRequest, WaitingClaim } from './claim-lines.ts'
import type { Standby } from './handover.ts'

export interface StandingClaim extends Standby {
  /** What it was given, once; null when that is nothing. Given back when the signal has aborted. */
  take(signal: AbortSignal): ClaimedStep[] | null
}

export interface StandingClaimOptions {
  /** What for, by what was reported; null for nothing. Must not throw. */
  requestOf: (settled: readonly StepRecord[]) => ClaimRequest | null
  /** Where a claim belongs; null when there are to be no more. */
  lineOf: (request: ClaimRequest) => ClaimLine | null
  giveBack: (step: ClaimedStep) => void
}

export function createStandingClaim(options: StandingClaimOptions): StandingClaim {
  let claim: WaitingClaim | null = null
  let given: ClaimedStep[] | null = null
  return {
    enter(settled) {
      // A report of several steps may be taken by several transactions.
      if (given !== null || claim?.held === true) return null
      const request = options.requestOf(settled)
      const line = request === null ? null : options.lineOf(request)
      if (request === null || line === null) return null
      const own: WaitingClaim = {
        request,
        settled: false,
        held: false,
        over: false,
        settle(steps) {
          own.settled = true
          given = steps
        },
        // No look is made on its behalf.
        fail() {},
      }
      claim = own
      return { claim: own, line }
    },
    take(signal) {
      const steps = given
      given = null
      if (steps !== null && signal.aborted) for (const step of steps) options.giveBack(step)
      return steps
    },
  }
}

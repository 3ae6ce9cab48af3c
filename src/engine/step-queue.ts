// The queue of managed steps as workers see it: claim, heartbeat, release.

import { FlowError } from '../domain/errors.ts'
import { isId } from '../domain/id.ts'
import type { JsonValue } from '../domain/json.ts'
import { type LeaseClaim, readLeaseToken } from '../domain/lease.ts'
import type { StepRecord } from '../domain/step.ts'
import { leaseLost, stepNotFound } from '../domain/step-errors.ts'
import { type Scope, writerOf } from '../store/db.ts'
import { toFlowError } from '../store/errors.ts'
import {
  type Heartbeat,
  type HeartbeatAnswer,
  releaseStep,
  renewLeases,
} from '../store/step-leases.ts'
import type { ClaimedStep } from '../store/step-queue.ts'
import type { Caller, ChangeOptions } from './change.ts'
import type { ClaimRequest } from './claim-lines.ts'
import { gather } from './gather.ts'
import { type KeyedReply, keyedChange } from './keyed-change.ts'
import type { Report } from './notice.ts'
import { isNarrow } from './sight.ts'
import type { StandingClaim } from './standing-claim.ts'
import type { StepClaims } from './step-claims.ts'
import { refuseLargeValue } from './step-input.ts'
import type { Steps } from './steps.ts'

export type { ClaimedStep } from '../store/step-queue.ts'
export type { ClaimRequest } from './claim-lines.ts'
export type { StandingClaim } from './standing-claim.ts'

export interface StepQueue {
  /** Resolves with steps, or with none when the time is over. */
  claim(caller: Caller, request: ClaimRequest, signal: AbortSignal): Promise<ClaimedStep[]>
  /** A claim beside a report, to be made with it or after it: `requestOf` says what for, by what was reported. */
  standBy(
    caller: Caller,
    requestOf: (settled: readonly StepRecord[]) => ClaimRequest | null,
  ): StandingClaim
  /** Renews a lease. Throws `not_found`, `lease_lost`, `limit_exceeded`. */
  heartbeat(
    caller: Caller,
    stepId: string,
    leaseToken: string,
    told: { progress?: JsonValue; checkpoint?: JsonValue },
  ): Promise<HeartbeatAnswer>
  /** Gives a step back that was not run, to be claimable after `delay` milliseconds. Throws the same. */
  release(
    caller: Caller,
    stepId: string,
    leaseToken: string,
    delay: number,
    options?: ChangeOptions,
  ): Promise<KeyedReply<StepRecord>>
  /** Claims that wait. */
  waiting(): number
}

export interface StepQueueOptions {
  scope: Scope
  claims: StepClaims
  steps: Steps
  stepBytes: number
  report: Report
  /** Told when a step was given back that can be claimed, or must be looked at, in so many milliseconds. */
  onReleased: (step: StepRecord, delay: number) => void
}

/** Heartbeats in one statement. */
const beatsAtOnce = 200

export function createStepQueue(options: StepQueueOptions): StepQueue {
  const { scope, claims, steps, stepBytes, report, onReleased } = options
  let beats = 0

  const renew = gather<Heartbeat & { namespace: string; n: number }, HeartbeatAnswer | null>({
    keyOf: ({ n }) => String(n),
    async read(requests) {
      const namespaces = requests.map(({ namespace }) => namespace)
      const found = await renewLeases(writerOf(scope, namespaces), namespaces, requests)
      const byClaim = new Map(found.map((one) => [`${one.id}/${one.lease_token}`, one]))
      return requests.map(({ step_id, token }) => byClaim.get(`${step_id}/${token}`) ?? null)
    },
    batchSize: beatsAtOnce,
    inFlight: 1,
  })

  /** The claim that a token speaks of. Throws when it cannot be that of the step. */
  async function claimOf(caller: Caller, stepId: string, leaseToken: string): Promise<LeaseClaim> {
    if (!isId(stepId)) throw stepNotFound(stepId)
    const claim = readLeaseToken(leaseToken)
    if (claim !== null) return claim
    throw leaseLost(stepId, await steps.byId(caller, stepId))
  }

  function told(claimed: ClaimedStep[]): ClaimedStep[] {
    if (claimed.length > 0) {
      report({ type: 'steps_claimed', by: 'worker', waits: waitsOf(claimed) })
    }
    return claimed
  }

  return {
    async claim(caller, request, signal) {
      return told(await claims.claim(caller, claimInSight(caller, request), signal))
    },
    standBy(caller, requestOf) {
      const standing = claims.standBy(caller.namespace, (settled) => {
        const request = requestOf(settled)
        if (request === null || refusalOf(caller, request) !== null) return null
        return claimInSight(caller, request)
      })
      return {
        enter: standing.enter,
        take(signal) {
          const steps = standing.take(signal)
          return steps === null ? null : told(steps)
        },
      }
    },
    waiting: claims.waiting,

    async heartbeat(caller, stepId, leaseToken, { progress, checkpoint }) {
      refuseLargeValue('progress', progress, stepBytes)
      refuseLargeValue('checkpoint', checkpoint, stepBytes)
      const { token } = await claimOf(caller, stepId, leaseToken)
      if (isNarrow(caller)) await steps.byId(caller, stepId)
      const answer = await renew({
        step_id: stepId,
        token,
        namespace: caller.namespace,
        n: beats++,
        ...(progress !== undefined && { progress }),
        ...(checkpoint !== undefined && { checkpoint }),
      }).catch((error: unknown) => {
        throw toFlowError(error)
      })
      if (answer === null) throw leaseLost(stepId, await steps.byId(caller, stepId))
      return answer
    },

    async release(caller, stepId, leaseToken, delay, options = {}) {
      const { token, flow_id } = await claimOf(caller, stepId, leaseToken)
      if (isNarrow(caller)) await steps.byId(caller, stepId)
      const { namespace } = caller
      const released = await keyedChange(
        scope,
        caller,
        options,
        async (runner) => {
          const step = await releaseStep(runner, { namespace, step_id: stepId, token, delay })
          if (step === undefined) throw leaseLost(stepId, null)
          return step
        },
        { flowId: flow_id },
      ).catch(async (error: unknown) => {
        const lost = error instanceof FlowError && error.code === 'lease_lost'
        throw lost ? leaseLost(stepId, await steps.byId(caller, stepId)) : error
      })
      if (!released.replayed) onReleased(released.value, delay)
      return released
    },
  }
}

/** A claim as far as its caller sees: its controllers, when it is held to some. */
function claimInSight(caller: Caller, request: ClaimRequest): ClaimRequest {
  const refusal = refusalOf(caller, request)
  if (refusal !== null) throw refusal
  const { controllers } = caller
  if (controllers === undefined || request.controllers !== undefined) return request
  return { ...request, controllers: [...controllers] }
}

/** Why a caller may not claim, if it may not. */
function refusalOf(
  { owner_session_key: owner, controllers: allowed }: Caller,
  { controllers }: ClaimRequest,
): FlowError | null {
  if (owner !== undefined) {
    return new FlowError(
      'forbidden',
      'Steps are claimed for whoever owns them: use a key without an owner.',
      { action: 'steps:work' },
    )
  }
  if (allowed === undefined || controllers?.every((one) => allowed.includes(one)) !== false) {
    return null
  }
  return new FlowError('forbidden', 'This key works on the steps of other controllers.', {
    pointer: '/controllers',
  })
}

/** How long steps had been ready when they were claimed, in seconds. */
export function waitsOf(steps: readonly StepRecord[]): number[] {
  return steps.flatMap(({ rank, priority, started_at }) => {
    if (rank === null || started_at === null) return []
    // A point of priority stands for a second in the order of claims.
    const ready = Date.parse(rank) - priority * 1000
    return [Math.max(0, Date.parse(started_at) - ready) / 1000]
  })
}

// A claim as the wire asks for it, in the engine's words: by itself, or next to a report.

import type { ClaimNext } from '../contract/outcome.ts'
import type { StepRecord } from '../domain/step.ts'
import type { ClaimRequest } from '../engine/step-queue.ts'
import { boundedDuration, leaseMillis } from './step-spec.ts'

/** How long a lease is when nobody says, in milliseconds. */
const defaultLease = 30_000
const longestWait = 60_000

/** What a worker asks for. `pointer` says where in the body. */
export function claimRequest(
  worker_id: string,
  { controllers, tasks, max = 1, lease, wait }: Omit<ClaimNext, 'worker_id'>,
  pointer: string,
): ClaimRequest {
  return {
    worker_id,
    ...(controllers !== undefined && { controllers: [...new Set(controllers)] }),
    ...(tasks !== undefined && { tasks: [...new Set(tasks)] }),
    max,
    lease: lease === undefined ? defaultLease : leaseMillis(lease, `${pointer}/lease`),
    wait:
      wait === undefined
        ? 0
        : boundedDuration(wait, `${pointer}/wait`, [0, longestWait], 'PT60S or less'),
  }
}

/**
 * Judges what is asked for next, before the report that it stands beside is taken: a claim that is
 * refused afterwards would leave its worker in the dark about the report.
 */
export function checkedNext(next: boolean | ClaimNext | undefined): ClaimNext | null {
  if (next === undefined || next === false) return null
  if (next === true) return {}
  claimRequest('', next, '/claim_next')
  return next
}

/**
 * What a worker wants after the steps that it has just settled: without words about it, more of the same.
 *
 * @param workerId who settled them.
 */
export function nextClaim(
  next: ClaimNext,
  settled: readonly StepRecord[],
  workerId: string,
): ClaimRequest {
  const { worker_id = workerId, ...asked } = next
  const unsaid = asked.controllers === undefined && asked.tasks === undefined
  const claim = claimRequest(
    worker_id,
    {
      ...(unsaid && {
        controllers: settled.map(({ controller_id }) => controller_id),
        tasks: settled.map(({ task }) => task),
      }),
      ...asked,
    },
    '/claim_next',
  )
  const lease = settled[0]?.lease_ms ?? null
  return asked.lease === undefined && lease !== null ? { ...claim, lease } : claim
}

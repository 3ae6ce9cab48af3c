// Managed steps in tests: enqueued, claimed and aged without waiting.

import type { FlowRecord } from '../../src/domain/flow.ts'
import { leaseToken } from '../../src/domain/lease.ts'
import type { StepRecord } from '../../src/domain/step.ts'
import type { OutcomeInput } from '../../src/engine/outcome-input.ts'
import type { StepInput } from '../../src/engine/step-input.ts'
import type { ClaimedStep, ClaimRequest } from '../../src/engine/step-queue.ts'
import type { SettleReply } from '../../src/engine/steps.ts'
import { caller, createFlow, type Session, type TestEngine } from './engine.ts'

const never = new AbortController().signal

/** A running flow with one pending step. */
export async function flowWithStep(
  engine: TestEngine,
  step: Partial<StepInput> = {},
  flow: Parameters<typeof createFlow>[1] = {},
): Promise<{ flow: FlowRecord; step: StepRecord }> {
  const made = await createFlow(engine, flow)
  const reply = await engine.steps.enqueue(caller, made.id, { task: 'work', ...step })
  return { flow: reply.flow, step: reply.step }
}

/** Claims at once, without waiting unless told to. */
export function claim(
  engine: TestEngine,
  more: Partial<ClaimRequest> = {},
): Promise<ClaimedStep[]> {
  return engine.queue.claim(
    caller,
    { worker_id: 'w1', max: 1, lease: 30_000, wait: 0, ...more },
    never,
  )
}

/** Claims the one step that there must be. */
export async function claimOne(
  engine: TestEngine,
  more: Partial<ClaimRequest> = {},
): Promise<ClaimedStep> {
  const [step] = await claim(engine, more)
  if (step === undefined) throw new Error('there is nothing to claim')
  return step
}

/** The token of a claim as its worker has it. */
export function tokenOf({ flow_id, lease_token }: StepRecord): string {
  if (lease_token === null) throw new Error('this step is not claimed')
  return leaseToken({ flow_id, token: lease_token })
}

/** Reports for a claim. */
export function settle(
  engine: TestEngine,
  step: StepRecord,
  outcome: OutcomeInput,
): Promise<SettleReply> {
  return engine.steps.settle(caller, step.id, tokenOf(step), outcome)
}

/** Moves all times of a step into the past, so that what would be due in `ms` milliseconds is due now. */
export async function age(session: Session, stepId: string, ms: number): Promise<void> {
  const columns = ['run_at', 'rank', 'wake_at', 'scheduled_at', 'started_at', 'lease_until']
  const past = columns.map((name) => `${name} = ${name} - $2::integer * interval '1 ms'`)
  await session.query(`update flow_steps set ${past.join(', ')} where id = $1`, [stepId, ms])
}

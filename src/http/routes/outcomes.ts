// Reports of workers: what became of a step, or of several, and the next ones in the same answer.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ref } from '../../contract/kit.ts'
import {
  type ClaimNext,
  type Outcome,
  type OutcomeResult,
  ReportedOutcomesSchema,
  ReportOutcomeSchema,
  ReportOutcomesSchema,
  SettledStepSchema,
} from '../../contract/outcome.ts'
import type { ClaimedStepBody } from '../../contract/step-work.ts'
import type { StepRecord } from '../../domain/step.ts'
import type { Caller, ChangeOptions } from '../../engine/change.ts'
import type { StandingClaim } from '../../engine/step-queue.ts'
import type { SettleReply } from '../../engine/steps.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import { checkedNext, nextClaim } from '../claim-spec.ts'
import type { RouteContext } from '../context.ts'
import { changeHeaders, changeOptions, unconditionalOptions } from '../headers.ts'
import { itemProblem } from '../item-problem.ts'
import { whileWanted } from '../long-poll.ts'
import { outcomeSpec, placed } from '../outcome-spec.ts'
import { noQuery, stepIdParams } from '../params.ts'
import { presentFlow } from '../present.ts'
import { presentClaimed, presentStep } from '../present-step.ts'

const tags = ['Steps']

export const outcomeRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, shutdown, publicUrl },
  done,
) => {
  async function settle(
    caller: Caller,
    report: { step_id: string; lease_token: string; outcome: Outcome },
    pointer: string,
    options?: ChangeOptions,
  ): Promise<SettleReply> {
    const { step_id, lease_token, outcome } = report
    const said = outcomeSpec(outcome, pointer)
    try {
      return await engine.steps.settle(caller, step_id, lease_token, said, options)
    } catch (error) {
      throw placed(error, outcome, pointer)
    }
  }

  /** What a worker asks for beside a report; null when that is nothing. */
  function standBy(caller: Caller, next: ClaimNext | null): StandingClaim | null {
    if (next === null) return null
    return engine.queue.standBy(caller, (settled) => {
      const workerId = next.worker_id ?? settled[0]?.worker_id ?? null
      return workerId === null ? null : nextClaim(next, settled, workerId)
    })
  }

  /**
   * What a worker is given after the steps that it has settled: what became ready with them, else whatever is.
   * Not more than was asked for, so nothing when nothing was settled.
   */
  async function claimNext(
    request: FastifyRequest,
    reply: FastifyReply,
    next: ClaimNext | null,
    standby: StandingClaim | null,
    settled: readonly StepRecord[],
  ): Promise<ClaimedStepBody[]> {
    const [first] = settled
    if (next === null || first === undefined) return []
    const caller = callerOf(request)
    const steps = await whileWanted(reply, shutdown, async (signal) => {
      const given = standby?.take(signal) ?? null
      if (given !== null) return given
      const workerId = next.worker_id ?? (await workerOf(caller, first))
      if (workerId === null) return []
      const claim = nextClaim(next, settled, workerId)
      return engine.queue.claim(caller, { ...claim, glance: true }, signal)
    })
    return steps.map(presentClaimed)
  }

  /** Who had a step. One that is to be tried again is nobody's already. */
  async function workerOf(caller: Caller, step: StepRecord): Promise<string | null> {
    if (step.worker_id !== null) return step.worker_id
    const { attempts } = await engine.steps.inspect(caller, step.id)
    return attempts.at(-1)?.worker_id ?? null
  }

  app.post(
    '/steps/:step_id/outcome',
    {
      schema: {
        operationId: 'reportOutcome',
        tags,
        summary: 'Report what became of a step',
        description:
          'Settles the step, changes its flow and adds the next step, all or nothing. The same report again is answered as the first (`repeated`). One on a flow that has ended, or is to end, is taken and does not count (`discarded`). A report under a lease that ran out counts as long as nobody else was given the step. With `claim_next` the answer brings the next steps. With a `link` in the wait, `flow.wait.link` is shown once.',
        'x-problems': [
          'not_found',
          'lease_lost',
          'wait_conflict',
          'step_conflict',
          'limit_exceeded',
          'timer_horizon_exceeded',
        ],
        params: stepIdParams,
        querystring: noQuery,
        body: ref(ReportOutcomeSchema),
        response: { 200: ref(SettledStepSchema) },
      },
      config: { ...needs('steps:work'), longPoll: true },
    },
    async (request, reply) => {
      const { claim_next, ...report } = request.body
      const next = checkedNext(claim_next)
      const caller = callerOf(request)
      const standby = standBy(caller, next)
      const result = await settle(
        caller,
        { ...report, step_id: request.params.step_id },
        '/outcome',
        { ...changeOptions(request), ...(standby && { standby }) },
      )
      changeHeaders(reply, result)
      const items = await claimNext(request, reply, next, standby, [result.step])
      const flow = presentFlow(result.flow)
      const link = result.link_token === null ? null : `${publicUrl}/r/${result.link_token}`
      return {
        step: presentStep(result.step),
        flow:
          link === null || flow.wait === null ? flow : { ...flow, wait: { ...flow.wait, link } },
        discarded: result.discarded,
        repeated: result.repeated,
        items,
      }
    },
  )

  app.post(
    '/steps/outcomes',
    {
      schema: {
        operationId: 'reportOutcomes',
        tags,
        summary: 'Report what became of several steps',
        description:
          'Each report counts for itself: one that is refused is a result with `ok: false` and disturbs no other. A repeat needs no `Idempotency-Key`, since every report is known by its `lease_token`. Links of waits are shown by `POST /steps/{step_id}/outcome` alone.',
        querystring: noQuery,
        body: ref(ReportOutcomesSchema),
        response: { 200: ref(ReportedOutcomesSchema) },
      },
      config: { ...needs('steps:work'), longPoll: true },
    },
    async (request, reply) => {
      const caller = callerOf(request)
      const { items, claim_next } = request.body
      const next = checkedNext(claim_next)
      unconditionalOptions(request)
      const standby = standBy(caller, next)
      const options = standby === null ? {} : { standby }
      // All at once, in their order: they go into as few transactions as possible.
      const reports = await Promise.allSettled(
        items.map((item, i) => settle(caller, item, `/items/${i}/outcome`, options)),
      )
      const settled = reports.flatMap((report) =>
        report.status === 'fulfilled' ? [report.value.step] : [],
      )
      const results = reports.map((report, i): OutcomeResult => {
        const step_id = items[i]?.step_id ?? ''
        if (report.status === 'rejected') {
          return { step_id, ok: false, problem: itemProblem(report.reason, request.log) }
        }
        const { discarded, repeated } = report.value
        return { step_id, ok: true, discarded, repeated }
      })
      return { results, items: await claimNext(request, reply, next, standby, settled) }
    },
  )

  done()
}

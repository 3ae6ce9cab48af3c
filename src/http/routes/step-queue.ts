// What workers do with steps: claim them, keep them by heartbeats, give them back.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { ref } from '../../contract/kit.ts'
import { StepSchema } from '../../contract/step.ts'
import {
  ClaimAnswerSchema,
  ClaimStepsSchema,
  HeartbeatAnswerSchema,
  HeartbeatSchema,
  ReleaseStepSchema,
} from '../../contract/step-work.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import { claimRequest } from '../claim-spec.ts'
import type { RouteContext } from '../context.ts'
import { replayHeader, unconditionalOptions } from '../headers.ts'
import { whileWanted } from '../long-poll.ts'
import { noQuery, stepIdParams } from '../params.ts'
import { presentClaimed, presentStep } from '../present-step.ts'
import { boundedDuration } from '../step-spec.ts'

const tags = ['Steps']
/** The longest pause before a step that was given back, in milliseconds. */
const longestDelay = 7 * 24 * 3_600_000

export const stepQueueRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine, shutdown },
  done,
) => {
  app.post(
    '/steps/claim',
    {
      schema: {
        operationId: 'claimSteps',
        tags,
        summary: 'Claim steps to run',
        description:
          'Gives steps to a worker, the lowest `priority` first and by turns from each controller. They are the worker’s until `lease_until`; a heartbeat renews that. With `wait` the answer comes as soon as there are steps, or empty when the time is over.',
        querystring: noQuery,
        body: ref(ClaimStepsSchema),
        response: { 200: ref(ClaimAnswerSchema) },
      },
      config: { ...needs('steps:work'), longPoll: true },
    },
    async (request, reply) => {
      const { worker_id, ...asked } = request.body
      const claim = claimRequest(worker_id, asked, '')
      const steps = await whileWanted(reply, shutdown, (signal) =>
        engine.queue.claim(callerOf(request), claim, signal),
      )
      return { items: steps.map(presentClaimed) }
    },
  )

  app.post(
    '/steps/:step_id/heartbeat',
    {
      schema: {
        operationId: 'sendHeartbeat',
        tags,
        summary: 'Keep a step',
        description:
          'Renews the lease by its own length from now. Send one in less than a third of it. `cancel_requested` says that the flow is to end.',
        'x-problems': ['not_found', 'lease_lost'],
        params: stepIdParams,
        querystring: noQuery,
        body: ref(HeartbeatSchema),
        response: { 200: ref(HeartbeatAnswerSchema) },
      },
      config: needs('steps:work'),
    },
    async (request) => {
      const { lease_token, ...told } = request.body
      const { lease_until, cancel_requested } = await engine.queue.heartbeat(
        callerOf(request),
        request.params.step_id,
        lease_token,
        told,
      )
      return { lease_until, cancel_requested }
    },
  )

  app.post(
    '/steps/:step_id/release',
    {
      schema: {
        operationId: 'releaseStep',
        tags,
        summary: 'Give a step back',
        description:
          'The step is pending again, and the attempt does not count. That of a flow which is to end stays until the service cancels it, at once.',
        'x-problems': ['not_found', 'lease_lost'],
        params: stepIdParams,
        querystring: noQuery,
        body: ref(ReleaseStepSchema),
        response: { 200: ref(StepSchema) },
      },
      config: needs('steps:work'),
    },
    async (request, reply) => {
      const { lease_token, delay } = request.body
      const millis =
        delay === undefined
          ? 0
          : boundedDuration(delay, '/delay', [0, longestDelay], 'a week at most')
      const released = await engine.queue.release(
        callerOf(request),
        request.params.step_id,
        lease_token,
        millis,
        unconditionalOptions(request),
      )
      replayHeader(reply, released)
      return presentStep(released.value)
    },
  )

  done()
}

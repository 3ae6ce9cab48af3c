// Why a flow does not move, and what would move it.

import type { FastifyPluginCallbackTypebox } from '@fastify/type-provider-typebox'
import { ExplanationSchema, type WireExplanation } from '../../contract/explain.ts'
import { ref } from '../../contract/kit.ts'
import type { Blocker, Explanation, OpenStep } from '../../domain/explain.ts'
import type { NearMiss } from '../../domain/near-miss.ts'
import { needs } from '../access.ts'
import { callerOf } from '../caller.ts'
import type { RouteContext } from '../context.ts'
import { movesOf } from '../moves.ts'
import { flowIdOf, flowParams, noQuery } from '../params.ts'
import { presentBranch, presentWait } from '../present.ts'
import { presentError } from '../present-step.ts'

export const explainRoutes: FastifyPluginCallbackTypebox<RouteContext> = (
  app,
  { engine },
  done,
) => {
  app.get(
    '/flows/:flow_id/explain',
    {
      schema: {
        operationId: 'explainFlow',
        tags: ['Flows'],
        summary: 'Explain why a flow stands still',
        description:
          'What blocks the flow, since when, the requests that would move it, what happens by itself next, and signals that almost matched what it waits for.',
        'x-problems': ['not_found'],
        params: flowParams,
        querystring: noQuery,
        response: { 200: ref(ExplanationSchema) },
      },
      config: needs('flows:read'),
    },
    async (request) =>
      present(await engine.explain.flow(callerOf(request), flowIdOf(request.params))),
  )

  done()
}

function present(explanation: Explanation): WireExplanation {
  const { flow, summary, blocked_by, since, automatic, engine_running } = explanation
  return {
    flow_id: flow.id,
    status: flow.status,
    revision: flow.revision,
    summary,
    blocked_by: presentBlocker(blocked_by),
    since,
    next_actions: movesOf(explanation),
    automatic: automatic === null ? null : { ...automatic, engine_running },
    near_misses: explanation.near_misses.map(presentNearMiss),
  }
}

function presentBlocker(blocker: Blocker): WireExplanation['blocked_by'] {
  switch (blocker.kind) {
    case 'wait': {
      const { kind, wait, open, link } = blocker
      return { kind, wait: presentWait(wait), open: open.map(presentBranch), link }
    }
    case 'overdue':
      return { ...blocker, wait: presentWait(blocker.wait) }
    case 'set_aside': {
      const { wait } = blocker
      return { ...blocker, wait: wait === null ? null : presentWait(wait) }
    }
    case 'controller':
      return { ...blocker, open_steps: blocker.open_steps.map(presentOpenStep) }
    case 'dead_steps':
      return { ...blocker, steps: blocker.steps.map(presentOpenStep) }
    case 'ended': {
      const { dead_step } = blocker
      return { ...blocker, dead_step: dead_step === null ? null : presentOpenStep(dead_step) }
    }
    default:
      return blocker
  }
}

function presentOpenStep(step: OpenStep) {
  return { ...step, error: presentError(step.error) }
}

function presentNearMiss({ signal, difference }: NearMiss): WireExplanation['near_misses'][number] {
  const { target } = signal
  const external = target.kind === 'external_event' ? target : null
  return {
    signal_id: signal.id,
    outcome: signal.outcome,
    topic: external?.topic ?? null,
    correlation_id: external?.correlation_id ?? null,
    name: target.kind === 'manual' ? target.signal : null,
    flow_id: signal.flow_id,
    received_at: signal.received_at,
    expires_at: signal.expires_at,
    difference,
  }
}

// The wire of explanations: why a flow does not move, and what would move it.

import { type Static, Type } from 'typebox'
import { automaticCauses, automaticChanges } from '../domain/explain.ts'
import { flowStatuses } from '../domain/flow.ts'
import { signalOutcomes } from '../domain/signal.ts'
import {
  BlockerSchema,
  blockerComponents,
  exampleBranch,
  exampleTime,
  exampleWait,
} from './blocker.ts'
import { exampleFlow } from './flow.ts'
import {
  answerBody,
  count,
  growingTexts,
  id,
  JsonObjectSchema,
  nullable,
  nullableText,
  nullableTimestamp,
  ref,
  timestamp,
} from './kit.ts'

const MoveSchema = answerBody(
  'Move',
  {
    rel: Type.String({ description: 'What the request does.' }),
    method: growingTexts(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'], 'The method.'),
    href: Type.String({ description: 'The address, from the root of the service.' }),
    body: Type.Optional(ref(JsonObjectSchema)),
    needs: Type.String({
      description:
        'The action that a caller must be allowed. Without credentials everybody who reaches the service is.',
      examples: ['flows:write'],
    }),
    note: nullableText({ description: 'What to know before it is sent.' }),
  },
  {
    description: 'A request that moves the flow, ready to send.',
    example: {
      rel: 'start',
      method: 'POST',
      href: `/flows/${exampleFlow.id}/start`,
      needs: 'flows:write',
      note: null,
    },
  },
)
export type Move = Static<typeof MoveSchema>

const AutomaticSchema = answerBody(
  'AutomaticChange',
  {
    change: growingTexts(automaticChanges, 'The kind of the event that this makes.'),
    by: growingTexts(automaticCauses, 'What causes it.'),
    at: timestamp('When.'),
    engine_running: Type.Boolean({
      description:
        'Whether the wait engine of the process that answers runs. When it does not, another process must.',
    }),
  },
  {
    description: 'What the service does by itself next.',
    example: { change: 'failed', by: 'timeout', at: exampleTime, engine_running: true },
  },
)

const exampleMiss = {
  signal_id: '019dbaf2-9a11-7d60-b2f3-6c5f0e3a4b58',
  outcome: 'buffered',
  topic: 'payment.setled',
  correlation_id: 'order-42',
  name: null,
  flow_id: null,
  received_at: exampleTime,
  expires_at: '2026-04-24T15:00:00.000Z',
  difference: 'same correlation_id, its topic is "payment.setled" instead of "payment.settled"',
} as const

const NearMissSchema = answerBody(
  'NearMiss',
  {
    signal_id: id('The signal.'),
    outcome: growingTexts(signalOutcomes, 'What has become of it.'),
    topic: nullableText({ description: 'Its topic; null for a named signal.' }),
    correlation_id: nullableText({ description: 'Its correlation id; null for a named signal.' }),
    name: nullableText({ description: 'Its name, for a named signal.' }),
    flow_id: nullableText({ format: 'uuid', description: 'The one flow that it is for.' }),
    received_at: timestamp('When it came in.'),
    expires_at: nullableTimestamp('Until when it is or was kept; null when it was not.'),
    difference: Type.String({ description: 'What kept it from the wait, in plain words.' }),
  },
  { description: 'A signal that almost matched.', example: exampleMiss },
)

export const ExplanationSchema = answerBody(
  'Explanation',
  {
    flow_id: id('The flow.'),
    status: growingTexts(flowStatuses, 'Where the flow is in its life.'),
    revision: count('The revision that this is about.'),
    summary: Type.String({ description: 'All of it in plain words.' }),
    blocked_by: ref(BlockerSchema),
    since: timestamp('Since when it is so; for a running flow, since when nothing has changed.'),
    next_actions: Type.Array(ref(MoveSchema), {
      description:
        'What would move it, the way that is meant first; empty when it has ended for good.',
    }),
    automatic: nullable(AutomaticSchema),
    near_misses: Type.Array(ref(NearMissSchema), {
      description: 'Up to ten signals that almost matched, the nearest first.',
    }),
  },
  {
    description: 'Why a flow does not move, and what would move it.',
    example: {
      flow_id: exampleFlow.id,
      status: 'waiting',
      revision: 2,
      summary:
        'It has waited for 2 hours: for a signal with topic "payment.settled" and correlation_id "order-42". One signal almost matched: same correlation_id, its topic is "payment.setled" instead of "payment.settled".',
      blocked_by: { kind: 'wait', wait: exampleWait, open: [exampleBranch], link: 'none' },
      since: exampleTime,
      next_actions: [
        {
          rel: 'resume-external',
          method: 'POST',
          href: `/flows/${exampleFlow.id}/resume-external`,
          body: { topic: 'payment.settled', correlation_id: 'order-42' },
          needs: 'signals:write',
          note: null,
        },
      ],
      automatic: null,
      near_misses: [exampleMiss],
    },
  },
)
export type WireExplanation = Static<typeof ExplanationSchema>

export const explainComponents = [
  ExplanationSchema,
  ...blockerComponents,
  MoveSchema,
  AutomaticSchema,
  NearMissSchema,
]

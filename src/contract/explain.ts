// The wire of explanations: why a flow does not move, and what would move it.

import { type Static, Type } from 'typebox'
import { automaticCauses, automaticChanges, linkStates } from '../domain/explain.ts'
import { flowStatuses } from '../domain/flow.ts'
import { signalOutcomes } from '../domain/signal.ts'
import { stepStatuses } from '../domain/step.ts'
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
  tag,
  taggedUnion,
  timestamp,
} from './kit.ts'
import { WaitBranchSchema, WaitSchema } from './wait.ts'

const exampleTime = '2026-04-23T15:00:00.000Z'
const exampleBranch = {
  kind: 'external_event',
  topic: 'payment.settled',
  correlation_id: 'order-42',
} as const
const exampleWait = {
  ...exampleBranch,
  id: '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07',
  since: exampleTime,
}
const exampleTimer = {
  kind: 'timer',
  id: exampleWait.id,
  since: '2026-04-23T14:00:00.000Z',
  at: exampleTime,
} as const

const NotStartedBlocker = answerBody(
  'NotStartedBlocker',
  { kind: tag('not_started') },
  {
    description: 'The flow was created and nobody has started it.',
    example: { kind: 'not_started' },
  },
)

const OpenStepSchema = answerBody(
  'OpenStep',
  {
    run_id: Type.String({ description: 'The caller’s name of the run.' }),
    task: Type.String({ description: 'What is done.' }),
    status: growingTexts(stepStatuses, 'Where the step is in its life.'),
    updated_at: timestamp('When it last changed.'),
  },
  {
    description: 'A step that has not ended, as far as it was reported.',
    example: {
      run_id: 'classify-1',
      task: 'classify',
      status: 'running',
      updated_at: exampleTime,
    },
  },
)

const ControllerBlocker = answerBody(
  'ControllerBlocker',
  {
    kind: tag('controller'),
    controller_id: Type.String({ description: 'Who decides what comes next.' }),
    open_steps: Type.Array(ref(OpenStepSchema), {
      description: 'Up to 20 steps that have not ended, the longest untouched first.',
    }),
  },
  {
    description: 'The flow runs: nobody moves it but its controller.',
    example: { kind: 'controller', controller_id: 'kate/inbox', open_steps: [] },
  },
)

const WaitBlocker = answerBody(
  'WaitBlocker',
  {
    kind: tag('wait'),
    wait: ref(WaitSchema),
    open: Type.Array(ref(WaitBranchSchema), {
      description: 'What can still end or advance the wait.',
    }),
    link: growingTexts(linkStates, 'Whether there is a link that ends the wait.'),
  },
  {
    description: 'The flow waits.',
    example: { kind: 'wait', wait: exampleWait, open: [exampleBranch], link: 'none' },
  },
)

const OverdueBlocker = answerBody(
  'OverdueBlocker',
  {
    kind: tag('overdue'),
    wait: ref(WaitSchema),
    due_at: timestamp('When it should have been fired.'),
    late_ms: count('How late that is now, in milliseconds.'),
  },
  {
    description: 'A timer or a deadline is due, and the wait engine has not fired it.',
    example: { kind: 'overdue', wait: exampleTimer, due_at: exampleTime, late_ms: 42_000 },
  },
)

const CancelBlocker = answerBody(
  'CancelBlocker',
  {
    kind: tag('cancel_requested'),
    reason: nullableText({ description: 'Why, as far as it was said.' }),
    carried_out_by: growingTexts(
      ['service', 'controller'],
      'Who ends the flow: the next tick of the service, or the controller by `cancel`.',
    ),
  },
  {
    description: 'A cancel was requested: the flow can only be cancelled.',
    example: {
      kind: 'cancel_requested',
      reason: 'the order was withdrawn',
      carried_out_by: 'controller',
    },
  },
)

const SetAsideBlocker = answerBody(
  'SetAsideBlocker',
  {
    kind: tag('set_aside'),
    wait: nullable(WaitSchema),
    reason: Type.String({ description: 'Why the service could not fire it.' }),
  },
  {
    description:
      'The flow was due and could not be fired: the clock leaves it alone until it is moved. `wait` is null when it cannot be read.',
    example: { kind: 'set_aside', wait: exampleTimer, reason: 'it could not be fired 5 times' },
  },
)

const EndedBlocker = answerBody(
  'EndedBlocker',
  {
    kind: tag('ended'),
    status: growingTexts(flowStatuses, 'How it ended.'),
    by: nullableText({ description: 'Who ended it, as the audit log names them.' }),
    reason: nullableText({ description: 'Why, as far as it was said.' }),
  },
  {
    description: 'The flow has ended: nothing moves it any more.',
    example: {
      kind: 'ended',
      status: 'failed',
      by: 'anonymous',
      reason: 'downstream answered 503',
    },
  },
)

const BlockerSchema = taggedUnion(
  'Blocker',
  'kind',
  [
    NotStartedBlocker,
    ControllerBlocker,
    WaitBlocker,
    OverdueBlocker,
    CancelBlocker,
    SetAsideBlocker,
    EndedBlocker,
  ],
  {
    description: 'What stands in the way of a flow. More kinds may be added.',
    example: { kind: 'not_started' },
  },
)

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
      description: 'What would move it, the way that is meant first; empty when it has ended.',
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
  BlockerSchema,
  NotStartedBlocker,
  ControllerBlocker,
  OpenStepSchema,
  WaitBlocker,
  OverdueBlocker,
  CancelBlocker,
  SetAsideBlocker,
  EndedBlocker,
  MoveSchema,
  AutomaticSchema,
  NearMissSchema,
]

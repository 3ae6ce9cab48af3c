// The wire of blockers: what stands in the way of a flow.

import { Type } from 'typebox'
import { cancellers, linkStates } from '../domain/explain.ts'
import { flowStatuses } from '../domain/flow.ts'
import { stepRuntimes, stepStatuses } from '../domain/step.ts'
import {
  answerBody,
  count,
  growingTexts,
  id,
  nullable,
  nullableText,
  nullableTimestamp,
  ref,
  tag,
  taggedUnion,
  timestamp,
} from './kit.ts'
import { StepErrorSchema } from './step.ts'
import { WaitBranchSchema, WaitSchema } from './wait.ts'

export const exampleTime = '2026-04-23T15:00:00.000Z'
export const exampleBranch = {
  kind: 'external_event',
  topic: 'payment.settled',
  correlation_id: 'order-42',
} as const
export const exampleWait = {
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

const exampleOpenStep = {
  step_id: '019dbaf3-0c22-7aa1-9d37-4b1e7c8f2a63',
  run_id: 'classify-1',
  task: 'classify',
  runtime: 'managed',
  status: 'running',
  attempt: 1,
  run_at: exampleTime,
  worker_id: 'worker-7',
  lease_until: exampleTime,
  error: null,
  updated_at: exampleTime,
} as const

const OpenStepSchema = answerBody(
  'OpenStep',
  {
    step_id: id('The step.'),
    run_id: Type.String({ description: 'The caller’s name of the run.' }),
    task: Type.String({ description: 'What is done.' }),
    runtime: growingTexts(stepRuntimes, 'Whether the service gives it to workers.'),
    status: growingTexts(stepStatuses, 'Where the step is in its life.'),
    attempt: count('How often it was tried, the present attempt included.'),
    run_at: nullableTimestamp('Not to be run before.'),
    worker_id: nullableText({ description: 'The worker that has it, or had it last.' }),
    lease_until: nullableTimestamp('Until when its worker has it.'),
    error: nullable(StepErrorSchema),
    updated_at: timestamp('When it last changed.'),
  },
  {
    description: 'A step that has not ended, as far as it was reported, or that is dead.',
    example: exampleOpenStep,
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
    description: 'The flow runs: its steps move it, or its controller.',
    example: { kind: 'controller', controller_id: 'kate/inbox', open_steps: [] },
  },
)

const DeadStepsBlocker = answerBody(
  'DeadStepsBlocker',
  {
    kind: tag('dead_steps'),
    controller_id: Type.String({ description: 'Who decides what comes next.' }),
    steps: Type.Array(ref(OpenStepSchema), {
      description: 'Up to 20 steps that are dead, the one that died last first.',
    }),
  },
  {
    description:
      'The flow runs, and its steps are dead: somebody must decide what becomes of them.',
    example: {
      kind: 'dead_steps',
      controller_id: 'kate/inbox',
      steps: [{ ...exampleOpenStep, status: 'failed', lease_until: null }],
    },
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
      cancellers,
      'Who ends the flow: the next tick of the service, its running steps by their reports, or the controller by `cancel`.',
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
    dead_step: nullable(OpenStepSchema),
  },
  {
    description:
      'The flow has ended: nothing moves it any more, but that a failed one can be reopened at its dead step, which is then in `dead_step`.',
    example: {
      kind: 'ended',
      status: 'failed',
      by: 'anonymous',
      reason: 'downstream answered 503',
      dead_step: null,
    },
  },
)

export const BlockerSchema = taggedUnion(
  'Blocker',
  'kind',
  [
    NotStartedBlocker,
    ControllerBlocker,
    DeadStepsBlocker,
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

export const blockerComponents = [
  BlockerSchema,
  NotStartedBlocker,
  ControllerBlocker,
  DeadStepsBlocker,
  OpenStepSchema,
  WaitBlocker,
  OverdueBlocker,
  CancelBlocker,
  SetAsideBlocker,
  EndedBlocker,
]

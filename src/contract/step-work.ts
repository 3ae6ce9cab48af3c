// The wire of workers: claims, heartbeats and releases. What they report stands in outcome.ts.

import { type Static, Type } from 'typebox'
import { exampleFlow, LabelsSchema } from './flow.ts'
import {
  answerBody,
  duration,
  id,
  JsonObjectSchema,
  JsonValueSchema,
  name,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'
import { exampleStep, stepMembers } from './step.ts'

export const exampleToken = '019dbaf25e107b1e8c442f6a1b9d3c155f2c8d1e9b7a4c3d8e6f0a1b2c3d4e5f'

export const claimMembers = {
  controllers: Type.Optional(
    Type.Array(name('A controller.'), {
      minItems: 1,
      maxItems: 50,
      description: 'Steps of flows of these controllers; of any when absent.',
    }),
  ),
  tasks: Type.Optional(
    Type.Array(name('A task.'), {
      minItems: 1,
      maxItems: 50,
      description: 'Steps with these tasks; with any when absent.',
    }),
  ),
  max: Type.Optional(
    Type.Integer({ minimum: 1, maximum: 100, description: 'Steps at most; 1 when absent.' }),
  ),
  lease: Type.Optional(
    duration(
      'How long they are the worker’s without a heartbeat: `PT1S` to `PT1H`; `PT30S` when absent.',
    ),
  ),
  wait: Type.Optional(
    duration(
      'How long to wait for the first one: `PT60S` at most; not at all when absent. Steps are answered as soon as there are any.',
    ),
  ),
}

export const ClaimStepsSchema = requestBody(
  'ClaimSteps',
  { worker_id: name('Who claims: a name for people and logs.', ['worker-7']), ...claimMembers },
  {
    description: 'Which steps a worker wants.',
    example: { worker_id: 'worker-7', tasks: ['classify'], max: 10, wait: 'PT20S' },
  },
)

const ClaimedFlowSchema = answerBody(
  'ClaimedFlow',
  {
    id: id('The flow.'),
    controller_id: Type.String({ description: 'Its controller.' }),
    goal: Type.String({ description: 'What the flow is for.' }),
    state: ref(JsonObjectSchema),
    labels: ref(LabelsSchema),
  },
  {
    description: 'What a worker is told of the flow of its step.',
    example: {
      id: exampleFlow.id,
      controller_id: exampleFlow.controller_id,
      goal: exampleFlow.goal,
      state: { messages: 10 },
      labels: { tier: 'gold' },
    },
  },
)

const exampleClaimed = {
  ...exampleStep,
  status: 'running',
  result: null,
  progress: null,
  lease_until: '2026-04-23T14:05:30.000Z',
  lease_token: exampleToken,
  flow: {
    id: exampleFlow.id,
    controller_id: exampleFlow.controller_id,
    goal: exampleFlow.goal,
    state: { messages: 10 },
    labels: { tier: 'gold' },
  },
} as const

const ClaimedStepSchema = answerBody(
  'ClaimedStep',
  {
    ...stepMembers,
    lease_token: Type.String({ description: 'Send it with heartbeats and with the outcome.' }),
    flow: ref(ClaimedFlowSchema),
    checkpoint: Type.Optional(ref(JsonValueSchema)),
    signal: Type.Optional(ref(JsonValueSchema)),
    traceparent: Type.Optional(
      Type.String({
        description: 'The W3C trace context of what added the step: link what runs it to it.',
        examples: ['00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01'],
      }),
    ),
  },
  {
    description:
      'A step to run. `checkpoint` is there when an attempt before left one; `signal` when the step follows a wait: what ended it, or null; `traceparent` when the request that added it had one.',
    example: exampleClaimed,
  },
)
export type ClaimedStepBody = Static<typeof ClaimedStepSchema>

export const claimedItems = Type.Array(ref(ClaimedStepSchema), {
  description: 'Steps to run; empty when there are none.',
})

export const ClaimAnswerSchema = answerBody(
  'ClaimAnswer',
  { items: claimedItems },
  { description: 'The steps that were claimed.', example: { items: [exampleClaimed] } },
)

export const tokenMember = {
  lease_token: Type.String({
    minLength: 1,
    maxLength: 255,
    description: 'The `lease_token` of the claim.',
    examples: [exampleToken],
  }),
}

export const HeartbeatSchema = requestBody(
  'Heartbeat',
  {
    ...tokenMember,
    progress: Type.Optional(ref(JsonValueSchema)),
    checkpoint: Type.Optional(ref(JsonValueSchema)),
  },
  {
    description:
      'A sign of life. `progress` is shown to others, `checkpoint` is given to the next attempt. What is absent stays as it was sent before.',
    example: { lease_token: exampleToken, progress: { done: 4 } },
  },
)

export const HeartbeatAnswerSchema = answerBody(
  'HeartbeatAnswer',
  {
    lease_until: timestamp('Until when the step is the worker’s now.'),
    cancel_requested: Type.Boolean({
      description: 'True: its flow is to end. Stop, and report an outcome, which does not count.',
    }),
  },
  {
    description: 'The lease was renewed.',
    example: { lease_until: '2026-04-23T14:06:00.000Z', cancel_requested: false },
  },
)

export const ReleaseStepSchema = requestBody(
  'ReleaseStep',
  {
    ...tokenMember,
    delay: Type.Optional(
      duration('In how long it can be claimed again, a week at most; at once when absent.'),
    ),
  },
  {
    description: 'A step that its worker does not run after all.',
    example: { lease_token: exampleToken, delay: 'PT10S' },
  },
)

export const stepWorkComponents = [
  ClaimStepsSchema,
  ClaimAnswerSchema,
  ClaimedStepSchema,
  ClaimedFlowSchema,
  HeartbeatSchema,
  HeartbeatAnswerSchema,
  ReleaseStepSchema,
]

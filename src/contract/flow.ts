// The wire of flows: the flow itself, and the bodies of the requests that create and change one.

import { type Static, type TObject, Type } from 'typebox'
import { type EventKind, eventKinds } from '../domain/event.ts'
import { flowModes, flowStatuses } from '../domain/flow.ts'
import { maxFlowHooks, payloadStyles } from '../domain/hook.ts'
import {
  answerBody,
  component,
  count,
  id,
  JsonObjectSchema,
  JsonValueSchema,
  maxLengths,
  name,
  nullable,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  text,
  timestamp,
} from './kit.ts'
import { NewStepSchema } from './new-step.ts'
import { WaitSchema } from './wait.ts'

const labelNames = { type: 'string', minLength: 1, maxLength: maxLengths.label }

export const LabelsSchema = component(
  'Labels',
  Type.Unsafe<Record<string, string>>({
    type: 'object',
    propertyNames: labelNames,
    additionalProperties: { type: 'string', maxLength: maxLengths.label },
  }),
  {
    description:
      'Names and values that flows can be found by: 32 at most unless configured otherwise.',
    example: { tier: 'gold' },
  },
)

export const LabelsPatch = component(
  'LabelsPatch',
  Type.Unsafe<Record<string, string | null>>({
    type: 'object',
    propertyNames: labelNames,
    additionalProperties: { type: ['string', 'null'], maxLength: maxLengths.label },
  }),
  {
    description: 'Labels to set, and with null those to remove. All others stay.',
    example: { tier: 'gold', region: null },
  },
)

const FlowHoldSchema = answerBody(
  'FlowHold',
  {
    reason: nullableText({ description: 'Why, as it was said.' }),
    since: timestamp('When it was put on hold.'),
    by: Type.String({ description: 'By whom.' }),
  },
  {
    description: 'A flow on hold is never deleted, however long ago it ended.',
    example: { reason: 'case 4711', since: '2026-04-23T15:00:00.000Z', by: 'operator' },
  },
)

export const retainText =
  'How long the flow is kept after it has ended, from a day to ten years unless the service is set otherwise'

const modeText =
  '`managed`: the service runs its steps. `mirrored`: they run elsewhere, and the service is told.'

const flowMembers = {
  id: id('Made by the service.'),
  namespace: Type.String({ description: 'The namespace that the flow belongs to.' }),
  key: nullableText({
    description: 'The business key: unique among the open flows of the namespace.',
  }),
  controller_id: Type.String({ description: 'Who decides the next step of the flow.' }),
  goal: Type.String({ description: 'What the flow is for, in one sentence.' }),
  owner_session_key: Type.String({ description: 'Whose flow it is.' }),
  requester_origin: Type.String({ description: 'Who asked for it.' }),
  mode: oneOfTexts(flowModes, modeText),
  current_step: Type.String({ description: 'Where the flow is, in words of its controller.' }),
  state: ref(JsonObjectSchema),
  status: oneOfTexts(
    flowStatuses,
    'Where the flow is in its life. `finished`, `failed` and `cancelled` are final.',
  ),
  wait: nullable(WaitSchema),
  cancel_requested: Type.Boolean({
    description: 'True from the moment a cancel was requested. It never becomes false again.',
  }),
  labels: ref(LabelsSchema),
  retain: nullableText({
    format: 'duration',
    examples: ['P90D'],
    description: 'How long it is kept after its end; null: as long as the service is set to.',
  }),
  hold: nullable(FlowHoldSchema),
  revision: count('Grows by one with every change. Also the `ETag`.'),
  created_at: timestamp('When the flow was created.'),
  updated_at: timestamp('When it last changed.'),
  closed_at: nullableTimestamp('When it ended; null while it is open.'),
}

export const exampleFlow: Static<TObject<typeof flowMembers>> = {
  id: '019dbaf2-5e10-7b1e-8c44-2f6a1b9d3c15',
  namespace: 'default',
  key: null,
  controller_id: 'kate/inbox',
  goal: 'triage inbox',
  owner_session_key: 'agent:kate:session:abc',
  requester_origin: 'user-1',
  mode: 'managed',
  current_step: 'classify',
  state: { messages: 10 },
  status: 'waiting',
  wait: {
    kind: 'timer',
    id: '019dbaf2-6d40-7c3a-9a51-8f0f6f1c2e07',
    since: '2026-04-23T14:00:00.000Z',
    at: '2026-04-23T15:00:00.000Z',
  },
  cancel_requested: false,
  labels: { tier: 'gold' },
  retain: null,
  hold: null,
  revision: 3,
  created_at: '2026-04-23T13:59:56.000Z',
  updated_at: '2026-04-23T14:00:00.000Z',
  closed_at: null,
}

export const FlowSchema = answerBody('Flow', flowMembers, {
  description: 'A durable flow: its state, its status, and what it waits for.',
  example: exampleFlow,
})
export type Flow = Static<typeof FlowSchema>

export const FlowPageSchema = page('FlowPage', FlowSchema, {
  description: 'A page of flows.',
  example: exampleFlow,
})

/** Those of hooks in requests; `contract/hook.ts` has the rest. */
export const hookMembers = {
  url: Type.String({
    minLength: 1,
    description:
      'Where to post: an `https://` URL of the public Internet, unless the service is set up otherwise.',
    examples: ['https://example.com/hooks/taskflow'],
  }),
  kinds: Type.Optional(
    Type.Unsafe<EventKind[] | null>({
      type: ['array', 'null'],
      items: { type: 'string', enum: [...eventKinds] },
      minItems: 1,
      uniqueItems: true,
      description: 'The kinds of events to be told of; all when absent or null.',
      examples: [['finished', 'failed', 'cancelled']],
    }),
  ),
  secret: Type.Optional(
    Type.String({
      maxLength: maxLengths.name,
      description:
        'Signs the deliveries: `whsec_` and 24 to 64 random bytes in base64. One is made when it is absent.',
    }),
  ),
  payload: Type.Optional(
    oneOfTexts(
      payloadStyles,
      '`thin`: what happened to which flow. `full`: with the payload of the event and the flow as well. `thin` when absent.',
    ),
  ),
}

const FlowHookSchema = requestBody('FlowHook', hookMembers, {
  description: 'Who is told of the events of a new flow.',
  example: { url: 'https://example.com/hooks/taskflow', kinds: ['finished', 'failed'] },
})

export const CreatedHookSchema = answerBody(
  'CreatedHook',
  {
    id: id('The id of the hook.'),
    url: Type.String({ description: 'Where it posts to.' }),
    secret: nullableText({
      description:
        'Verifies its deliveries. Shown once: null when it was given, and in the answer to a repeat.',
    }),
  },
  {
    description: 'A hook that was made with its flow.',
    example: {
      id: '019dbaf2-8b20-7f4d-a1c6-3d9e0f7b5a15',
      url: 'https://example.com/hooks/taskflow',
      secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=',
    },
  },
)

export const CreatedFlowSchema = answerBody(
  'CreatedFlow',
  {
    ...flowMembers,
    hooks: Type.Optional(
      Type.Array(ref(CreatedHookSchema), {
        description: 'The hooks that were asked for with the flow.',
      }),
    ),
  },
  { description: 'A new flow.', example: exampleFlow },
)

export const CreateFlowSchema = requestBody(
  'CreateFlow',
  {
    controller_id: name('Who decides the next step of the flow.'),
    goal: text('What the flow is for, in one sentence.'),
    owner_session_key: Type.Optional(
      name('Whose flow it is. Required, unless the binding of the key says it.'),
    ),
    requester_origin: Type.Optional(
      name('Who asks for it. Required, unless the binding of the key says it.'),
    ),
    current_step: Type.Optional(name('Where the flow begins; `init` when absent.')),
    state: Type.Optional(ref(JsonObjectSchema)),
    mode: Type.Optional(oneOfTexts(flowModes, `${modeText} \`managed\` when absent.`)),
    labels: Type.Optional(ref(LabelsSchema)),
    key: Type.Optional(
      name('A business key of yours, unique among the open flows of the namespace.', ['order-42']),
    ),
    on_conflict: Type.Optional(
      oneOfTexts(
        ['fail', 'use_existing'],
        'What to do when an open flow has the key already: refuse with `key_conflict`, or answer that flow. `fail` when absent.',
      ),
    ),
    routing_key: Type.Optional(
      name('Flows with the same routing key are stored together. Not together with `key`.'),
    ),
    start: Type.Optional(
      Type.Boolean({
        description:
          'True: the flow is running from the start, as a mirrored flow and one with `steps` always are. False when absent.',
      }),
    ),
    retain: Type.Optional(
      Type.String({
        format: 'duration',
        description: `${retainText}. As long as the service is set to when absent.`,
        examples: ['P365D'],
      }),
    ),
    steps: Type.Optional(
      Type.Array(ref(NewStepSchema), {
        minItems: 1,
        maxItems: 100,
        description: 'Steps to begin with, 1 to 100: the flow is then running from the start.',
      }),
    ),
    hooks: Type.Optional(
      Type.Array(ref(FlowHookSchema), {
        maxItems: maxFlowHooks,
        description: 'Who is told of the events of this flow, from the first one on.',
      }),
    ),
  },
  {
    description: 'A new flow.',
    example: {
      controller_id: 'kate/inbox',
      goal: 'triage inbox',
      owner_session_key: 'agent:kate:session:abc',
      requester_origin: 'user-1',
      state: { messages: 10 },
      start: true,
    },
  },
)
export type CreateFlow = Static<typeof CreateFlowSchema>

export const flowComponents = [
  JsonObjectSchema,
  JsonValueSchema,
  LabelsSchema,
  LabelsPatch,
  FlowHoldSchema,
  FlowSchema,
  FlowPageSchema,
  FlowHookSchema,
  CreatedHookSchema,
  CreatedFlowSchema,
  CreateFlowSchema,
]

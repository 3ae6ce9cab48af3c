// The wire of hooks: who is told of which events, and how.

import { type Static, type TObject, Type } from 'typebox'
import { type EventKind, eventKinds } from '../domain/event.ts'
import { payloadStyles } from '../domain/hook.ts'
import { hookMembers } from './flow.ts'
import {
  answerBody,
  component,
  duration,
  growingTexts,
  id,
  maxLengths,
  nullableText,
  nullableTimestamp,
  page,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'

const { url, secret, ...filters } = hookMembers

const labelText = { type: 'string', maxLength: maxLengths.label }

/** Null stands inside: in 3.0 an open object and null would both be objects. */
const LabelFilterSchema = component(
  'LabelFilter',
  Type.Unsafe<Record<string, string> | null>({
    type: ['object', 'null'],
    propertyNames: { ...labelText, minLength: 1 },
    additionalProperties: labelText,
  }),
  {
    description: 'Labels that a flow must have, all of them; null for any.',
    example: { tier: 'gold' },
  },
)

/** What can be said of a hook when it is made, and changed later on. */
const definition = {
  ...filters,
  controller_id: Type.Optional(
    nullableText({
      minLength: 1,
      maxLength: maxLengths.name,
      description: 'Only events of flows of this controller; of all when absent or null.',
    }),
  ),
  labels: Type.Optional(ref(LabelFilterSchema)),
  ordered: Type.Optional(
    Type.Boolean({
      description:
        'Whether a delivery waits until the one before it, of the same flow, is through. False when absent.',
    }),
  ),
  description: Type.Optional(
    nullableText({ maxLength: maxLengths.text, description: 'For people: what it is for.' }),
  ),
}

const exampleUrl = 'https://example.com/hooks/taskflow'
const exampleSecret = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo='
const closing: EventKind[] = ['finished', 'failed', 'cancelled']

export const CreateHookSchema = requestBody(
  'CreateHook',
  {
    url,
    secret,
    ...definition,
    flow_id: Type.Optional(
      Type.String({ description: 'Only events of this flow; of all flows when absent.' }),
    ),
  },
  { description: 'A new hook.', example: { url: exampleUrl, kinds: closing } },
)

export const UpdateHookSchema = requestBody(
  'UpdateHook',
  {
    url: Type.Optional(url),
    ...definition,
    enabled: Type.Optional(
      Type.Boolean({
        description:
          'False: nothing more is queued for it, and what is pending fails. True: from now on it is told again.',
      }),
    ),
  },
  {
    description: 'What shall be another. Members that are absent stay as they are.',
    example: { enabled: true },
  },
)

export const RotateSecretSchema = requestBody(
  'RotateSecret',
  {
    secret,
    overlap: Type.Optional(
      duration('How long the secrets of before sign as well; `P1D` when absent.'),
    ),
  },
  { description: 'Another secret.', example: { overlap: 'P1D' } },
)

const HookSecretSchema = answerBody(
  'HookSecret',
  {
    fingerprint: Type.String({ description: 'The first 8 hex digits of its SHA-256.' }),
    created_at: timestamp('When it was made.'),
    expires_at: nullableTimestamp('Until when it signs; null for the present one.'),
  },
  {
    description: 'A secret that signs, without the secret.',
    example: { fingerprint: '4b0cc6b2', created_at: '2026-04-23T15:00:00.000Z', expires_at: null },
  },
)

const hookAnswer = {
  id: id('Made by the service.'),
  url: Type.String({ description: 'Where it posts to.' }),
  kinds: Type.Unsafe<EventKind[] | null>({
    type: ['array', 'null'],
    items: growingTexts(eventKinds, 'A kind of events.'),
    description: 'The kinds of events that it is told of; null for all.',
  }),
  controller_id: nullableText({ description: 'The controller of the flows; null for any.' }),
  labels: ref(LabelFilterSchema),
  flow_id: nullableText({ format: 'uuid', description: 'The one flow; null for all.' }),
  payload: growingTexts(payloadStyles, 'What deliveries hold.'),
  ordered: Type.Boolean({ description: 'Whether deliveries of one flow wait for each other.' }),
  description: nullableText({ description: 'What it is for.' }),
  enabled: Type.Boolean({ description: 'Whether anything is queued for it.' }),
  disabled_reason: nullableText({ description: 'Why not; null while it is enabled.' }),
  disabled_at: nullableTimestamp('Since when not.'),
  secrets: Type.Array(ref(HookSecretSchema), { description: 'Those that sign, newest first.' }),
  last_success_at: nullableTimestamp('When the receiver last took something.'),
  created_at: timestamp('When it was made.'),
  updated_at: timestamp('When it was last changed by a request.'),
}

const exampleHook: Static<TObject<typeof hookAnswer>> = {
  id: '019dbaf2-8b20-7f4d-a1c6-3d9e0f7b5a15',
  url: exampleUrl,
  kinds: closing,
  controller_id: null,
  labels: null,
  flow_id: null,
  payload: 'thin',
  ordered: false,
  description: null,
  enabled: true,
  disabled_reason: null,
  disabled_at: null,
  secrets: [{ fingerprint: '4b0cc6b2', created_at: '2026-04-23T15:00:00.000Z', expires_at: null }],
  last_success_at: null,
  created_at: '2026-04-23T15:00:00.000Z',
  updated_at: '2026-04-23T15:00:00.000Z',
}

export const HookSchema = answerBody('Hook', hookAnswer, {
  description: 'Who is told of which events. Its secrets are not shown.',
  example: exampleHook,
})
export type Hook = Static<typeof HookSchema>

export const HookWithSecretSchema = answerBody(
  'HookWithSecret',
  {
    ...hookAnswer,
    secret: nullableText({
      description:
        'The new secret. Shown once: null when it was given, and in the answer to a repeat.',
    }),
  },
  {
    description: 'A hook with the secret that was made for it.',
    example: { ...exampleHook, secret: exampleSecret },
  },
)

export const HookPageSchema = page('HookPage', HookSchema, {
  description: 'A page of hooks.',
  example: exampleHook,
})

export const hookComponents = [
  LabelFilterSchema,
  CreateHookSchema,
  UpdateHookSchema,
  RotateSecretSchema,
  HookSecretSchema,
  HookSchema,
  HookWithSecretSchema,
  HookPageSchema,
]

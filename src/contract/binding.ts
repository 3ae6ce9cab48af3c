// The wire of bindings and their keys: who may do what.

import { type Static, Type } from 'typebox'
import { grants } from '../domain/binding.ts'
import {
  answerBody,
  duration,
  growingTexts,
  id,
  maxLengths,
  name,
  nullable,
  nullableText,
  nullableTimestamp,
  oneOfTexts,
  page,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'

const exampleId = '019dbaf2-4b10-7e21-9c3d-5f6a7b8c9d15'
const exampleKeyId = '019dbaf2-4c20-7f31-8d4e-6a7b8c9d0e15'

const whole = (description: string) => Type.Integer({ minimum: 1, maximum: 1_000_000, description })

const RateRequest = requestBody(
  'RateRequest',
  {
    per_minute: whole('Requests a minute.'),
    burst: Type.Optional(
      whole('Requests at once after a pause; a sixth of `per_minute` when absent.'),
    ),
  },
  {
    description: 'How many requests a caller may send. A long poll and a batch are one request.',
    example: { per_minute: 600, burst: 100 },
  },
)

const RateSchema = answerBody(
  'Rate',
  { per_minute: whole('Requests a minute.'), burst: whole('Requests at once after a pause.') },
  { description: 'How many requests a caller may send.', example: { per_minute: 600, burst: 100 } },
)

const actionList = (description: string) =>
  Type.Array(oneOfTexts(grants, 'An action.'), {
    minItems: 1,
    maxItems: grants.length,
    uniqueItems: true,
    description,
  })

const nullableName = (description: string) =>
  nullableText({ minLength: 1, maxLength: maxLengths.name, description })

const controllerList = Type.Unsafe<string[] | null>({
  type: ['array', 'null'],
  items: { type: 'string', minLength: 1, maxLength: maxLengths.name },
  minItems: 1,
  maxItems: 100,
  description:
    'The only controllers whose flows and steps the key sees and works on; those of all when null or absent.',
})

/** What a binding, or a key minted from one, is held to; a member that is left out says nothing. */
const boundMembers = {
  owner_session_key: Type.Optional(
    nullableName(
      'The only owner whose flows the key sees and makes; all others are 404. Any when null or absent.',
    ),
  ),
  requester_origin: Type.Optional(
    nullableName(
      'Who asks for the flows that the key makes. It says so itself when null or absent.',
    ),
  ),
  controllers: Type.Optional(controllerList),
  timer_max_horizon: Type.Optional(
    nullableText({
      format: 'duration',
      examples: ['P30D'],
      description:
        'How far ahead timers may be, such as `P30D`. As far as anybody’s when null or absent.',
    }),
  ),
  rate: Type.Optional(nullable(RateRequest)),
}

const actionsText =
  'What the key may do; nothing else. `*` is everything, `tool:*` the whole tool for agents.'
const expiresText = 'When its keys stop to work; never when null or absent.'

export const CreateBindingSchema = requestBody(
  'CreateBinding',
  {
    name: Type.String({
      pattern: '^[a-z0-9][a-z0-9._-]{0,62}$',
      description:
        'What audit events call it: lower-case letters, digits, `.`, `_` and `-`. Unique in its namespace, and never changed.',
      examples: ['inbox-agent'],
    }),
    namespace: Type.Optional(name('Where it works; where you are when absent.', ['default'])),
    actions: actionList(actionsText),
    ...boundMembers,
    expires_at: Type.Optional(nullableTimestamp(expiresText)),
  },
  {
    description: 'A new binding. It gives nothing that the key which makes it does not have.',
    example: {
      name: 'inbox-agent',
      actions: ['tool:start', 'tool:status', 'tool:wait', 'tool:finish'],
      owner_session_key: 'agent:kate:session:abc',
      requester_origin: 'user-1',
      timer_max_horizon: 'P30D',
    },
  },
)

export const UpdateBindingSchema = requestBody(
  'UpdateBinding',
  {
    actions: Type.Optional(actionList(actionsText)),
    ...boundMembers,
    expires_at: Type.Optional(nullableTimestamp(expiresText)),
  },
  {
    description: 'What changes; it holds for all its keys within five seconds.',
    example: { actions: ['tool:*'] },
  },
)
export type UpdateBinding = Static<typeof UpdateBindingSchema>

const boundAnswer = {
  actions: Type.Array(growingTexts(grants, 'An action.')),
  owner_session_key: nullableName(
    'The only owner whose flows it sees and makes; null means every one.',
  ),
  requester_origin: nullableName('Who asks for the flows that it makes; null: it says so itself.'),
  controllers: Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description: 'The only controllers whose flows and steps it sees; null means all.',
  }),
  timer_max_horizon: nullableText({
    format: 'duration',
    examples: ['P30D'],
    description: 'How far ahead its timers may be; null: as far as anybody’s.',
  }),
  rate: nullable(RateSchema),
}

const bindingMembers = {
  id: id('The binding.'),
  namespace: Type.String({ description: 'Where it works.' }),
  name: Type.String({ description: 'What audit events call it.' }),
  ...boundAnswer,
  expires_at: nullableTimestamp('When its keys stop to work; null: never.'),
  created_at: timestamp('When it was made.'),
  updated_at: timestamp('When it was last changed.'),
}

const exampleBinding = {
  id: exampleId,
  namespace: 'default',
  name: 'inbox-agent',
  actions: ['tool:start' as const, 'tool:status' as const],
  owner_session_key: 'agent:kate:session:abc',
  requester_origin: 'user-1',
  controllers: null,
  timer_max_horizon: 'P30D',
  rate: null,
  expires_at: null,
  created_at: '2026-04-23T14:00:00.000Z',
  updated_at: '2026-04-23T14:00:00.000Z',
}

export const BindingSchema = answerBody('Binding', bindingMembers, {
  description: 'Who a caller is, and what it may do.',
  example: exampleBinding,
})
export type Binding = Static<typeof BindingSchema>

const keyMembers = {
  id: id('The key.'),
  name: nullableText({ description: 'What it is for.' }),
  minted: Type.Boolean({ description: 'Whether it was minted from another key, and may less.' }),
  created_at: timestamp('When it was made.'),
  expires_at: nullableTimestamp('When it stops to work; null: never.'),
  last_used_at: nullableTimestamp('When it was last used, to the minute; null: not yet.'),
}
const exampleKey = {
  id: exampleKeyId,
  name: 'laptop',
  minted: false,
  created_at: '2026-04-23T14:01:00.000Z',
  expires_at: null,
  last_used_at: null,
}

const BindingKeySchema = answerBody('BindingKey', keyMembers, {
  description: 'A key of a binding. What it is, is never shown again.',
  example: exampleKey,
})
export type BindingKey = Static<typeof BindingKeySchema>

export const BindingDetailSchema = answerBody(
  'BindingDetail',
  {
    ...bindingMembers,
    keys: Type.Array(ref(BindingKeySchema), { description: 'Its keys, oldest first.' }),
  },
  { description: 'A binding with its keys.', example: { ...exampleBinding, keys: [exampleKey] } },
)

export const BindingPageSchema = page('BindingPage', BindingSchema, {
  description: 'Bindings, newest first.',
  example: exampleBinding,
})

const keyName = Type.Optional(name('What the key is for, to tell it from others.', ['laptop']))

export const CreateKeySchema = requestBody(
  'CreateKey',
  {
    name: keyName,
    expires_in: Type.Optional(duration('How long it works; as long as its binding when absent.')),
  },
  {
    description:
      'A new key of a binding. There are two at most, so that one can replace the other.',
    example: { name: 'laptop' },
  },
)

export const MintKeySchema = requestBody(
  'MintKey',
  {
    name: keyName,
    expires_in: duration('How long it works: 90 days at most.'),
    actions: Type.Optional(
      actionList('What it may do; as much as the key that mints it when absent.'),
    ),
    ...boundMembers,
  },
  {
    description: 'A key that may no more than the one that mints it, for a time.',
    example: { expires_in: 'PT1H', actions: ['signals:write'] },
  },
)
export type MintKey = Static<typeof MintKeySchema>

export const CreatedKeySchema = answerBody(
  'CreatedKey',
  {
    ...keyMembers,
    key: nullableText({
      description:
        'What to send as `Authorization: Bearer …`. Shown once: null in the answer to a repeat.',
    }),
  },
  {
    description: 'A new key.',
    example: { ...exampleKey, key: `tf_live_${exampleKeyId.replaceAll('-', '')}_…` },
  },
)

export const SelfSchema = answerBody(
  'Self',
  {
    binding_id: nullableText({
      format: 'uuid',
      description: 'The binding; null for who needs none.',
    }),
    key_id: nullableText({ format: 'uuid', description: 'The key; null for who needs none.' }),
    namespace: Type.String({ description: 'Where it works.' }),
    name: Type.String({ description: 'What audit events call it.' }),
    ...boundAnswer,
  },
  {
    description: 'Who the caller is, and what it may do.',
    example: {
      binding_id: exampleId,
      key_id: exampleKeyId,
      namespace: 'default',
      name: 'inbox-agent',
      actions: ['tool:start', 'tool:status'],
      owner_session_key: 'agent:kate:session:abc',
      requester_origin: 'user-1',
      controllers: null,
      timer_max_horizon: 'P30D',
      rate: null,
    },
  },
)
export type Self = Static<typeof SelfSchema>

export const bindingComponents = [
  BindingSchema,
  BindingDetailSchema,
  BindingPageSchema,
  BindingKeySchema,
  CreateBindingSchema,
  UpdateBindingSchema,
  CreateKeySchema,
  MintKeySchema,
  CreatedKeySchema,
  SelfSchema,
  RateRequest,
  RateSchema,
]

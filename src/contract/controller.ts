// The wire of controllers: where their steps are pushed to, and what holds for those that do not say.

import { type Static, type TObject, Type } from 'typebox'
import { controllerDefaults, mostConcurrent } from '../domain/controller.ts'
import { deadPolicies } from '../domain/step.ts'
import {
  answerBody,
  count,
  duration,
  growingTexts,
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
import { RetryRequest } from './new-step.ts'

const urlText =
  'Where its steps are pushed to: an `https://` URL of the public Internet. Without it they are pulled.'
const deadText =
  'What becomes of a flow when a step dies that does not say so itself: it fails, or stays for somebody to decide (`park`).'

const exampleUrl = 'https://inbox.example.com/steps'

export const PutControllerSchema = requestBody(
  'PutController',
  {
    url: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 2048,
        description: urlText,
        examples: [exampleUrl],
      }),
    ),
    tasks: Type.Optional(
      Type.Array(name('A task.', ['classify']), {
        minItems: 1,
        maxItems: 100,
        uniqueItems: true,
        description: 'The tasks that are pushed, while the rest is pulled; all when absent.',
      }),
    ),
    secret: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 255,
        description:
          'Signs the requests from now on: `whsec_` and 24 to 64 bytes in base64. The one before signs too for a day. Absent: the secrets stay; the first one is made by the service, and shown once.',
      }),
    ),
    timeout: Type.Optional(
      duration(
        'For one push, answer and all: `PT1S` to `PT15M`; `PT30S` when absent. What takes longer is answered 202 and settled later.',
      ),
    ),
    max_concurrency: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: mostConcurrent,
        description: `How many steps run at its endpoint at a time; ${controllerDefaults.max_concurrency} when absent.`,
      }),
    ),
    retry: Type.Optional(ref(RetryRequest)),
    on_dead: Type.Optional(oneOfTexts(deadPolicies, `${deadText} \`fail\` when absent.`)),
    enabled: Type.Optional(
      Type.Boolean({
        description: 'False: nothing is pushed and all is pulled. True when absent.',
      }),
    ),
  },
  {
    description:
      'What a controller shall be from now on: what is left out gets its default, but the secrets, which stay.',
    example: { url: exampleUrl, tasks: ['classify'], timeout: 'PT1M', max_concurrency: 20 },
  },
)
export type PutControllerRequest = Static<typeof PutControllerSchema>

const ControllerRetrySchema = answerBody(
  'ControllerRetry',
  {
    max_attempts: count('Attempts at most.'),
    base: duration('The longest pause before the second attempt.'),
    factor: count('What it is multiplied by for each attempt more.'),
    cap: duration('What it grows to at most.'),
    non_retryable: Type.Array(Type.String(), {
      description: 'Codes of errors after which no attempt follows.',
    }),
  },
  {
    description: 'How steps are tried again that do not say it themselves.',
    example: { max_attempts: 5, base: 'PT2S', factor: 2, cap: 'PT5M', non_retryable: [] },
  },
)

const SigningSecretSchema = answerBody(
  'SigningSecret',
  {
    fingerprint: Type.String({
      description: 'The first 8 hex digits of its SHA-256: tells secrets apart.',
    }),
    created_at: timestamp('Since when it signs.'),
    expires_at: nullableTimestamp('Until when it signs; null for the newest one.'),
  },
  {
    description: 'A secret that signs, without showing it.',
    example: {
      fingerprint: 'c6607ef1',
      created_at: '2026-04-23T15:00:00.000Z',
      expires_at: null,
    },
  },
)

const controllerMembers = {
  id: Type.String({ description: 'The `controller_id` of its flows.' }),
  url: nullableText({ description: urlText }),
  tasks: Type.Unsafe<string[] | null>({
    type: ['array', 'null'],
    items: { type: 'string' },
    description: 'The tasks that are pushed; null for all.',
  }),
  timeout: duration('For one push, answer and all.'),
  max_concurrency: count('How many steps run at its endpoint at a time.'),
  retry: nullable(ControllerRetrySchema),
  on_dead: growingTexts(deadPolicies, deadText),
  enabled: Type.Boolean({ description: 'Whether steps are pushed, when there is a `url`.' }),
  disabled_reason: nullableText({ description: 'Why nothing is pushed.' }),
  disabled_at: nullableTimestamp('Since when nothing is pushed.'),
  secrets: Type.Array(ref(SigningSecretSchema), { description: 'Those that sign now.' }),
  created_at: timestamp('When it was first put.'),
  updated_at: timestamp('When it last changed.'),
}

const exampleController: Static<TObject<typeof controllerMembers>> = {
  id: 'kate/inbox',
  url: exampleUrl,
  tasks: ['classify'],
  timeout: 'PT1M',
  max_concurrency: 20,
  retry: null,
  on_dead: 'fail',
  enabled: true,
  disabled_reason: null,
  disabled_at: null,
  secrets: [{ fingerprint: 'c6607ef1', created_at: '2026-04-23T15:00:00.000Z', expires_at: null }],
  created_at: '2026-04-23T15:00:00.000Z',
  updated_at: '2026-04-23T15:00:00.000Z',
}

export const ControllerSchema = answerBody('Controller', controllerMembers, {
  description: 'What is known of a controller.',
  example: exampleController,
})
export type Controller = Static<typeof ControllerSchema>

export const ControllerWithSecretSchema = answerBody(
  'ControllerWithSecret',
  {
    ...controllerMembers,
    secret: nullableText({
      description:
        'The new secret. Shown once: null when it was given or stays, and in the answer to a repeat.',
    }),
  },
  {
    description: 'A controller after it was put, with the secret that was made for it.',
    example: {
      ...exampleController,
      secret: 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo=',
    },
  },
)

export const ControllerPageSchema = page('ControllerPage', ControllerSchema, {
  description: 'A page of controllers.',
  example: exampleController,
})

export const controllerComponents = [
  PutControllerSchema,
  ControllerSchema,
  ControllerWithSecretSchema,
  ControllerRetrySchema,
  SigningSecretSchema,
  ControllerPageSchema,
]

// The wire of sources: where inbound webhooks come from, and what they are mapped to.

import { type Static, type TObject, Type } from 'typebox'
import { sourceIdPattern } from '../domain/source.ts'
import {
  answerBody,
  duration,
  growingTexts,
  maxLengths,
  nullableText,
  oneOfTexts,
  page,
  ref,
  requestBody,
  timestamp,
} from './kit.ts'
import {
  exampleVerification,
  VerificationRequestSchema,
  VerificationSchema,
} from './verification.ts'

const templateText =
  'A template: `{/json/pointer}` reads the body, `{header:name}` a header, the rest is literal.'

const template = (what: string, example: string) =>
  Type.String({
    minLength: 1,
    maxLength: maxLengths.text,
    description: `${what} ${templateText}`,
    examples: [example],
  })

const SourceMapRequest = requestBody(
  'SourceMapRequest',
  {
    topic: template('What happened.', 'github.{header:x-github-event}'),
    correlation_id: template('To what it happened.', 'pr-{/pull_request/number}'),
    event_id: Type.Optional(
      nullableText({
        minLength: 1,
        maxLength: maxLengths.text,
        description: `The sender’s own id, by which a redelivery is known. The usual one of the scheme when absent; null for none. ${templateText}`,
        examples: ['{header:x-github-delivery}'],
      }),
    ),
  },
  {
    description: 'What a message is mapped to.',
    example: {
      topic: 'github.{header:x-github-event}.{/action}',
      correlation_id: '{/repository/full_name}#{/number}',
    },
  },
)

const deliverText =
  'Whom a message wakes when several flows wait for it: the one that has waited longest (`one`), or `all`.'

const definition = {
  verify: ref(VerificationRequestSchema),
  map: ref(SourceMapRequest),
  ttl: Type.Optional(
    duration(
      'How long a message that nobody waits for is kept. The default of the service when absent.',
    ),
  ),
  deliver: Type.Optional(oneOfTexts(['one', 'all'], `${deliverText} \`one\` when absent.`)),
}

const exampleDefinition: Static<TObject<typeof definition>> = {
  verify: { scheme: 'github', secrets: ['It is a Secret to Everybody'] },
  map: {
    topic: 'github.{header:x-github-event}.{/action}',
    correlation_id: '{/repository/full_name}#{/number}',
  },
}

export const CreateSourceSchema = requestBody(
  'CreateSource',
  {
    id: Type.String({
      pattern: sourceIdPattern,
      description: 'Stands in the address: letters, digits, `-`, `_` and `.`, 100 at most.',
      examples: ['github'],
    }),
    ...definition,
  },
  {
    description: 'A new source of webhooks.',
    example: { id: 'github', ...exampleDefinition },
  },
)

export const ReplaceSourceSchema = requestBody('ReplaceSource', definition, {
  description: 'What a source shall be from now on. Without `secrets` those of before stay.',
  example: exampleDefinition,
})

const SourceMapSchema = answerBody(
  'SourceMap',
  {
    topic: Type.String({ description: 'The template of the topic.' }),
    correlation_id: Type.String({ description: 'The template of the correlation id.' }),
    event_id: nullableText({
      description: 'The template of the sender’s own id; null when there is none.',
    }),
  },
  {
    description: 'What messages are mapped to.',
    example: {
      topic: 'github.{header:x-github-event}.{/action}',
      correlation_id: '{/repository/full_name}#{/number}',
      event_id: '{header:x-github-delivery}',
    },
  },
)

const sourceMembers = {
  id: Type.String({ description: 'Its id, unique in its namespace.' }),
  namespace: Type.String({ description: 'The namespace that it belongs to.' }),
  url: Type.String({
    description:
      'Where the sender posts to. A path as long as `TASKFLOW_PUBLIC_URL` is not configured.',
  }),
  verify: ref(VerificationSchema),
  map: ref(SourceMapSchema),
  ttl: nullableText({
    format: 'duration',
    examples: ['P1D'],
    description: 'How long a message that nobody waits for is kept; null for the default.',
  }),
  deliver: growingTexts(['one', 'all'], deliverText),
  created_at: timestamp('When it was defined.'),
  updated_at: timestamp('When it was last replaced.'),
}

const exampleSource: Static<TObject<typeof sourceMembers>> = {
  id: 'github',
  namespace: 'default',
  url: '/in/github',
  verify: exampleVerification,
  map: {
    topic: 'github.{header:x-github-event}.{/action}',
    correlation_id: '{/repository/full_name}#{/number}',
    event_id: '{header:x-github-delivery}',
  },
  ttl: null,
  deliver: 'one',
  created_at: '2026-04-23T15:00:00.000Z',
  updated_at: '2026-04-23T15:00:00.000Z',
}

export const SourceSchema = answerBody('Source', sourceMembers, {
  description: 'Where webhooks come from, how they are verified, and what they are mapped to.',
  example: exampleSource,
})
export type Source = Static<typeof SourceSchema>

export const SourcePageSchema = page('SourcePage', SourceSchema, {
  description: 'A page of sources.',
  example: exampleSource,
})

export const sourceComponents = [
  SourceMapRequest,
  CreateSourceSchema,
  ReplaceSourceSchema,
  SourceMapSchema,
  SourceSchema,
  SourcePageSchema,
]
